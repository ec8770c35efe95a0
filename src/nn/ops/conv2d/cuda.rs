//! Convolution on a GPU.
//!
//! Why it is fast: a kernel lays out the pixels under each window, for as many output pixels at a time as stay in the
//! cache, and they are multiplied there; pointwise windows are multiplied in place. Bias and activation go over values
//! that have just been written.

use super::{Convolution, Images, Matrix};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cuda::{
    DeviceBuffer, DeviceSlice, Elementwise, GradientTarget, Grid, KernelDevice, Operand, Stream, launch,
};
use crate::nn::ops::conv_geometry::SlidingWindow;
use crate::nn::tape::record;
use crate::nn::{Activation, DeviceResult};
use dfdx::prelude::*;
use std::ops::Range;

/// Values that are laid out at a time, at most: 64 MiB, about as much as the cache of a large GPU.
#[cfg(feature = "cuda")]
const IM2COL_VALUES: usize = 1 << 24;

#[cfg(feature = "cuda")]
crate::nn::cuda::impl_for_cuda! { super::Conv2dKernel:
    fn conv2d(x: Images<Self, T>, kernel: Matrix<Self>, bias: Matrix<Self>, convolution: Convolution) -> Images<Self, T>
        = fused, IM2COL_VALUES;
}

/// [`Conv2dKernel::conv2d`](super::Conv2dKernel::conv2d), laying out at most `room` values at a time, or a pixel's.
pub(in crate::nn::ops) fn fused<D: KernelDevice, T: Tape<f32, D>>(
    x: Images<D, T>,
    kernel: Matrix<D>,
    bias: Matrix<D>,
    convolution: Convolution,
    room: usize,
) -> DeviceResult<D, Images<D, T>> {
    let Some(stream) = x.device().stream() else {
        return super::composed(x, kernel, bias, convolution);
    };
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
    let (x, tape) = x.split_tape();
    let (y, out) = x.device().alloc_tensor(sliding.output_shape(outputs))?;
    layer.forward(D::slice(&x), D::slice(&kernel), D::slice(&bias), out)?;
    Ok(record(y, tape, move |gradients, y| {
        let gradient = D::gradient(gradients, y)?;
        layer
            .stream
            .activation_backward(gradient, out, layer.activation)?;
        let (to_bias, mode) = D::gradient_target(gradients, &bias)?;
        layer.stream.column_sums(gradient, to_bias, mode)?;
        layer.to_kernel(gradient, D::slice(&x), D::gradient_target(gradients, &kernel)?)?;
        layer.to_maps(gradient, D::slice(&kernel), D::gradient(gradients, &x)?)
    }))
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
    /// Values under a window.
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
        let room = self.room_for_windows()?;
        for pixels in self.pieces() {
            let out = out.rows(pixels.clone(), self.outputs);
            let windows = self.windows(x, pixels, &room)?;
            self.stream.matmul(out, windows, kernel, WriteMode::Overwrite)?;
            self.stream.finish_rows(out, bias, self.activation)?;
        }
        Ok(())
    }

    fn to_kernel(
        &self,
        gradient: DeviceSlice,
        x: DeviceSlice,
        (to_kernel, mut mode): GradientTarget,
    ) -> Result<(), E::Error> {
        let room = self.room_for_windows()?;
        for pixels in self.pieces() {
            let down = self.gradient_of(gradient, pixels.clone());
            let windows = self.windows(x, pixels, &room)?.transposed();
            self.stream.matmul(to_kernel, windows, down, mode)?;
            mode = WriteMode::Accumulate;
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
            return self.stream.matmul(to_maps, down, kernel, WriteMode::Accumulate);
        }
        let (room, count) = (self.room_for_windows()?, self.input_len());
        let to_maps = to_maps.first(count);
        for pixels in self.pieces() {
            let windows = room.slice().rows(0..pixels.len(), self.depth());
            let down = self.gradient_of(gradient, pixels.clone());
            self.stream.matmul(windows, down, kernel, WriteMode::Overwrite)?;
            launch!(self.stream => collect_windows[count](
                windows, to_maps, pixels.start, pixels.end, self.inputs, &self.sliding, count))?;
        }
        Ok(())
    }

    fn gradient_of(&self, gradient: DeviceSlice, pixels: Range<usize>) -> Operand {
        let rows = pixels.len();
        Operand::new(gradient.rows(pixels, self.outputs), rows, self.outputs)
    }

    /// Empty for pointwise windows, which are read in place.
    fn room_for_windows(&self) -> Result<E::Buffer, E::Error> {
        let pixels = if self.sliding.is_pointwise() {
            0
        } else {
            self.pixels_at_a_time
        };
        self.stream.alloc(pixels * self.depth())
    }

    /// The values under the windows of output `pixels`: `[pixels, taps * inputs]`.
    fn windows(&self, x: DeviceSlice, pixels: Range<usize>, room: &E::Buffer) -> Result<Operand, E::Error> {
        let (count, depth) = (pixels.len(), self.depth());
        if self.sliding.is_pointwise() {
            return Ok(Operand::new(x.rows(pixels, depth), count, depth));
        }
        let (x, windows) = (x.first(self.input_len()), room.slice().rows(0..count, depth));
        let (grid, first) = (Grid::blocks(count, 1), pixels.start);
        if self.inputs.is_multiple_of(4) {
            launch!(self.stream => gather_windows_by_four[grid.sharing(depth / 4)](
                x, windows, first, self.inputs, &self.sliding))?;
        } else {
            launch!(self.stream => gather_windows[grid.sharing(depth)](x, windows, first, self.inputs, &self.sliding))?;
        }
        Ok(Operand::new(windows, count, depth))
    }

    /// Values of the input maps.
    fn input_len(&self) -> usize {
        self.sliding.images * self.sliding.inputs_per_image() * self.inputs
    }
}
