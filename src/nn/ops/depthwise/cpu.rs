//! Depthwise convolution on the CPU: output rows side by side, channels in vector registers.

use super::DepthwiseKernel;
use crate::nn::cpu::slices::add;
use crate::nn::ops::conv_geometry::OutputPixel;
use crate::nn::ops::conv_kernel::{self, ConvKernel, ConvShape};
use crate::nn::{Convolution, Images, Matrix};
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
        let layer = ConvShape::new(&x, kernel.shape().1, convolution);
        conv_kernel::run::<DepthwiseConv, T>(layer, x, kernel, bias)
    }
}

/// One kernel for each channel.
pub(in crate::nn) struct DepthwiseConv;

/// The offsets of a tap's channels in the map and in the kernel.
#[derive(Clone, Copy)]
struct Tap {
    map: usize,
    kernel: usize,
}

impl ConvKernel for DepthwiseConv {
    fn forward(layer: &ConvShape, x: &[f32], kernel: &[f32], bias: &[f32], y: &mut [f32]) {
        let width = layer.sliding.output.1;
        y.par_chunks_mut(width * layer.outputs)
            .enumerate()
            .for_each_init(Vec::new, |taps, (row, y)| {
                let start = layer.sliding.position(row * width);
                for (x_of_pixel, y) in y.chunks_exact_mut(layer.outputs).enumerate() {
                    layer.find_taps(
                        OutputPixel {
                            x: x_of_pixel,
                            ..start
                        },
                        taps,
                    );
                    Arch::new().dispatch(|| accumulate(y, x, kernel, taps));
                }
                layer.activation.finish(y, bias);
            });
    }

    fn backward_piece(
        layer: &ConvShape,
        x: &[f32],
        kernel: &[f32],
        input: &mut [f32],
        output: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let channels = layer.outputs;
        let mut kernel_sum = vec![0.0; kernel.len()];
        let mut bias_sum = vec![0.0; channels];
        let mut taps = Vec::new();
        for (pixel, output) in output.chunks_exact(channels).enumerate() {
            layer.find_taps(layer.sliding.position(pixel), &mut taps);
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

impl ConvShape {
    fn find_taps(&self, at: OutputPixel, taps: &mut Vec<Tap>) {
        taps.clear();
        for run in self.sliding.runs(at) {
            taps.extend(run.taps.zip(run.pixel..).map(|(tap, pixel)| Tap {
                map: pixel * self.outputs,
                kernel: tap * self.outputs,
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
