//! Packing a run.

use super::info::MAX_STATED;
use super::tensors::{self, PackedTensor};
use super::{
    CNN, CnnInfo, DOCUMENT_FREQUENCIES, PackDtype, PackError, PackInfo, PackedData, StatedScores, VERSION,
    VOCABULARY, card,
};
use crate::files::write_atomically;
use crate::jobs::CheckpointKind;
use crate::model::{EncoderSpec, InputExtractor, matrices, metadata};
use crate::nn::Backend;
use crate::training::TrainedRun;
use crate::vision::backbones::BackboneKind;
use crate::vision::features::extractor::ExtractorError;
use crate::vision::features::store::FeatureSpec;
use crate::vision::weights::WeightFile;
use dfdx::prelude::Cpu;
use std::io;
use std::path::Path;

/// The terms of a file of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightTerms {
    /// The license.
    pub license: String,
    /// Who made and who distributes them.
    pub origin: String,
}

/// A run that is being packed.
pub struct Packing<D: Backend> {
    run: TrainedRun<D>,
    info: PackInfo,
    /// The CNN's published weights.
    cnn: Option<WeightFile>,
}

impl<D: Backend> Packing<D> {
    /// A run and which of its checkpoints was opened. `weights` is the file of the CNN's published weights, which features
    /// made elsewhere and a small CNN do not need; `terms` looks up its terms.
    ///
    /// # Errors
    /// If the file of weights is missing, damaged, or not the one of the features.
    pub fn new(
        run: TrainedRun<D>,
        checkpoint: CheckpointKind,
        dtype: PackDtype,
        weights: Option<&Path>,
        terms: impl FnOnce(&Path) -> WeightTerms,
    ) -> Result<Self, PackError> {
        let cnn = published(&run, weights)?;
        let described = cnn.as_ref().map(|cnn| {
            let WeightTerms { license, origin } = terms(cnn.path());
            let file = cnn.path().file_name().unwrap_or_default();
            CnnInfo {
                file: file.to_string_lossy().into_owned(),
                license,
                origin,
            }
        });
        let info = PackInfo {
            version: VERSION,
            packed_by: env!("CARGO_PKG_VERSION").into(),
            run: run.directory.name(),
            checkpoint,
            dtype,
            dataset: PackedData {
                name: run.record.data.name.clone(),
                hash: run.record.data.hash.clone(),
            },
            settings: run.record.settings.clone(),
            cnn: described,
            scores: Vec::new(),
            card: String::new(),
        };
        Ok(Self { run, info, cnn })
    }

    /// The description as it will be written.
    pub fn info(&self) -> &PackInfo {
        &self.info
    }

    /// The run.
    pub fn run(&self) -> &TrainedRun<D> {
        &self.run
    }

    /// The file of the CNN's published weights.
    pub(super) fn cnn(&self) -> Option<&WeightFile> {
        self.cnn.as_ref()
    }

    /// The scores of the checkpoint in the saved evaluations of the run, one for each split and search, and the names of the
    /// evaluations of an earlier checkpoint.
    ///
    /// # Errors
    /// If a report cannot be read.
    pub fn evaluations(&self) -> Result<(Vec<StatedScores>, Vec<String>), PackError> {
        let directory = &self.run.directory;
        let written =
            |path: &crate::files::ConfinedPath| path.modified_and_length().ok().map(|found| found.0);
        let checkpoint = written(&directory.checkpoint(self.info.checkpoint));
        let (mut scores, mut earlier) = (Vec::new(), Vec::new());
        for evaluation in directory.saved_evaluations()? {
            let report = evaluation.read()?.report;
            if report.info.checkpoint != self.info.checkpoint || !report.info.ensemble.is_empty() {
                continue;
            }
            if written(&evaluation.path) < checkpoint {
                earlier.push(evaluation.name);
                continue;
            }
            scores.extend(StatedScores::of_report(&report));
        }
        scores.truncate(MAX_STATED);
        Ok((scores, earlier))
    }

    /// States these scores, which must be those of the weights as they are packed.
    pub fn state(&mut self, scores: Vec<StatedScores>) {
        self.info.scores = scores;
    }

    /// Writes the file: the same bytes for the same run.
    ///
    /// # Errors
    /// If a weight is not finite, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), PackError> {
        let dtype = self.info.dtype;
        let mut tensors = Vec::new();
        for matrix in matrices(&self.run.model) {
            tensors.push(PackedTensor::of_model(&matrix, dtype)?);
        }
        if let (Some(cnn), Some(features)) = (&self.cnn, features_of(&self.run.model.spec().encoder)) {
            let kind: BackboneKind = features
                .backbone
                .parse()
                .map_err(ExtractorError::from)
                .map_err(inputs)?;
            for (name, tensor) in kind.tensors_up_to(cnn, &features.layer)? {
                tensors.push(PackedTensor::of_network(format!("{CNN}{name}"), tensor, dtype)?);
            }
        }
        let vocabulary = self.run.vocabulary.to_text()?;
        tensors.push(PackedTensor::of_text(VOCABULARY, vocabulary.into_bytes()));
        if self.run.directory.ngrams().exists() {
            let mut text = Vec::new();
            let failed = |source| PackError::Write {
                path: path.to_owned(),
                source,
            };
            self.run
                .document_frequencies()?
                .write_to(&mut text)
                .map_err(failed)?;
            tensors.push(PackedTensor::of_text(DOCUMENT_FREQUENCIES, text));
        }
        let info = PackInfo {
            card: card::text(&self.info, self.run.model.spec()),
            ..self.info.clone()
        };
        let written = serde_json::to_value(info)
            .and_then(|info| metadata(self.run.model.spec(), serde_json::Value::Null, info))
            .map_err(io::Error::from)
            .and_then(|metadata| write_atomically(path, |out| tensors::write(tensors, metadata, out)));
        written.map_err(|source| PackError::Write {
            path: path.to_owned(),
            source,
        })
    }
}

pub(super) fn features_of(encoder: &EncoderSpec) -> Option<&FeatureSpec> {
    match encoder {
        EncoderSpec::Features(features) | EncoderSpec::FineTuned { features, .. } => Some(features),
        EncoderSpec::SmallCnn(_) => None,
    }
}

pub(super) fn inputs(error: ExtractorError) -> PackError {
    PackError::Inputs(error.into())
}

/// The published weights of the run's CNN, if it has one, checked to give the features that it was trained on.
fn published<D: Backend>(
    run: &TrainedRun<D>,
    weights: Option<&Path>,
) -> Result<Option<WeightFile>, PackError> {
    let encoder = &run.model.spec().encoder;
    let Some(features) = features_of(encoder).filter(|features| !features.is_made_elsewhere()) else {
        return Ok(None);
    };
    let weights = weights.ok_or_else(|| PackError::NoWeights {
        expected: features.weights.clone(),
    })?;
    let file = WeightFile::open(weights)?;
    InputExtractor::with_weights(encoder, &file, &Cpu::default())?;
    Ok(Some(file))
}
