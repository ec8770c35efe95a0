//! The description of a packed file.

use crate::data::Split;
use crate::evaluation::{CaptionedImage, CorpusScores, Report};
use crate::jobs::CheckpointKind;
use crate::metrics::Scores;
use crate::search::SearchSettings;
use crate::suggest::{Named, UnknownName, unknown_name};
use crate::training::RunSettings;
use serde::{Deserialize, Serialize};

/// More evaluations than anyone states; the limit bounds what a file can ask `verify` to do.
pub(super) const MAX_STATED: usize = 64;

/// What a packed file holds, besides the model's specification. The JSON is `pack` in the file's header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackInfo {
    /// The version of the description and of the tensors' names.
    pub version: u32,
    /// The version of Cutline that packed it.
    pub packed_by: String,
    /// The run's name.
    pub run: String,
    /// Which of its checkpoints.
    pub checkpoint: CheckpointKind,
    /// How the weights are kept.
    pub dtype: PackDtype,
    /// The dataset that the run was trained on.
    pub dataset: PackedData,
    /// The settings of the run.
    pub settings: RunSettings,
    /// The CNN with published weights; none for a small CNN, and for features made elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnn: Option<CnnInfo>,
    /// The scores of these weights, each as evaluated on a split.
    #[serde(default)]
    pub scores: Vec<StatedScores>,
    /// The model card: Markdown.
    pub card: String,
}

/// The dataset of a packed run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedData {
    /// Its name.
    pub name: String,
    /// Its hash.
    pub hash: String,
}

/// A CNN with published weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CnnInfo {
    /// The name of the file of its weights.
    pub file: String,
    /// The terms of the weights.
    pub license: String,
    /// Who made and who distributes them.
    pub origin: String,
}

/// How weights are kept. Vectors, and matrices with numbers that half precision cannot hold, are always `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum PackDtype {
    /// Half precision: half the size; captions may change in places.
    F16,
    /// As trained.
    #[default]
    F32,
}

impl Named for PackDtype {
    const KIND: &'static str = "dtype of weights";
}

/// The scores of a packed file on a split, and all that they depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatedScores {
    /// The dataset's name.
    pub dataset: String,
    /// The dataset's hash.
    pub data_hash: String,
    /// The split.
    pub split: Split,
    /// Images captioned.
    pub images: usize,
    /// The search settings.
    pub search: SearchSettings,
    /// BLAKE3 of all captions with their images' names.
    pub captions: String,
    /// The scores.
    pub scores: Scores,
    /// What the scores depend on.
    pub signature: String,
    /// The scores by coco-caption's tokenizer.
    pub ptb: Scores,
    /// What these depend on.
    pub ptb_signature: String,
}

impl StatedScores {
    /// The scores of a report; `None` for one of an older version, without a signature.
    pub fn of_report(report: &Report) -> Option<Self> {
        let ptb = report.summary.ptb.as_ref()?;
        Some(Self {
            dataset: report.info.dataset.clone(),
            data_hash: report.info.data_hash.clone(),
            split: report.info.split,
            images: report.summary.images,
            search: report.search.clone(),
            captions: digest(&report.captions),
            scores: report.summary.scores,
            signature: report.summary.signature.clone(),
            ptb: ptb.scores,
            ptb_signature: ptb.signature.clone(),
        })
    }

    /// The same with the captions of these weights, and their scores.
    pub(super) fn with(
        &self,
        captions: &[CaptionedImage],
        (scores, signature): (Scores, String),
        ptb: CorpusScores,
    ) -> Self {
        Self {
            images: captions.len(),
            captions: digest(captions),
            scores,
            signature,
            ptb: ptb.scores,
            ptb_signature: ptb.signature,
            ..self.clone()
        }
    }
}

/// Texts are hashed after their lengths, so that different captions never give the same bytes.
fn digest(captions: &[CaptionedImage]) -> String {
    let mut hasher = blake3::Hasher::new();
    for CaptionedImage { image, caption, .. } in captions {
        for text in [image, caption] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
