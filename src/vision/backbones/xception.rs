//! Xception: F. Chollet, *Xception: Deep Learning with Depthwise Separable Convolutions*, 2017
//! (arXiv:1610.02357), figure 5.
//!
//! Preprocessing: 299 x 299, `x / 127.5 - 1`. Names are Keras'; layers that can be chosen are called as Keras calls
//! the activation after them, or by their block where that ends in a sum.

use super::architecture::{Architecture, BiasOrNorm, LayerSpec, PaddingMode, SquareWindow, WeightNames};
use super::{SourceMarker, WeightSource};
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

pub(super) const SOURCES: &[SourceMarker] = &[
    SourceMarker::new(WeightSource::Keras, "block2_res_conv/kernel"),
    SourceMarker::new(WeightSource::KerasNumbered, "conv2d_1/kernel"),
];

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let mut architecture = Architecture::new(Preprocessing::symmetric(SIZE), &["block14_sepconv2_act"]);
    for (number, stride, outputs) in [(1, 2, 32), (2, 1, 64)] {
        let name = format!("block1_conv{number}");
        let window = SquareWindow {
            size: 3,
            stride,
            padding: PaddingMode::Valid,
        };
        let layer = convolution(&name, &format!("{name}_bn"), window, outputs, Activation::Relu);
        architecture.stage(format!("{name}_act"), [layer]);
    }
    for (block, outputs) in (2..).zip(ENTRY) {
        architecture.stage(format!("block{block}"), halving(source, block, [outputs; 2]));
    }
    for (block, outputs) in (5..).zip(MIDDLE) {
        architecture.stage(format!("block{block}"), keeping(block, [outputs; 3]));
    }
    architecture.stage("block13", halving(source, 13, EXIT));
    for (number, outputs) in (1..).zip(LAST) {
        let name = format!("block14_sepconv{number}");
        let layers = separable(&name, outputs, Activation::Relu);
        architecture.stage(format!("{name}_act"), layers);
    }
    architecture.stage("logits", [LayerSpec::GlobalAvgPool, classifier()]);
    architecture
}

/// A block around which a strided convolution leads.
fn halving(source: WeightSource, block: usize, outputs: [usize; 2]) -> Vec<LayerSpec> {
    let mut branch = branch(block, &outputs);
    branch.push(LayerSpec::MaxPool(SquareWindow::same(3, 2)));
    let (layer, norm) = shortcut_names(source, block);
    let shortcut = convolution(
        &layer,
        &norm,
        SquareWindow::same(1, 2),
        outputs[1],
        Activation::None,
    );
    vec![LayerSpec::Residual {
        branch,
        shortcut: vec![shortcut],
    }]
}

/// What a shortcut's convolution and its batch normalization are called. In `keras.applications` they have no names
/// of their own.
fn shortcut_names(source: WeightSource, block: usize) -> (String, String) {
    match source {
        WeightSource::KerasNumbered => {
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
fn keeping(block: usize, outputs: [usize; 3]) -> Vec<LayerSpec> {
    vec![LayerSpec::Residual {
        branch: branch(block, &outputs),
        shortcut: Vec::new(),
    }]
}

/// Separable convolutions, each after a rectifier. Those between two of them belong to the one before; what comes
/// into block 2 is rectified already.
fn branch(block: usize, outputs: &[usize]) -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    if block > 2 {
        layers.push(LayerSpec::Activation(Activation::Relu));
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
fn separable(name: &str, outputs: usize, activation: Activation) -> [LayerSpec; 2] {
    let depthwise = LayerSpec::Depthwise {
        weights: WeightNames {
            kernel: format!("{name}/depthwise_kernel"),
            bias: BiasOrNorm::None,
        },
        window: SquareWindow::same(3, 1),
        activation: Activation::None,
    };
    let pointwise =
        WeightNames::normalized_keras(format!("{name}/pointwise_kernel"), &format!("{name}_bn"), EPSILON);
    [
        depthwise,
        LayerSpec::convolution(pointwise, SquareWindow::POINTWISE, outputs, activation),
    ]
}

fn convolution(
    name: &str,
    norm: &str,
    window: SquareWindow,
    outputs: usize,
    activation: Activation,
) -> LayerSpec {
    let weights = WeightNames::normalized_keras(format!("{name}/kernel"), norm, EPSILON);
    LayerSpec::convolution(weights, window, outputs, activation)
}

fn classifier() -> LayerSpec {
    LayerSpec::Dense {
        weights: WeightNames::biased(WeightSource::Keras, "predictions"),
        outputs: CLASSES,
        activation: Activation::None,
    }
}
