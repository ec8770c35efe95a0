//! ConvNeXt-Tiny: Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell & S. Xie, *A ConvNet for the 2020s*, 2022
//! (arXiv:2201.03545), figure 4 and table 9.
//!
//! Preprocessing: 224 x 224, ImageNet's mean and deviation; torchvision's for a shorter side of 236 pixels, timm's of 235,
//! bicubic.

use super::architecture::{Architecture, BiasOrNorm, LayerSpec, Recipe, WeightNames, WindowSpec};
use super::fit::{Published, WeightSource};
use super::inverted_residual::CLASSES;
use crate::nn::Activation;
use crate::vision::preprocess::{Preprocessing, PreprocessingKind};

/// Blocks and channels of each stage.
const STAGES: [(usize, usize); 4] = [(3, 96), (3, 192), (9, 384), (3, 768)];
/// The factor of channels between the two pointwise convolutions.
const EXPANSION: usize = 4;
const EPSILON: f32 = 1e-6;
const SIZE: u32 = 224;

pub(super) const SOURCES: &[Published] = &[
    Published {
        children: &["features", "avgpool", "classifier"],
        unused: &["classifier.*"],
        ..Published::named(WeightSource::Torchvision)
    },
    Published {
        children: &["stem", "stages", "norm_pre", "head"],
        unused: &["head.*"],
        ..Published::named(WeightSource::Timm)
    },
];

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let recipe = match source {
        WeightSource::Timm => Recipe::of(PreprocessingKind::Timm, Preprocessing::timm(SIZE, 9500)),
        _ => Recipe::of(
            PreprocessingKind::Torchvision,
            Preprocessing::torchvision(SIZE).shorter_side(236),
        ),
    };
    let mut architecture = Architecture::new([recipe], &["stages.3.2"]);
    let names = ConvNextNames(source);
    for (stage, (blocks, channels)) in STAGES.into_iter().enumerate() {
        let layers = names.patches(stage, channels);
        let name = match stage {
            0 => "stem".to_owned(),
            _ => format!("downsample.{stage}"),
        };
        architecture.stage(name, layers);
        for block in 0..blocks {
            architecture.stage(
                format!("stages.{stage}.{block}"),
                [names.block(stage, block, channels)],
            );
        }
    }
    let (norm, classifier) = match source {
        WeightSource::Timm => ("head.norm", "head.fc"),
        _ => ("classifier.0", "classifier.2"),
    };
    let classifier = WeightNames::biased(source, classifier);
    let classifier = LayerSpec::dense(classifier, CLASSES, Activation::None);
    architecture.stage("logits", [LayerSpec::GlobalAvgPool, layer_norm(norm), classifier]);
    architecture
}

fn layer_norm(layer: &str) -> LayerSpec {
    LayerSpec::LayerNorm {
        weight: format!("{layer}.weight"),
        bias: format!("{layer}.bias"),
        epsilon: EPSILON,
    }
}

/// The names of tensors at a source.
#[derive(Clone, Copy)]
struct ConvNextNames(WeightSource);

impl ConvNextNames {
    /// The convolution of separate patches before a stage, with the normalization before it, or after it in the stem.
    fn patches(self, stage: usize, channels: usize) -> Vec<LayerSpec> {
        let layer = match (self.0, stage) {
            (WeightSource::Timm, 0) => "stem".to_owned(),
            (WeightSource::Timm, _) => format!("stages.{stage}.downsample"),
            _ => format!("features.{}", 2 * stage),
        };
        let side = if stage == 0 { 4 } else { 2 };
        let convolution = |number: usize| {
            let weights = WeightNames::biased(self.0, &format!("{layer}.{number}"));
            LayerSpec::convolution(weights, WindowSpec::valid(side, side), channels, Activation::None)
        };
        let norm = |number: usize| layer_norm(&format!("{layer}.{number}"));
        match stage {
            0 => vec![convolution(0), norm(1)],
            _ => vec![norm(0), convolution(1)],
        }
    }

    fn block(self, stage: usize, block: usize, channels: usize) -> LayerSpec {
        let (prefix, [depthwise, norm, expand, project]) = match self.0 {
            WeightSource::Timm => {
                let block = format!("stages.{stage}.blocks.{block}");
                (block, ["conv_dw", "norm", "mlp.fc1", "mlp.fc2"])
            }
            _ => {
                let block = format!("features.{}.{block}", 2 * stage + 1);
                (block, ["block.0", "block.2", "block.3", "block.5"])
            }
        };
        let factor = match self.0 {
            WeightSource::Timm => format!("{prefix}.gamma"),
            _ => format!("{prefix}.layer_scale"),
        };
        let names = |layer| WeightNames::biased(self.0, &format!("{prefix}.{layer}"));
        let projection = WeightNames {
            bias: BiasOrNorm::Scaled {
                bias: format!("{prefix}.{project}.bias"),
                factor,
            },
            ..names(project)
        };
        let pointwise = |weights, outputs, activation| {
            LayerSpec::convolution(weights, WindowSpec::POINTWISE, outputs, activation)
        };
        LayerSpec::residual(vec![
            LayerSpec::Depthwise {
                weights: names(depthwise),
                window: WindowSpec::symmetric(7, 1),
                activation: Activation::None,
            },
            layer_norm(&format!("{prefix}.{norm}")),
            pointwise(names(expand), channels * EXPANSION, Activation::Gelu),
            pointwise(projection, channels, Activation::None),
        ])
    }
}
