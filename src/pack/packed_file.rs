//! Reading a packed file, which may be anyone's.

use super::info::MAX_STATED;
use super::{CNN, DOCUMENT_FREQUENCIES, PackError, PackInfo, VERSION, VOCABULARY, card};
use crate::model::{Checkpoint, EncoderSpec, Model, ModelSpec};
use crate::nn::Backend;
use crate::search::{DocumentFrequencies, Search, SearchSettings};
use crate::text::Vocabulary;
use crate::vision::weights::WeightFile;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// An open packed file.
#[derive(Debug)]
pub struct PackedFile {
    checkpoint: Checkpoint,
    info: PackInfo,
    vocabulary: Vocabulary,
}

impl PackedFile {
    /// Opens a packed file, and reads its description and vocabulary.
    ///
    /// # Errors
    /// If the file is not a whole packed file, or one of another version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PackError> {
        #[derive(Deserialize)]
        struct PackVersion {
            version: u32,
            packed_by: String,
        }
        let checkpoint = Checkpoint::open(path.as_ref()).map_err(PackError::of_file)?;
        let path = || path.as_ref().to_owned();
        let damaged = |why: String| PackError::Damaged { path: path(), why };
        let pack = checkpoint.pack();
        if pack.is_null() {
            return Err(PackError::NotPacked { path: path() });
        }
        let invalid = |error: serde_json::Error| damaged(format!("its description has {error}"));
        let versioned = PackVersion::deserialize(pack).map_err(invalid)?;
        if versioned.version != VERSION {
            return Err(PackError::Version {
                path: path(),
                found: versioned.version,
                by: versioned.packed_by,
            });
        }
        let info = PackInfo::deserialize(pack).map_err(invalid)?;
        check(&info).map_err(damaged)?;
        let text = text(&checkpoint, VOCABULARY).map_err(damaged)?;
        let vocabulary = Vocabulary::parse(text).map_err(|invalid| {
            damaged(format!(
                "line {} of its vocabulary {}",
                invalid.line, invalid.what
            ))
        })?;
        let expected = checkpoint.spec().vocabulary;
        if vocabulary.len() != expected {
            let found = vocabulary.len();
            return Err(damaged(format!(
                "its vocabulary has {found} words, and its model writes {expected}"
            )));
        }
        Ok(Self {
            checkpoint,
            info,
            vocabulary,
        })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        self.checkpoint.path()
    }

    /// The description.
    pub fn info(&self) -> &PackInfo {
        &self.info
    }

    /// The model's specification.
    pub fn spec(&self) -> &ModelSpec {
        self.checkpoint.spec()
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// All tensors.
    pub fn tensors(&self) -> &WeightFile {
        self.checkpoint.tensors()
    }

    /// Whether the model card is the one that [`Packing`](super::Packing) writes for the description; `None` for a file of
    /// another version of Cutline.
    pub fn has_own_card(&self) -> Option<bool> {
        let is_this_version = self.info.packed_by == env!("CARGO_PKG_VERSION");
        is_this_version.then(|| self.info.card == card::text(&self.info, self.spec()))
    }

    /// The model with its weights.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape, or the device fails.
    pub fn model<D: Backend>(&self, device: &D) -> Result<Model<D>, PackError> {
        self.checkpoint.model(device).map_err(PackError::of_file)
    }

    /// The published weights of the CNN, by their published names; `None` if the model has no such CNN.
    pub fn cnn(&self) -> Option<WeightFile> {
        let (EncoderSpec::Features(features) | EncoderSpec::FineTuned { features, .. }) =
            &self.checkpoint.spec().encoder
        else {
            return None;
        };
        self.info.cnn.as_ref()?;
        Some(self.tensors().part(CNN, features.weights.clone()))
    }

    /// A search with these settings.
    ///
    /// # Errors
    /// If it uses minimum Bayes risk, and the file has no document frequencies or damaged ones.
    pub fn search(&self, settings: SearchSettings) -> Result<Search, PackError> {
        Search::new(settings, || {
            let path = || self.path().to_owned();
            if self.tensors().bytes(DOCUMENT_FREQUENCIES).is_none() {
                return Err(PackError::NoDocumentFrequencies { path: path() });
            }
            let damaged = |why| PackError::Damaged { path: path(), why };
            let text = text(&self.checkpoint, DOCUMENT_FREQUENCIES).map_err(damaged)?;
            let frequencies = DocumentFrequencies::parse(text, self.vocabulary.len());
            let frequencies = frequencies.map_err(|(line, reason)| {
                damaged(format!("line {line} of its document frequencies: {reason}"))
            })?;
            Ok(Arc::new(frequencies))
        })
    }
}

fn text<'c>(checkpoint: &'c Checkpoint, name: &str) -> Result<&'c str, String> {
    let bytes = checkpoint.tensors().bytes(name);
    let bytes = bytes.ok_or_else(|| format!("it has no tensor `{name}`"))?;
    std::str::from_utf8(bytes).map_err(|error| format!("`{name}`: {error}"))
}

fn check(info: &PackInfo) -> Result<(), String> {
    info.settings.check().map_err(|error| error.to_string())?;
    if info.scores.len() > MAX_STATED {
        return Err(format!("it states {} evaluations", info.scores.len()));
    }
    for stated in &info.scores {
        let settings = crate::training::RunSettings {
            search: stated.search.clone(),
            ..Default::default()
        };
        settings.check().map_err(|error| error.to_string())?;
    }
    Ok(())
}
