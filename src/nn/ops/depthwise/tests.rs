//! Tests of depthwise convolution: by its definition, fused against composed, by finite differences.

use super::*;
use crate::nn::cuda::emulated_stream;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::{ConvGeometry, Padding};
use crate::nn::testing::maps::{activated, assert_close, differences, padded_pixel, random_window};
use crate::nn::testing::{probe, random, rng};
use rand::RngExt;

struct DepthwiseCase {
    x: Images<Cpu>,
    kernel: Matrix<Cpu>,
    bias: Matrix<Cpu>,
    convolution: Convolution,
}

impl DepthwiseCase {
    fn random(seed: u64) -> Self {
        let mut rng = rng(seed);
        let (window, (height, width)) = random_window(&mut rng);
        let images = rng.random_range(1..=3);
        // Below, at and beyond a block of channels.
        let channels = rng.random_range(1..=70);
        let activation = [Activation::None, Activation::Relu, Activation::Relu6][seed as usize % 3];
        Self {
            x: random((images, height, width, channels), &mut rng) * 4.0,
            kernel: random((window.taps(), channels), &mut rng),
            bias: random((1, channels), &mut rng),
            convolution: Convolution { window, activation },
        }
    }

    /// The definition, loop by loop.
    fn by_definition(&self) -> Images<Cpu> {
        let ConvGeometry {
            kernel: (kernel_height, kernel_width),
            stride,
            padding,
        } = self.convolution.window;
        let (images, height, width, channels) = *self.x.shape();
        let (rows, columns) = self.convolution.window.output((height, width));
        let mut y = Cpu::default().zeros_like(&(images, rows, columns, channels));
        for image in 0..images {
            for row in 0..rows {
                for column in 0..columns {
                    for channel in 0..channels {
                        let mut sum = self.bias[[0, channel]];
                        for ky in 0..kernel_height {
                            for kx in 0..kernel_width {
                                let iy = (row * stride + ky) as isize - padding.top as isize;
                                let ix = (column * stride + kx) as isize - padding.left as isize;
                                let weight = self.kernel[[ky * kernel_width + kx, channel]];
                                sum += padded_pixel(&self.x, image, iy, ix, channel).unwrap_or(0.0) * weight;
                            }
                        }
                        y[[image, row, column, channel]] = activated(self.convolution.activation, sum);
                    }
                }
            }
        }
        y
    }
}

#[test]
fn both_follow_the_definition() {
    for seed in 0..40 {
        let case = DepthwiseCase::random(seed);
        let DepthwiseCase {
            x,
            kernel,
            bias,
            convolution,
        } = &case;
        let expected = case.by_definition();
        let fused = depthwise(x.clone(), kernel, bias, *convolution).unwrap();
        assert_close("fused", &fused, &expected, 1e-5);
        let composed = composed(x.clone(), kernel.clone(), bias.clone(), *convolution).unwrap();
        assert_close("composed", &composed, &expected, 1e-5);
    }
}

#[test]
fn fused_gradients_equal_composed() {
    for seed in 100..140 {
        let DepthwiseCase {
            x,
            kernel,
            bias,
            convolution,
        } = DepthwiseCase::random(seed);
        let fused = depthwise(x.leaky_trace(), &kernel, &bias, convolution).unwrap();
        let composed = composed(x.leaky_trace(), kernel.clone(), bias.clone(), convolution).unwrap();
        let (fused, composed) = (probe(fused).backward(), probe(composed).backward());
        assert_close("input gradient", &fused.get(&x), &composed.get(&x), 1e-5);
        assert_close(
            "kernel gradient",
            &fused.get(&kernel),
            &composed.get(&kernel),
            1e-5,
        );
        assert_close("bias gradient", &fused.get(&bias), &composed.get(&bias), 1e-5);
    }
}

#[test]
fn gradients_are_slopes() {
    let mut rng = rng(3);
    let window = ConvGeometry::square(
        3,
        2,
        Padding {
            top: 1,
            left: 0,
            bottom: 0,
            right: 1,
        },
    );
    let convolution = Convolution {
        window,
        activation: Activation::None,
    };
    let x = random((2, 4, 5, 3), &mut rng);
    let kernel = random((9, 3), &mut rng);
    let bias = random((1, 3), &mut rng);
    let loss = |x: &Images<Cpu>, kernel: &Matrix<Cpu>, bias: &Matrix<Cpu>| {
        probe(depthwise(x.leaky_trace(), kernel, bias, convolution).unwrap())
    };
    let gradients = loss(&x, &kernel, &bias).backward();
    let slopes = differences(&x, |x| loss(&x, &kernel, &bias).array());
    assert_close("x", &gradients.get(&x), &slopes, 1e-3);
    let slopes = differences(&kernel, |kernel| loss(&x, &kernel, &bias).array());
    assert_close("kernel", &gradients.get(&kernel), &slopes, 1e-3);
    let slopes = differences(&bias, |bias| loss(&x, &kernel, &bias).array());
    assert_close("bias", &gradients.get(&bias), &slopes, 1e-3);
}

/// The GPU's kernels, run on the CPU.
#[test]
fn kernels_follow_the_definition() {
    let Some(stream) = emulated_stream() else { return };
    for seed in 200..220 {
        let case = DepthwiseCase::random(seed);
        let expected = case.by_definition();
        let DepthwiseCase {
            x,
            kernel,
            bias,
            convolution,
        } = case;
        let weights = || (kernel.clone(), bias.clone());
        let (k, b) = weights();
        let kernels = cuda::fused(stream.clone(), x.leaky_trace(), k, b, convolution).unwrap();
        assert_close("values", &kernels.retaped(), &expected, 1e-5);
        let (k, b) = weights();
        let composed = composed(x.leaky_trace(), k, b, convolution).unwrap();
        let (kernels, composed) = (probe(kernels).backward(), probe(composed).backward());
        assert_close("input gradient", &kernels.get(&x), &composed.get(&x), 1e-5);
        assert_close(
            "kernel gradient",
            &kernels.get(&kernel),
            &composed.get(&kernel),
            1e-5,
        );
        assert_close("bias gradient", &kernels.get(&bias), &composed.get(&bias), 1e-5);
    }
}
