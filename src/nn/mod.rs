//! What stable dfdx lacks, in dfdx's own idiom.
//!
//! An operation is a trait with a device-generic default composed of dfdx operations, so it runs wherever
//! dfdx does, and a fused kernel for `Cpu` beside it. A test holds one against the other, values and
//! gradients.
//!
//! Layout is channels-last throughout: photos are `[photos, height, width, channels]`, so a convolution is
//! a row gather and one large matrix product.

mod backend;
mod cross_entropy;
mod dropout;
mod embedding;
mod linear;
mod lstm;
mod optimiser;
mod packing;
mod parameter;
pub(crate) mod product;
#[cfg(test)]
pub(crate) mod testing;

pub use backend::{Backend, DeviceResult, Images, Matrix, Regions, Scalar, Taped};
pub use cross_entropy::{CrossEntropyKernel, cross_entropy};
pub use dropout::{Dropout, random_stream};
pub use embedding::Embedding;
pub use linear::Linear;
pub use lstm::{Lstm, LstmKernel, LstmState};
pub use optimiser::{Adam, AdamSettings, Moments, OptimiserKernel};
pub use packing::Packing;
pub use parameter::{Initialisation, Parameter};
