//! Convolution on the CPU: tiles of output pixels that stay in the cache from gather to ReLU.

use super::{Conv2dKernel, Convolution};
use crate::nn::backend::{Images, Matrix};
use crate::nn::cpu::matmul::{MatRef, WriteMode, product, product_on_one_thread};
use crate::nn::cpu::partitions::partitions;
use crate::nn::cpu::slices::{add, images_per_piece};
use crate::nn::ops::conv_kernel::{self, ConvKernel, ConvShape};
use dfdx::prelude::*;
use rayon::prelude::*;
use std::ops::Range;

/// Output pixels of a tile: enough that packing the kernel for each tile does not matter, few enough that the
/// gathered rows stay in the cache.
const TILE: usize = 256;

/// Smaller tiles do not pay for separate products.
const SMALLEST_TILE: usize = 48;

impl Conv2dKernel for Cpu {
    fn conv2d<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        kernel: Matrix<Self>,
        bias: Matrix<Self>,
        convolution: Convolution,
    ) -> Result<Images<Self, T>, CpuError> {
        let layer = ConvShape::new(&x, kernel.shape().1, convolution);
        conv_kernel::run::<FullConv, T>(layer, x, kernel, bias)
    }
}

/// Every output channel reads every input channel.
pub(in crate::nn) struct FullConv;

/// One thread's room for gathered rows.
#[derive(Default)]
struct Im2colBuffers {
    columns: Vec<f32>,
    gradient: Vec<f32>,
}

impl ConvKernel for FullConv {
    fn forward(layer: &ConvShape, x: &[f32], kernel: &[f32], bias: &[f32], y: &mut [f32]) {
        let kernel = MatRef::new(kernel, layer.depth(), layer.outputs);
        let pixels = layer.sliding.outputs();
        match tile(pixels) {
            Some(tile) => y.par_chunks_mut(tile * layer.outputs).enumerate().for_each_init(
                Vec::new,
                |scratch, (index, y)| {
                    let first = index * tile;
                    let columns = layer.columns(x, first..first + y.len() / layer.outputs, scratch);
                    product_on_one_thread(y, columns, kernel, WriteMode::Overwrite);
                    layer.activation.finish(y, bias);
                },
            ),
            None => {
                let mut scratch = Vec::new();
                let columns = layer.columns(x, 0..pixels, &mut scratch);
                product(y, columns, kernel, WriteMode::Overwrite);
                layer.activation.finish(y, bias);
            }
        }
    }

    fn backward_piece(
        layer: &ConvShape,
        x: &[f32],
        kernel: &[f32],
        input: &mut [f32],
        output: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let depth = layer.depth();
        let multiply = layer.product_of_a_piece();
        let kernel = MatRef::new(kernel, depth, layer.outputs).transposed();
        let mut kernel_sum = vec![0.0; depth * layer.outputs];
        let mut bias_sum = vec![0.0; layer.outputs];
        let mut scratch = Im2colBuffers::default();
        for (index, output) in output.chunks(TILE * layer.outputs).enumerate() {
            let count = output.len() / layer.outputs;
            let pixels = index * TILE..index * TILE + count;
            let rows = MatRef::new(output, count, layer.outputs);
            let columns = layer.columns(x, pixels.clone(), &mut scratch.columns);
            multiply(&mut kernel_sum, columns.transposed(), rows, WriteMode::Accumulate);
            for row in output.chunks_exact(layer.outputs) {
                add(&mut bias_sum, row);
            }
            if layer.sliding.is_pointwise() {
                let input = &mut input[pixels.start * depth..pixels.end * depth];
                multiply(input, rows, kernel, WriteMode::Accumulate);
            } else {
                scratch.gradient.resize(count * depth, 0.0);
                multiply(&mut scratch.gradient, rows, kernel, WriteMode::Overwrite);
                layer.scatter(&scratch.gradient, pixels, input);
            }
        }
        (kernel_sum, bias_sum)
    }
}

impl ConvShape {
    /// Length of a gathered row.
    fn depth(&self) -> usize {
        self.sliding.window.taps() * self.inputs
    }

    /// A product that uses all threads where there are fewer pieces of the batch than [`partitions`].
    fn product_of_a_piece(&self) -> impl Fn(&mut [f32], MatRef<'_>, MatRef<'_>, WriteMode) + use<> {
        let pieces = self
            .sliding
            .images
            .div_ceil(images_per_piece(self.sliding.images));
        if pieces < partitions() {
            product
        } else {
            product_on_one_thread
        }
    }

    /// The rows of `x` that `pixels` of the output see: `[pixels, taps * inputs]`.
    fn columns<'a>(&self, x: &'a [f32], pixels: Range<usize>, scratch: &'a mut Vec<f32>) -> MatRef<'a> {
        let depth = self.depth();
        let count = pixels.len();
        if self.sliding.is_pointwise() {
            return MatRef::new(&x[pixels.start * depth..pixels.end * depth], count, depth);
        }
        scratch.resize(count * depth, 0.0);
        self.gather(x, pixels, scratch);
        MatRef::new(scratch, count, depth)
    }

    fn gather(&self, x: &[f32], pixels: Range<usize>, columns: &mut [f32]) {
        let inputs = self.inputs;
        for (pixel, row) in pixels.zip(columns.chunks_exact_mut(self.depth())) {
            let mut filled = 0;
            for run in self.sliding.runs(self.sliding.position(pixel)) {
                let slots = run.taps.start * inputs..run.taps.end * inputs;
                let source = run.pixel * inputs;
                row[filled..slots.start].fill(0.0);
                filled = slots.end;
                let length = slots.len();
                row[slots].copy_from_slice(&x[source..source + length]);
            }
            row[filled..].fill(0.0);
        }
    }

    /// The reverse of [`ConvShape::gather`]: every gathered value goes back to the pixel it came from, and is
    /// added there.
    fn scatter(&self, columns: &[f32], pixels: Range<usize>, x: &mut [f32]) {
        let inputs = self.inputs;
        for (pixel, row) in pixels.zip(columns.chunks_exact(self.depth())) {
            for run in self.sliding.runs(self.sliding.position(pixel)) {
                let slots = run.taps.start * inputs..run.taps.end * inputs;
                let target = run.pixel * inputs;
                add(&mut x[target..target + slots.len()], &row[slots]);
            }
        }
    }
}

/// Pixels per tile, a multiple of [`partitions`] of tiles; `None` where there are too few pixels
/// and the product itself should be split.
fn tile(pixels: usize) -> Option<usize> {
    let tiles = pixels.div_ceil(TILE).next_multiple_of(partitions()).max(1);
    let tile = pixels.div_ceil(tiles);
    (tile >= SMALLEST_TILE).then_some(tile)
}
