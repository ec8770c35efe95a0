//! The inverted residual with linear bottleneck (Sandler et al. 2018, arXiv:1801.04381, section 3.3 and figure 4d), called
//! MBConv in EfficientNets, with squeeze and excitation where a network has it, and networks of such blocks.

use super::architecture::{Architecture, LayerSpec, Recipe, WeightNames, WindowSpec};
use super::fit::{Published, WeightSource};
use crate::nn::Activation;

pub(super) const CLASSES: usize = 1000;

/// A network of inverted residuals between two convolutions, without a classifier.
pub(super) struct MobileNet {
    pub(super) recipes: Vec<Recipe>,
    pub(super) blocks: Vec<InvertedResidual>,
    /// The window of this size and stride.
    pub(super) window: fn(usize, usize) -> WindowSpec,
    /// Of the convolutions outside the blocks.
    pub(super) activation: Activation,
    /// Channels of the last convolution.
    pub(super) head: usize,
    /// The stage of the first convolution.
    pub(super) stem: &'static str,
    /// The stages of the blocks: their prefix and first number.
    pub(super) stages: (&'static str, usize),
}

/// The tensors outside the blocks: of the first and of the last convolution.
pub(super) struct OuterWeights {
    pub(super) stem: WeightNames,
    pub(super) head: WeightNames,
}

/// The dimensions of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvertedResidual {
    /// The row of the network's table, and the block's place within it.
    pub(super) row: usize,
    pub(super) repeat: usize,
    /// Input channels.
    pub(super) inputs: usize,
    /// Channels of the depthwise convolution.
    pub(super) expanded: usize,
    /// Size and stride of the depthwise convolution.
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// Output channels.
    pub(super) outputs: usize,
    pub(super) activation: Activation,
    pub(super) squeeze: Option<Squeeze>,
}

/// Squeeze and excitation (Hu et al. 2018, arXiv:1709.01507) after the depthwise convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Squeeze {
    pub(super) channels: usize,
    pub(super) activation: Activation,
    /// The activation of the factors.
    pub(super) gate: Activation,
}

/// Blocks with the same dimensions; the stride is that of the first block.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) expansion: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
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

/// The blocks of a table's rows, after a first convolution of `stem` channels, without squeeze and excitation.
pub(super) fn blocks(rows: &[Row], stem: usize, activation: Activation) -> Vec<InvertedResidual> {
    let mut inputs = stem;
    let mut blocks = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        for repeat in 0..row.repeats {
            blocks.push(InvertedResidual {
                row: index,
                repeat,
                inputs,
                expanded: inputs * row.expansion,
                kernel: row.kernel,
                stride: if repeat == 0 { row.stride } else { 1 },
                outputs: row.outputs,
                activation,
                squeeze: None,
            });
            inputs = row.outputs;
        }
    }
    blocks
}

/// The nearest multiple of eight, at least nine tenths of the channels (`make_divisible` in TensorFlow's networks).
pub(super) fn divisible(tenths: usize) -> usize {
    let nearest = ((tenths + 40) / 80 * 8).max(8);
    if nearest * 100 < tenths * 9 {
        nearest + 8
    } else {
        nearest
    }
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

/// timm's names outside the blocks, the same for most networks.
pub(super) fn timm_outer_weights(epsilon: f32) -> OuterWeights {
    OuterWeights {
        stem: WeightNames::normalized_torch("conv_stem", "bn1", epsilon),
        head: WeightNames::normalized_torch("conv_head", "bn2", epsilon),
    }
}

impl MobileNet {
    /// The network up to its last map; `block_weights` gives the tensors of a block by its number.
    pub(super) fn architecture(
        self,
        outer: OuterWeights,
        block_weights: impl Fn(&InvertedResidual, usize) -> BlockWeights,
    ) -> Architecture {
        let mut architecture = Architecture::new(self.recipes, &["features"]);
        let convolution =
            |weights, window, outputs| [LayerSpec::convolution(weights, window, outputs, self.activation)];
        let inputs = self.blocks.first().map_or(0, |block| block.inputs);
        architecture.stage(self.stem, convolution(outer.stem, (self.window)(3, 2), inputs));
        let (prefix, first) = self.stages;
        for (number, block) in (first..).zip(&self.blocks) {
            let layers = block.layers(block_weights(block, number), self.window);
            architecture.stage(format!("{prefix}{number}"), layers);
        }
        architecture.stage(
            "features",
            convolution(outer.head, WindowSpec::POINTWISE, self.head),
        );
        architecture
    }
}

/// Adds the classifier of averages.
pub(super) fn add_classifier(architecture: &mut Architecture, weights: WeightNames) {
    let classifier = LayerSpec::dense(weights, CLASSES, Activation::None);
    architecture.stage("logits", [LayerSpec::GlobalAvgPool, classifier]);
}

/// The tensors of a block.
pub(super) struct BlockWeights {
    /// Unused without expansion.
    pub(super) expand: WeightNames,
    pub(super) depthwise: WeightNames,
    /// Reduction and expansion of squeeze and excitation, unused without it.
    pub(super) squeeze: [WeightNames; 2],
    pub(super) project: WeightNames,
}

impl InvertedResidual {
    /// Expansion (if there is any), depthwise convolution, squeeze and excitation (likewise) and projection without
    /// activation, with a shortcut if the shapes of input and output are the same.
    fn layers(&self, weights: BlockWeights, window: fn(usize, usize) -> WindowSpec) -> Vec<LayerSpec> {
        let pointwise = |weights, outputs, activation| {
            LayerSpec::convolution(weights, WindowSpec::POINTWISE, outputs, activation)
        };
        let expand = self
            .expands()
            .then(|| pointwise(weights.expand, self.expanded, self.activation));
        let depthwise = LayerSpec::Depthwise {
            weights: weights.depthwise,
            window: window(self.kernel, self.stride),
            activation: self.activation,
        };
        let gate = self.squeeze.map(|squeeze| {
            let [reduce, excite] = weights.squeeze;
            LayerSpec::Gate(vec![
                LayerSpec::GlobalAvgPool,
                pointwise(reduce, squeeze.channels, squeeze.activation),
                pointwise(excite, self.expanded, squeeze.gate),
            ])
        });
        let project = pointwise(weights.project, self.outputs, Activation::None);
        let branch = (expand.into_iter().chain([depthwise]).chain(gate))
            .chain([project])
            .collect();
        if self.stride == 1 && self.inputs == self.outputs {
            vec![LayerSpec::residual(branch)]
        } else {
            branch
        }
    }

    /// Whether there is an expanding convolution.
    pub(super) fn expands(&self) -> bool {
        self.expanded > self.inputs
    }

    /// timm's names, the same for every network of such blocks.
    pub(super) fn timm_weights(&self, epsilon: f32) -> BlockWeights {
        let block = format!("blocks.{}.{}", self.row, self.repeat);
        let weights = |layer, norm| normalized(&block, layer, norm, epsilon);
        let (depthwise, project) = if self.expands() {
            (weights("conv_dw", "bn2"), weights("conv_pwl", "bn3"))
        } else {
            (weights("conv_dw", "bn1"), weights("conv_pw", "bn2"))
        };
        BlockWeights {
            expand: weights("conv_pw", "bn1"),
            depthwise,
            squeeze: ["se.conv_reduce", "se.conv_expand"]
                .map(|layer| WeightNames::biased(WeightSource::Timm, &format!("{block}.{layer}"))),
            project,
        }
    }

    /// torchvision's names: the layers of a block are numbered, so the numbers depend on which there are.
    pub(super) fn torchvision_weights(&self, block: &str, epsilon: f32) -> BlockWeights {
        let expanding = usize::from(self.expands());
        let gated = usize::from(self.squeeze.is_some());
        let weights = |number: usize| {
            let (layer, norm) = (format!("{number}.0"), format!("{number}.1"));
            normalized(block, &layer, &norm, epsilon)
        };
        let squeeze = |layer| {
            WeightNames::biased(
                WeightSource::Torchvision,
                &format!("{block}.{}.{layer}", expanding + 1),
            )
        };
        BlockWeights {
            expand: weights(0),
            depthwise: weights(expanding),
            squeeze: ["fc1", "fc2"].map(squeeze),
            project: weights(expanding + 1 + gated),
        }
    }

    /// The names of `efficientnet_pytorch`.
    pub(super) fn package_weights(&self, number: usize, epsilon: f32) -> BlockWeights {
        let block = format!("_blocks.{number}");
        let weights = |layer, norm| normalized(&block, layer, norm, epsilon);
        BlockWeights {
            expand: weights("_expand_conv", "_bn0"),
            depthwise: weights("_depthwise_conv", "_bn1"),
            squeeze: ["_se_reduce", "_se_expand"].map(|layer| {
                WeightNames::biased(WeightSource::EfficientNetPytorch, &format!("{block}.{layer}"))
            }),
            project: weights("_project_conv", "_bn2"),
        }
    }
}

/// The names of `efficientnet_pytorch` outside the blocks.
pub(super) fn package_outer_weights(epsilon: f32) -> OuterWeights {
    OuterWeights {
        stem: WeightNames::normalized_torch("_conv_stem", "_bn0", epsilon),
        head: WeightNames::normalized_torch("_conv_head", "_bn1", epsilon),
    }
}

/// A convolution and its batch normalization, both within a block.
pub(super) fn normalized(block: &str, layer: &str, norm: &str, epsilon: f32) -> WeightNames {
    WeightNames::normalized_torch(&format!("{block}.{layer}"), &format!("{block}.{norm}"), epsilon)
}
