//! Packed files: one file with all that captioning needs, to be handed on.
//!
//! A packed file is a safetensors file and a checkpoint ([`crate::model::Checkpoint`]) without the state of a training. In
//! their place are a description ([`PackInfo`]), the weights of the CNN under [`CNN`], and texts as tensors of bytes:
//! [`VOCABULARY`], and [`DOCUMENT_FREQUENCIES`] if the run has them. `docs/pack.md` has the form in full.

mod card;
mod error;
mod folders;
mod info;
mod measure;
mod members;
mod packed_file;
mod packing;
mod tensors;
#[cfg(test)]
mod tests;

pub use error::PackError;
pub use folders::{HubTerms, hub_file};
pub use info::{CnnInfo, PackDtype, PackInfo, PackedData, StatedScores};
pub use measure::{Confirmation, ConfirmedScore, MeasureError, measure};
pub use members::{CaptionMember, CaptionMembers};
pub use packed_file::PackedFile;
pub use packing::{Packing, WeightTerms};

/// The prefix of the tensors of a CNN with published weights; their names follow.
pub const CNN: &str = "cnn.";
/// The tensor with the bytes of `vocabulary.txt`.
pub const VOCABULARY: &str = "vocabulary.txt";
/// The tensor with the bytes of the table of document frequencies.
pub const DOCUMENT_FREQUENCIES: &str = "ngrams.tsv";

/// The version of the description and of the tensors' names.
const VERSION: u32 = 1;
