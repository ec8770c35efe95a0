//! Diagnosis of trainings and captioners that fail.
//!
//! [`TrainingMonitor`] reads the event log of a training while it runs; [`Diagnosis`] reads the figures of an
//! evaluation. Both report [`Symptom`]s.

mod captions;
mod spikes;
mod symptom;
#[cfg(test)]
mod tests;
mod training;

pub(crate) use captions::number_or_nan;
pub use captions::{Cause, Diagnosis, EncoderOrigin, Evidence};
pub use symptom::{LossKind, Symptom};
pub use training::TrainingMonitor;
