//! DenseNet-121 and 201: G. Huang, Z. Liu, L. van der Maaten & K. Q. Weinberger, *Densely Connected Convolutional Networks*,
//! 2016 (arXiv:1608.06993), table 1, with growth rate 32.
//!
//! Preprocessing: 224 x 224, ImageNet's mean and deviation. torchvision's published files have older names than its
//! networks, `norm.1` for `norm1`; Keras' have `conv1/conv` for `conv1_conv`.

use super::architecture::{
    Architecture, BatchNormNames, BiasOrNorm, LayerSpec, Recipe, WeightNames, WindowSpec,
};
use super::fit::{Published, WeightSource};
use super::inverted_residual::add_classifier;
use crate::nn::{Activation, PoolDivisor};
use crate::vision::preprocess::{Interpolation, Preprocessing, PreprocessingKind};
use crate::vision::weights::Naming;

/// Layers of each dense block.
pub(super) const DENSENET121: [usize; 4] = [6, 12, 24, 16];
pub(super) const DENSENET201: [usize; 4] = [6, 12, 48, 32];

pub(super) const SOURCES: &[Published] = &[
    torchvision(WeightSource::Torchvision),
    torchvision(WeightSource::TorchvisionOld),
    Published {
        unused: &["predictions*"],
        ..Published::named(WeightSource::Keras)
    },
    Published {
        unused: &["fc1000*"],
        ..Published::named(WeightSource::KerasOld)
    },
];

const fn torchvision(source: WeightSource) -> Published {
    Published {
        children: &["features", "classifier"],
        unused: &["classifier.*"],
        ..Published::named(source)
    }
}

const SIZE: u32 = 224;
const STEM: usize = 64;
const GROWTH: usize = 32;
/// The factor of channels between the two convolutions of a layer.
const BOTTLENECK: usize = 4;

pub(super) fn architecture(source: WeightSource, blocks: [usize; 4]) -> Architecture {
    let names = DenseNetNames(source);
    let recipe = match source.naming() {
        Naming::Keras => Recipe::of(
            PreprocessingKind::Keras,
            Preprocessing::imagenet(SIZE).with(Interpolation::Nearest),
        ),
        Naming::Torch => Recipe::of(PreprocessingKind::Torchvision, Preprocessing::torchvision(SIZE)),
    };
    let mut architecture = Architecture::new([recipe], &["features"]);
    let stem = LayerSpec::convolution(names.stem(), WindowSpec::symmetric(7, 2), STEM, Activation::Relu);
    architecture.stage("conv0", [stem]);
    architecture.stage("pool0", [LayerSpec::MaxPool(WindowSpec::symmetric(3, 2))]);
    let mut channels = STEM;
    for (block, layers) in (1..).zip(blocks) {
        for layer in 1..=layers {
            let name = format!("denseblock{block}.denselayer{layer}");
            architecture.stage(name, [names.dense_layer(block, layer)]);
        }
        channels += layers * GROWTH;
        if block < blocks.len() {
            channels /= 2;
            architecture.stage(format!("transition{block}"), names.transition(block, channels));
        }
    }
    architecture.stage("features", [names.norm(&names.last())]);
    add_classifier(&mut architecture, WeightNames::biased(source, names.classifier()));
    architecture
}

/// The names of tensors at a source.
#[derive(Clone, Copy)]
struct DenseNetNames(WeightSource);

impl DenseNetNames {
    fn stem(self) -> WeightNames {
        match self.0 {
            WeightSource::Keras => self.convolution("conv1_conv", "conv1_bn"),
            WeightSource::KerasOld => self.convolution("conv1/conv", "conv1/bn"),
            _ => self.convolution("features.conv0", "features.norm0"),
        }
    }

    /// The layer's input, and what it adds to that.
    fn dense_layer(self, block: usize, layer: usize) -> LayerSpec {
        let [norm, first, middle, second] = match self.0.naming() {
            Naming::Keras => ["0_bn", "1_conv", "1_bn", "2_conv"]
                .map(|part| format!("conv{}_block{layer}_{part}", block + 1)),
            Naming::Torch => {
                let dot = match self.0 {
                    WeightSource::TorchvisionOld => ".",
                    _ => "",
                };
                [("norm", 1), ("conv", 1), ("norm", 2), ("conv", 2)].map(|(part, number)| {
                    format!("features.denseblock{block}.denselayer{layer}.{part}{dot}{number}")
                })
            }
        };
        let (same, bottleneck) = (WindowSpec::symmetric(3, 1), GROWTH * BOTTLENECK);
        let first = self.convolution(&first, &middle);
        let second = self.plain(&second);
        LayerSpec::Concat(vec![
            Vec::new(),
            vec![
                self.norm(&norm),
                LayerSpec::convolution(first, WindowSpec::POINTWISE, bottleneck, Activation::Relu),
                LayerSpec::convolution(second, same, GROWTH, Activation::None),
            ],
        ])
    }

    /// Half of the channels and of the map.
    fn transition(self, block: usize, channels: usize) -> Vec<LayerSpec> {
        let [norm, convolution] = match self.0.naming() {
            Naming::Keras => ["bn", "conv"].map(|part| format!("pool{}_{part}", block + 1)),
            Naming::Torch => ["norm", "conv"].map(|part| format!("features.transition{block}.{part}")),
        };
        vec![
            self.norm(&norm),
            LayerSpec::convolution(
                self.plain(&convolution),
                WindowSpec::POINTWISE,
                channels,
                Activation::None,
            ),
            LayerSpec::AvgPool {
                window: WindowSpec::valid(2, 2),
                divisor: PoolDivisor::Window,
            },
        ]
    }

    /// The last normalization.
    fn last(self) -> String {
        match self.0.naming() {
            Naming::Keras => "bn".to_owned(),
            Naming::Torch => "features.norm5".to_owned(),
        }
    }

    fn classifier(self) -> &'static str {
        match self.0 {
            WeightSource::Keras => "predictions",
            WeightSource::KerasOld => "fc1000",
            _ => "classifier",
        }
    }

    fn norm(self, norm: &str) -> LayerSpec {
        LayerSpec::BatchNorm {
            names: self.norm_names(norm),
            activation: Activation::Relu,
        }
    }

    fn norm_names(self, norm: &str) -> BatchNormNames {
        match self.0.naming() {
            Naming::Keras => BatchNormNames::keras(norm, 1.001e-5),
            Naming::Torch => BatchNormNames::torch(norm, 1e-5),
        }
    }

    fn convolution(self, layer: &str, norm: &str) -> WeightNames {
        WeightNames {
            bias: BiasOrNorm::BatchNorm(self.norm_names(norm)),
            ..self.plain(layer)
        }
    }

    /// A convolution without bias.
    fn plain(self, layer: &str) -> WeightNames {
        WeightNames {
            bias: BiasOrNorm::None,
            ..WeightNames::biased(self.0, layer)
        }
    }
}
