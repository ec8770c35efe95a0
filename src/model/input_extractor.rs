//! Inputs of a model for images outside of its dataset.

use super::EncoderSpec;
use crate::nn::Backend;
use crate::vision::backbones::BackboneError;
use crate::vision::features::extractor::{ExtractorError, FeatureExtractor};
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
    #[error("{0}; where the file has moved, give it with --weights")]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Extractor(#[from] ExtractorError),
}

/// Extracts a model's inputs from pixels.
pub enum InputExtractor<D: Backend> {
    /// The model reads pixels.
    Pixels(Preprocessing),
    /// The model reads features of a CNN with published weights.
    Features(Box<FeatureExtractor<D>>, FeatureSpec),
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
        let spec = match encoder {
            EncoderSpec::SmallCnn(settings) => return Ok(Self::Pixels(settings.preprocessing())),
            EncoderSpec::Features(spec) | EncoderSpec::FineTuned { features: spec, .. } => spec,
        };
        let weights = weights.ok_or_else(|| InputExtractorError::NoWeights {
            backbone: spec.backbone.clone(),
            expected: spec.weights.clone(),
        })?;
        let encoder = FeatureExtractor::from_spec(spec, &WeightFile::open(weights)?, device)?;
        Ok(Self::Features(Box::new(encoder), spec.clone()))
    }

    /// The preprocessing of its images.
    pub fn preprocessing(&self) -> &Preprocessing {
        match self {
            Self::Pixels(preprocessing) => preprocessing,
            Self::Features(encoder, _) => encoder.preprocessing(),
        }
    }

    /// The inputs of [`Model::regions`](super::Model::regions), equal to those of the same image in the model's dataset.
    ///
    /// # Errors
    /// Those of the network.
    pub fn inputs(&self, pixels: Vec<f32>) -> Result<Vec<f32>, BackboneError> {
        match self {
            Self::Pixels(_) => Ok(pixels),
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
