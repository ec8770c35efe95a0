//! MobileNetV2: M. Sandler, A. Howard, M. Zhu, A. Zhmoginov & L.-C. Chen, *MobileNetV2: Inverted Residuals and
//! Linear Bottlenecks*, 2018 (arXiv:1801.04381), width 1.0.
//!
//! Preprocessing: 224 x 224, torchvision's mean and deviation. Names are torchvision's or timm's; Keras' weights
//! differ in padding and preprocessing too and are not read.

use super::architecture::{Extent, Layer, Plan, Weights};
use super::inverted_residual::{BlockWeights, InvertedResidual, normalized};
use super::{Origin, Source};
use crate::nn::Activation;
use crate::vision::preprocess::Preprocessing;

/// A row of table 2: bottlenecks that share expansion and width; the first of them has the stride.
struct Row {
    expansion: usize,
    outputs: usize,
    repeats: usize,
    stride: usize,
}

const fn row(expansion: usize, outputs: usize, repeats: usize, stride: usize) -> Row {
    Row {
        expansion,
        outputs,
        repeats,
        stride,
    }
}

const ROWS: [Row; 7] = [
    row(1, 16, 1, 1),
    row(6, 24, 2, 2),
    row(6, 32, 3, 2),
    row(6, 64, 4, 2),
    row(6, 96, 3, 1),
    row(6, 160, 3, 2),
    row(6, 320, 1, 1),
];

const STEM: usize = 32;
const HEAD: usize = 1280;
const CLASSES: usize = 1000;

pub(super) const ORIGINS: &[Origin] = &[
    Origin::new(Source::Torchvision, "features.0.0.weight"),
    Origin::new(Source::Timm, "conv_stem.weight"),
];

/// Both in PyTorch.
const EPSILON: f32 = 1e-5;

pub(super) fn plan(source: Source) -> Plan {
    let mut plan = Plan::new(Preprocessing::torchvision(224), &["features"]);
    let stem = Layer::convolution(stem(source), Extent::half(3, 2), STEM, Activation::Relu6);
    plan.stage("features.0", [stem]);
    let mut inputs = STEM;
    for (group, row) in ROWS.iter().enumerate() {
        for repeat in 0..row.repeats {
            let number = plan.stages.len();
            let block = InvertedResidual {
                inputs,
                expansion: row.expansion,
                extent: Extent::half(3, if repeat == 0 { row.stride } else { 1 }),
                outputs: row.outputs,
            };
            let weights = match source {
                Source::Timm => block.timm_weights(&format!("blocks.{group}.{repeat}"), EPSILON),
                _ => torchvision_weights(block, number),
            };
            plan.stage(format!("features.{number}"), block.layers(weights));
            inputs = row.outputs;
        }
    }
    let head = Layer::convolution(head(source), Extent::POINT, HEAD, Activation::Relu6);
    plan.stage("features", [head]);
    plan.stage("logits", [Layer::GlobalAvgPool, classifier(source)]);
    plan
}

/// torchvision numbers what there is, so that the numbers depend on whether anything is expanded.
fn torchvision_weights(block: InvertedResidual, number: usize) -> BlockWeights {
    let place = format!("features.{number}.conv");
    let weights = |layer, norm| normalized(&place, layer, norm, EPSILON);
    let (depthwise, project) = if block.expands() {
        (weights("1.0", "1.1"), weights("2", "3"))
    } else {
        (weights("0.0", "0.1"), weights("1", "2"))
    };
    BlockWeights {
        expand: weights("0.0", "0.1"),
        depthwise,
        project,
    }
}

fn stem(source: Source) -> Weights {
    match source {
        Source::Timm => Weights::normalized_torch("conv_stem", "bn1", EPSILON),
        _ => Weights::normalized_torch("features.0.0", "features.0.1", EPSILON),
    }
}

fn head(source: Source) -> Weights {
    match source {
        Source::Timm => Weights::normalized_torch("conv_head", "bn2", EPSILON),
        _ => Weights::normalized_torch("features.18.0", "features.18.1", EPSILON),
    }
}

fn classifier(source: Source) -> Layer {
    let name = match source {
        Source::Timm => "classifier",
        _ => "classifier.1",
    };
    Layer::Dense {
        weights: Weights::biased(Source::Torchvision, name),
        outputs: CLASSES,
        activation: Activation::None,
    }
}
