//! What can go wrong with a packed file, and what to do about it.

use crate::evaluation::SavedEvaluationError;
use crate::jobs::DirectoryError;
use crate::model::{CheckpointError, InputExtractorError};
use crate::nn::device::DeviceError;
use crate::onnx::OnnxError;
use crate::text::{VocabularyError, display_path};
use crate::training::TrainedRunError;
use crate::vision::backbones::BackboneError;
use crate::vision::weights::WeightsError;
use std::io;
use std::path::PathBuf;

/// Why a run cannot be packed, or a packed file not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum PackError {
    #[error("cannot read {}: {source}; check the path and its permissions", display_path(.path))]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}; check the path and the space left", display_path(.path))]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is there already; give another path, or replace it with --force", display_path(.path))]
    Exists { path: PathBuf },
    #[error("{}: not a whole packed file: {why}; copy it again from its origin, or pack the run again", display_path(.path))]
    Damaged { path: PathBuf, why: String },
    #[error("{} is the checkpoint of a run, without vocabulary and CNN; pack the run with cutline pack", display_path(.path))]
    NotPacked { path: PathBuf },
    #[error(
        "{}: its version is {found}, and this program reads {}; it was packed by Cutline {by}: use that version or a later one",
        display_path(.path), super::VERSION
    )]
    Version { path: PathBuf, found: u32, by: String },
    #[error(
        "{}: packed without document frequencies of n-grams, which minimum Bayes risk needs; search without (--mbr-weight 0)",
        display_path(.path)
    )]
    NoDocumentFrequencies { path: PathBuf },
    #[error(
        "the file of weights that the run's features were made with is not known; name it with --weights (BLAKE3 {expected})"
    )]
    NoWeights { expected: String },
    #[error("`{tensor}` holds {value}, which no weight is; pack another checkpoint")]
    NotFinite { tensor: String, value: f32 },
    #[error(transparent)]
    Run(#[from] TrainedRunError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Evaluation(#[from] SavedEvaluationError),
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    #[error(transparent)]
    Inputs(#[from] InputExtractorError),
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl PackError {
    /// An error of the checkpoint that a packed file is.
    pub(super) fn of_file(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Io { path, source } => Self::Read { path, source },
            CheckpointError::Damaged { path, why } => Self::Damaged { path, why },
            CheckpointError::Tensor { path, tensor, why } => {
                let why = format!("tensor `{tensor}` {why}");
                Self::Damaged { path, why }
            }
            CheckpointError::Device { why, .. } => Self::Device(DeviceError::new(why)),
        }
    }
}
