//! Evaluation of checkpoints on a split, comparison of evaluations, and tuning of the search.

mod captions_file;
mod compare;
mod image_scores;
mod pairing;
mod report;
mod saved;
mod scoring;
mod similarity;
#[cfg(test)]
mod tests;
mod tune;

use crate::data::{Dataset, Image, Split};
use crate::diagnosis::{Diagnosis, EncoderOrigin, Evidence};
use crate::metrics::{self, Bootstrap, Diversity, Scores, Shuffled, Statistics, TrainingCorpus};
use crate::model::{EncoderSpec, Model};
use crate::nn::device::DeviceError;
use crate::nn::{Backend, DeviceResult};
use crate::search::{Hypothesis, Member, Search, SearchSettings, caption_all};
use crate::text::Vocabulary;
use std::collections::HashSet;
use std::ops::ControlFlow;

pub use captions_file::{CaptionRole, CaptionsFile, CaptionsFileError, CocoResult, with_ids_of};
pub use compare::{Against, Compared, Comparison, ExportError, ExportFormat};
pub use image_scores::{CaptionChange, Histogram, most_changed};
pub use pairing::{Mismatch, NamedReport, Unpaired};
use report::tokenized;
pub use report::{CaptionedImage, EvaluationInfo, EvaluationSummary, Report};
pub(crate) use saved::MAX_REPORT_BYTES;
pub use saved::{SavedEvaluation, SavedEvaluationError};
pub use scoring::{AddMetrics, CorpusScores, RawCaption, signature};
use similarity::mean_cosine;
pub use tune::{SearchGrid, SearchTuner, Trial};

/// The seed of caption shuffling; fixed, so that reports are reproducible.
const SHUFFLING_SEED: u64 = 0;
/// The number of images whose features are compared.
const IMAGES_COMPARED: usize = 100;

/// The images of a split, with the training data for the novelty of captions.
#[derive(Debug)]
pub struct EvaluationSplit<'a> {
    /// The images.
    pub images: &'a [&'a Image],
    /// The training captions and the vocabulary.
    pub corpus: TrainingCorpus<'a>,
}

/// Why a split could not be evaluated.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum EvaluationError {
    #[error("the {0} split has no images; choose another split, or prepare the dataset with one")]
    Empty(Split),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("stopped before all images were captioned; evaluate again for the figures")]
    Stopped,
}

/// The training captions of a dataset, if it is there, and the words of the vocabulary.
pub fn training_corpus<'a>(dataset: Option<&'a Dataset>, vocabulary: &'a Vocabulary) -> TrainingCorpus<'a> {
    let images = dataset
        .into_iter()
        .flat_map(|dataset| dataset.images(Split::Train));
    let captions = images.flat_map(|image| &image.captions);
    TrainingCorpus {
        training_captions: captions.map(|caption| caption.tokens.as_slice()).collect(),
        vocabulary: vocabulary.words().collect::<HashSet<_>>(),
    }
}

/// Captions every image of a split and scores the captions against all references. Several members form an ensemble;
/// the inputs of each are in the order of the split.
///
/// `progress` gets the number of finished images, and may stop the evaluation. `add_metrics` adds to the scores by
/// coco-caption's tokenizer.
///
/// # Errors
/// For an empty split, or a device error.
///
/// # Panics
/// Without members.
pub fn evaluate<D: Backend>(
    members: &[Member<'_, D>],
    vocabulary: &Vocabulary,
    split: &EvaluationSplit<'_>,
    info: EvaluationInfo,
    search: &Search,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    add_metrics: &mut AddMetrics<'_>,
) -> Result<Report, EvaluationError> {
    if split.images.is_empty() {
        return Err(EvaluationError::Empty(info.split));
    }
    let device = |error: D::Err| EvaluationError::Device(DeviceError::new(error));
    let indices: Vec<usize> = (0..split.images.len()).collect();
    let hypotheses = caption_all(members, &indices, search, progress).map_err(device)?;
    if hypotheses.len() < indices.len() {
        return Err(EvaluationError::Stopped);
    }
    let best: Vec<&Hypothesis> = hypotheses.iter().filter_map(|beam| beam.first()).collect();
    let evidence = gather_evidence(&members[0], &best).map_err(device)?;
    let captions: Vec<CaptionedImage> = best
        .into_iter()
        .zip(split.images)
        .map(|(hypothesis, image)| {
            let caption = vocabulary.decode(&hypothesis.tokens).join(" ");
            CaptionedImage::new(image, caption, hypothesis.log_probability)
        })
        .collect();
    let mut report = report(captions, &split.corpus, evidence, info, search.settings());
    let scored = signed(
        &report.summary.scores,
        &report.captions,
        split.images,
        &report.info.tokenizer,
        add_metrics,
    );
    let ControlFlow::Continue((signature, ptb)) = scored else {
        return Err(EvaluationError::Stopped);
    };
    report.summary.signature = signature;
    report.summary.ptb = Some(ptb);
    Ok(report)
}

/// Scores with what they depend on.
pub type SignedScores = (Scores, String);

/// The scores of captions of images by the dataset's tokenizer and by coco-caption's, as [`evaluate`] computes them.
///
/// `add_metrics` adds to the latter, and may stop the scoring.
pub fn scores_of(
    captions: &[CaptionedImage],
    images: &[&Image],
    tokenizer: &str,
    add_metrics: &mut AddMetrics<'_>,
) -> ControlFlow<(), (SignedScores, CorpusScores)> {
    let tokenized = tokenized(captions);
    let scores = metrics::score(&tokenized.examples());
    let (signature, ptb) = signed(&scores, captions, images, tokenizer, add_metrics)?;
    ControlFlow::Continue(((scores, signature), ptb))
}

/// The signature of the scores, and the scores by coco-caption's tokenizer.
fn signed(
    scores: &Scores,
    captions: &[CaptionedImage],
    images: &[&Image],
    tokenizer: &str,
    add_metrics: &mut AddMetrics<'_>,
) -> ControlFlow<(), (String, CorpusScores)> {
    let raw: Vec<RawCaption<'_>> = captions.iter().zip(images).map(raw_caption).collect();
    let ptb = CorpusScores::by_ptb(&raw, add_metrics)?;
    ControlFlow::Continue((signature(scores, &raw, tokenizer), ptb))
}

/// A caption with the references as they are in the source.
fn raw_caption<'a>((captioned, image): (&'a CaptionedImage, &&'a Image)) -> RawCaption<'a> {
    RawCaption {
        image: &captioned.image,
        caption: &captioned.caption,
        references: image
            .captions
            .iter()
            .map(|caption| caption.raw.as_str())
            .collect(),
    }
}

/// Scores the captions, each by itself and all together.
fn report(
    mut captions: Vec<CaptionedImage>,
    corpus: &TrainingCorpus<'_>,
    evidence: Evidence,
    info: EvaluationInfo,
    search: &SearchSettings,
) -> Report {
    let tokenized = tokenized(&captions);
    let examples = tokenized.examples();
    let statistics = metrics::statistics(&examples);
    let summary = EvaluationSummary {
        images: examples.len(),
        scores: statistics.iter().copied().sum::<Statistics>().scores(),
        intervals_95: Bootstrap::default().intervals(&statistics),
        signature: String::new(),
        ptb: None,
        diversity: Diversity::measure(&examples, corpus),
        shuffled: Shuffled::measure(&examples, SHUFFLING_SEED),
        evidence,
    };
    for (image, statistics) in captions.iter_mut().zip(&statistics) {
        image.scores = statistics.scores();
    }
    Report {
        info,
        search: search.clone(),
        diagnosis: Diagnosis::of(
            &summary.scores,
            &summary.diversity,
            &summary.shuffled,
            &summary.evidence,
        ),
        summary,
        captions,
    }
}

/// The similarity of the features of these images, before normalization, after which even noise differs.
fn similarity<D: Backend>(model: &Model<D>, inputs: Vec<f32>) -> DeviceResult<D, Option<f64>> {
    use dfdx::prelude::NoneTape;
    Ok(match &model.spec().encoder {
        EncoderSpec::Features(spec) if spec.variable_regions => {
            let rows = inputs.chunks_exact(spec.row_len());
            let means = rows.flat_map(|row| mean_region(spec.real_regions(row), spec.channels));
            mean_cosine(&means.collect::<Vec<f32>>(), spec.channels)
        }
        EncoderSpec::Features(spec) => mean_cosine(&inputs, spec.row_len()),
        EncoderSpec::FineTuned { .. } | EncoderSpec::SmallCnn(_) => {
            let map = model.regions::<NoneTape>(inputs)?;
            let (_, regions, channels) = map.shape();
            mean_cosine(&map.as_vec(), regions * channels)
        }
    })
}

fn mean_region(regions: &[f32], channels: usize) -> Vec<f32> {
    let mut mean = vec![0.0; channels];
    for region in regions.chunks_exact(channels) {
        for (mean, value) in mean.iter_mut().zip(region) {
            *mean += value * channels as f32 / regions.len() as f32;
        }
    }
    mean
}

fn gather_evidence<D: Backend>(
    Member { model, inputs }: &Member<'_, D>,
    best: &[&Hypothesis],
) -> DeviceResult<D, Evidence> {
    let step = best.len().div_ceil(IMAGES_COMPARED).max(1);
    let indices: Vec<usize> = (0..best.len()).step_by(step).collect();
    let log_probability: f64 = best.iter().map(|hypothesis| hypothesis.log_probability).sum();
    // The end token is a token too.
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
