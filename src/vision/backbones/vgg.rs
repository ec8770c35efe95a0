//! VGG16 and VGG19: K. Simonyan & A. Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*,
//! 2014 (arXiv:1409.1556), configurations D and E, and D with batch normalization.
//!
//! Preprocessing: 224 x 224. Keras' weights are the authors' own from Caffe: BGR minus the mean color.
//! torchvision and timm retrained them, with their usual mean and deviation. Under torchvision's names there are also files
//! of the authors' weights, for BGR (J. Johnson's) or for RGB (torchvision's `IMAGENET1K_FEATURES`).

use super::architecture::{
    Architecture, BatchNormNames, BiasOrNorm, LayerSpec, Recipe, Sign, WeightNames, WindowSpec,
};
use super::fit::{Published, WeightSource};
use crate::nn::Activation;
use crate::vision::preprocess::{Interpolation, Preprocessing, PreprocessingKind};
use crate::vision::weights::Naming;

/// A column of table 1.
pub(super) struct Vgg {
    /// Convolutions of each block.
    convolutions: [usize; 5],
    after: AfterConvolution,
}

#[derive(Clone, Copy, PartialEq)]
enum AfterConvolution {
    Nothing,
    BatchNorm,
}

pub(super) const VGG16: Vgg = variant([2, 2, 3, 3, 3], AfterConvolution::Nothing);
pub(super) const VGG19: Vgg = variant([2, 2, 4, 4, 4], AfterConvolution::Nothing);
pub(super) const VGG16_BN: Vgg = variant([2, 2, 3, 3, 3], AfterConvolution::BatchNorm);

const fn variant(convolutions: [usize; 5], after: AfterConvolution) -> Vgg {
    Vgg { convolutions, after }
}

/// Channels of each block.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

/// PyTorch's.
const EPSILON: f32 = 1e-5;

/// torchvision's and timm's differ only in the dense layers. A detector's file (SSD) has its own layers 31 and 33.
pub(super) const SOURCES_OF_16: &[Published] = &[
    KERAS,
    Published {
        unused: &["classifier.*", "features.31.*", "features.33.*"],
        ..TORCHVISION
    },
    TIMM,
];
pub(super) const SOURCES: &[Published] = &[KERAS, TORCHVISION, TIMM];
pub(super) const SOURCES_OF_BN: &[Published] = &[TORCHVISION, TIMM];

const KERAS: Published = Published {
    unused: &["fc*", "predictions*"],
    ..Published::named(WeightSource::Keras)
};
const TORCHVISION: Published = Published {
    source: WeightSource::Torchvision,
    children: &["features", "avgpool", "classifier"],
    unused: &["classifier.*"],
};
const TIMM: Published = Published {
    source: WeightSource::Timm,
    children: &["features", "pre_logits", "head"],
    unused: &["pre_logits.*", "head.*"],
};

/// VGG16's weights as trained in Caffe, for BGR or for RGB.
const CAFFE: [Recipe; 2] = [
    Recipe {
        kind: PreprocessingKind::Caffe,
        sign: Sign::FirstKernel([4.3978, 5.4642, 4.9638]),
        preprocessing: Preprocessing::caffe(SIZE),
    },
    Recipe {
        kind: PreprocessingKind::CaffeRgb,
        sign: Sign::FirstKernel([4.9638, 5.4642, 4.3978]),
        preprocessing: Preprocessing::caffe_rgb(SIZE),
    },
];

const SIZE: u32 = 224;

pub(super) fn architecture(source: WeightSource, variant: &Vgg) -> Architecture {
    let mut recipes = match source {
        WeightSource::Keras => {
            let nearest = Preprocessing::caffe(SIZE).with(Interpolation::Nearest);
            vec![Recipe::of(PreprocessingKind::Keras, nearest)]
        }
        WeightSource::Timm => vec![Recipe::of(
            PreprocessingKind::Timm,
            Preprocessing::torchvision(SIZE),
        )],
        _ => vec![Recipe::of(
            PreprocessingKind::Torchvision,
            Preprocessing::torchvision(SIZE),
        )],
    };
    if source.naming() == Naming::Torch {
        recipes.extend(CAFFE);
    }
    let mut architecture = Architecture::new(recipes, &["fc2", "block5_pool"]);
    add_blocks(&mut architecture, source, variant);
    add_dense(&mut architecture, source);
    architecture
}

fn add_blocks(architecture: &mut Architecture, source: WeightSource, variant: &Vgg) {
    // PyTorch numbers convolutions, normalizations, activations and pools consecutively.
    let mut number = 0;
    for (block, (convolutions, outputs)) in (1..).zip(variant.convolutions.into_iter().zip(CHANNELS)) {
        for convolution in 1..=convolutions {
            let name = format!("block{block}_conv{convolution}");
            let layer = match source {
                WeightSource::Keras => name.clone(),
                _ => format!("features.{number}"),
            };
            let mut weights = WeightNames::biased(source, &layer);
            number += 2;
            if variant.after == AfterConvolution::BatchNorm {
                let norm = BatchNormNames::torch(&format!("features.{}", number - 1), EPSILON);
                weights.bias = BiasOrNorm::BiasAndNorm(format!("{layer}.bias"), norm);
                number += 1;
            }
            let layer =
                LayerSpec::convolution(weights, WindowSpec::symmetric(3, 1), outputs, Activation::Relu);
            architecture.stage(name, [layer]);
        }
        architecture.stage(
            format!("block{block}_pool"),
            [LayerSpec::MaxPool(WindowSpec::valid(2, 2))],
        );
        number += 1;
    }
}

fn add_dense(architecture: &mut Architecture, source: WeightSource) {
    let names = match source {
        WeightSource::Keras => ["fc1", "fc2", "predictions"],
        WeightSource::Timm => ["pre_logits.fc1", "pre_logits.fc2", "head.fc"],
        _ => ["classifier.0", "classifier.3", "classifier.6"],
    };
    let layers = [
        ("fc1", 4096, Activation::Relu),
        ("fc2", 4096, Activation::Relu),
        ("logits", 1000, Activation::None),
    ];
    for ((stage, outputs, activation), name) in layers.into_iter().zip(names) {
        let weights = WeightNames::biased(source, name);
        architecture.stage(stage, [LayerSpec::dense(weights, outputs, activation)]);
    }
}
