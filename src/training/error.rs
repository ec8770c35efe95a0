//! Errors of a training.

use super::changes::ChangeError;
use crate::jobs::SessionError;
use crate::model::CheckpointError;
use crate::nn::device::DeviceError;
use std::path::PathBuf;

/// Why a training fails.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// A loss, gradient or weight is infinite or not a number.
    #[error(
        "the {what} became infinite or not a number at step {step}; earlier checkpoints are kept: try a lower training.learning_rate, or a smaller training.optimizer.max_grad_norm"
    )]
    NotFinite {
        /// Loss, gradient or weights.
        what: &'static str,
        /// Steps completed before.
        step: u64,
    },
    /// A split has no captions.
    #[error("the {split} split has no captions; prepare the data set with other splits")]
    Empty {
        /// The split.
        split: &'static str,
    },
    /// The run's directory must not be written.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The state in a checkpoint cannot be read.
    #[error("{}: cannot resume from this checkpoint: {why}; start a new run", path.display())]
    State {
        /// The checkpoint.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// A changed setting is invalid.
    #[error(transparent)]
    Changes(#[from] ChangeError),
    /// The device is out of memory.
    #[error(
        "the device has no memory left for batches of {batch_size} captions; earlier checkpoints are kept: start a new run with {}", smaller(*batch_size)
    )]
    OutOfMemory {
        /// Captions of a batch.
        batch_size: usize,
    },
    /// The device failed.
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
