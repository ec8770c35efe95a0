//! MobileNetV3-Large: A. Howard et al., *Searching for MobileNetV3*, 2019 (arXiv:1905.02244), table 1.
//!
//! Preprocessing: 224 x 224, ImageNet's mean and deviation; torchvision's second weights for a shorter side of 232 pixels,
//! timm's bicubic.

use super::architecture::{Architecture, LayerSpec, Recipe, WeightNames, WindowSpec};
use super::fit::{Published, WeightSource};
use super::inverted_residual::{
    CLASSES, InvertedResidual, MobileNet, OuterWeights, Squeeze, TIMM, divisible, normalized,
};
use crate::nn::Activation;
use crate::vision::preprocess::{Preprocessing, PreprocessingKind};

pub(super) const SOURCES: &[Published] = &[
    Published {
        children: &["features", "avgpool", "classifier"],
        unused: &["classifier.*"],
        ..Published::named(WeightSource::Torchvision)
    },
    TIMM,
];

const SIZE: u32 = 224;
const STEM: usize = 16;
const HEAD: usize = 960;
/// Units of the dense layer before the classifier.
const HIDDEN: usize = 1280;

/// Squeeze and excitation.
#[derive(Clone, Copy, PartialEq)]
enum Gate {
    No,
    Se,
}

/// Table 1: row of timm's network, kernel, channels within and out, gate, activation and stride.
#[rustfmt::skip]
const BLOCKS: [(usize, usize, usize, usize, Gate, Activation, usize); 15] = [
    (0, 3, 16, 16, Gate::No, Activation::Relu, 1),
    (1, 3, 64, 24, Gate::No, Activation::Relu, 2),
    (1, 3, 72, 24, Gate::No, Activation::Relu, 1),
    (2, 5, 72, 40, Gate::Se, Activation::Relu, 2),
    (2, 5, 120, 40, Gate::Se, Activation::Relu, 1),
    (2, 5, 120, 40, Gate::Se, Activation::Relu, 1),
    (3, 3, 240, 80, Gate::No, Activation::HardSwish, 2),
    (3, 3, 200, 80, Gate::No, Activation::HardSwish, 1),
    (3, 3, 184, 80, Gate::No, Activation::HardSwish, 1),
    (3, 3, 184, 80, Gate::No, Activation::HardSwish, 1),
    (4, 3, 480, 112, Gate::Se, Activation::HardSwish, 1),
    (4, 3, 672, 112, Gate::Se, Activation::HardSwish, 1),
    (5, 5, 672, 160, Gate::Se, Activation::HardSwish, 2),
    (5, 5, 960, 160, Gate::Se, Activation::HardSwish, 1),
    (5, 5, 960, 160, Gate::Se, Activation::HardSwish, 1),
];

fn blocks() -> Vec<InvertedResidual> {
    let mut blocks: Vec<InvertedResidual> = Vec::new();
    for (row, kernel, expanded, outputs, gate, activation, stride) in BLOCKS {
        let (inputs, repeat) = match blocks.last() {
            Some(last) if last.row == row => (last.outputs, last.repeat + 1),
            Some(last) => (last.outputs, 0),
            None => (STEM, 0),
        };
        let squeeze = (gate == Gate::Se).then(|| Squeeze {
            channels: divisible(expanded * 10 / 4),
            activation: Activation::Relu,
            gate: Activation::HardSigmoid,
        });
        blocks.push(InvertedResidual {
            row,
            repeat,
            inputs,
            expanded,
            kernel,
            stride,
            outputs,
            activation,
            squeeze,
        });
    }
    blocks
}

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let usual = Preprocessing::torchvision(SIZE);
    let is_timm = source == WeightSource::Timm;
    let recipes = if is_timm {
        vec![Recipe::of(
            PreprocessingKind::Timm,
            Preprocessing::timm(SIZE, 8750),
        )]
    } else {
        Recipe::torchvision(usual, "mobilenet_v3_large-5c1a4163")
    };
    let network = MobileNet {
        recipes,
        blocks: blocks(),
        window: WindowSpec::symmetric,
        activation: Activation::HardSwish,
        head: HEAD,
        stem: "stem",
        stages: ("blocks.", 0),
    };
    let (mut architecture, dense) = if is_timm {
        const EPSILON: f32 = 1e-5;
        let outer = OuterWeights {
            stem: WeightNames::normalized_torch("conv_stem", "bn1", EPSILON),
            head: normalized("blocks.6.0", "conv", "bn1", EPSILON),
        };
        let blocks = network.architecture(outer, |block, _| block.timm_weights(EPSILON));
        (blocks, ["conv_head", "classifier"])
    } else {
        const EPSILON: f32 = 1e-3;
        let outer = |number: usize| normalized(&format!("features.{number}"), "0", "1", EPSILON);
        let outer = OuterWeights {
            stem: outer(0),
            head: outer(BLOCKS.len() + 1),
        };
        let blocks = network.architecture(outer, |block, number| {
            block.torchvision_weights(&format!("features.{}.block", number + 1), EPSILON)
        });
        (blocks, ["classifier.0", "classifier.3"])
    };
    let [hidden, classifier] = dense.map(|layer| WeightNames::biased(source, layer));
    let hidden = LayerSpec::dense(hidden, HIDDEN, Activation::HardSwish);
    architecture.stage("hidden", [LayerSpec::GlobalAvgPool, hidden]);
    let classifier = LayerSpec::dense(classifier, CLASSES, Activation::None);
    architecture.stage("logits", [classifier]);
    architecture
}
