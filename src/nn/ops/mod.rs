//! Operations on tensors: each a trait with its formula and a default composed of dfdx operations, which runs on any
//! device and is the reference for the CPU kernel (`cpu.rs`) and the CUDA kernel (`cuda.rs`, `kernels.cu`) beside it.

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
