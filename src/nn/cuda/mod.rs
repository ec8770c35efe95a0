//! Launching CUDA kernels on dfdx's memory. Kernels are CUDA C++ beside their operation, as `src/nn/ops/*/kernels.cu`.
//!
//! An operation's `cuda.rs` composes it of kernels and matrix products, for any device that can run them
//! ([`KernelDevice`]): dfdx's `Cuda`, and in tests the CPU, for which the same sources are compiled as C++. So machines without
//! a GPU can compare everything but the driver's own calls with the CPU's operations.

#[cfg(feature = "cuda")]
mod backend;
#[cfg(feature = "cuda")]
mod driver;
mod elementwise;
#[cfg(test)]
mod emulation;
mod launch;
mod memory;
mod signature;
#[cfg(feature = "cuda")]
mod stream;

#[cfg(feature = "cuda")]
pub(in crate::nn) use driver::calls;
pub(crate) use elementwise::Elementwise;
pub(crate) use launch::{Grid, Launch, launch};
pub(crate) use memory::{DeviceSlice, Operand};
#[cfg(feature = "cuda")]
pub(in crate::nn) use stream::check_kernels;

use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::WriteMode;
use dfdx::prelude::{Device, Gradients, HasErr, Shape, Storage, Tensor};

/// The sources of all kernels, joined by `build.rs`.
const SOURCE: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.cu"));

/// Memory that a tensor of device `D` would keep its values in.
pub(crate) type TensorBuffer<D> = <D as Storage<f32>>::Vec;

/// A device that runs our kernels.
pub(crate) trait KernelDevice: Device<f32> {
    /// The device's stream.
    type Stream: Stream<Error = <Self as HasErr>::Err>;

    /// The stream of this device; `None` if it cannot run kernels, and operations are composed.
    fn stream(&self) -> Option<Self::Stream>;

    /// The memory of a contiguous tensor.
    ///
    /// A kernel may only write to it if no other tensor shares the memory: use [`alloc_tensor`](Self::alloc_tensor).
    fn slice<S: Shape>(tensor: &Tensor<S, f32, Self>) -> DeviceSlice;

    /// The memory of a buffer.
    fn buffer_slice(buffer: &TensorBuffer<Self>) -> DeviceSlice;

    /// A tensor and its memory, all of which a kernel or a product then writes to: it may have any values before.
    fn alloc_tensor<S: Shape>(&self, shape: S) -> DeviceResult<Self, (Tensor<S, f32, Self>, DeviceSlice)> {
        let tensor = self.try_zeros_like(&shape)?;
        let slice = Self::slice(&tensor);
        Ok((tensor, slice))
    }

    /// The memory of a contiguous tensor's gradient, zeros if there was none yet.
    fn gradient<S: Shape>(
        gradients: &mut Gradients<f32, Self>,
        tensor: &Tensor<S, f32, Self>,
    ) -> Result<DeviceSlice, Self::Err> {
        Ok(Self::buffer_slice(gradients.get_or_alloc_mut(tensor)?))
    }

    /// The memory of a contiguous tensor's gradient for an operation that writes to all of it, and whether it adds to what is
    /// there: new memory need not be filled with zeros first.
    fn gradient_target<S: Shape>(
        gradients: &mut Gradients<f32, Self>,
        tensor: &Tensor<S, f32, Self>,
    ) -> Result<GradientTarget, Self::Err> {
        Ok((Self::gradient(gradients, tensor)?, WriteMode::Accumulate))
    }
}

/// The memory of a gradient, and how to write to it.
pub(crate) type GradientTarget = (DeviceSlice, WriteMode);

/// Runs kernels and matrix products in the order of the calls. The host waits for none of them.
pub(crate) trait Stream: Clone + 'static {
    /// The device's error.
    type Error;

    /// Memory that is freed on drop, after all work enqueued before.
    type Buffer: DeviceBuffer;

    /// Runs a kernel.
    ///
    /// # Panics
    /// If the arguments do not match the kernel's parameters.
    fn run(&self, launch: Launch) -> Result<(), Self::Error>;

    /// `out = a b`, or `out += a b`.
    fn matmul(&self, out: DeviceSlice, a: Operand, b: Operand, mode: WriteMode) -> Result<(), Self::Error>;

    /// Uninitialized memory for `len` values.
    fn alloc(&self, len: usize) -> Result<Self::Buffer, Self::Error>;

    /// Memory with these values.
    fn upload(&self, values: Vec<f32>) -> Result<Self::Buffer, Self::Error>;

    /// Memory with these numbers, as the `unsigned` of kernels.
    fn upload_indices(&self, indices: &[usize]) -> Result<Self::Buffer, Self::Error> {
        let bits = indices.iter().map(|&index| f32::from_bits(index as u32));
        self.upload(bits.collect())
    }

    /// Memory for `len` zeros.
    fn zeros(&self, len: usize) -> Result<Self::Buffer, Self::Error> {
        self.upload(vec![0.0; len])
    }
}

/// Memory of a device, freed on drop.
pub(crate) trait DeviceBuffer: std::fmt::Debug + 'static {
    /// Its address and length.
    fn slice(&self) -> DeviceSlice;
}

/// Implements a kernel trait for `Cuda`: each method calls the function after `=`, with more arguments if
/// any.
#[cfg(feature = "cuda")]
macro_rules! impl_for_cuda {
    ($kernels:path: $(fn $method:ident($($name:ident: $type:ty),+) -> $result:ty = $function:path $(, $more:expr)*;)+) => {
        impl $kernels for dfdx::prelude::Cuda {
            $(fn $method<T: dfdx::prelude::Tape<f32, Self>>(
                $($name: $type),+
            ) -> $crate::nn::DeviceResult<Self, $result> {
                $function($($name),+ $(, $more)*)
            })+
        }
    };
}
#[cfg(feature = "cuda")]
pub(crate) use impl_for_cuda;
