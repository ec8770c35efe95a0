//! The scores of packed weights, measured as an evaluation measures those of a run, but from the images themselves.

use super::StatedScores;
use crate::data::{Dataset, Image};
use crate::evaluation::{AddMetrics, CaptionedImage, scores_of};
use crate::files::ConfinedPath;
use crate::metrics::{Metric, Scores};
use crate::nn::Backend;
use crate::search::{Captioner, CaptionerError, EncoderInput, Search};
use crate::vision::image_io::{self, ImageReadError};
use rayon::prelude::*;
use serde::Serialize;
use std::ops::ControlFlow;

/// Images captioned at once.
const BATCH: usize = 16;

/// Why scores could not be measured.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum MeasureError {
    #[error(transparent)]
    Image(#[from] ImageReadError),
    #[error(transparent)]
    Captioner(#[from] CaptionerError),
    #[error("stopped before all images were captioned")]
    Stopped,
}

/// Captions the split of `stated` again, from its images or from features made elsewhere, and scores the captions.
///
/// `progress` gets the number of finished images, and may stop the work. `add_metrics` adds to the scores by coco-caption's
/// tokenizer.
///
/// # Errors
/// If an image cannot be decoded, and those of the captioner.
pub fn measure<D: Backend>(
    captioner: &Captioner<D>,
    search: &Search,
    stated: &StatedScores,
    (directory, dataset): (&ConfinedPath, &Dataset),
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    add_metrics: &mut AddMetrics<'_>,
) -> Result<StatedScores, MeasureError> {
    let images: Vec<&Image> = dataset.images(stated.split).collect();
    let mut captions = Vec::with_capacity(images.len());
    for images in images.chunks(BATCH) {
        let inputs = inputs(captioner, images, directory)?;
        let written = captioner.captions_from(captions.len(), &inputs, search)?;
        let best = written.into_iter().map(|captions| captions.into_iter().next());
        captions.extend(images.iter().zip(best).map(|(image, best)| match best {
            Some(best) => CaptionedImage::new(image, best.caption, best.log_probability),
            None => CaptionedImage::new(image, String::new(), f64::NEG_INFINITY),
        }));
        if progress(captions.len()).is_break() {
            return Err(MeasureError::Stopped);
        }
    }
    let tokenizer = dataset.manifest.tokenizer();
    let ControlFlow::Continue((scores, ptb)) = scores_of(&captions, &images, &tokenizer, add_metrics) else {
        return Err(MeasureError::Stopped);
    };
    Ok(StatedScores {
        dataset: dataset.manifest.name.clone(),
        data_hash: dataset.hash.clone(),
        ..stated.with(&captions, scores, ptb)
    })
}

fn inputs<D: Backend>(
    captioner: &Captioner<D>,
    images: &[&Image],
    dataset: &ConfinedPath,
) -> Result<Vec<EncoderInput>, MeasureError> {
    let preprocessor = captioner.preprocessor();
    if preprocessor.is_empty() {
        let stored = |image: &&Image| Ok(captioner.stored_input(dataset, image, (0, 0))?);
        return images.iter().map(stored).collect();
    }
    let read = |image: &&Image| Ok(preprocessor.apply(&image_io::decode(&image.path)?));
    images.par_iter().map(read).collect()
}

/// Scores that a file states, beside those of its captions.
#[derive(Clone, Debug, Serialize)]
pub struct Confirmation {
    /// In the file.
    pub stated: StatedScores,
    /// Measured.
    pub computed: StatedScores,
}

/// A score that a file states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfirmedScore {
    /// Whether it is by coco-caption's tokenizer.
    pub is_ptb: bool,
    /// The metric.
    pub metric: Metric,
    /// In the file.
    pub stated: f64,
    /// Measured; `None` for a metric that needs data which is not there.
    pub computed: Option<f64>,
}

impl ConfirmedScore {
    /// Whether all digits agree.
    pub fn agrees(&self) -> bool {
        self.computed == Some(self.stated)
    }
}

impl Confirmation {
    /// The stated scores: first by the dataset's tokenizer, then by coco-caption's.
    pub fn scores(&self) -> Vec<ConfirmedScore> {
        let pairs = |is_ptb: bool, stated: &Scores, computed: &Scores| {
            let score = |(metric, &stated): (Metric, &f64)| ConfirmedScore {
                is_ptb,
                metric,
                stated,
                computed: computed.get(metric).copied(),
            };
            stated.iter().map(score).collect::<Vec<_>>()
        };
        let Self { stated, computed } = self;
        let mut scores = pairs(false, &stated.scores, &computed.scores);
        scores.extend(pairs(true, &stated.ptb, &computed.ptb));
        scores
    }

    /// Whether all captions are those of the stated evaluation.
    pub fn captions_agree(&self) -> bool {
        self.stated.captions == self.computed.captions
    }

    /// Whether the dataset, the captions and every digit of the scores agree.
    pub fn is_confirmed(&self) -> bool {
        self.stated.data_hash == self.computed.data_hash
            && self.stated.images == self.computed.images
            && self.captions_agree()
            && self.scores().iter().all(ConfirmedScore::agrees)
    }
}
