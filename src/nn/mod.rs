//! What stable dfdx lacks, in dfdx's own idiom.
//!
//! An operation is a trait with a device-generic default composed of dfdx operations, so it runs wherever
//! dfdx does, and a fused kernel for `Cpu` beside it. A test holds one against the other, values and
//! gradients.
//!
//! Layout is channels-last throughout: images are `[images, height, width, channels]`, so a convolution is
//! a row gather and one large matrix product.

mod activation;
mod attention;
mod backend;
mod conv2d;
mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
mod depthwise;
pub mod device;
mod dropout;
pub(crate) mod elementary;
mod embedding;
mod fixed;
mod frozen;
mod gather;
pub(crate) mod host;
#[cfg(any(test, feature = "cuda"))]
pub(crate) mod kernels;
mod layer;
mod linear;
mod lstm;
mod optimizer;
mod pace;
mod packed;
mod packing;
mod parameter;
mod pool;
pub(crate) mod product;
mod recurrence;
mod rows;
mod scratch;
mod sparse;
#[cfg(test)]
pub(crate) mod testing;
mod weighted;
mod window;

pub use activation::Activation;
pub use attention::{Attended, AttentionKernel, composed_attention, coverage_penalty};
pub use backend::{Backend, DeviceResult, Images, Matrix, Regions, Scalar, Taped};
pub use conv2d::{Conv2dKernel, Convolution, conv2d};
pub use cross_entropy::{CrossEntropyKernel, Targets, Zeros, cross_entropy};
pub use depthwise::{DepthwiseKernel, depthwise};
pub use dropout::{Dropout, Mask, random_stream};
pub use embedding::{Embedding, FixedEmbedding};
pub use fixed::FixedKernel;
pub use frozen::{Frozen, FrozenKernel, FrozenLayer, FrozenSums, forward as forward_layers, with_weights};
pub use layer::Layer;
pub use linear::{Linear, LinearKernel};
pub use lstm::{Lstm, LstmKernel, LstmState};
pub use optimizer::{
    Adam, AdamSettings, Average, Change, Moments, OptimizerKernel, composed_norm, composed_update,
};
pub use pace::{Figure, Pace};
pub use packing::Packing;
pub use parameter::{Initialization, Parameter, glorot_limit};
pub use pool::{PoolKernel, global_mean, max_pool};
pub use recurrence::{CellResult, RecurrenceKernel, StepWeight, add_products, composed_products, lstm_cell};
pub use rows::{RowsKernel, activated, add_gathered, concat_rows, gather_rows, mean_of_groups, split_rows};
pub use window::{Padding, Window};
