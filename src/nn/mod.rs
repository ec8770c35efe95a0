//! Layers, operations and kernels that dfdx lacks.
//!
//! An operation is a trait with a device-generic default composed of dfdx operations, so it runs wherever
//! dfdx does, and a fused kernel for `Cpu` beside it. Tests compare both, values and
//! gradients.
//!
//! Layout is channels-last throughout: images are `[images, height, width, channels]`, so a convolution is
//! a row gather and one large matrix product.

mod backend;
pub(crate) mod cpu;
#[cfg(any(test, feature = "cuda"))]
pub(crate) mod cuda;
pub mod device;
mod inference;
mod layers;
mod ops;
mod optim;
mod tape;
#[cfg(test)]
pub(crate) mod testing;

pub use backend::{Backend, DeviceResult, Images, Matrix, MatrixResult, Regions, Scalar, Taped};
pub use device::scalar::{AsyncDevice, DeviceScalar};
#[cfg(test)]
pub(crate) use inference::every_layer;
pub use inference::{
    AttentionPool, ComposedConvNet, ConvLayer, ConvWeights, InferenceKernel, forward as forward_layers,
    map_weights,
};
pub use layers::dropout::{Dropout, Mask, random_stream};
pub use layers::embedding::{Embedding, InferenceEmbedding};
pub use layers::layer::Layer;
pub(crate) use layers::layer::impl_layer;
pub use layers::linear::Linear;
pub use layers::lstm::{Lstm, LstmState};
pub use layers::parameter::{Initialization, Parameter, glorot_limit};
pub use ops::activation::Activation;
pub use ops::attention::{AttentionKernel, AttentionOutput, composed_attention, coverage_penalty};
pub use ops::conv_geometry::{ConvGeometry, Padding};
pub use ops::conv2d::{Conv2dKernel, Convolution, conv2d};
pub use ops::cross_entropy::{CrossEntropyKernel, OutputInputs, Targets, cross_entropy};
pub use ops::depthwise::{DepthwiseKernel, depthwise};
pub use ops::linear::LinearKernel;
pub use ops::lstm::LstmKernel;
pub use ops::packed_sequence::PackedSequence;
pub use ops::pool::{AveragePool, PoolDivisor, PoolKernel, avg_pool, global_avg_pool, max_pool};
pub use ops::recurrence::{CellResult, RecurrenceKernel, composed_products, lstm_cell};
pub use ops::rows::RowsKernel;
pub use optim::{
    Adam, AdamSettings, Ema, Moments, OptimizerKernel, ParameterUpdate, composed_norm, composed_update,
};
