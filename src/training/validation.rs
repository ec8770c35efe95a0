//! Evaluation on the dev split while training: loss, scores and a few captions.

use super::callback::Callback;
use super::error::TrainingError;
use super::state::BestComparison;
use super::trainer::Trainer;
use crate::jobs::{DevEvaluation, Event, Prediction, Predictions, TaskProgress, Trigger};
use crate::metrics;
use crate::nn::{Backend, DeviceResult};
use crate::search::{Hypothesis, Member, Search, caption_all};
use std::convert::Infallible;
use std::ops::ControlFlow;

/// Captions of a dev batch; without gradients it may be larger than in training.
const BATCH_SIZE: usize = 256;
/// Number of images whose captions are reported after every epoch.
const PREDICTIONS: usize = 5;

impl<D: Backend> Trainer<'_, D> {
    /// Loss and scores of the dev split, with a few of its captions; `None` if the callback aborts.
    pub(super) fn evaluate(
        &self,
        trigger: Trigger,
        callback: &mut dyn Callback,
    ) -> Result<Option<(DevEvaluation, Predictions)>, TrainingError> {
        let images: Vec<usize> = (0..self.dev.encoded.images()).collect();
        let captions = self.caption(&images, &mut |done| {
            callback.on_event(Event::Progress(TaskProgress {
                task: "captioning the dev split".into(),
                done: done as u64,
                total: images.len() as u64,
                unit: "images".into(),
            }));
            match callback.should_abort() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        if captions.len() < images.len() {
            return Ok(None);
        }
        let mut evaluation = DevEvaluation {
            epoch: self.state.epoch,
            step: self.state.step,
            train_loss: self.state.train_loss(),
            dev_loss: self.dev_loss().map_err(TrainingError::device)?,
            scores: self.scores(&captions),
            best: false,
            trigger,
        };
        // An evaluation on command has no effect: the best epoch must not depend on when a user asks.
        evaluation.best =
            trigger == Trigger::EpochEnd && self.compare_to_best(&evaluation) != BestComparison::Worse;
        let predicted = self.predicted_images();
        let predictions =
            self.predictions(predicted.iter().map(|&image| (image, captions[image].as_slice())));
        Ok(Some((evaluation, predictions)))
    }

    pub(super) fn compare_to_best(&self, evaluation: &DevEvaluation) -> BestComparison {
        let value = self.settings.training.monitor.value(evaluation);
        self.state.compare_to_best(value, evaluation.dev_loss)
    }

    /// Captions of a few dev images, always the same ones.
    pub(super) fn predict(&self) -> Result<Predictions, TrainingError> {
        let images = self.predicted_images();
        let captions = self.caption(&images, &mut |_| ControlFlow::Continue(()))?;
        let captions = captions.iter().map(Vec::as_slice);
        Ok(self.predictions(images.iter().copied().zip(captions)))
    }

    /// Evenly spread over the split.
    fn predicted_images(&self) -> Vec<usize> {
        let images = self.dev.encoded.images();
        let count = PREDICTIONS.min(images);
        (0..count).map(|number| number * images / count).collect()
    }

    fn predictions<'c>(&self, captions: impl Iterator<Item = (usize, &'c [String])>) -> Predictions {
        let prediction = |(image, words): (usize, &[String])| Prediction {
            image: self.dev.encoded.keys[image].clone(),
            caption: words.join(" "),
        };
        Predictions {
            step: self.state.step,
            captions: captions.map(prediction).collect(),
        }
    }

    /// The captions of some dev images in words; fewer if `progress` breaks.
    fn caption(
        &self,
        images: &[usize],
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<String>>, TrainingError> {
        let ngrams = || Ok::<_, Infallible>(self.ngrams());
        let Ok(search) = Search::new(self.settings.search.clone(), ngrams);
        let member = Member {
            model: &self.model,
            inputs: &self.dev.encoded.inputs,
        };
        let hypotheses = caption_all(&[member], images, &search, progress).map_err(TrainingError::device)?;
        let words = |hypotheses: &Vec<Hypothesis>| {
            let best = hypotheses.first();
            best.map(|best| self.vocabulary.decode(&best.tokens))
                .unwrap_or_default()
        };
        Ok(hypotheses.iter().map(words).collect())
    }

    fn scores(&self, captions: &[Vec<String>]) -> metrics::Scores {
        let examples: Vec<metrics::Example<'_>> = captions
            .iter()
            .zip(&self.dev.references)
            .map(|(hypothesis, references)| metrics::Example {
                hypothesis,
                references,
            })
            .collect();
        metrics::score(&examples)
    }

    /// Cross-entropy per token, without dropout or label smoothing.
    fn dev_loss(&self) -> DeviceResult<D, f64> {
        let dev = &self.dev.encoded;
        let mut order: Vec<usize> = (0..dev.captions.len()).collect();
        order.sort_by_key(|&i| dev.captions[i].words.len());
        let (mut sum, mut tokens) = (0.0, 0);
        for captions in order.chunks(BATCH_SIZE) {
            let (images, batch) = dev.batch(captions);
            let regions = self.model.regions(dev.inputs.read(&images))?;
            let loss = self.model.decoder.loss(regions, &batch)?.as_vec()[0];
            sum += f64::from(loss) * batch.tokens() as f64;
            tokens += batch.tokens();
        }
        Ok(sum / tokens as f64)
    }
}
