//! VGG16: K. Simonyan & A. Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*,
//! 2014 (arXiv:1409.1556), configuration D.
//!
//! Preprocessing: 224 x 224. Keras' weights are the authors' own from Caffe: BGR minus the mean color.
//! torchvision and timm retrained it, with their usual mean and deviation. Under torchvision's names there are also files
//! of the authors' weights, for BGR (J. Johnson's) or for RGB (torchvision's `IMAGENET1K_FEATURES`).

use super::architecture::{Architecture, LayerSpec, PaddingMode, SquareWindow, WeightNames};
use super::fit::{Published, TrainedOtherwise, WeightSource};
use crate::nn::Activation;
use crate::vision::preprocess::Preprocessing;

/// Convolutions and channels of each block (table 1, column D).
const BLOCKS: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];

/// torchvision's and timm's differ only in the dense layers. A detector's file (SSD) has its own layers 31 and 33.
pub(super) const SOURCES: &[Published] = &[
    Published {
        unused: &["fc*", "predictions*"],
        trained_otherwise: CAFFE,
        ..Published::named(WeightSource::Keras)
    },
    Published {
        source: WeightSource::Torchvision,
        children: &["features", "avgpool", "classifier"],
        unused: &["classifier.*", "features.31.*", "features.33.*"],
        trained_otherwise: CAFFE,
    },
    Published {
        source: WeightSource::Timm,
        children: &["features", "pre_logits", "head"],
        unused: &["pre_logits.*", "head.*"],
        trained_otherwise: CAFFE,
    },
];

const CAFFE: &[TrainedOtherwise] = &[
    TrainedOtherwise {
        name: "VGG16 as trained in Caffe, for BGR",
        channel_norms: [4.3978, 5.4642, 4.9638],
        preprocessing: Preprocessing::caffe,
    },
    TrainedOtherwise {
        name: "VGG16 as trained in Caffe, for RGB",
        channel_norms: [4.9638, 5.4642, 4.3978],
        preprocessing: Preprocessing::caffe_rgb,
    },
];

const SIZE: u32 = 224;

const HALVE: SquareWindow = SquareWindow {
    size: 2,
    stride: 2,
    padding: PaddingMode::Valid,
};

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let preprocessing = match source {
        WeightSource::Keras => Preprocessing::caffe(SIZE),
        _ => Preprocessing::torchvision(SIZE),
    };
    let mut architecture = Architecture::new(preprocessing, &["fc2", "block5_pool"]);
    add_blocks(&mut architecture, source);
    add_dense(&mut architecture, source);
    architecture
}

fn add_blocks(architecture: &mut Architecture, source: WeightSource) {
    // PyTorch numbers convolutions, activations and pools consecutively.
    let mut number = 0;
    for (block, (convolutions, outputs)) in (1..).zip(BLOCKS) {
        for convolution in 1..=convolutions {
            let name = format!("block{block}_conv{convolution}");
            let layer = match source {
                WeightSource::Keras => name.clone(),
                _ => format!("features.{number}"),
            };
            let weights = WeightNames::biased(source, &layer);
            let layer =
                LayerSpec::convolution(weights, SquareWindow::symmetric(3, 1), outputs, Activation::Relu);
            architecture.stage(name, [layer]);
            number += 2;
        }
        architecture.stage(format!("block{block}_pool"), [LayerSpec::MaxPool(HALVE)]);
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
