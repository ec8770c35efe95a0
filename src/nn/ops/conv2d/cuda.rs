//! Convolution on a GPU.
//!
//! Why it is fast: what the windows see is laid out by a kernel that works its places out itself, for as many output
//! pixels at a time as stay near the processor, and multiplied there; where a window is a pixel, it is multiplied where
//! it lies. Bias and nonlinearity go over what has just been written.

use super::{Convolution, Images, Matrix};
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cuda::{
    DeviceBuffer, DeviceSlice, KernelDevice, Launch, Operand, Stream, WindowArguments, elementwise,
};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::SlidingWindow;
use dfdx::prelude::*;
use std::ops::Range;

/// Values that are laid out at a time, at most: 64 MiB, about as much as the cache of a large GPU.
#[cfg(feature = "cuda")]
const IM2COL_VALUES: usize = 1 << 24;

#[cfg(feature = "cuda")]
impl super::Conv2dKernel for Cuda {
    fn conv2d<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        kernel: Matrix<Self>,
        bias: Matrix<Self>,
        convolution: Convolution,
    ) -> DeviceResult<Self, Images<Self, T>> {
        match x.device().stream() {
            Some(stream) => fused(stream, x, kernel, bias, convolution, IM2COL_VALUES),
            None => super::composed(x, kernel, bias, convolution),
        }
    }
}

/// [`Conv2dKernel::conv2d`](super::Conv2dKernel::conv2d), laying out at most `room` values at a time, or a pixel's.
pub(super) fn fused<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    x: Images<D, T>,
    kernel: Matrix<D>,
    bias: Matrix<D>,
    convolution: Convolution,
    room: usize,
) -> DeviceResult<D, Images<D, T>> {
    let (images, height, width, inputs) = *x.shape();
    let sliding = SlidingWindow::new(convolution.window, images, (height, width));
    let (depth, outputs) = *kernel.shape();
    let layer = Conv2dLaunches {
        stream,
        sliding,
        inputs,
        outputs,
        activation: convolution.activation,
        pixels_at_a_time: (room / depth.max(1)).clamp(1, sliding.outputs()),
    };
    let (x, mut tape) = x.split_tape();
    let (y, out) =
        elementwise::alloc_tensor(x.device(), (images, sliding.output.0, sliding.output.1, outputs))?;
    layer.forward(D::slice(&x), D::slice(&kernel), D::slice(&bias), out)?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        elementwise::activation_backward(&layer.stream, gradient, out, layer.activation)?;
        let to_bias = D::gradient(gradients, &bias)?;
        elementwise::column_sums(&layer.stream, gradient, to_bias, WriteMode::Accumulate)?;
        layer.to_kernel(gradient, D::slice(&x), D::gradient(gradients, &kernel)?)?;
        layer.to_maps(gradient, D::slice(&kernel), D::gradient(gradients, &x)?)
    });
    Ok(result.put_tape(tape))
}

struct Conv2dLaunches<E> {
    stream: E,
    sliding: SlidingWindow,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    pixels_at_a_time: usize,
}

impl<E: Stream> Conv2dLaunches<E> {
    /// Values that a window sees.
    fn depth(&self) -> usize {
        self.sliding.window.taps() * self.inputs
    }

    /// Output pixels, in pieces.
    fn pieces(&self) -> impl Iterator<Item = Range<usize>> + use<E> {
        let (all, taken) = (self.sliding.outputs(), self.pixels_at_a_time);
        (0..all)
            .step_by(taken)
            .map(move |first| first..(first + taken).min(all))
    }

    fn forward(
        &self,
        x: DeviceSlice,
        kernel: DeviceSlice,
        bias: DeviceSlice,
        out: DeviceSlice,
    ) -> Result<(), E::Error> {
        let kernel = Operand::new(kernel, self.depth(), self.outputs);
        let seen = self.room_for_windows()?;
        for pixels in self.pieces() {
            let out = out.rows(pixels.clone(), self.outputs);
            let seen = self.windows(x, pixels, &seen)?;
            self.stream.multiply(out, seen, kernel, WriteMode::Overwrite)?;
            elementwise::finish_rows(&self.stream, out, bias, self.activation)?;
        }
        Ok(())
    }

    fn to_kernel(
        &self,
        gradient: DeviceSlice,
        x: DeviceSlice,
        to_kernel: DeviceSlice,
    ) -> Result<(), E::Error> {
        let seen = self.room_for_windows()?;
        for pixels in self.pieces() {
            let down = self.gradient_of(gradient, pixels.clone());
            let seen = self.windows(x, pixels, &seen)?.transposed();
            self.stream
                .multiply(to_kernel, seen, down, WriteMode::Accumulate)?;
        }
        Ok(())
    }

    fn to_maps(
        &self,
        gradient: DeviceSlice,
        kernel: DeviceSlice,
        to_maps: DeviceSlice,
    ) -> Result<(), E::Error> {
        let kernel = Operand::new(kernel, self.depth(), self.outputs).transposed();
        if self.sliding.is_pointwise() {
            let down = self.gradient_of(gradient, 0..self.sliding.outputs());
            return self.stream.multiply(to_maps, down, kernel, WriteMode::Accumulate);
        }
        let seen = self.room_for_windows()?;
        for pixels in self.pieces() {
            let of_windows = seen.slice().rows(0..pixels.len(), self.depth());
            let down = self.gradient_of(gradient, pixels.clone());
            self.stream
                .multiply(of_windows, down, kernel, WriteMode::Overwrite)?;
            self.collect(of_windows, pixels, to_maps)?;
        }
        Ok(())
    }

    fn gradient_of(&self, gradient: DeviceSlice, pixels: Range<usize>) -> Operand {
        let rows = pixels.len();
        Operand::new(gradient.rows(pixels, self.outputs), rows, self.outputs)
    }

    /// Empty where windows are read in place.
    fn room_for_windows(&self) -> Result<E::Buffer, E::Error> {
        let pixels = if self.sliding.is_pointwise() {
            0
        } else {
            self.pixels_at_a_time
        };
        self.stream.alloc(pixels * self.depth())
    }

    /// What `pixels` of the output see: `[pixels, taps * inputs]`.
    fn windows(&self, x: DeviceSlice, pixels: Range<usize>, room: &E::Buffer) -> Result<Operand, E::Error> {
        let (count, depth) = (pixels.len(), self.depth());
        if self.sliding.is_pointwise() {
            return Ok(Operand::new(x.rows(pixels, depth), count, depth));
        }
        let seen = room.slice().rows(0..count, depth);
        let (kernel, packets) = if self.inputs.is_multiple_of(4) {
            ("gather_windows_by_four", depth / 4)
        } else {
            ("gather_windows", depth)
        };
        self.stream.run(
            Launch::of_blocks(kernel, [count, 1])
                .sharing(packets)
                .values(x, self.maps())
                .values(seen, count * depth)
                .count(pixels.start)
                .size(self.inputs)
                .sliding(&WindowArguments::from(&self.sliding)),
        )?;
        Ok(Operand::new(seen, count, depth))
    }

    fn collect(
        &self,
        of_windows: DeviceSlice,
        pixels: Range<usize>,
        to_maps: DeviceSlice,
    ) -> Result<(), E::Error> {
        let count = self.maps();
        self.stream.run(
            Launch::per_value("collect_windows", count)
                .values(of_windows, pixels.len() * self.depth())
                .values(to_maps, count)
                .count(pixels.start)
                .count(pixels.end)
                .size(self.inputs)
                .sliding(&WindowArguments::from(&self.sliding))
                .count(count),
        )
    }

    /// Values of the maps that go in.
    fn maps(&self) -> usize {
        self.sliding.images * self.sliding.inputs_per_image() * self.inputs
    }
}
