//! MobileNetV2: M. Sandler, A. Howard, M. Zhu, A. Zhmoginov & L.-C. Chen, *MobileNetV2: Inverted Residuals and
//! Linear Bottlenecks*, 2018 (arXiv:1801.04381), width 1.0.
//!
//! Preprocessing: 224 x 224, torchvision's mean and deviation. Names are torchvision's or timm's; Keras' weights
//! differ in padding and preprocessing too and are not read.

use super::architecture::{Architecture, Recipe, WeightNames, WindowSpec};
use super::fit::{Published, WeightSource};
use super::inverted_residual::{
    BlockWeights, InvertedResidual, MobileNet, OuterWeights, Row, TIMM, add_classifier, blocks, normalized,
    row, timm_outer_weights,
};
use crate::nn::Activation;
use crate::vision::preprocess::{Interpolation, Preprocessing, PreprocessingKind};

/// Table 2.
const ROWS: [Row; 7] = [
    row(1, 3, 1, 16, 1),
    row(6, 3, 2, 24, 2),
    row(6, 3, 2, 32, 3),
    row(6, 3, 2, 64, 4),
    row(6, 3, 1, 96, 3),
    row(6, 3, 2, 160, 3),
    row(6, 3, 1, 320, 1),
];

pub(super) const SOURCES: &[Published] = &[
    Published {
        children: &["features", "classifier"],
        unused: &["classifier.*"],
        ..Published::named(WeightSource::Torchvision)
    },
    TIMM,
];

/// PyTorch's.
const EPSILON: f32 = 1e-5;

const SIZE: u32 = 224;

/// Channels of the first and of the last convolution.
const STEM: usize = 32;
const HEAD: usize = 1280;

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let usual = Preprocessing::torchvision(SIZE);
    let is_timm = source == WeightSource::Timm;
    let recipes = if is_timm {
        vec![Recipe::of(
            PreprocessingKind::Timm,
            usual.with(Interpolation::Bicubic),
        )]
    } else {
        Recipe::torchvision(usual, "mobilenet_v2-7ebf99e0")
    };
    let network = MobileNet {
        recipes,
        blocks: blocks(&ROWS, STEM, Activation::Relu6),
        window: WindowSpec::symmetric,
        activation: Activation::Relu6,
        head: HEAD,
        stem: "features.0",
        stages: ("features.", 1),
    };
    let mut architecture = if is_timm {
        network.architecture(timm_outer_weights(EPSILON), |block, _| {
            block.timm_weights(EPSILON)
        })
    } else {
        network.architecture(torchvision_outer_weights(), torchvision_weights)
    };
    let classifier = if is_timm { "classifier" } else { "classifier.1" };
    add_classifier(&mut architecture, WeightNames::biased(source, classifier));
    architecture
}

fn torchvision_outer_weights() -> OuterWeights {
    let weights = |number: usize| normalized(&format!("features.{number}"), "0", "1", EPSILON);
    OuterWeights {
        stem: weights(0),
        head: weights(18),
    }
}

/// torchvision numbers the layers of a block, so the numbers depend on whether there is an expansion. The projection is not
/// in a module of its own.
fn torchvision_weights(block: &InvertedResidual, number: usize) -> BlockWeights {
    let prefix = format!("features.{number}.conv");
    let projection = 1 + usize::from(block.expands());
    let (layer, norm) = (projection.to_string(), (projection + 1).to_string());
    BlockWeights {
        project: normalized(&prefix, &layer, &norm, EPSILON),
        ..block.torchvision_weights(&prefix, EPSILON)
    }
}
