//! MobileNetV2: M. Sandler, A. Howard, M. Zhu, A. Zhmoginov & L.-C. Chen, *MobileNetV2: Inverted Residuals and
//! Linear Bottlenecks*, 2018 (arXiv:1801.04381), width 1.0.
//!
//! Preprocessing: 224 x 224, torchvision's mean and deviation. Names are torchvision's or timm's; Keras' weights
//! differ in padding and preprocessing too and are not read.

use super::backbone::Source;
use super::backbone::plan::{Extent, Layer, Plan, Weights};
use super::preprocess::Preprocessing;
use crate::nn::Activation;

/// A row of table 2: bottlenecks that share expansion and width; the first of them has the stride.
struct Row {
    expansion: usize,
    outputs: usize,
    repeats: usize,
    stride: usize,
}

const fn row(expansion: usize, outputs: usize, repeats: usize, stride: usize) -> Row {
    Row {
        expansion,
        outputs,
        repeats,
        stride,
    }
}

const ROWS: [Row; 7] = [
    row(1, 16, 1, 1),
    row(6, 24, 2, 2),
    row(6, 32, 3, 2),
    row(6, 64, 4, 2),
    row(6, 96, 3, 1),
    row(6, 160, 3, 2),
    row(6, 320, 1, 1),
];

const STEM: usize = 32;
const HEAD: usize = 1280;
const CLASSES: usize = 1000;

/// A tensor that tells timm's file from torchvision's.
pub(super) const TIMM_ONLY: &str = "conv_stem.weight";

/// Both in PyTorch.
const EPSILON: f32 = 1e-5;

pub(super) fn plan(source: Source) -> Plan {
    let mut plan = Plan::new(Preprocessing::torchvision(224), &["features"]);
    plan.stage(
        "features.0",
        [convolution(
            stem(source),
            Extent::half(3, 2),
            STEM,
            Activation::Relu6,
        )],
    );
    let mut inputs = STEM;
    for (group, row) in ROWS.iter().enumerate() {
        for repeat in 0..row.repeats {
            let number = plan.stages.len();
            let place = match source {
                Source::Timm => format!("blocks.{group}.{repeat}"),
                Source::Keras | Source::Torchvision => format!("features.{number}.conv"),
            };
            let stride = if repeat == 0 { row.stride } else { 1 };
            let layers = bottleneck(source, &place, row, inputs, stride);
            plan.stage(format!("features.{number}"), layers);
            inputs = row.outputs;
        }
    }
    plan.stage(
        "features",
        [convolution(head(source), Extent::POINT, HEAD, Activation::Relu6)],
    );
    plan.stage("logits", [Layer::GlobalMean, classifier(source)]);
    plan
}

/// Expand (where there is anything to expand), convolve depthwise, project without a rectifier; around it all a
/// shortcut where the shapes allow (figure 4d).
fn bottleneck(source: Source, place: &str, row: &Row, inputs: usize, stride: usize) -> Vec<Layer> {
    let names = names(source, row.expansion);
    let weights = |(layer, norm)| normalised(&format!("{place}.{layer}"), &format!("{place}.{norm}"));
    let expand = names.expand.map(|names| {
        let outputs = inputs * row.expansion;
        convolution(weights(names), Extent::POINT, outputs, Activation::Relu6)
    });
    let depthwise = Layer::Depthwise {
        weights: weights(names.depthwise),
        extent: Extent::half(3, stride),
        activation: Activation::Relu6,
    };
    let project = convolution(
        weights(names.project),
        Extent::POINT,
        row.outputs,
        Activation::None,
    );
    let layers: Vec<Layer> = expand.into_iter().chain([depthwise, project]).collect();
    if stride == 1 && inputs == row.outputs {
        vec![Layer::Residual(layers)]
    } else {
        layers
    }
}

/// A convolution and the batch normalisation after it, within a bottleneck.
type Names = (&'static str, &'static str);

struct BottleneckNames {
    expand: Option<Names>,
    depthwise: Names,
    project: Names,
}

fn names(source: Source, expansion: usize) -> BottleneckNames {
    let (expand, depthwise, project) = match (source, expansion) {
        (Source::Timm, 1) => (None, ("conv_dw", "bn1"), ("conv_pw", "bn2")),
        (Source::Timm, _) => (Some(("conv_pw", "bn1")), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
        (_, 1) => (None, ("0.0", "0.1"), ("1", "2")),
        (_, _) => (Some(("0.0", "0.1")), ("1.0", "1.1"), ("2", "3")),
    };
    BottleneckNames {
        expand,
        depthwise,
        project,
    }
}

fn stem(source: Source) -> Weights {
    match source {
        Source::Timm => normalised("conv_stem", "bn1"),
        Source::Keras | Source::Torchvision => normalised("features.0.0", "features.0.1"),
    }
}

fn head(source: Source) -> Weights {
    match source {
        Source::Timm => normalised("conv_head", "bn2"),
        Source::Keras | Source::Torchvision => normalised("features.18.0", "features.18.1"),
    }
}

fn classifier(source: Source) -> Layer {
    let name = match source {
        Source::Timm => "classifier",
        Source::Keras | Source::Torchvision => "classifier.1",
    };
    Layer::Dense {
        weights: Weights::biased(Source::Torchvision, name),
        outputs: CLASSES,
        activation: Activation::None,
    }
}

fn convolution(weights: Weights, extent: Extent, outputs: usize, activation: Activation) -> Layer {
    Layer::Convolution {
        weights,
        extent,
        outputs,
        activation,
    }
}

fn normalised(layer: &str, norm: &str) -> Weights {
    Weights::normalised_torch(layer, norm, EPSILON)
}
