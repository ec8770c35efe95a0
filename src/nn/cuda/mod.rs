//! Launching CUDA kernels on dfdx's memory. Kernels are CUDA C++ beside their operation, as `src/nn/ops/*/kernels.cu`.
//!
//! An operation's `cuda.rs` says which kernels and matrix products it is made of, for any device that can run them
//! ([`KernelDevice`]). There are two: dfdx's `Cuda`, and in tests the CPU, for which the same sources are compiled as C++. So all
//! but the driver's own calls is held against the CPU's operations on machines without a GPU.

#[cfg(feature = "cuda")]
mod backend;
pub(crate) mod elementwise;
#[cfg(test)]
mod emulation;
mod launch;
mod memory;
mod signature;
#[cfg(feature = "cuda")]
mod stream;

pub(crate) use launch::{Launch, WindowArguments};
pub(crate) use memory::{DeviceSlice, Operand};

use crate::nn::cpu::matmul::WriteMode;
use dfdx::prelude::{Device, Gradients, HasErr, Shape, Storage, Tensor};

/// All sources, compiled together; what they share comes first.
const SOURCES: [&str; 9] = [
    include_str!("common.cu"),
    include_str!("../ops/rows/kernels.cu"),
    include_str!("../ops/conv2d/kernels.cu"),
    include_str!("../ops/depthwise/kernels.cu"),
    include_str!("../ops/pool/kernels.cu"),
    include_str!("../ops/lstm/kernels.cu"),
    include_str!("../ops/cross_entropy/kernels.cu"),
    include_str!("../ops/attention/kernels.cu"),
    include_str!("../optim/kernels.cu"),
];

/// Memory that a tensor of device `D` would keep its values in.
pub(crate) type TensorBuffer<D> = <D as Storage<f32>>::Vec;

/// A device on whose memory our own kernels run.
pub(crate) trait KernelDevice: Device<f32> {
    /// What runs them.
    type Stream: Stream<Error = <Self as HasErr>::Err>;

    /// What runs kernels on this device; `None` where they cannot be had, and operations are composed.
    fn stream(&self) -> Option<Self::Stream>;

    /// The memory of a contiguous tensor.
    ///
    /// Who has a kernel write to it must own the only tensor that knows of this memory, one made just now.
    fn slice<S: Shape>(tensor: &Tensor<S, f32, Self>) -> DeviceSlice;

    /// The memory of a buffer.
    fn buffer_slice(buffer: &TensorBuffer<Self>) -> DeviceSlice;

    /// The memory of a contiguous tensor's gradient, zeros if there was none yet.
    fn gradient<S: Shape>(
        gradients: &mut Gradients<f32, Self>,
        tensor: &Tensor<S, f32, Self>,
    ) -> Result<DeviceSlice, Self::Err> {
        Ok(Self::buffer_slice(gradients.get_or_alloc_mut(tensor)?))
    }
}

/// Runs kernels and matrix products, one after the other in the order they are asked for. The host waits for none of them.
pub(crate) trait Stream: Clone + 'static {
    /// The device's.
    type Error;

    /// Memory that is freed on drop, after all work enqueued before.
    type Buffer: DeviceBuffer;

    /// Runs a kernel.
    ///
    /// # Panics
    /// Where the call does not fit the kernel's parameters.
    fn run(&self, launch: Launch) -> Result<(), Self::Error>;

    /// `out = a b`, or `out += a b`.
    fn multiply(&self, out: DeviceSlice, a: Operand, b: Operand, mode: WriteMode) -> Result<(), Self::Error>;

    /// Uninitialized memory for `len` values.
    fn alloc(&self, len: usize) -> Result<Self::Buffer, Self::Error>;

    /// Memory with these values.
    fn upload(&self, values: Vec<f32>) -> Result<Self::Buffer, Self::Error>;

    /// Memory with these numbers, as the `unsigned` of kernels.
    fn upload_indices(&self, indices: &[usize]) -> Result<Self::Buffer, Self::Error> {
        self.upload(
            indices
                .iter()
                .map(|&index| f32::from_bits(index as u32))
                .collect(),
        )
    }

    /// Memory for `len` zeros.
    fn zeros(&self, len: usize) -> Result<Self::Buffer, Self::Error> {
        self.upload(vec![0.0; len])
    }
}

/// A stream that runs the kernels on the CPU; `None`, with a message, without a C++ compiler.
#[cfg(test)]
pub(crate) fn emulated_stream() -> Option<<dfdx::prelude::Cpu as KernelDevice>::Stream> {
    dfdx::prelude::Cpu::default().stream()
}

/// Memory of a device for as long as it is kept.
pub(crate) trait DeviceBuffer: std::fmt::Debug + 'static {
    /// Where it is.
    fn slice(&self) -> DeviceSlice;
}
