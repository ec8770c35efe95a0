//! Errors of backbones.

use super::{BackboneKind, MapShape, file_contents};
use crate::nn::device::DeviceError;
use crate::suggest::hint;
use crate::vision::preprocess::PreprocessingKind;
use crate::vision::weights::{WeightFile, WeightsError, WeightsErrorKind};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// Why a backbone could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum BackboneError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("{error}; {contents}")]
    OtherWeights {
        error: Box<WeightsError>,
        contents: String,
    },
    #[error(
        "weights {path:?}: {count} of its tensors, such as {tensor:?}, are not of {backbone}; {contents}: \
         give the weights of {backbone}, or choose another --backbone"
    )]
    ForeignTensors {
        backbone: BackboneKind,
        path: PathBuf,
        count: usize,
        tensor: String,
        contents: String,
    },
    #[error(
        "weights {path:?}: it holds several copies of {backbone} that differ, under {:?} and under {:?}: \
         save the one to use alone, torch.save(checkpoint[KEY], \"weights.pth\")", .copies[0], .copies[1]
    )]
    SeveralCopies {
        backbone: BackboneKind,
        path: PathBuf,
        copies: [String; 2],
    },
    #[error("{backbone} has no layer {layer:?}{}: choose one of {}", hint(.layer, .layers), .layers.join(", "))]
    UnknownLayer {
        backbone: BackboneKind,
        layer: String,
        layers: Vec<String>,
    },
    #[error("no weights of {backbone} have the preprocessing {kind}: choose one of {}", listed(.known))]
    NoSuchPreprocessing {
        backbone: BackboneKind,
        kind: PreprocessingKind,
        known: BTreeSet<&'static str>,
    },
    #[error(
        "layer {layer:?} of {backbone} is not after {after}, whose output is stored: \
         prepare the features of an earlier layer (--layer), or choose one of {}", .later.join(", ")
    )]
    NotAfter {
        backbone: BackboneKind,
        layer: String,
        after: String,
        later: Vec<String>,
    },
    #[error(
        "weights {path:?}: no tensor {tensor:?}, which layer {layer} of {backbone} needs: \
         choose --layer {available}, or give a file with all layers"
    )]
    LayerNotInFile {
        backbone: BackboneKind,
        layer: String,
        path: PathBuf,
        tensor: String,
        available: String,
    },
    #[error(
        "{backbone} takes images of {expected} pixels, not {found}: prepare them with its own preprocessing"
    )]
    ImageSize {
        backbone: BackboneKind,
        expected: MapShape,
        found: MapShape,
    },
    #[error(transparent)]
    Device(#[from] DeviceError),
}

fn listed(names: &BTreeSet<&'static str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

impl BackboneError {
    /// The error of a file, with what it seems to hold where it is not the network's.
    pub(super) fn of_file(error: WeightsError, backbone: BackboneKind, file: &WeightFile) -> Self {
        match error.kind {
            WeightsErrorKind::Missing { .. }
            | WeightsErrorKind::Shape { .. }
            | WeightsErrorKind::UnknownNaming { .. } => Self::OtherWeights {
                error: error.into(),
                contents: file_contents::describe(file, backbone),
            },
            _ => Self::Weights(error),
        }
    }

    pub(crate) fn device(error: impl fmt::Display) -> Self {
        Self::Device(DeviceError::new(error))
    }

    /// Whether the device is out of memory: a smaller batch may help.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Device(error) if error.is_out_of_memory())
    }
}
