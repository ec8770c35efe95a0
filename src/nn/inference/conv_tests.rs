//! Tests of convolutional networks for inference against the same layers one by one.

use super::conv_layer::*;
use super::*;
use crate::nn::testing::maps::assert_close;
use crate::nn::testing::{random, rng};
use crate::nn::{Activation, AveragePool, ConvGeometry, Convolution, Padding, PoolDivisor};
use dfdx::prelude::*;

fn sums(window: ConvGeometry, inputs: usize, outputs: usize, activation: Activation) -> ConvWeights {
    let mut rng = rng((inputs * 10 + outputs) as u64);
    ConvWeights {
        kernel: random((window.taps() * inputs, outputs), &mut rng).as_vec(),
        bias: random((1, outputs), &mut rng).as_vec(),
        convolution: Convolution { window, activation },
    }
}

fn residual(branch: Vec<ConvLayer>) -> ConvLayer {
    ConvLayer::Residual {
        branch,
        shortcut: Vec::new(),
    }
}

fn average(window: ConvGeometry, divisor: PoolDivisor) -> AveragePool {
    AveragePool { window, divisor }
}

/// Squeeze and excitation.
fn gate(channels: usize, squeezed: usize) -> ConvLayer {
    let dense = |inputs, outputs, activation| {
        ConvLayer::Convolution(sums(ConvGeometry::POINTWISE, inputs, outputs, activation))
    };
    ConvLayer::Gate(vec![
        ConvLayer::GlobalAvgPool,
        dense(channels, squeezed, Activation::HardSwish),
        dense(squeezed, channels, Activation::HardSigmoid),
    ])
}

/// Of one head, over maps of some `pixels`.
fn attention_pool(pixels: usize, channels: usize, outputs: usize) -> ConvLayer {
    let dense = |outputs| {
        let mut dense = sums(ConvGeometry::POINTWISE, channels, outputs, Activation::None);
        dense.kernel.iter_mut().for_each(|weight| *weight *= 0.2);
        dense
    };
    let mut positions = sums(ConvGeometry::POINTWISE, pixels + 1, channels, Activation::None);
    positions.bias.fill(0.25);
    ConvLayer::AttentionPool(AttentionPool {
        heads: 1,
        positions,
        query: dense(channels),
        key: dense(channels),
        value: dense(channels),
        output: dense(outputs),
    })
}

/// Every kind of layer, a residual branch that begins in the input, one within another and one around which a
/// shortcut has a layer.
pub(crate) fn every_layer() -> Vec<ConvLayer> {
    let same = ConvGeometry::square(3, 1, Padding::all(1));
    let halve = ConvGeometry::square(3, 2, Padding::all(1));
    let narrow = || ConvLayer::Convolution(sums(ConvGeometry::POINTWISE, 40, 40, Activation::None));
    let deep = || ConvLayer::Depthwise(sums(same, 1, 40, Activation::Relu6));
    // TensorFlow's "SAME" for an even map: a row below and a column to the right, none before.
    let shrink = ConvGeometry::square(3, 2, Padding::same((12, 10), (3, 3), 2));
    let skip = ConvGeometry::square(1, 2, Padding::NONE);
    vec![
        residual(vec![ConvLayer::Convolution(sums(same, 3, 3, Activation::Relu))]),
        ConvLayer::Residual {
            branch: vec![
                ConvLayer::Activation(Activation::Relu),
                ConvLayer::Convolution(sums(same, 3, 5, Activation::None)),
                ConvLayer::MaxPool(shrink),
            ],
            shortcut: vec![ConvLayer::Convolution(sums(skip, 3, 5, Activation::None))],
        },
        ConvLayer::Activation(Activation::Relu6),
        ConvLayer::Convolution(sums(halve, 5, 40, Activation::Relu6)),
        residual(vec![narrow(), residual(vec![deep()]), narrow()]),
        residual(Vec::new()),
        gate(40, 6),
        ConvLayer::Concat(vec![
            Vec::new(),
            vec![ConvLayer::Convolution(sums(
                ConvGeometry::POINTWISE,
                40,
                3,
                Activation::Swish,
            ))],
            vec![ConvLayer::AvgPool(average(same, PoolDivisor::Pixels))],
        ]),
        ConvLayer::LayerNorm { epsilon: 1e-5 },
        ConvLayer::AvgPool(average(same, PoolDivisor::Window)),
        ConvLayer::MaxPool(ConvGeometry::square(2, 1, Padding::NONE)),
        attention_pool(4, 83, 7),
        ConvLayer::GlobalAvgPool,
    ]
}

/// The prepared network equals its layers one by one, on a batch of each shape in turn.
fn check(layers: impl Fn() -> Vec<ConvLayer>, batches: &[(usize, usize, usize, usize)], tolerance: f32) {
    let cpu = Cpu::default();
    let network = cpu.inference_conv_net(layers()).unwrap();
    let composed = ComposedConvNet::new(&cpu, layers()).unwrap();
    for (seed, batch) in batches.iter().enumerate() {
        let images = random(*batch, &mut rng(seed as u64));
        let expected = composed.run(images.clone()).unwrap();
        let found = Cpu::run_conv_net(&network, images).unwrap();
        assert_close("output", &found, &expected, tolerance);
    }
}

/// 3x3 kernels over multiples of 16 channels, which use Winograd's filtering, on even and odd maps, padded or not.
#[test]
fn minimal_filtering_equals_the_plain_sums() {
    let paddings = [Padding::NONE, Padding::all(1), Padding::same((3, 3), (3, 3), 2)];
    for (inputs, outputs) in [(16, 32), (48, 16), (32, 64)] {
        for (i, padding) in paddings.into_iter().enumerate() {
            let window = ConvGeometry::square(3, 1, padding);
            let activation = [Activation::Relu, Activation::None][i % 2];
            let layers = || vec![ConvLayer::Convolution(sums(window, inputs, outputs, activation))];
            let batches = [(1, 3, 3), (3, 8, 6), (2, 7, 9), (1, 40, 35)];
            check(
                layers,
                &batches.map(|(images, height, width)| (images, height, width, inputs)),
                1e-5,
            );
        }
    }
}

/// Maps so large that not all images fit in the room there is.
#[test]
fn a_large_batch_goes_through_in_pieces() {
    let widen = || ConvLayer::Convolution(sums(ConvGeometry::POINTWISE, 3, 56, Activation::Relu));
    let layers = || vec![residual(vec![]), widen(), ConvLayer::GlobalAvgPool];
    check(layers, &[(4, 300, 300, 3)], 1e-4);
}

#[test]
fn buffers_that_are_used_again_leave_no_trace() {
    for depth in 0..=every_layer().len() {
        let layers = || every_layer().into_iter().take(depth).collect::<Vec<_>>();
        check(layers, &[2, 5, 1].map(|images| (images, 12, 10, 3)), 1e-5);
    }
}
