//! Settings of the encoder and of its inputs.

use crate::vision::backbones::small_cnn::SmallCnnSettings;
use serde::{Deserialize, Serialize};
use strum::VariantNames;

/// The encoder: stored features, or a CNN trained from scratch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderSettings {
    /// Stored features or a small CNN.
    pub kind: EncoderKind,
    /// Name of the dataset's feature store; empty: the only one.
    pub features: String,
    /// Whether stored features are normalized to mean 0 and standard deviation 1 per channel.
    pub normalize_features: bool,
    /// Layer of the pretrained network up to which the layers behind the stored one are fine-tuned; empty: none.
    pub unfreeze_until: String,
    /// Multiplier of the learning rate for the fine-tuned layers.
    pub lr_multiplier: f32,
    /// The CNN trained from scratch.
    pub small_cnn: SmallCnnSettings,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self {
            kind: EncoderKind::default(),
            features: String::new(),
            normalize_features: true,
            unfreeze_until: String::new(),
            lr_multiplier: 0.1,
            small_cnn: SmallCnnSettings::default(),
        }
    }
}

/// The kind of encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EncoderKind {
    /// Stored features if the dataset has any, else the small CNN.
    #[default]
    Auto,
    /// Features stored by `prepare`.
    Features,
    /// A small CNN trained together with the decoder.
    SmallCnn,
}

/// Augmentation of the training images: which of the stored views of an image a step reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentSettings {
    /// Probability of a horizontal flip; the dataset must hold features of flipped images.
    pub hflip_prob: f32,
    /// Number of stored random crops of each image to choose from; the dataset must hold their features.
    pub random_crops: u32,
    /// Probability of a random crop, if there are any.
    pub random_crop_prob: f32,
}

impl Default for AugmentSettings {
    fn default() -> Self {
        Self {
            hflip_prob: 0.0,
            random_crops: 0,
            random_crop_prob: 0.5,
        }
    }
}
