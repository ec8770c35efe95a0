//! Tests of convolutional networks for inference against the same layers one by one.

use super::conv_layer::*;
use super::*;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::ConvGeometry;
use crate::nn::ops::conv_geometry::Padding;
use crate::nn::ops::conv2d::Convolution;
use crate::nn::testing::maps::assert_close;
use crate::nn::testing::{random, rng};
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

/// Every kind of layer, a residual branch that begins in the input, one within another and one around which a
/// shortcut has a layer of its own.
fn layers() -> Vec<ConvLayer> {
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
        ConvLayer::MaxPool(ConvGeometry::square(2, 2, Padding::NONE)),
        ConvLayer::GlobalAvgPool,
    ]
}

/// Kernels of 3 x 3 over channels in 16s, which have a way of their own, over maps even and odd, padded and not.
#[test]
fn minimal_filtering_equals_the_plain_sums() {
    let cpu = Cpu::default();
    let paddings = [Padding::NONE, Padding::all(1), Padding::same((3, 3), (3, 3), 2)];
    for (seed, (channels, padding)) in [(16, 32), (48, 16), (32, 64)]
        .into_iter()
        .flat_map(|channels| paddings.map(|padding| (channels, padding)))
        .enumerate()
    {
        let window = ConvGeometry::square(3, 1, padding);
        let (inputs, outputs) = channels;
        let activation = [Activation::Relu, Activation::None][seed % 2];
        let layers = || vec![ConvLayer::Convolution(sums(window, inputs, outputs, activation))];
        let (network, composed) = (
            cpu.inference_conv_net(layers()).unwrap(),
            ComposedConvNet::new(&cpu, layers()).unwrap(),
        );
        for (images, height, width) in [(1, 3, 3), (3, 8, 6), (2, 7, 9), (1, 40, 35)] {
            let images = random((images, height, width, inputs), &mut rng(seed as u64));
            let expected = composed.run(images.clone()).unwrap();
            assert_close(
                "output",
                &Cpu::run_conv_net(&network, images).unwrap(),
                &expected,
                1e-5,
            );
        }
    }
}

/// Maps so large that not all images fit in the room there is.
#[test]
fn a_large_batch_goes_through_in_pieces() {
    let cpu = Cpu::default();
    let widen = || ConvLayer::Convolution(sums(ConvGeometry::POINTWISE, 3, 56, Activation::Relu));
    let layers = || vec![residual(vec![]), widen(), ConvLayer::GlobalAvgPool];
    let (network, composed) = (
        cpu.inference_conv_net(layers()).unwrap(),
        ComposedConvNet::new(&cpu, layers()).unwrap(),
    );
    let images = random((4, 300, 300, 3), &mut rng(1));
    let expected = composed.run(images.clone()).unwrap();
    assert_close(
        "output",
        &Cpu::run_conv_net(&network, images).unwrap(),
        &expected,
        1e-4,
    );
}

#[test]
fn buffers_that_are_used_again_leave_no_trace() {
    let cpu = Cpu::default();
    for depth in 0..=layers().len() {
        let layers = || layers().into_iter().take(depth).collect::<Vec<_>>();
        let (network, composed) = (
            cpu.inference_conv_net(layers()).unwrap(),
            ComposedConvNet::new(&cpu, layers()).unwrap(),
        );
        for (seed, images) in [(1, 2), (2, 5), (3, 1)] {
            let images = random((images, 12, 10, 3), &mut rng(seed));
            let expected = composed.run(images.clone()).unwrap();
            assert_close(
                "output",
                &Cpu::run_conv_net(&network, images).unwrap(),
                &expected,
                1e-5,
            );
        }
    }
}
