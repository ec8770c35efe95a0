//! What stable dfdx lacks, in dfdx's own idiom.
//!
//! An operation is a trait with a device-generic default composed of dfdx operations, so it runs wherever
//! dfdx does, and a fused kernel for `Cpu` beside it. A test holds one against the other, values and
//! gradients.
//!
//! Layout is channels-last throughout: photos are `[photos, height, width, channels]`, so a convolution is
//! a row gather and one large matrix product.

mod backend;
mod parameter;
pub(crate) mod product;

pub use backend::{Backend, Images, Matrix, Regions, Taped};
pub use parameter::{Initialisation, Parameter};
