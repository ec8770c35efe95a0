//! The dev split while training: its loss, its scores, and a few captions to look at.

use super::supervisor::Supervisor;
use super::trainer::{Trainer, TrainingError};
use crate::jobs::{DevEvaluation, Event, Prediction, Predictions, TaskProgress, Trigger};
use crate::metrics;
use crate::nn::Backend;
use crate::search::{Hypothesis, Member, Search, caption_all};
use std::convert::Infallible;
use std::ops::ControlFlow;

/// Captions of a dev batch; no gradients are kept, so it may be larger than in training.
const BATCH: usize = 256;
/// Images whose captions are shown as they change.
const SAMPLES: usize = 5;

impl<D: Backend> Trainer<'_, D> {
    /// Loss and scores of the dev split, with a few of its captions; nothing where there is no time for it.
    pub(super) fn evaluate(
        &self,
        trigger: Trigger,
        supervisor: &mut dyn Supervisor,
    ) -> Result<Option<(DevEvaluation, Predictions)>, TrainingError> {
        let places: Vec<usize> = (0..self.dev.references.len()).collect();
        let captions = self.captions(&places, &mut |done| {
            supervisor.observe(Event::Progress(TaskProgress {
                task: "captioning the dev split".into(),
                done: done as u64,
                total: places.len() as u64,
                unit: "images".into(),
            }));
            match supervisor.is_hurried() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        if captions.len() < places.len() {
            return Ok(None);
        }
        let mut evaluation = DevEvaluation {
            epoch: self.position.epoch,
            step: self.position.step,
            train_loss: self.position.training_loss(),
            dev_loss: self.dev_loss()?,
            scores: self.scores(&captions),
            best: false,
            trigger,
        };
        let value = self.settings.training.monitor.value(&evaluation);
        evaluation.best =
            trigger == Trigger::EpochEnd && self.position.best.is_none_or(|best| value > best.value);
        let shown = self.sample_places();
        let samples = self.told(shown.iter().map(|&place| (place, captions[place].as_slice())));
        Ok(Some((evaluation, samples)))
    }

    /// A few captions of dev images, always of the same.
    pub(super) fn samples(&self) -> Result<Predictions, TrainingError> {
        let places = self.sample_places();
        let captions = self.captions(&places, &mut |_| ControlFlow::Continue(()))?;
        let captions = captions.iter().map(Vec::as_slice);
        Ok(self.told(places.iter().copied().zip(captions)))
    }

    /// From all over the split.
    fn sample_places(&self) -> Vec<usize> {
        let images = self.dev.references.len();
        let count = SAMPLES.min(images);
        (0..count).map(|number| number * images / count).collect()
    }

    fn told<'c>(&self, captions: impl Iterator<Item = (usize, &'c [String])>) -> Predictions {
        let sample = |(place, words): (usize, &[String])| Prediction {
            image: self.dev.keys[place].clone(),
            caption: words.join(" "),
        };
        Predictions {
            step: self.position.step,
            captions: captions.map(sample).collect(),
        }
    }

    /// The words written for these images of the dev split; fewer where `progress` breaks off.
    fn captions(
        &self,
        places: &[usize],
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<String>>, TrainingError> {
        let ngrams = || Ok::<_, Infallible>(self.ngrams());
        let Ok(search) = Search::new(self.settings.search.clone(), ngrams);
        let alone = Member {
            model: &self.model,
            inputs: &self.dev.inputs,
        };
        let found = caption_all(&[alone], places, &search, progress).map_err(TrainingError::device)?;
        let words = |found: &Vec<Hypothesis>| {
            let best = found.first();
            best.map(|best| self.vocabulary.decode(&best.tokens))
                .unwrap_or_default()
        };
        Ok(found.iter().map(words).collect())
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

    fn dev_loss(&self) -> Result<f64, TrainingError> {
        let mut order: Vec<usize> = (0..self.dev.captions.len()).collect();
        order.sort_by_key(|&at| self.dev.captions[at].words.len());
        let (mut sum, mut tokens) = (0.0, 0);
        for captions in order.chunks(BATCH) {
            let (images, batch) = self.dev.batch(captions);
            let inputs = self.dev.inputs.read(&images);
            let regions = self.model.regions(inputs).map_err(TrainingError::device)?;
            let loss = self
                .model
                .decoder
                .loss(regions, &batch)
                .map_err(TrainingError::device)?
                .as_vec()[0];
            sum += f64::from(loss) * batch.tokens() as f64;
            tokens += batch.tokens();
        }
        Ok(sum / tokens as f64)
    }
}
