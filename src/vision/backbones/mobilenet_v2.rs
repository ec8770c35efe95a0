//! MobileNetV2: M. Sandler, A. Howard, M. Zhu, A. Zhmoginov & L.-C. Chen, *MobileNetV2: Inverted Residuals and
//! Linear Bottlenecks*, 2018 (arXiv:1801.04381), width 1.0.
//!
//! Preprocessing: 224 x 224, torchvision's mean and deviation. Names are torchvision's or timm's; Keras' weights
//! differ in padding and preprocessing too and are not read.

use super::architecture::{Architecture, LayerSpec, SquareWindow, WeightNames};
use super::inverted_residual::{BlockWeights, InvertedResidual, normalized};
use super::{SourceMarker, WeightSource};
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

pub(super) const SOURCES: &[SourceMarker] = &[
    SourceMarker::new(WeightSource::Torchvision, "features.0.0.weight"),
    SourceMarker::new(WeightSource::Timm, "conv_stem.weight"),
];

/// Both in PyTorch.
const EPSILON: f32 = 1e-5;

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let mut architecture = Architecture::new(Preprocessing::torchvision(224), &["features"]);
    let stem = LayerSpec::convolution(
        stem(source),
        SquareWindow::symmetric(3, 2),
        STEM,
        Activation::Relu6,
    );
    architecture.stage("features.0", [stem]);
    let mut inputs = STEM;
    for (group, row) in ROWS.iter().enumerate() {
        for repeat in 0..row.repeats {
            let number = architecture.stages.len();
            let block = InvertedResidual {
                inputs,
                expansion: row.expansion,
                window: SquareWindow::symmetric(3, if repeat == 0 { row.stride } else { 1 }),
                outputs: row.outputs,
            };
            let weights = match source {
                WeightSource::Timm => block.timm_weights(&format!("blocks.{group}.{repeat}"), EPSILON),
                _ => torchvision_weights(block, number),
            };
            architecture.stage(format!("features.{number}"), block.layers(weights));
            inputs = row.outputs;
        }
    }
    let head = LayerSpec::convolution(head(source), SquareWindow::POINTWISE, HEAD, Activation::Relu6);
    architecture.stage("features", [head]);
    architecture.stage("logits", [LayerSpec::GlobalAvgPool, classifier(source)]);
    architecture
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

fn stem(source: WeightSource) -> WeightNames {
    match source {
        WeightSource::Timm => WeightNames::normalized_torch("conv_stem", "bn1", EPSILON),
        _ => WeightNames::normalized_torch("features.0.0", "features.0.1", EPSILON),
    }
}

fn head(source: WeightSource) -> WeightNames {
    match source {
        WeightSource::Timm => WeightNames::normalized_torch("conv_head", "bn2", EPSILON),
        _ => WeightNames::normalized_torch("features.18.0", "features.18.1", EPSILON),
    }
}

fn classifier(source: WeightSource) -> LayerSpec {
    let name = match source {
        WeightSource::Timm => "classifier",
        _ => "classifier.1",
    };
    LayerSpec::Dense {
        weights: WeightNames::biased(WeightSource::Torchvision, name),
        outputs: CLASSES,
        activation: Activation::None,
    }
}
