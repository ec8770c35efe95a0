//! Depthwise convolution on the CPU: output rows side by side, channels in vector registers.

use super::DepthwiseKernel;
use crate::nn::backend::{Images, Matrix};
use crate::nn::cpu::slices::add;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::{OutputPixel, SlidingWindow};
use crate::nn::ops::conv_kernel::{self, ConvKernel};
use crate::nn::ops::conv2d::Convolution;
use dfdx::prelude::*;
use pulp::Arch;
use rayon::prelude::*;

/// Channels whose sums are held in registers together.
const BLOCK: usize = 32;

impl DepthwiseKernel for Cpu {
    fn depthwise<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        kernel: Matrix<Self>,
        bias: Matrix<Self>,
        convolution: Convolution,
    ) -> Result<Images<Self, T>, CpuError> {
        let (images, height, width, channels) = *x.shape();
        let layer = DepthwiseLayer {
            sliding: SlidingWindow::new(convolution.window, images, (height, width)),
            channels,
            activation: convolution.activation,
        };
        conv_kernel::run(layer, x, kernel, bias)
    }
}

pub(in crate::nn) struct DepthwiseLayer {
    pub(in crate::nn) sliding: SlidingWindow,
    pub(in crate::nn) channels: usize,
    pub(in crate::nn) activation: Activation,
}

/// Where one tap finds its channels: offsets into the map and into the kernel.
#[derive(Clone, Copy)]
struct Tap {
    map: usize,
    kernel: usize,
}

impl ConvKernel for DepthwiseLayer {
    fn sliding(&self) -> &SlidingWindow {
        &self.sliding
    }

    fn channels(&self) -> (usize, usize) {
        (self.channels, self.channels)
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn forward(&self, x: &[f32], kernel: &[f32], bias: &[f32], y: &mut [f32]) {
        y.par_chunks_mut(self.sliding.output.1 * self.channels)
            .enumerate()
            .for_each_init(Vec::new, |taps, (row, y)| {
                for (column, y) in y.chunks_exact_mut(self.channels).enumerate() {
                    self.find_taps(self.position(row, column), taps);
                    Arch::new().dispatch(|| accumulate(y, x, kernel, taps));
                }
                self.activation.finish(y, bias);
            });
    }

    fn backward_piece(
        &self,
        x: &[f32],
        kernel: &[f32],
        input: &mut [f32],
        output: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let channels = self.channels;
        let mut kernel_sum = vec![0.0; kernel.len()];
        let mut bias_sum = vec![0.0; channels];
        let mut taps = Vec::new();
        for (pixel, output) in output.chunks_exact(channels).enumerate() {
            self.find_taps(self.sliding.position(pixel), &mut taps);
            add(&mut bias_sum, output);
            Arch::new().dispatch(|| {
                for &Tap { map, kernel: tap } in &taps {
                    let (map, tap) = (map..map + channels, tap..tap + channels);
                    add_product(&mut input[map.clone()], output, &kernel[tap.clone()]);
                    add_product(&mut kernel_sum[tap], output, &x[map]);
                }
            });
        }
        (kernel_sum, bias_sum)
    }
}

impl DepthwiseLayer {
    fn position(&self, row: usize, x: usize) -> OutputPixel {
        OutputPixel {
            image: row / self.sliding.output.0,
            y: row % self.sliding.output.0,
            x,
        }
    }

    fn find_taps(&self, at: OutputPixel, taps: &mut Vec<Tap>) {
        taps.clear();
        for run in self.sliding.runs(at) {
            taps.extend(run.taps.zip(run.pixel..).map(|(tap, pixel)| Tap {
                map: pixel * self.channels,
                kernel: tap * self.channels,
            }));
        }
    }
}

/// The sums of all channels at one output pixel.
#[inline(always)]
fn accumulate(y: &mut [f32], x: &[f32], kernel: &[f32], taps: &[Tap]) {
    let mut blocks = y.chunks_exact_mut(BLOCK);
    let mut channel = 0;
    for block in &mut blocks {
        let mut sums = [0.0; BLOCK];
        for tap in taps {
            let map = &x[tap.map + channel..][..BLOCK];
            let kernel = &kernel[tap.kernel + channel..][..BLOCK];
            for ((sum, x), k) in sums.iter_mut().zip(map).zip(kernel) {
                *sum += x * k;
            }
        }
        block.copy_from_slice(&sums);
        channel += BLOCK;
    }
    let rest = blocks.into_remainder();
    rest.fill(0.0);
    for tap in taps {
        add_product(rest, &x[tap.map + channel..], &kernel[tap.kernel + channel..]);
    }
}

/// `sum += a b`, element by element.
#[inline(always)]
fn add_product(sum: &mut [f32], a: &[f32], b: &[f32]) {
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}
