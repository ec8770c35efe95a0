//! Captions for any photo, whether or not a data set holds it.

use super::model::{EncoderSpec, Model};
use super::{SearchSettings, write_captions};
use crate::nn::Backend;
use crate::text::Vocabulary;
use crate::vision::backbone::{Backbone, BackboneError, BackboneKind, FeatureForm, UnknownName};
use crate::vision::preprocess::Preprocessing;
use crate::vision::store::{FeatureDtype, FeatureSpec};
use crate::vision::weights::{WeightFile, WeightsError};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Why photos cannot be captioned.
#[derive(Debug, thiserror::Error)]
pub enum CaptionerError {
    /// The model was trained on features of a network whose weights are not at hand.
    #[error(
        "this model reads features of {backbone}, and no file of its weights is known: give it with --weights, BLAKE3 {expected}"
    )]
    NoWeights {
        /// The network.
        backbone: String,
        /// The hash of the file the features were made with.
        expected: String,
    },
    /// The file of weights is not the one that the model's features were made with.
    #[error(
        "weights {}: not the file that this model's features were made with (BLAKE3 {found}, not {expected}): give that file with --weights",
        path.display()
    )]
    OtherWeights {
        /// The file given.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash of the file the features were made with.
        expected: String,
    },
    /// The network gives features of another shape than the model was trained on.
    #[error(
        "{backbone} gives {found:?} regions and channels at layer {layer}, this model reads {expected:?}: it was trained with another version of Cutline; train it again"
    )]
    OtherShape {
        /// The network.
        backbone: String,
        /// The layer.
        layer: String,
        /// Regions and channels that it gives.
        found: (usize, usize),
        /// Regions and channels that the model reads.
        expected: (usize, usize),
    },
    /// The model names a network that this version does not know.
    #[error("this model was trained on features of another version of Cutline: {0}")]
    UnknownBackbone(#[from] UnknownName),
    /// The file of weights cannot be read.
    #[error("{0}; where the file has moved, give it with --weights")]
    Weights(#[from] WeightsError),
    /// The network cannot be loaded or run.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// The device refused, for lack of memory most of the time.
    #[error("the device failed ({0}): try fewer photos at once, or a smaller beam")]
    Device(String),
}

impl CaptionerError {
    fn device(error: impl std::fmt::Display) -> Self {
        Self::Device(error.to_string())
    }
}

/// Turns any photo into what a model's encoder is given: the same numbers as for a photo of its data set.
pub struct PhotoEncoder<D: Backend> {
    preprocessing: Preprocessing,
    network: Option<PublishedNetwork<D>>,
}

/// A network with published weights whose features a model reads.
struct PublishedNetwork<D: Backend> {
    backbone: Backbone<D>,
    form: FeatureForm,
    dtype: FeatureDtype,
    device: D,
}

impl<D: Backend> PhotoEncoder<D> {
    /// The encoder for models of this specification; `weights` is needed where they read stored features.
    ///
    /// # Errors
    /// Where the file of weights is missing, damaged, or not the one that the features were made with.
    pub fn new(encoder: &EncoderSpec, weights: Option<&Path>, device: &D) -> Result<Self, CaptionerError> {
        match encoder {
            EncoderSpec::SmallCnn(settings) => Ok(Self {
                preprocessing: settings.preprocessing(),
                network: None,
            }),
            EncoderSpec::Features(spec) => Ok(Self {
                preprocessing: spec.preprocessing.clone(),
                network: Some(PublishedNetwork::load(spec, weights, device)?),
            }),
        }
    }

    /// How photos become the pixels that [`encode`](Self::encode) takes.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The inputs of [`Model::regions`] for photos given as pixels `[photos, size, size, 3]`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn encode(&self, pixels: Vec<f32>) -> Result<Vec<f32>, CaptionerError> {
        let Some(network) = &self.network else {
            return Ok(pixels);
        };
        let size = self.preprocessing.size as usize;
        let photos = pixels.len() / self.preprocessing.pixels_len();
        let images = network
            .device
            .try_tensor_from_vec(pixels, (photos, size, size, 3))
            .map_err(CaptionerError::device)?;
        let mut features = network.backbone.features(images, network.form)?.as_vec();
        round_as_stored(&mut features, network.dtype);
        Ok(features)
    }
}

impl<D: Backend> PublishedNetwork<D> {
    fn load(spec: &FeatureSpec, weights: Option<&Path>, device: &D) -> Result<Self, CaptionerError> {
        let kind: BackboneKind = spec.backbone.parse()?;
        let path = weights.ok_or_else(|| CaptionerError::NoWeights {
            backbone: spec.backbone.clone(),
            expected: spec.weights.clone(),
        })?;
        let file = WeightFile::open(path)?;
        let found = file.hash();
        if found != spec.weights {
            return Err(CaptionerError::OtherWeights {
                path: path.to_owned(),
                found,
                expected: spec.weights.clone(),
            });
        }
        let backbone = Backbone::load(kind, &file, Some(&spec.layer), device)?;
        let form = if spec.regions == 1 {
            FeatureForm::Pooled
        } else {
            FeatureForm::Grid
        };
        let shape = backbone.layer().shape;
        let (found, expected) = (
            (form.regions(shape), shape.channels),
            (spec.regions, spec.channels),
        );
        if found != expected {
            return Err(CaptionerError::OtherShape {
                backbone: spec.backbone.clone(),
                layer: spec.layer.clone(),
                found,
                expected,
            });
        }
        Ok(Self {
            backbone,
            form,
            dtype: spec.dtype,
            device: device.clone(),
        })
    }
}

/// Rounds features as the store of the data set does, so that a photo gets the same caption either way.
fn round_as_stored(features: &mut [f32], dtype: FeatureDtype) {
    match dtype {
        FeatureDtype::F16 => features
            .iter_mut()
            .for_each(|value| *value = half::f16::from_f32(*value).to_f32()),
        FeatureDtype::F32 => {}
    }
}

/// A caption in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WrittenCaption {
    /// Its words, joined by spaces.
    pub caption: String,
    /// Natural logarithm of its probability.
    pub log_probability: f64,
}

/// Encoder, decoder and vocabulary: from pixels to captions in words.
pub struct Captioner<D: Backend> {
    model: Model<D>,
    encoder: PhotoEncoder<D>,
    vocabulary: Vocabulary,
}

impl<D: Backend> Captioner<D> {
    /// A captioner of a model and the vocabulary it was trained with; `weights` is the file of published
    /// weights that its features were made with, where it reads features.
    ///
    /// # Errors
    /// As [`PhotoEncoder::new`].
    pub fn new(
        model: Model<D>,
        vocabulary: Vocabulary,
        weights: Option<&Path>,
    ) -> Result<Self, CaptionerError> {
        Ok(Self {
            encoder: PhotoEncoder::new(&model.spec().encoder, weights, model.device())?,
            model,
            vocabulary,
        })
    }

    /// How photos become the pixels that [`captions`](Self::captions) takes.
    pub fn preprocessing(&self) -> &Preprocessing {
        self.encoder.preprocessing()
    }

    /// Captions for photos given as pixels `[photos, size, size, 3]`: for each those found, best first.
    ///
    /// # Errors
    /// Those of the device.
    pub fn captions(
        &self,
        pixels: Vec<f32>,
        search: &SearchSettings,
    ) -> Result<Vec<Vec<WrittenCaption>>, CaptionerError> {
        let inputs = self.encoder.encode(pixels)?;
        let regions = self.model.regions(inputs).map_err(CaptionerError::device)?;
        let found =
            write_captions(self.model.decoder.as_ref(), regions, search).map_err(CaptionerError::device)?;
        let in_words = |hypothesis: super::Hypothesis| WrittenCaption {
            caption: self.vocabulary.decode(&hypothesis.tokens).join(" "),
            log_probability: hypothesis.log_probability,
        };
        Ok(found
            .into_iter()
            .map(|hypotheses| hypotheses.into_iter().map(in_words).collect())
            .collect())
    }
}
