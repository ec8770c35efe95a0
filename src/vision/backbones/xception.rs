//! Xception: F. Chollet, *Xception: Deep Learning with Depthwise Separable Convolutions*, 2017
//! (arXiv:1610.02357), figure 5.
//!
//! Preprocessing: 299 x 299, `x / 127.5 - 1`. Layers that can be chosen are called as Keras calls the activation after
//! them, or by their block where that ends in a sum. timm's `legacy_xception` counts blocks and layers in another way, and
//! pads its maxima symmetrically.

use super::architecture::{Architecture, BiasOrNorm, LayerSpec, Recipe, WeightNames, WindowSpec};
use super::fit::{Published, WeightSource};
use super::inverted_residual::add_classifier;
use crate::nn::Activation;
use crate::vision::preprocess::{Interpolation, Preprocessing, PreprocessingKind};

const SIZE: u32 = 299;

/// Blocks 2 to 4: their channels. Each halves the map.
const ENTRY: [usize; 3] = [128, 256, 728];
/// Blocks 5 to 12 keep map and channels.
const MIDDLE: [usize; 8] = [728; 8];
/// Block 13, which halves the map: channels of its two convolutions.
const EXIT: [usize; 2] = [728, 1024];
/// Block 14, without a shortcut.
const LAST: [usize; 2] = [1536, 2048];

pub(super) const SOURCES: &[Published] = &[
    Published {
        unused: &["predictions*"],
        ..Published::named(WeightSource::Keras)
    },
    Published {
        unused: &["predictions*"],
        ..Published::named(WeightSource::KerasNumbered)
    },
    Published {
        unused: &["fc.*"],
        ..Published::named(WeightSource::Timm)
    },
];

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let usual = Preprocessing::symmetric(SIZE);
    let recipe = match source {
        WeightSource::Timm => Recipe::of(
            PreprocessingKind::Timm,
            usual.shorter_side(333).with(Interpolation::Bicubic),
        ),
        _ => Recipe::of(PreprocessingKind::Keras, usual.with(Interpolation::Nearest)),
    };
    let mut architecture = Architecture::new([recipe], &["block14_sepconv2_act"]);
    let names = XceptionNames(source);
    for (number, stride, outputs) in [(1, 2, 32), (2, 1, 64)] {
        let weights = names.stem(number);
        let layer = LayerSpec::convolution(weights, WindowSpec::valid(3, stride), outputs, Activation::Relu);
        architecture.stage(format!("block1_conv{number}_act"), [layer]);
    }
    for (block, outputs) in (2..).zip(ENTRY) {
        architecture.stage(format!("block{block}"), [names.halving(block, [outputs; 2])]);
    }
    for (block, outputs) in (5..).zip(MIDDLE) {
        let branch = names.branch(block, &[outputs; 3]);
        architecture.stage(format!("block{block}"), [LayerSpec::residual(branch)]);
    }
    architecture.stage("block13", [names.halving(13, EXIT)]);
    for (number, outputs) in (1..).zip(LAST) {
        let layers = names.separable(14, number, outputs, Activation::Relu);
        architecture.stage(format!("block14_sepconv{number}_act"), layers);
    }
    let classifier = match source {
        WeightSource::Timm => "fc",
        _ => "predictions",
    };
    add_classifier(&mut architecture, WeightNames::biased(source, classifier));
    architecture
}

/// The names of tensors at a source.
#[derive(Clone, Copy)]
struct XceptionNames(WeightSource);

impl XceptionNames {
    fn stem(self, number: usize) -> WeightNames {
        match self.0 {
            WeightSource::Timm => torch(&format!("conv{number}"), &format!("bn{number}")),
            _ => keras(
                &format!("block1_conv{number}"),
                "kernel",
                &format!("block1_conv{number}_bn"),
            ),
        }
    }

    /// A residual block with a strided convolution as its shortcut.
    fn halving(self, block: usize, outputs: [usize; 2]) -> LayerSpec {
        let mut branch = self.branch(block, &outputs);
        branch.push(LayerSpec::MaxPool(match self.0 {
            WeightSource::Timm => WindowSpec::symmetric(3, 2),
            _ => WindowSpec::same(3, 2),
        }));
        let shortcut = LayerSpec::convolution(
            self.shortcut(block),
            WindowSpec::same(1, 2),
            outputs[1],
            Activation::None,
        );
        LayerSpec::Residual {
            branch,
            shortcut: vec![shortcut],
        }
    }

    /// A shortcut's convolution and batch normalization. `keras.applications` does not name them.
    fn shortcut(self, block: usize) -> WeightNames {
        match self.0 {
            WeightSource::Timm => {
                let block = block - 1;
                torch(&format!("block{block}.skip"), &format!("block{block}.skipbn"))
            }
            WeightSource::KerasNumbered => {
                // Blocks 2, 3, 4 and 13 have one.
                let number = (block - 1).min(4);
                keras(
                    &format!("conv2d_{number}"),
                    "kernel",
                    &format!("batch_normalization_{number}"),
                )
            }
            _ => keras(
                &format!("block{block}_res_conv"),
                "kernel",
                &format!("block{block}_res_bn"),
            ),
        }
    }

    /// Separable convolutions, each with a ReLU before it. The ReLU between two convolutions belongs to the first of them;
    /// block 2 needs none before it.
    fn branch(self, block: usize, outputs: &[usize]) -> Vec<LayerSpec> {
        let mut layers = Vec::new();
        if block > 2 {
            layers.push(LayerSpec::Activation(Activation::Relu));
        }
        for (number, &channels) in (1..).zip(outputs) {
            let is_last = number == outputs.len();
            let activation = if is_last {
                Activation::None
            } else {
                Activation::Relu
            };
            layers.extend(self.separable(block, number, channels, activation));
        }
        layers
    }

    /// A depthwise convolution without activation (section 4.7), a pointwise one and batch normalization.
    fn separable(
        self,
        block: usize,
        number: usize,
        outputs: usize,
        activation: Activation,
    ) -> [LayerSpec; 2] {
        let (depthwise, pointwise) = match self.0 {
            WeightSource::Timm => {
                let (layer, norm) = timm_separable(block, number);
                (
                    format!("{layer}.conv1.weight"),
                    torch(&format!("{layer}.pointwise"), &norm),
                )
            }
            _ => {
                let name = format!("block{block}_sepconv{number}");
                let depthwise = format!("{name}/depthwise_kernel");
                (depthwise, keras(&name, "pointwise_kernel", &format!("{name}_bn")))
            }
        };
        let depthwise = LayerSpec::Depthwise {
            weights: WeightNames {
                kernel: depthwise,
                bias: BiasOrNorm::None,
            },
            window: WindowSpec::same(3, 1),
            activation: Activation::None,
        };
        [
            depthwise,
            LayerSpec::convolution(pointwise, WindowSpec::POINTWISE, outputs, activation),
        ]
    }
}

/// timm's separable convolution and its batch normalization: activations have numbers too, block 14 is in no block, and the
/// first convolution is no block.
fn timm_separable(block: usize, number: usize) -> (String, String) {
    if block == 14 {
        return (format!("conv{}", number + 2), format!("bn{}", number + 2));
    }
    let first = if block == 2 { 0 } else { 1 };
    let at = first + 3 * (number - 1);
    let prefix = format!("block{}.rep", block - 1);
    (format!("{prefix}.{at}"), format!("{prefix}.{}", at + 1))
}

fn torch(layer: &str, norm: &str) -> WeightNames {
    WeightNames::normalized_torch(layer, norm, 1e-5)
}

fn keras(layer: &str, kernel: &str, norm: &str) -> WeightNames {
    WeightNames::normalized_keras(format!("{layer}/{kernel}"), norm, 1e-3)
}
