//! MobileNetV2: M. Sandler, A. Howard, M. Zhu, A. Zhmoginov & L.-C. Chen, *MobileNetV2: Inverted Residuals and
//! Linear Bottlenecks*, 2018 (arXiv:1801.04381), width 1.0.
//!
//! Preprocessing: 224 x 224, torchvision's mean and deviation. Names are torchvision's or timm's; Keras' weights
//! differ in padding and preprocessing too and are not read.

use super::architecture::{Architecture, SquareWindow};
use super::fit::{Published, WeightSource};
use super::inverted_residual::{
    BlockWeights, InvertedResidual, MobileNet, OuterNames, Row, TIMM, normalized, row,
};
use crate::vision::preprocess::Preprocessing;

/// Table 2.
const ROWS: [Row; 7] = [
    row(1, 3, 1, 16, 1),
    row(6, 3, 2, 24, 2),
    row(6, 3, 2, 32, 3),
    row(6, 3, 2, 64, 4),
    row(6, 3, 1, 96, 3),
    row(6, 3, 2, 160, 3),
    row(6, 3, 1, 320, 1),
];

pub(super) const SOURCES: &[Published] = &[
    Published {
        children: &["features", "classifier"],
        unused: &["classifier.*"],
        ..Published::named(WeightSource::Torchvision)
    },
    TIMM,
];

/// PyTorch's.
const EPSILON: f32 = 1e-5;

pub(super) fn architecture(source: WeightSource) -> Architecture {
    let network = MobileNet {
        preprocessing: Preprocessing::torchvision(224),
        rows: ROWS.to_vec(),
        window: SquareWindow::symmetric,
        epsilon: EPSILON,
        stem: "features.0",
        blocks: ("features.", 1),
        names: OuterNames {
            stem: ("features.0.0", "features.0.1"),
            head: ("features.18.0", "features.18.1"),
            classifier: "classifier.1",
        },
        block_weights: torchvision_weights,
    };
    network.architecture(source)
}

/// torchvision numbers the layers of a block, so the numbers depend on whether there is an expansion.
fn torchvision_weights(block: InvertedResidual, number: usize) -> BlockWeights {
    let prefix = format!("features.{number}.conv");
    let weights = |layer, norm| normalized(&prefix, layer, norm, EPSILON);
    let (depthwise, project) = if block.expands() {
        (weights("1.0", "1.1"), weights("2", "3"))
    } else {
        (weights("0.0", "0.1"), weights("1", "2"))
    };
    BlockWeights {
        expand: weights("0.0", "0.1"),
        depthwise,
        project,
    }
}
