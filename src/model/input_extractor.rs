//! Inputs of a model for images outside of its dataset.

use super::{EncoderSpec, ImageInputs, InputsError};
use crate::data::Image;
use crate::files::ConfinedPath;
use crate::nn::Backend;
use crate::vision::backbones::BackboneError;
use crate::vision::features::extractor::{ExtractorError, FeatureExtractor};
use crate::vision::features::feature_file::FeatureShape;
use crate::vision::features::store::FeatureSpec;
use crate::vision::preprocess::Preprocessing;
use crate::vision::weights::{WeightFile, WeightsError};
use std::path::Path;

/// Why inputs cannot be extracted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum InputExtractorError {
    #[error(
        "this model reads features of {backbone}, and no file of its weights is known: name it with --weights (BLAKE3 {expected})"
    )]
    NoWeights { backbone: String, expected: String },
    #[error(
        "this model reads features that another program made ({file}): give those of new images with --features-from"
    )]
    MadeElsewhere { file: String },
    #[error("this model reads images and no features: leave out --features-from, and name images")]
    ReadsPixels,
    #[error(
        "image {name:?} has features of {}x{} numbers, and this model reads {}x{}: give features of the network and layer \
         that it was trained on", .found[0], .found[1], .expected[0], .expected[1]
    )]
    OtherShape {
        name: String,
        /// Regions and channels.
        expected: [usize; 2],
        found: [usize; 2],
    },
    #[error(transparent)]
    Stored(#[from] InputsError),
    #[error("{0}; where the file has moved, give it with --weights")]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Extractor(#[from] ExtractorError),
}

/// Extracts a model's inputs from pixels, or takes them from features made elsewhere.
pub enum InputExtractor<D: Backend> {
    /// The model reads pixels.
    Pixels(Preprocessing),
    /// The model reads features of a CNN with published weights.
    Features(Box<FeatureExtractor<D>>, FeatureSpec),
    /// The model's features are there already.
    Ready(FeatureSpec),
}

impl<D: Backend> InputExtractor<D> {
    /// The extractor of an encoder; `weights` is the file of published weights, which models of stored features require.
    ///
    /// # Errors
    /// If the file is missing, damaged, or not the one of the features.
    pub fn new(
        encoder: &EncoderSpec,
        weights: Option<&Path>,
        device: &D,
    ) -> Result<Self, InputExtractorError> {
        Self::of(encoder, |spec| {
            let weights = weights.ok_or_else(|| InputExtractorError::NoWeights {
                backbone: spec.backbone.clone(),
                expected: spec.weights.clone(),
            })?;
            Ok(FeatureExtractor::from_spec(
                spec,
                &WeightFile::open(weights)?,
                device,
            )?)
        })
    }

    /// The extractor of an encoder with its published weights.
    ///
    /// # Errors
    /// If these are not the weights of the features.
    pub fn with_weights(
        encoder: &EncoderSpec,
        weights: &WeightFile,
        device: &D,
    ) -> Result<Self, InputExtractorError> {
        Self::of(encoder, |spec| {
            Ok(FeatureExtractor::from_spec(spec, weights, device)?)
        })
    }

    fn of(
        encoder: &EncoderSpec,
        load: impl FnOnce(&FeatureSpec) -> Result<FeatureExtractor<D>, InputExtractorError>,
    ) -> Result<Self, InputExtractorError> {
        let spec = match encoder {
            EncoderSpec::SmallCnn(settings) => return Ok(Self::Pixels(settings.preprocessing())),
            EncoderSpec::Features(spec) | EncoderSpec::FineTuned { features: spec, .. } => spec,
        };
        if spec.is_made_elsewhere() {
            let file = spec.backbone.clone();
            return Err(InputExtractorError::MadeElsewhere { file });
        }
        Ok(Self::Features(Box::new(load(spec)?), spec.clone()))
    }

    /// The extractor of an encoder whose features another program makes.
    ///
    /// # Errors
    /// If the encoder reads pixels.
    pub fn of_features(encoder: &EncoderSpec) -> Result<Self, InputExtractorError> {
        match encoder {
            EncoderSpec::SmallCnn(_) => Err(InputExtractorError::ReadsPixels),
            EncoderSpec::Features(spec) | EncoderSpec::FineTuned { features: spec, .. } => {
                Ok(Self::Ready(spec.clone()))
            }
        }
    }

    /// The preprocessing of its images; `None` if it reads features.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        match self {
            Self::Pixels(preprocessing) => Some(preprocessing),
            Self::Features(encoder, _) => Some(encoder.preprocessing()),
            Self::Ready(_) => None,
        }
    }

    /// The row of an image's features `[regions, channels]`, for [`inputs`](Self::inputs).
    ///
    /// # Errors
    /// If the model's features have another shape, or it reads pixels.
    pub fn row(
        &self,
        name: &str,
        shape: FeatureShape,
        features: &[f32],
    ) -> Result<Vec<f32>, InputExtractorError> {
        let Self::Ready(spec) = self else {
            return Err(InputExtractorError::ReadsPixels);
        };
        let (expected, found) = ([spec.regions, spec.channels], [shape.regions, shape.channels]);
        let fits = match spec.variable_regions {
            true => shape.channels == spec.channels && shape.regions <= spec.regions,
            false => expected == found,
        };
        match fits {
            true => Ok(spec.row(features)),
            false => Err(InputExtractorError::OtherShape {
                name: name.to_owned(),
                expected,
                found,
            }),
        }
    }

    /// The row of an image of the dataset in `dataset`, from its features there.
    ///
    /// # Errors
    /// If the dataset lacks these features, or the model reads pixels.
    pub fn stored_row(&self, dataset: &ConfinedPath, image: &Image) -> Result<Vec<f32>, InputExtractorError> {
        let Self::Ready(spec) = self else {
            return Err(InputExtractorError::ReadsPixels);
        };
        let encoder = EncoderSpec::Features(spec.clone());
        Ok(ImageInputs::open(&encoder, dataset, [image])?.read(&[0]))
    }

    /// The inputs of [`Model::regions`](super::Model::regions), equal to those of the same image in the model's dataset.
    ///
    /// # Errors
    /// Those of the network.
    pub fn inputs(&self, pixels: Vec<f32>) -> Result<Vec<f32>, BackboneError> {
        match self {
            Self::Pixels(_) => Ok(pixels),
            Self::Ready(spec) => Ok(spec.as_stored(&pixels)),
            Self::Features(encoder, spec) => {
                let images = pixels.len() / encoder.preprocessing().pixels_len();
                Ok(spec.as_stored(&encoder.features(&pixels, images)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::feature_spec;
    use dfdx::prelude::Cpu;

    fn rejected(backbone: &str, weights: Option<&Path>) -> InputExtractorError {
        let spec = EncoderSpec::Features(feature_spec(backbone, 4096));
        match InputExtractor::new(&spec, weights, &Cpu::default()) {
            Ok(_) => panic!("these weights are not the right ones"),
            Err(error) => error,
        }
    }

    #[test]
    fn missing_or_foreign_weights_are_rejected() {
        let error = rejected("vgg16", None);
        assert!(
            matches!(&error, InputExtractorError::NoWeights { expected, .. } if expected == "0123"),
            "{error}"
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("other.safetensors");
        let error = rejected("vgg16", Some(&path)).to_string();
        assert!(
            error.ends_with("where the file has moved, give it with --weights"),
            "{error}"
        );
        let values = [0; 4];
        let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &values).unwrap();
        std::fs::write(
            &path,
            safetensors::serialize([("x/kernel", tensor)], None).unwrap(),
        )
        .unwrap();
        let error = rejected("vgg16", Some(&path));
        let hash = blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string();
        assert!(
            matches!(&error, InputExtractorError::Extractor(ExtractorError::OtherWeights { found, .. }) if *found == hash),
            "{error}"
        );
        assert!(matches!(
            rejected("vgg61", Some(&path)),
            InputExtractorError::Extractor(ExtractorError::UnknownBackbone(_))
        ));
    }
}
