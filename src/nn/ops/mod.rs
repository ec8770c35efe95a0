//! Operations on tensors: each a trait with its formula and a default composed of dfdx operations, and beside it the
//! CPU kernel (`cpu.rs`), the CUDA kernel (`cuda.rs`, `kernels.cu`) and the tests that hold them against the default.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod conv2d;
pub(crate) mod conv_geometry;
pub(crate) mod conv_kernel;
#[cfg(test)]
mod conv_tests;
pub(crate) mod cross_entropy;
pub(crate) mod depthwise;
pub(crate) mod im2col;
pub(crate) mod linear;
pub(crate) mod lstm;
pub(crate) mod packed_sequence;
pub(crate) mod pool;
pub(crate) mod recurrence;
pub(crate) mod rows;
