//! Convolution on a GPU.
//!
//! Why it is fast: what the windows see is laid out by a kernel that works its places out itself, for as many output
//! pixels at a time as stay near the processor, and multiplied there; where a window is a pixel, it is multiplied where
//! it lies. Bias and nonlinearity go over what has just been written.

use super::{Convolution, Images, Matrix};
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::Existing;
use crate::nn::cuda::{Call, Engine, Operand, Own, Room, Span, Walked, elementwise};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::Walk;
use dfdx::prelude::*;
use std::ops::Range;

/// Values that are laid out at a time, at most: 64 MiB, about as much as the cache of a large GPU.
#[cfg(feature = "cuda")]
const ROOM: usize = 1 << 24;

#[cfg(feature = "cuda")]
impl super::Conv2dKernel for Cuda {
    fn conv2d<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        kernel: Matrix<Self>,
        bias: Matrix<Self>,
        convolution: Convolution,
    ) -> DeviceResult<Self, Images<Self, T>> {
        match x.device().engine() {
            Some(engine) => fused(engine, x, kernel, bias, convolution, ROOM),
            None => super::composed(x, kernel, bias, convolution),
        }
    }
}

/// [`Conv2dKernel::conv2d`](super::Conv2dKernel::conv2d), laying out at most `room` values at a time, or a pixel's.
pub(super) fn fused<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
    x: Images<D, T>,
    kernel: Matrix<D>,
    bias: Matrix<D>,
    convolution: Convolution,
    room: usize,
) -> DeviceResult<D, Images<D, T>> {
    let (images, height, width, inputs) = *x.shape();
    let walk = Walk::new(convolution.window, images, (height, width));
    let (depth, outputs) = *kernel.shape();
    let layer = Layer {
        engine,
        walk,
        inputs,
        outputs,
        activation: convolution.activation,
        pixels_at_a_time: (room / depth.max(1)).clamp(1, walk.outputs()),
    };
    let (x, mut tape) = x.split_tape();
    let (y, out) = elementwise::fresh(x.device(), (images, walk.output.0, walk.output.1, outputs))?;
    layer.forward(D::span(&x), D::span(&kernel), D::span(&bias), out)?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        elementwise::undo_activation(&layer.engine, gradient, out, layer.activation)?;
        let to_bias = D::gradient(gradients, &bias)?;
        elementwise::column_sums(&layer.engine, gradient, to_bias, Existing::Accumulate)?;
        layer.to_kernel(gradient, D::span(&x), D::gradient(gradients, &kernel)?)?;
        layer.to_maps(gradient, D::span(&kernel), D::gradient(gradients, &x)?)
    });
    Ok(result.put_tape(tape))
}

struct Layer<E> {
    engine: E,
    walk: Walk,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    pixels_at_a_time: usize,
}

impl<E: Engine> Layer<E> {
    /// Values that a window sees.
    fn depth(&self) -> usize {
        self.walk.window.taps() * self.inputs
    }

    /// Output pixels, in pieces.
    fn pieces(&self) -> impl Iterator<Item = Range<usize>> + use<E> {
        let (all, taken) = (self.walk.outputs(), self.pixels_at_a_time);
        (0..all)
            .step_by(taken)
            .map(move |first| first..(first + taken).min(all))
    }

    fn forward(&self, x: Span, kernel: Span, bias: Span, out: Span) -> Result<(), E::Error> {
        let kernel = Operand::new(kernel, self.depth(), self.outputs);
        let seen = self.room_for_windows()?;
        for pixels in self.pieces() {
            let out = out.rows(pixels.clone(), self.outputs);
            let seen = self.windows(x, pixels, &seen)?;
            self.engine.multiply(out, seen, kernel, Existing::Overwrite)?;
            elementwise::finish_rows(&self.engine, out, bias, self.activation)?;
        }
        Ok(())
    }

    fn to_kernel(&self, gradient: Span, x: Span, to_kernel: Span) -> Result<(), E::Error> {
        let seen = self.room_for_windows()?;
        for pixels in self.pieces() {
            let down = self.gradient_of(gradient, pixels.clone());
            let seen = self.windows(x, pixels, &seen)?.transposed();
            self.engine
                .multiply(to_kernel, seen, down, Existing::Accumulate)?;
        }
        Ok(())
    }

    fn to_maps(&self, gradient: Span, kernel: Span, to_maps: Span) -> Result<(), E::Error> {
        let kernel = Operand::new(kernel, self.depth(), self.outputs).transposed();
        if self.walk.is_pointwise() {
            let down = self.gradient_of(gradient, 0..self.walk.outputs());
            return self.engine.multiply(to_maps, down, kernel, Existing::Accumulate);
        }
        let seen = self.room_for_windows()?;
        for pixels in self.pieces() {
            let of_windows = seen.span().rows(0..pixels.len(), self.depth());
            let down = self.gradient_of(gradient, pixels.clone());
            self.engine
                .multiply(of_windows, down, kernel, Existing::Overwrite)?;
            self.collect(of_windows, pixels, to_maps)?;
        }
        Ok(())
    }

    fn gradient_of(&self, gradient: Span, pixels: Range<usize>) -> Operand {
        let rows = pixels.len();
        Operand::new(gradient.rows(pixels, self.outputs), rows, self.outputs)
    }

    /// None is needed where windows are read where they lie.
    fn room_for_windows(&self) -> Result<E::Room, E::Error> {
        let pixels = if self.walk.is_pointwise() {
            0
        } else {
            self.pixels_at_a_time
        };
        self.engine.room(pixels * self.depth())
    }

    /// What `pixels` of the output see: `[pixels, taps * inputs]`.
    fn windows(&self, x: Span, pixels: Range<usize>, room: &E::Room) -> Result<Operand, E::Error> {
        let (count, depth) = (pixels.len(), self.depth());
        if self.walk.is_pointwise() {
            return Ok(Operand::new(x.rows(pixels, depth), count, depth));
        }
        let seen = room.span().rows(0..count, depth);
        let (kernel, packets) = if self.inputs.is_multiple_of(4) {
            ("gather_windows_by_four", depth / 4)
        } else {
            ("gather_windows", depth)
        };
        self.engine.run(
            Call::of_blocks(kernel, [count, 1])
                .sharing(packets)
                .values(x, self.maps())
                .values(seen, count * depth)
                .count(pixels.start)
                .size(self.inputs)
                .walk(&Walked::from(&self.walk)),
        )?;
        Ok(Operand::new(seen, count, depth))
    }

    fn collect(&self, of_windows: Span, pixels: Range<usize>, to_maps: Span) -> Result<(), E::Error> {
        let count = self.maps();
        self.engine.run(
            Call::of_values("collect_windows", count)
                .values(of_windows, pixels.len() * self.depth())
                .values(to_maps, count)
                .count(pixels.start)
                .count(pixels.end)
                .size(self.inputs)
                .walk(&Walked::from(&self.walk))
                .count(count),
        )
    }

    /// Values of the maps that go in.
    fn maps(&self) -> usize {
        self.walk.images * self.walk.inputs_per_image() * self.inputs
    }
}
