//! Kernels of our own on dfdx's memory: CUDA C++ beside the operation that it serves, as `src/nn/ops/*/kernels.cu`.
//!
//! An operation's `cuda.rs` says which kernels and matrix products it is made of, for any device that can run them
//! ([`Own`]). There are two: dfdx's `Cuda`, and in tests the CPU, for which the same sources are compiled as C++. So all
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

pub(crate) use launch::{Call, Walked};
pub(crate) use memory::{Operand, Span};

use crate::nn::cpu::matmul::Existing;
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
pub(crate) type Buffer<D> = <D as Storage<f32>>::Vec;

/// A device on whose memory our own kernels run.
pub(crate) trait Own: Device<f32> {
    /// What runs them.
    type Engine: Engine<Error = <Self as HasErr>::Err>;

    /// What runs kernels on this device; `None` where they cannot be had, and operations are composed.
    fn engine(&self) -> Option<Self::Engine>;

    /// Where the values of a contiguous tensor lie.
    ///
    /// Who has a kernel write to it must own the only tensor that knows of this memory, one made just now.
    fn span<S: Shape>(tensor: &Tensor<S, f32, Self>) -> Span;

    /// Where the values of a buffer lie.
    fn span_of(buffer: &Buffer<Self>) -> Span;

    /// Where a contiguous tensor's gradient lies, zeros where there was none yet.
    fn gradient<S: Shape>(
        gradients: &mut Gradients<f32, Self>,
        tensor: &Tensor<S, f32, Self>,
    ) -> Result<Span, Self::Err> {
        Ok(Self::span_of(gradients.get_or_alloc_mut(tensor)?))
    }
}

/// Runs kernels and matrix products, one after the other in the order they are asked for. None of them is waited for.
pub(crate) trait Engine: Clone + 'static {
    /// The device's.
    type Error;

    /// Room that goes when it is dropped, once what was asked for before has been done.
    type Room: Room;

    /// Runs a kernel.
    ///
    /// # Panics
    /// Where the call does not fit the kernel's parameters.
    fn run(&self, call: Call) -> Result<(), Self::Error>;

    /// `out = a b`, or `out += a b`.
    fn multiply(&self, out: Span, a: Operand, b: Operand, existing: Existing) -> Result<(), Self::Error>;

    /// Room for so many values, left over from other uses.
    fn room(&self, len: usize) -> Result<Self::Room, Self::Error>;

    /// Room that holds these values.
    fn upload(&self, values: Vec<f32>) -> Result<Self::Room, Self::Error>;

    /// Room that holds these numbers, as the `unsigned` of kernels.
    fn upload_indices(&self, indices: &[usize]) -> Result<Self::Room, Self::Error> {
        self.upload(
            indices
                .iter()
                .map(|&index| f32::from_bits(index as u32))
                .collect(),
        )
    }

    /// Room for so many zeros.
    fn zeros(&self, len: usize) -> Result<Self::Room, Self::Error> {
        self.upload(vec![0.0; len])
    }
}

/// The CPU as what runs the kernels; `None`, which is told, without a C++ compiler.
#[cfg(test)]
pub(crate) fn on_host() -> Option<<dfdx::prelude::Cpu as Own>::Engine> {
    dfdx::prelude::Cpu::default().engine()
}

/// Memory of a device for as long as it is kept.
pub(crate) trait Room: std::fmt::Debug + 'static {
    /// Where it is.
    fn span(&self) -> Span;
}
