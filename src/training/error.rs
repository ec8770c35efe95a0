//! Errors of a training.

use super::settings_changes::ChangeError;
use crate::jobs::SessionError;
use crate::model::CheckpointError;
use crate::nn::device::DeviceError;
use std::path::PathBuf;

/// Why a training fails.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum TrainingError {
    #[error(
        "the {what} became infinite or not a number at step {step}; earlier checkpoints are kept: try a lower training.learning_rate, or a smaller training.optimizer.max_grad_norm"
    )]
    NotFinite { what: &'static str, step: u64 },
    #[error("the {split} split has no captions; prepare the dataset with other splits")]
    Empty { split: &'static str },
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{}: cannot resume from this checkpoint: {why}; start a new run", path.display())]
    State { path: PathBuf, why: String },
    #[error(transparent)]
    Changes(#[from] ChangeError),
    #[error(
        "the device has no memory left for batches of {batch_size} captions; earlier checkpoints are kept: start a new run with {}", smaller(*batch_size)
    )]
    OutOfMemory { batch_size: usize },
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl TrainingError {
    pub(crate) fn device(error: impl std::fmt::Display) -> Self {
        Self::Device(DeviceError::new(error))
    }

    /// The same error, with the batch size if the device is out of memory.
    pub(super) fn with_batch_size(self, batch_size: usize) -> Self {
        match self {
            Self::Device(error) if error.is_out_of_memory() => Self::OutOfMemory { batch_size },
            error => error,
        }
    }
}

/// Settings that need less memory.
fn smaller(batch_size: usize) -> String {
    match batch_size / 2 {
        0 => "a smaller decoder.hidden_size and decoder.embedding_size".to_owned(),
        half => format!("--set training.batch_size={half}"),
    }
}
