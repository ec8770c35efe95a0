//! The inverted residual with linear bottleneck (Sandler et al. 2018, arXiv:1801.04381, section 3.3 and figure 4d), called
//! MBConv in EfficientNets, and networks of such blocks.

use super::architecture::{Architecture, LayerSpec, SquareWindow, WeightNames};
use super::fit::{Published, WeightSource};
use crate::nn::Activation;
use crate::vision::preprocess::Preprocessing;

/// Channels of the first convolution.
const STEM: usize = 32;
/// Channels of the last convolution.
const HEAD: usize = 1280;
const CLASSES: usize = 1000;

/// A network of inverted residuals between two convolutions and a classifier.
pub(super) struct MobileNet {
    pub(super) preprocessing: Preprocessing,
    pub(super) rows: Vec<Row>,
    /// The window of this size and stride.
    pub(super) window: fn(usize, usize) -> SquareWindow,
    pub(super) epsilon: f32,
    /// The stage of the first convolution.
    pub(super) stem: &'static str,
    /// The stages of the blocks: their prefix and first number.
    pub(super) blocks: (&'static str, usize),
    pub(super) names: OuterNames,
    /// The tensors of a block, by its number.
    pub(super) block_weights: fn(InvertedResidual, usize) -> BlockWeights,
}

/// Blocks with the same dimensions; the stride is that of the first block.
#[derive(Clone, Copy)]
pub(super) struct Row {
    expansion: usize,
    kernel: usize,
    stride: usize,
    pub(super) outputs: usize,
    pub(super) repeats: usize,
}

pub(super) const fn row(
    expansion: usize,
    kernel: usize,
    stride: usize,
    outputs: usize,
    repeats: usize,
) -> Row {
    Row {
        expansion,
        kernel,
        stride,
        outputs,
        repeats,
    }
}

/// The layers outside the blocks: convolutions with their batch normalization, and the classifier.
#[derive(Clone, Copy)]
pub(super) struct OuterNames {
    pub(super) stem: (&'static str, &'static str),
    pub(super) head: (&'static str, &'static str),
    pub(super) classifier: &'static str,
}

/// timm's files of all networks of such blocks.
pub(super) const TIMM: Published = Published {
    children: &[
        "conv_stem",
        "bn1",
        "blocks",
        "conv_head",
        "bn2",
        "global_pool",
        "classifier",
    ],
    unused: &["classifier.*"],
    ..Published::named(WeightSource::Timm)
};

const TIMM_NAMES: OuterNames = OuterNames {
    stem: ("conv_stem", "bn1"),
    head: ("conv_head", "bn2"),
    classifier: "classifier",
};

impl MobileNet {
    pub(super) fn architecture(self, source: WeightSource) -> Architecture {
        let is_timm = source == WeightSource::Timm;
        let names = if is_timm { TIMM_NAMES } else { self.names };
        let convolution = |(layer, norm), window, outputs| {
            let weights = WeightNames::normalized_torch(layer, norm, self.epsilon);
            [LayerSpec::convolution(
                weights,
                window,
                outputs,
                Activation::Relu6,
            )]
        };
        let mut architecture = Architecture::new(self.preprocessing, &["features"]);
        architecture.stage(self.stem, convolution(names.stem, (self.window)(3, 2), STEM));
        let mut inputs = STEM;
        let (prefix, mut number) = self.blocks;
        for (index, row) in self.rows.iter().enumerate() {
            for repeat in 0..row.repeats {
                let stride = if repeat == 0 { row.stride } else { 1 };
                let block = InvertedResidual {
                    inputs,
                    expansion: row.expansion,
                    window: (self.window)(row.kernel, stride),
                    outputs: row.outputs,
                };
                let weights = if is_timm {
                    block.timm_weights(&format!("blocks.{index}.{repeat}"), self.epsilon)
                } else {
                    (self.block_weights)(block, number)
                };
                architecture.stage(format!("{prefix}{number}"), block.layers(weights));
                inputs = row.outputs;
                number += 1;
            }
        }
        architecture.stage("features", convolution(names.head, SquareWindow::POINTWISE, HEAD));
        let classifier = WeightNames::biased(source, names.classifier);
        let classifier = LayerSpec::dense(classifier, CLASSES, Activation::None);
        architecture.stage("logits", [LayerSpec::GlobalAvgPool, classifier]);
        architecture
    }
}

/// The dimensions of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvertedResidual {
    /// Input channels.
    inputs: usize,
    /// The factor of channels in the depthwise convolution.
    expansion: usize,
    /// The window of the depthwise convolution.
    window: SquareWindow,
    /// Output channels.
    outputs: usize,
}

/// The tensors of a block.
pub(super) struct BlockWeights {
    /// Unused without expansion.
    pub(super) expand: WeightNames,
    pub(super) depthwise: WeightNames,
    pub(super) project: WeightNames,
}

impl InvertedResidual {
    /// Expansion (if there is any), depthwise convolution and projection without activation, with a shortcut if the shapes
    /// of input and output are the same.
    fn layers(self, weights: BlockWeights) -> Vec<LayerSpec> {
        let pointwise = |weights, outputs, activation| {
            LayerSpec::convolution(weights, SquareWindow::POINTWISE, outputs, activation)
        };
        let expand = self.expands().then(|| {
            let outputs = self.inputs * self.expansion;
            pointwise(weights.expand, outputs, Activation::Relu6)
        });
        let depthwise = LayerSpec::Depthwise {
            weights: weights.depthwise,
            window: self.window,
            activation: Activation::Relu6,
        };
        let project = pointwise(weights.project, self.outputs, Activation::None);
        let branch = expand.into_iter().chain([depthwise, project]).collect();
        if self.window.stride == 1 && self.inputs == self.outputs {
            vec![LayerSpec::Residual {
                branch,
                shortcut: Vec::new(),
            }]
        } else {
            branch
        }
    }

    /// Whether there is an expanding convolution.
    pub(super) fn expands(self) -> bool {
        self.expansion > 1
    }

    /// timm's names, the same for every network of such blocks.
    fn timm_weights(self, block: &str, epsilon: f32) -> BlockWeights {
        let weights = |layer, norm| normalized(block, layer, norm, epsilon);
        let (depthwise, project) = if self.expands() {
            (weights("conv_dw", "bn2"), weights("conv_pwl", "bn3"))
        } else {
            (weights("conv_dw", "bn1"), weights("conv_pw", "bn2"))
        };
        BlockWeights {
            expand: weights("conv_pw", "bn1"),
            depthwise,
            project,
        }
    }
}

/// A convolution and its batch normalization, both within a block.
pub(super) fn normalized(block: &str, layer: &str, norm: &str, epsilon: f32) -> WeightNames {
    WeightNames::normalized_torch(&format!("{block}.{layer}"), &format!("{block}.{norm}"), epsilon)
}
