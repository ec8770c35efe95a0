//! EfficientNet-B0 to B3: M. Tan & Q. V. Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*,
//! 2019 (arXiv:1905.11946), table 1 and equation 3.
//!
//! torchvision and timm's `efficientnet_b*` pad symmetrically; Keras, `efficientnet_pytorch` and timm's `tf_efficientnet_b*`
//! pad as TensorFlow's "SAME" and have another epsilon. Both of timm's have the same names, and are networks of their own
//! here too.
//!
//! Preprocessing: ImageNet's mean and deviation, of another size for each source. Keras' weights have the mean as a layer of
//! the network.

use super::architecture::{Architecture, Recipe, WeightNames, WindowSpec};
use super::fit::{Published, WeightSource};
use super::inverted_residual::{
    BlockWeights, InvertedResidual, MobileNet, OuterWeights, Row, Squeeze, TIMM, add_classifier, blocks,
    divisible, normalized, package_outer_weights, row, timm_outer_weights,
};
use crate::nn::Activation;
use crate::vision::preprocess::{Interpolation, Preprocessing, PreprocessingKind};

/// The differences of a variant to B0.
pub(super) struct EfficientNet {
    /// The factor of channels, in tenths.
    width: usize,
    /// The factor of repeats, in tenths.
    depth: usize,
    /// torchvision's size of images, and of their shorter side before the crop.
    torchvision: (u32, u32),
    /// The size of images in TensorFlow, and the side of timm's crop of them in ten-thousandths.
    tensorflow: (u32, u32),
    timm: Preprocessing,
}

/// B0 to B3.
pub(super) const VARIANTS: [EfficientNet; 4] = [
    EfficientNet {
        width: 10,
        depth: 10,
        torchvision: (224, 256),
        tensorflow: (224, 8750),
        timm: Preprocessing::timm(224, 8750),
    },
    EfficientNet {
        width: 10,
        depth: 11,
        torchvision: (240, 256),
        tensorflow: (240, 8820),
        timm: Preprocessing::symmetric(240)
            .shorter_side(266)
            .with(Interpolation::Bicubic),
    },
    EfficientNet {
        width: 11,
        depth: 12,
        torchvision: (288, 288),
        tensorflow: (260, 8900),
        timm: Preprocessing::timm(256, 8750),
    },
    EfficientNet {
        width: 12,
        depth: 14,
        torchvision: (300, 320),
        tensorflow: (300, 9040),
        timm: Preprocessing::timm(288, 8750),
    },
];

/// Table 1.
pub(super) const ROWS: [Row; 7] = [
    row(1, 3, 1, 16, 1),
    row(6, 3, 2, 24, 2),
    row(6, 5, 2, 40, 2),
    row(6, 3, 2, 80, 3),
    row(6, 5, 1, 112, 3),
    row(6, 5, 2, 192, 4),
    row(6, 3, 1, 320, 1),
];

pub(super) const SOURCES: &[Published] = &[
    Published {
        children: &["features", "avgpool", "classifier"],
        unused: &["classifier.*"],
        ..Published::named(WeightSource::Torchvision)
    },
    TIMM,
    Published {
        unused: &["predictions*", "top_dropout*"],
        ..Published::named(WeightSource::Keras)
    },
    Published {
        unused: &["_fc.*"],
        ..Published::named(WeightSource::EfficientNetPytorch)
    },
];

/// Those of timm's `tf_efficientnet_b*`.
pub(super) const TF_SOURCES: &[Published] = &[Published {
    source: WeightSource::TimmTensorflow,
    ..TIMM
}];

pub(super) fn architecture(source: WeightSource, variant: &EfficientNet) -> Architecture {
    let (window, epsilon): (fn(usize, usize) -> WindowSpec, f32) = match source {
        WeightSource::Torchvision | WeightSource::Timm => (WindowSpec::symmetric, 1e-5),
        _ => (WindowSpec::same, 1e-3),
    };
    let network = MobileNet {
        recipes: variant.recipes(source),
        blocks: variant.blocks(),
        window,
        activation: Activation::Swish,
        head: divisible(1280 * variant.width),
        stem: "stem",
        stages: ("blocks.", 0),
    };
    let (mut architecture, classifier) = match source {
        WeightSource::Torchvision => {
            let outer = |number: usize| normalized(&format!("features.{number}"), "0", "1", epsilon);
            let outer = OuterWeights {
                stem: outer(0),
                head: outer(ROWS.len() + 1),
            };
            let of_block = |block: &InvertedResidual, _| {
                let prefix = format!("features.{}.{}.block", block.row + 1, block.repeat);
                block.torchvision_weights(&prefix, epsilon)
            };
            (network.architecture(outer, of_block), "classifier.1")
        }
        WeightSource::Keras => {
            let outer = OuterWeights {
                stem: keras("stem_", "conv/kernel", "bn"),
                head: keras("top_", "conv/kernel", "bn"),
            };
            (
                network.architecture(outer, |block, _| keras_weights(block)),
                "predictions",
            )
        }
        WeightSource::EfficientNetPytorch => {
            let of_block = |block: &InvertedResidual, number| block.package_weights(number, epsilon);
            (
                network.architecture(package_outer_weights(epsilon), of_block),
                "_fc",
            )
        }
        _ => {
            let of_block = |block: &InvertedResidual, _| block.timm_weights(epsilon);
            (
                network.architecture(timm_outer_weights(epsilon), of_block),
                "classifier",
            )
        }
    };
    add_classifier(&mut architecture, WeightNames::biased(source, classifier));
    architecture
}

impl EfficientNet {
    fn recipes(&self, source: WeightSource) -> Vec<Recipe> {
        let (size, crop) = self.tensorflow;
        match source {
            WeightSource::Torchvision => {
                let (size, shorter) = self.torchvision;
                let plain = Preprocessing::imagenet(size);
                let first = plain.clone().shorter_side(shorter).with(Interpolation::Bicubic);
                // Of these, only B1 has second weights.
                let second = (size == 240).then(|| {
                    let recipe = Recipe::of(PreprocessingKind::TorchvisionV2, plain.shorter_side(255));
                    recipe.at("efficientnet_b1-c27df63c")
                });
                let first = Recipe::of(PreprocessingKind::Torchvision, first);
                [first].into_iter().chain(second).collect()
            }
            WeightSource::Timm => vec![Recipe::of(PreprocessingKind::Timm, self.timm.clone())],
            WeightSource::Keras => {
                let nearest = Preprocessing::imagenet(size).with(Interpolation::Nearest);
                vec![Recipe::of(PreprocessingKind::Keras, nearest)]
            }
            WeightSource::EfficientNetPytorch => {
                let shorter = Preprocessing::imagenet(size).shorter_side(size);
                let bicubic = shorter.with(Interpolation::Bicubic);
                vec![Recipe::of(PreprocessingKind::EfficientnetPytorch, bicubic)]
            }
            _ => vec![Recipe::of(
                PreprocessingKind::Timm,
                Preprocessing::timm(size, crop),
            )],
        }
    }

    fn blocks(&self) -> Vec<InvertedResidual> {
        let rows = ROWS.map(|row| Row {
            outputs: divisible(row.outputs * self.width),
            repeats: (row.repeats * self.depth).div_ceil(10),
            ..row
        });
        let mut blocks = blocks(&rows, divisible(32 * self.width), Activation::Swish);
        for block in &mut blocks {
            block.squeeze = Some(Squeeze {
                channels: block.inputs / 4,
                activation: Activation::Swish,
                gate: Activation::Sigmoid,
            });
        }
        blocks
    }
}

const KERAS_EPSILON: f32 = 1e-3;

fn keras(block: &str, kernel: &str, norm: &str) -> WeightNames {
    WeightNames::normalized_keras(
        format!("{block}{kernel}"),
        &format!("{block}{norm}"),
        KERAS_EPSILON,
    )
}

/// Keras' names: `block2a_expand_conv`, the letter being the block's place in its row.
fn keras_weights(block: &InvertedResidual) -> BlockWeights {
    let letter = char::from(b'a' + block.repeat as u8);
    let prefix = format!("block{}{letter}_", block.row + 1);
    let weights = |kernel, norm| keras(&prefix, kernel, norm);
    BlockWeights {
        expand: weights("expand_conv/kernel", "expand_bn"),
        depthwise: weights("dwconv/depthwise_kernel", "bn"),
        squeeze: ["se_reduce", "se_expand"]
            .map(|layer| WeightNames::biased(WeightSource::Keras, &format!("{prefix}{layer}"))),
        project: weights("project_conv/kernel", "project_bn"),
    }
}
