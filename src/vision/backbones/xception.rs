//! Xception: F. Chollet, *Xception: Deep Learning with Depthwise Separable Convolutions*, 2017
//! (arXiv:1610.02357), figure 5.
//!
//! Preprocessing: 299 x 299, `x / 127.5 - 1`. Names are Keras'; layers that can be chosen are called as Keras calls
//! the activation after them, or by their block where that ends in a sum.

use super::architecture::{Architecture, BiasOrNorm, LayerSpec, PaddingMode, SquareWindow, WeightNames};
use super::fit::{Published, WeightSource};
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

pub(super) const SOURCES: &[Published] = &[
    Published {
        unused: &["predictions*"],
        ..Published::named(WeightSource::Keras)
    },
    Published {
        unused: &["predictions*"],
        ..Published::named(WeightSource::KerasNumbered)
    },
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
    let classifier = WeightNames::biased(WeightSource::Keras, "predictions");
    let classifier = LayerSpec::dense(classifier, CLASSES, Activation::None);
    architecture.stage("logits", [LayerSpec::GlobalAvgPool, classifier]);
    architecture
}

/// A residual block with a strided convolution as its shortcut.
fn halving(source: WeightSource, block: usize, outputs: [usize; 2]) -> Vec<LayerSpec> {
    let mut branch = branch(block, &outputs);
    branch.push(LayerSpec::MaxPool(SquareWindow::same(3, 2)));
    let (layer, norm) = shortcut_names(source, block);
    let window = SquareWindow::same(1, 2);
    let shortcut = convolution(&layer, &norm, window, outputs[1], Activation::None);
    vec![LayerSpec::Residual {
        branch,
        shortcut: vec![shortcut],
    }]
}

/// The names of a shortcut's convolution and batch normalization. `keras.applications` does not name them.
fn shortcut_names(source: WeightSource, block: usize) -> (String, String) {
    match source {
        WeightSource::KerasNumbered => {
            // Blocks 2, 3, 4 and 13 have one.
            let number = (block - 1).min(4);
            let norm = format!("batch_normalization_{number}");
            (format!("conv2d_{number}"), norm)
        }
        _ => (format!("block{block}_res_conv"), format!("block{block}_res_bn")),
    }
}

/// A residual block with the identity as its shortcut.
fn keeping(block: usize, outputs: [usize; 3]) -> Vec<LayerSpec> {
    vec![LayerSpec::Residual {
        branch: branch(block, &outputs),
        shortcut: Vec::new(),
    }]
}

/// Separable convolutions, each with a ReLU before it. The ReLU between two convolutions belongs to the first of them;
/// block 2 needs none before it.
fn branch(block: usize, outputs: &[usize]) -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    if block > 2 {
        layers.push(LayerSpec::Activation(Activation::Relu));
    }
    for (number, &channels) in (1..).zip(outputs) {
        let is_last = number == outputs.len();
        let activation = if is_last {
            Activation::None
        } else {
            Activation::Relu
        };
        let name = format!("block{block}_sepconv{number}");
        layers.extend(separable(&name, channels, activation));
    }
    layers
}

/// A depthwise convolution without activation (section 4.7), a pointwise one and batch normalization.
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
