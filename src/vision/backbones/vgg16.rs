//! VGG16: K. Simonyan & A. Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*,
//! 2014 (arXiv:1409.1556), configuration D.
//!
//! Preprocessing: 224 x 224. Keras' weights are the authors' own from Caffe: BGR minus the mean color.
//! torchvision and timm trained anew, with their usual mean and deviation.

use super::architecture::{Extent, Layer, Margin, Plan, Weights};
use super::{Origin, Source};
use crate::nn::Activation;
use crate::vision::preprocess::Preprocessing;

/// Convolutions and channels of each block (table 1, column D).
const BLOCKS: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];

/// torchvision's and timm's differ in the dense layers alone; without them it makes no difference.
pub(super) const ORIGINS: &[Origin] = &[
    Origin::new(Source::Keras, "block1_conv1/kernel"),
    Origin::new(Source::Torchvision, "classifier.0.weight"),
    Origin::new(Source::Timm, "pre_logits.fc1.weight"),
];

const SIZE: u32 = 224;

const HALVE: Extent = Extent {
    size: 2,
    stride: 2,
    margin: Margin::Valid,
};

pub(super) fn plan(source: Source) -> Plan {
    let preprocessing = match source {
        Source::Keras => Preprocessing::caffe(SIZE),
        _ => Preprocessing::torchvision(SIZE),
    };
    let mut plan = Plan::new(preprocessing, &["fc2", "block5_pool"]);
    add_blocks(&mut plan, source);
    add_dense(&mut plan, source);
    plan
}

fn add_blocks(plan: &mut Plan, source: Source) {
    // PyTorch numbers convolutions, rectifiers and pools in one row.
    let mut number = 0;
    for (block, (convolutions, outputs)) in (1..).zip(BLOCKS) {
        for convolution in 1..=convolutions {
            let name = format!("block{block}_conv{convolution}");
            let layer = match source {
                Source::Keras => name.clone(),
                _ => format!("features.{number}"),
            };
            let weights = Weights::biased(source, &layer);
            let layer = Layer::convolution(weights, Extent::half(3, 1), outputs, Activation::Relu);
            plan.stage(name, [layer]);
            number += 2;
        }
        plan.stage(format!("block{block}_pool"), [Layer::MaxPool(HALVE)]);
        number += 1;
    }
}

fn add_dense(plan: &mut Plan, source: Source) {
    let names = match source {
        Source::Keras => ["fc1", "fc2", "predictions"],
        Source::Timm => ["pre_logits.fc1", "pre_logits.fc2", "head.fc"],
        _ => ["classifier.0", "classifier.3", "classifier.6"],
    };
    let layers = [
        ("fc1", 4096, Activation::Relu),
        ("fc2", 4096, Activation::Relu),
        ("logits", 1000, Activation::None),
    ];
    for ((stage, outputs, activation), name) in layers.into_iter().zip(names) {
        let weights = Weights::biased(source, name);
        plan.stage(
            stage,
            [Layer::Dense {
                weights,
                outputs,
                activation,
            }],
        );
    }
}
