//! The specification of a model: encoder, decoder and size of the vocabulary.

use crate::decoders::{self, DecoderSettings, DecoderShape};
use crate::vision::augment::Augmentation;
use crate::vision::backbones::fine_tuned_layers::FineTunedSpec;
use crate::vision::backbones::small_cnn::SmallCnnSettings;
use crate::vision::features::store::FeatureSpec;
use serde::{Deserialize, Serialize};

/// Everything needed to build a [`Model`](super::Model) but its weights. Every checkpoint holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// The encoder.
    pub encoder: EncoderSpec,
    /// The decoder's settings.
    pub decoder: DecoderSettings,
    /// Words of the vocabulary, special tokens included.
    pub vocabulary: usize,
}

impl ModelSpec {
    /// A lower bound on the number of trainable parameters; see [`decoders::min_parameters`].
    pub fn min_parameters(&self) -> usize {
        let network = match &self.encoder {
            EncoderSpec::Features(_) => 0,
            EncoderSpec::FineTuned { layers, .. } => layers.parameters(),
            EncoderSpec::SmallCnn(settings) => settings.parameters(),
        };
        let decoder = decoders::min_parameters(&self.decoder, self.decoder_shape());
        network.saturating_add(decoder)
    }

    /// Checks that the sizes fit together and a machine can hold them. A specification may come from anyone's file, and
    /// everything behind this check multiplies its sizes.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn check(&self) -> Result<(), String> {
        /// Larger than any vocabulary, and than any layer of a decoder.
        const MAX_SIZE: usize = 1 << 24;
        let decoder = &self.decoder;
        for (name, size) in [
            ("hidden_size", decoder.hidden_size),
            ("embedding_size", decoder.embedding_size),
            ("attention_size", decoder.attention_size),
            ("vocabulary", self.vocabulary),
        ] {
            if !(1..=MAX_SIZE).contains(&size) {
                return Err(format!("{name} is {size}"));
            }
        }
        if decoder.tie_embeddings && decoder.embedding_size != decoder.hidden_size {
            return Err("tied embeddings have another size than the hidden layer".to_owned());
        }
        self.encoder.check()
    }

    pub(super) fn decoder_shape(&self) -> DecoderShape {
        DecoderShape {
            channels: self.encoder.channels(),
            vocabulary: self.vocabulary,
        }
    }
}

/// The encoder of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EncoderSpec {
    /// From a network with published weights that is not trained further; its features were stored.
    Features(FeatureSpec),
    /// From a network with published weights whose last layers are fine-tuned with the decoder; their inputs were stored.
    FineTuned {
        /// The stored features.
        features: FeatureSpec,
        /// The trained layers.
        layers: FineTunedSpec,
    },
    /// From a small network trained together with the decoder.
    SmallCnn(SmallCnnSettings),
}

impl EncoderSpec {
    /// The same for augmented images; `None` without features that Cutline extracts.
    pub fn with_augmentation(&self, augmentation: Augmentation) -> Option<Self> {
        let mut other = self.clone();
        let features = match &mut other {
            Self::Features(features) | Self::FineTuned { features, .. } => features,
            Self::SmallCnn(_) => return None,
        };
        features.preprocessing.as_mut()?.augmentation = augmentation;
        Some(other)
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Features(features) => features.check(),
            Self::FineTuned { features, layers } => {
                features.check()?;
                // First of all: the number of regions is a product.
                let fits = layers.fits_together()
                    && (layers.input.regions(), layers.input.channels)
                        == (features.regions, features.channels);
                match fits {
                    true => Ok(()),
                    false => Err("its fine-tuned layers do not fit together".to_owned()),
                }
            }
            Self::SmallCnn(settings) => match settings.has_possible_size() {
                true => Ok(()),
                false => Err(format!(
                    "encoder.small_cnn is too large, with images of {} pixels a side",
                    settings.size
                )),
            },
        }
    }

    /// Numbers of an image: its stored features, or its pixels.
    pub fn input_len(&self) -> usize {
        match self {
            Self::Features(features) | Self::FineTuned { features, .. } => features.row_len(),
            Self::SmallCnn(settings) => settings.preprocessing().pixels_len(),
        }
    }

    /// Regions of an image that the decoder reads; one for the image as a whole.
    pub fn regions(&self) -> usize {
        match self {
            Self::Features(spec) => spec.regions,
            Self::FineTuned { layers, .. } => layers.output.regions(),
            Self::SmallCnn(_) => 1,
        }
    }

    /// Whether it reads features that another program made.
    pub fn is_made_elsewhere(&self) -> bool {
        matches!(self, Self::Features(spec) if spec.is_made_elsewhere())
    }

    /// Whether images have different numbers of regions, which are in no grid.
    pub fn has_variable_regions(&self) -> bool {
        matches!(self, Self::Features(spec) if spec.variable_regions)
    }

    /// Channels of a region.
    pub(super) fn channels(&self) -> usize {
        match self {
            Self::Features(spec) => spec.channels,
            Self::FineTuned { layers, .. } => layers.output.channels,
            Self::SmallCnn(settings) => settings.shape().regions() * settings.shape().channels,
        }
    }
}
