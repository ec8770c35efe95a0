//! Xception: F. Chollet, *Xception: Deep Learning with Depthwise Separable Convolutions*, 2017
//! (arXiv:1610.02357), figure 5.
//!
//! Preprocessing: 299 x 299, `x / 127.5 - 1`. Names are Keras'; layers that can be chosen are called as Keras calls
//! the activation after them, or by their block where that ends in a sum.

use super::architecture::{Extent, Layer, Margin, Offset, Plan, Weights};
use super::{Origin, Source};
use crate::nn::Activation;
use crate::vision::preprocess::Preprocessing;

const SIZE: u32 = 299;
const CLASSES: usize = 1000;
const EPSILON: f32 = 1e-3;

/// Blocks 2 to 4: their channels. Each halves the map.
const ENTRY: [usize; 3] = [128, 256, 728];
/// Blocks 5 to 12 keep map and channels.
const MIDDLE: [usize; 8] = [728; 8];
/// Block 13, which halves the map: channels of its two convolutions.
const EXIT: [usize; 2] = [728, 1024];
/// Block 14, without a shortcut.
const LAST: [usize; 2] = [1536, 2048];

pub(super) const ORIGINS: &[Origin] = &[
    Origin::new(Source::Keras, "block2_res_conv/kernel"),
    Origin::new(Source::KerasNumbered, "conv2d_1/kernel"),
];

pub(super) fn plan(source: Source) -> Plan {
    let mut plan = Plan::new(Preprocessing::symmetric(SIZE), &["block14_sepconv2_act"]);
    for (number, stride, outputs) in [(1, 2, 32), (2, 1, 64)] {
        let name = format!("block1_conv{number}");
        let extent = Extent {
            size: 3,
            stride,
            margin: Margin::Valid,
        };
        let layer = convolution(&name, &format!("{name}_bn"), extent, outputs, Activation::Relu);
        plan.stage(format!("{name}_act"), [layer]);
    }
    for (block, outputs) in (2..).zip(ENTRY) {
        plan.stage(format!("block{block}"), halving(source, block, [outputs; 2]));
    }
    for (block, outputs) in (5..).zip(MIDDLE) {
        plan.stage(format!("block{block}"), keeping(block, [outputs; 3]));
    }
    plan.stage("block13", halving(source, 13, EXIT));
    for (number, outputs) in (1..).zip(LAST) {
        let name = format!("block14_sepconv{number}");
        let layers = separable(&name, outputs, Activation::Relu);
        plan.stage(format!("{name}_act"), layers);
    }
    plan.stage("logits", [Layer::GlobalAvgPool, classifier()]);
    plan
}

/// A block around which a strided convolution leads.
fn halving(source: Source, block: usize, outputs: [usize; 2]) -> Vec<Layer> {
    let mut branch = branch(block, &outputs);
    branch.push(Layer::MaxPool(Extent::same(3, 2)));
    let (layer, norm) = shortcut_names(source, block);
    let shortcut = convolution(&layer, &norm, Extent::same(1, 2), outputs[1], Activation::None);
    vec![Layer::Residual {
        branch,
        shortcut: vec![shortcut],
    }]
}

/// What a shortcut's convolution and its batch normalization are called. In `keras.applications` they have no names
/// of their own.
fn shortcut_names(source: Source, block: usize) -> (String, String) {
    match source {
        Source::KerasNumbered => {
            // Blocks 2, 3, 4 and 13 have one.
            let number = (block - 1).min(4);
            (
                format!("conv2d_{number}"),
                format!("batch_normalization_{number}"),
            )
        }
        _ => (format!("block{block}_res_conv"), format!("block{block}_res_bn")),
    }
}

/// A block around which its input leads unchanged.
fn keeping(block: usize, outputs: [usize; 3]) -> Vec<Layer> {
    vec![Layer::Residual {
        branch: branch(block, &outputs),
        shortcut: Vec::new(),
    }]
}

/// Separable convolutions, each after a rectifier. Those between two of them belong to the one before; what comes
/// into block 2 is rectified already.
fn branch(block: usize, outputs: &[usize]) -> Vec<Layer> {
    let mut layers = Vec::new();
    if block > 2 {
        layers.push(Layer::Activation(Activation::Relu));
    }
    for (number, &channels) in (1..).zip(outputs) {
        let activation = if number < outputs.len() {
            Activation::Relu
        } else {
            Activation::None
        };
        let name = format!("block{block}_sepconv{number}");
        layers.extend(separable(&name, channels, activation));
    }
    layers
}

/// A depthwise convolution, nothing after it (section 4.7), then a pointwise one and batch normalization.
fn separable(name: &str, outputs: usize, activation: Activation) -> [Layer; 2] {
    let depthwise = Layer::Depthwise {
        weights: Weights {
            kernel: format!("{name}/depthwise_kernel"),
            offset: Offset::None,
        },
        extent: Extent::same(3, 1),
        activation: Activation::None,
    };
    let pointwise =
        Weights::normalized_keras(format!("{name}/pointwise_kernel"), &format!("{name}_bn"), EPSILON);
    [
        depthwise,
        Layer::convolution(pointwise, Extent::POINT, outputs, activation),
    ]
}

fn convolution(name: &str, norm: &str, extent: Extent, outputs: usize, activation: Activation) -> Layer {
    let weights = Weights::normalized_keras(format!("{name}/kernel"), norm, EPSILON);
    Layer::convolution(weights, extent, outputs, activation)
}

fn classifier() -> Layer {
    Layer::Dense {
        weights: Weights::biased(Source::Keras, "predictions"),
        outputs: CLASSES,
        activation: Activation::None,
    }
}
