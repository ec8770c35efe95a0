//! What can go wrong with a backbone, and what to do about it.

use super::{BackboneKind, MapShape};
use crate::nn::device::DeviceError;
use crate::suggest::hint;
use crate::vision::weights::WeightsError;
use std::fmt;
use std::path::PathBuf;

/// Why a backbone could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackboneError {
    /// The file of weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network has no such layer.
    #[error("{backbone} has no layer {layer:?}{}: choose one of {}", hint(.layer, .layers), .layers.join(", "))]
    UnknownLayer {
        /// The network.
        backbone: BackboneKind,
        /// What was asked for.
        layer: String,
        /// What there is.
        layers: Vec<String>,
    },
    /// The network has the layer, but not where it was looked for.
    #[error(
        "layer {layer:?} of {backbone} does not lie behind {after}, whose output is stored: \
         prepare the features of an earlier layer (--layer), or choose one of {}", .behind.join(", ")
    )]
    NotBehind {
        /// The network.
        backbone: BackboneKind,
        /// What was asked for.
        layer: String,
        /// Behind which layer.
        after: String,
        /// What lies there.
        behind: Vec<String>,
    },
    /// The network has the layer, the file does not.
    #[error(
        "weights {path:?}: no tensor {tensor:?}, which layer {layer} of {backbone} needs: \
         choose --layer {available}, or give a file with all layers"
    )]
    LayerNotInFile {
        /// The network.
        backbone: BackboneKind,
        /// The layer that was asked for.
        layer: String,
        /// The file.
        path: PathBuf,
        /// The first tensor that is missing.
        tensor: String,
        /// The layer that would be taken if none were asked for.
        available: String,
    },
    /// The images do not have the size that the network takes.
    #[error(
        "{backbone} takes images of {expected} pixels, not {found}: prepare them with its own preprocessing"
    )]
    ImageSize {
        /// The network.
        backbone: BackboneKind,
        /// What it takes.
        expected: MapShape,
        /// What it was given.
        found: MapShape,
    },
    /// The device refused, most often for lack of memory.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl BackboneError {
    pub(crate) fn device(error: impl fmt::Display) -> Self {
        Self::Device(DeviceError::new(error))
    }

    /// Whether fewer images at once may help.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Device(error) if error.is_out_of_memory())
    }
}
