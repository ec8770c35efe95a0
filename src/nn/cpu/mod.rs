//! Linear algebra on the CPU, which the CPU kernels of the operations share.

pub(crate) mod elementary;
pub(crate) mod matmul;
pub(crate) mod packed_matrix;
pub(crate) mod scratch;
pub(crate) mod slices;
pub(crate) mod sparse;
pub(crate) mod winograd;
