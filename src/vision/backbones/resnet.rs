//! ResNet-50, 101 and 152: K. He, X. Zhang, S. Ren & J. Sun, *Deep Residual Learning for Image Recognition*, 2015
//! (arXiv:1512.03385), table 1.
//!
//! PyTorch's networks halve the map in the 3 x 3 convolution of a block, the paper's and Keras' in the first 1 x 1.
//!
//! Preprocessing: 224 x 224. Keras' weights are the authors' own from Caffe: BGR minus the mean color. torchvision has two
//! generations of weights under the same names, the second for a shorter side of 232 pixels, and timm uses these names
//! too; they are recognized by the names of the published files.

use super::architecture::{
    Architecture, BatchNormNames, BiasOrNorm, LayerSpec, Recipe, WeightNames, WindowSpec,
};
use super::fit::{Published, WeightSource};
use super::inverted_residual::add_classifier;
use crate::nn::Activation;
use crate::vision::preprocess::{Interpolation, Preprocessing, PreprocessingKind};

/// The blocks of each stage, and a part of the name of torchvision's second weights.
pub(super) struct ResNet {
    blocks: [usize; 4],
    second: &'static str,
}

pub(super) const RESNET50: ResNet = variant([3, 4, 6, 3], "resnet50-11ad3fa6");
pub(super) const RESNET101: ResNet = variant([3, 4, 23, 3], "resnet101-cd907fc2");
pub(super) const RESNET152: ResNet = variant([3, 8, 36, 3], "resnet152-f82ba261");

const fn variant(blocks: [usize; 4], second: &'static str) -> ResNet {
    ResNet { blocks, second }
}

pub(super) const SOURCES: &[Published] = &[
    Published {
        children: CHILDREN,
        unused: &["fc.*"],
        ..Published::named(WeightSource::Torchvision)
    },
    Published {
        unused: &["predictions*"],
        ..Published::named(WeightSource::Keras)
    },
];

const CHILDREN: &[&str] = &[
    "conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc",
];

const SIZE: u32 = 224;

/// Channels within the blocks of the first stage, and the factor of those that come out.
const WIDTH: usize = 64;
const EXPANSION: usize = 4;

/// The folder in which Hugging Face's cache has timm's weights.
pub(super) const TIMM_FOLDER: &str = "models--timm--";

pub(super) fn architecture(source: WeightSource, variant: &ResNet) -> Architecture {
    let usual = Preprocessing::torchvision(SIZE);
    let recipes = match source {
        WeightSource::Keras => {
            let nearest = Preprocessing::caffe(SIZE).with(Interpolation::Nearest);
            vec![Recipe::of(PreprocessingKind::Keras, nearest)]
        }
        _ => {
            let timm = Recipe::of(PreprocessingKind::Timm, Preprocessing::timm(SIZE, 9500)).at(TIMM_FOLDER);
            [Recipe::torchvision(usual, variant.second), vec![timm]].concat()
        }
    };
    let default = format!("layer4.{}", variant.blocks[3] - 1);
    let mut architecture = Architecture::new(recipes, &[&default]);
    let stem = LayerSpec::convolution(
        stem_weights(source),
        WindowSpec::symmetric(7, 2),
        WIDTH,
        Activation::Relu,
    );
    architecture.stage("conv1", [stem]);
    architecture.stage("maxpool", [LayerSpec::MaxPool(WindowSpec::symmetric(3, 2))]);
    for (stage, blocks) in (1..).zip(variant.blocks) {
        for block in 0..blocks {
            let layers = Bottleneck::new(stage, block).layers(source);
            architecture.stage(format!("layer{stage}.{block}"), layers);
        }
    }
    let classifier = match source {
        WeightSource::Keras => "predictions",
        _ => "fc",
    };
    add_classifier(&mut architecture, WeightNames::biased(source, classifier));
    architecture
}

fn stem_weights(source: WeightSource) -> WeightNames {
    match source {
        WeightSource::Keras => keras_weights("conv1"),
        _ => WeightNames::normalized_torch("conv1", "bn1", EPSILON),
    }
}

/// PyTorch's, and Keras' in this network.
const EPSILON: f32 = 1e-5;
const KERAS_EPSILON: f32 = 1.001e-5;

fn keras_weights(layer: &str) -> WeightNames {
    let norm = BatchNormNames::keras(&format!("{layer}_bn"), KERAS_EPSILON);
    WeightNames {
        kernel: format!("{layer}_conv/kernel"),
        bias: BiasOrNorm::BiasAndNorm(format!("{layer}_conv/bias"), norm),
    }
}

/// A block of three convolutions (figure 5).
#[derive(Clone, Copy)]
struct Bottleneck {
    /// Counted from one.
    stage: usize,
    block: usize,
    /// Channels within.
    width: usize,
    stride: usize,
}

impl Bottleneck {
    fn new(stage: usize, block: usize) -> Self {
        Self {
            stage,
            block,
            width: WIDTH << (stage - 1),
            stride: if stage > 1 && block == 0 { 2 } else { 1 },
        }
    }

    fn layers(self, source: WeightSource) -> Vec<LayerSpec> {
        let strides = match source {
            WeightSource::Keras => [self.stride, 1],
            _ => [1, self.stride],
        };
        let convolution = |number, window, outputs, activation| {
            LayerSpec::convolution(self.weights(source, number), window, outputs, activation)
        };
        let outputs = self.width * EXPANSION;
        let branch = vec![
            convolution(1, WindowSpec::valid(1, strides[0]), self.width, Activation::Relu),
            convolution(
                2,
                WindowSpec::symmetric(3, strides[1]),
                self.width,
                Activation::Relu,
            ),
            convolution(3, WindowSpec::POINTWISE, outputs, Activation::None),
        ];
        let shortcut = match self.block {
            0 => vec![convolution(
                0,
                WindowSpec::valid(1, self.stride),
                outputs,
                Activation::None,
            )],
            _ => Vec::new(),
        };
        vec![
            LayerSpec::Residual { branch, shortcut },
            LayerSpec::Activation(Activation::Relu),
        ]
    }

    /// Of a convolution by its number; 0 is the shortcut.
    fn weights(self, source: WeightSource, number: usize) -> WeightNames {
        let Self { stage, block, .. } = self;
        match (source, number) {
            (WeightSource::Keras, _) => {
                keras_weights(&format!("conv{}_block{}_{number}", stage + 1, block + 1))
            }
            (_, 0) => {
                let layer = format!("layer{stage}.{block}.downsample");
                WeightNames::normalized_torch(&format!("{layer}.0"), &format!("{layer}.1"), EPSILON)
            }
            _ => {
                let layer = format!("layer{stage}.{block}");
                let (conv, norm) = (format!("{layer}.conv{number}"), format!("{layer}.bn{number}"));
                WeightNames::normalized_torch(&conv, &norm, EPSILON)
            }
        }
    }
}
