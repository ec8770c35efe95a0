//! Convolution on the CPU: tiles of output pixels that stay in the cache from gather to rectifier.

use super::{Conv2dKernel, Convolution};
use crate::nn::backend::{Images, Matrix};
use crate::nn::cpu::matmul::{MatRef, WriteMode, product, product_on_one_thread};
use crate::nn::cpu::slices::{add, images_per_piece};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::SlidingWindow;
use crate::nn::ops::conv_kernel::{self, ConvKernel};
use dfdx::prelude::*;
use rayon::prelude::*;
use std::ops::Range;

/// Output pixels of a tile: enough that packing the kernel for each tile does not matter, few enough that the
/// gathered rows stay in the cache.
const TILE: usize = 256;

/// Below this a tile is not worth a product of its own.
const SMALLEST_TILE: usize = 48;

impl Conv2dKernel for Cpu {
    fn conv2d<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        kernel: Matrix<Self>,
        bias: Matrix<Self>,
        convolution: Convolution,
    ) -> Result<Images<Self, T>, CpuError> {
        let (images, height, width, inputs) = *x.shape();
        let (_, outputs) = *kernel.shape();
        let layer = Conv2dLayer {
            sliding: SlidingWindow::new(convolution.window, images, (height, width)),
            inputs,
            outputs,
            activation: convolution.activation,
        };
        conv_kernel::run(layer, x, kernel, bias)
    }
}

pub(in crate::nn) struct Conv2dLayer {
    pub(in crate::nn) sliding: SlidingWindow,
    pub(in crate::nn) inputs: usize,
    pub(in crate::nn) outputs: usize,
    pub(in crate::nn) activation: Activation,
}

/// One thread's room for gathered rows.
#[derive(Default)]
struct Im2colBuffers {
    columns: Vec<f32>,
    gradient: Vec<f32>,
}

impl ConvKernel for Conv2dLayer {
    fn sliding(&self) -> &SlidingWindow {
        &self.sliding
    }

    fn channels(&self) -> (usize, usize) {
        (self.inputs, self.outputs)
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn forward(&self, x: &[f32], kernel: &[f32], bias: &[f32], y: &mut [f32]) {
        let kernel = MatRef::new(kernel, self.depth(), self.outputs);
        let pixels = self.sliding.outputs();
        match tile(pixels) {
            Some(tile) => y.par_chunks_mut(tile * self.outputs).enumerate().for_each_init(
                Vec::new,
                |scratch, (index, y)| {
                    let first = index * tile;
                    let columns = self.columns(x, first..first + y.len() / self.outputs, scratch);
                    product_on_one_thread(y, columns, kernel, WriteMode::Overwrite);
                    self.activation.finish(y, bias);
                },
            ),
            None => {
                let mut scratch = Vec::new();
                let columns = self.columns(x, 0..pixels, &mut scratch);
                product(y, columns, kernel, WriteMode::Overwrite);
                self.activation.finish(y, bias);
            }
        }
    }

    fn backward_piece(
        &self,
        x: &[f32],
        kernel: &[f32],
        input: &mut [f32],
        output: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let depth = self.depth();
        let multiply = self.product_of_a_piece();
        let kernel = MatRef::new(kernel, depth, self.outputs).transposed();
        let mut kernel_sum = vec![0.0; depth * self.outputs];
        let mut bias_sum = vec![0.0; self.outputs];
        let mut scratch = Im2colBuffers::default();
        for (index, output) in output.chunks(TILE * self.outputs).enumerate() {
            let count = output.len() / self.outputs;
            let pixels = index * TILE..index * TILE + count;
            let rows = MatRef::new(output, count, self.outputs);
            let columns = self.columns(x, pixels.clone(), &mut scratch.columns);
            multiply(&mut kernel_sum, columns.transposed(), rows, WriteMode::Accumulate);
            for row in output.chunks_exact(self.outputs) {
                add(&mut bias_sum, row);
            }
            if self.sliding.is_pointwise() {
                let input = &mut input[pixels.start * depth..pixels.end * depth];
                multiply(input, rows, kernel, WriteMode::Accumulate);
            } else {
                scratch.gradient.resize(count * depth, 0.0);
                multiply(&mut scratch.gradient, rows, kernel, WriteMode::Overwrite);
                self.scatter(&scratch.gradient, pixels, input);
            }
        }
        (kernel_sum, bias_sum)
    }
}

impl Conv2dLayer {
    /// Length of a gathered row.
    fn depth(&self) -> usize {
        self.sliding.window.taps() * self.inputs
    }

    /// A product that uses all threads where there are fewer pieces of the batch than threads.
    fn product_of_a_piece(&self) -> impl Fn(&mut [f32], MatRef<'_>, MatRef<'_>, WriteMode) + use<> {
        let pieces = self
            .sliding
            .images
            .div_ceil(images_per_piece(self.sliding.images));
        if pieces < rayon::current_num_threads() {
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

    /// The reverse of [`Conv2dLayer::gather`]: every gathered value goes back to the pixel it came from, and is
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

/// Pixels per tile, as many tiles for each thread as for any other; `None` where there are too few pixels
/// and the product itself should be split.
fn tile(pixels: usize) -> Option<usize> {
    let tiles = pixels
        .div_ceil(TILE)
        .next_multiple_of(rayon::current_num_threads())
        .max(1);
    let tile = pixels.div_ceil(tiles);
    (tile >= SMALLEST_TILE).then_some(tile)
}
