//! Scoring a checkpoint on a split, saying what is wrong where it fails, and comparing evaluations.

mod compare;
mod image_scores;
mod kept;
mod pairing;
mod report;
mod similarity;
#[cfg(test)]
mod tests;
mod tune;

use crate::data::{Dataset, Image, Split};
use crate::diagnosis::{Diagnosis, EncoderOrigin, Evidence};
use crate::metrics::{self, Background, Bootstrap, Diversity, Scores, Shuffled, Statistics};
use crate::model::{EncoderSpec, Model};
use crate::nn::device::DeviceError;
use crate::nn::{Backend, DeviceResult};
use crate::search::{Hypothesis, Member, Search, SearchSettings, caption_all};
use crate::text::Vocabulary;
use std::collections::HashSet;
use std::ops::ControlFlow;

pub use compare::{Against, Compared, Comparison, ExportError, ExportFormat};
pub use image_scores::{CaptionChange, Histogram, most_changed};
pub use kept::{KeptEvaluation, KeptEvaluationError};
pub use pairing::{Mismatch, NamedReport, Unpaired};
use report::TokenizedCaptions;
pub use report::{CaptionedImage, EnsembleMember, Figures, Report, Subject};
use similarity::mean_cosine;
pub use tune::{SearchGrid, SearchTuner, Trial};

/// Shuffles the captions; fixed, so that a report can be made again.
const SHUFFLING_SEED: u64 = 0;
/// Images whose features are compared with each other.
const IMAGES_COMPARED: usize = 100;

/// The images of a split and all that is needed to judge captions of them.
#[derive(Debug)]
pub struct EvaluationSplit<'a> {
    /// The images.
    pub images: &'a [&'a Image],
    /// What the model could have learned from.
    pub background: Background<'a>,
}

/// Why a split could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// There is nothing to caption.
    #[error("the {0} split has no images; choose another split, or prepare the data set with one")]
    Empty(Split),
    /// The device refused, for lack of memory most of the time.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Whoever was told of the progress broke off.
    #[error("stopped before all images were captioned; evaluate again for the figures")]
    Stopped,
}

/// What a model trained on a data set could have learned from: its training captions, and its words.
pub fn background<'a>(data_set: &'a Dataset, vocabulary: &'a Vocabulary) -> Background<'a> {
    let captions = data_set.images(Split::Train).flat_map(|image| &image.captions);
    Background {
        training_captions: captions.map(|caption| caption.tokens.as_slice()).collect(),
        vocabulary: vocabulary.words().collect::<HashSet<_>>(),
    }
}

/// Captions every image of a split and scores the captions against all references. Several members write together;
/// each has the images in the split's order.
///
/// `progress` is told how many images are done, and may break off.
///
/// # Errors
/// Where the split is empty, or the device refuses.
///
/// # Panics
/// Without members.
pub fn evaluate<D: Backend>(
    members: &[Member<'_, D>],
    vocabulary: &Vocabulary,
    split: &EvaluationSplit<'_>,
    subject: Subject,
    search: &Search,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Report, EvaluationError> {
    if split.images.is_empty() {
        return Err(EvaluationError::Empty(subject.split));
    }
    let device = |error: D::Err| EvaluationError::Device(DeviceError::new(error));
    let indices: Vec<usize> = (0..split.images.len()).collect();
    let hypotheses = caption_all(members, &indices, search, progress).map_err(device)?;
    if hypotheses.len() < indices.len() {
        return Err(EvaluationError::Stopped);
    }
    let best: Vec<&Hypothesis> = hypotheses.iter().filter_map(|beam| beam.first()).collect();
    let evidence = gather_evidence(&members[0], &best).map_err(device)?;
    let captions = best
        .into_iter()
        .zip(split.images)
        .map(|(hypothesis, image)| CaptionedImage {
            image: image.key.clone(),
            caption: vocabulary.decode(&hypothesis.tokens).join(" "),
            log_probability: hypothesis.log_probability,
            scores: Scores::default(),
            references: image
                .captions
                .iter()
                .map(|caption| caption.tokens.join(" "))
                .collect(),
        })
        .collect();
    Ok(report(
        captions,
        &split.background,
        evidence,
        subject,
        search.settings(),
    ))
}

/// Scores the captions, each by itself and all together.
fn report(
    mut captions: Vec<CaptionedImage>,
    background: &Background<'_>,
    evidence: Evidence,
    subject: Subject,
    search: &SearchSettings,
) -> Report {
    let tokenized = TokenizedCaptions::new(&captions);
    let examples = tokenized.examples();
    let statistics = metrics::statistics(&examples);
    let figures = Figures {
        images: examples.len(),
        scores: statistics.iter().copied().sum::<Statistics>().scores(),
        intervals_95: Bootstrap::default().intervals(&statistics),
        diversity: Diversity::of(&examples, background),
        shuffled: Shuffled::of(&examples, SHUFFLING_SEED),
        evidence,
    };
    for (image, statistics) in captions.iter_mut().zip(&statistics) {
        image.scores = statistics.scores();
    }
    Report {
        subject,
        search: search.clone(),
        diagnosis: Diagnosis::of(
            &figures.scores,
            &figures.diversity,
            &figures.shuffled,
            &figures.evidence,
        ),
        figures,
        captions,
    }
}

/// How alike the features of these images are, as the encoder gives them: standardized, even noise differs.
fn similarity<D: Backend>(model: &Model<D>, inputs: Vec<f32>) -> DeviceResult<D, Option<f64>> {
    use dfdx::prelude::{HasShape, NoneTape};
    Ok(match &model.spec().encoder {
        EncoderSpec::Features(spec) => mean_cosine(&inputs, spec.row_len()),
        EncoderSpec::FineTuned { .. } | EncoderSpec::SmallCnn(_) => {
            let map = model.regions::<NoneTape>(inputs)?;
            let (_, regions, channels) = *map.shape();
            mean_cosine(&map.as_vec(), regions * channels)
        }
    })
}

fn gather_evidence<D: Backend>(
    Member { model, inputs }: &Member<'_, D>,
    best: &[&Hypothesis],
) -> DeviceResult<D, Evidence> {
    let step = best.len().div_ceil(IMAGES_COMPARED).max(1);
    let indices: Vec<usize> = (0..best.len()).step_by(step).collect();
    let log_probability: f64 = best.iter().map(|hypothesis| hypothesis.log_probability).sum();
    // The end marker is a token too.
    let tokens: usize = best.iter().map(|hypothesis| hypothesis.tokens.len() + 1).sum();
    Ok(Evidence {
        encoder: match model.spec().encoder {
            EncoderSpec::Features(_) => EncoderOrigin::Pretrained,
            EncoderSpec::FineTuned { .. } | EncoderSpec::SmallCnn(_) => EncoderOrigin::TrainedJointly,
        },
        feature_similarity: similarity(model, inputs.read(&indices))?,
        token_log_probability: log_probability / tokens.max(1) as f64,
        uniform_log_probability: -(model.spec().vocabulary as f64).ln(),
    })
}
