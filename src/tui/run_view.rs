//! A run as shown in the workbench: a summary of its log, and its curves.

use super::series::Series;
use crate::diagnosis::{Health, Sign};
use crate::jobs::{Event, JobState, LogSummary, Predictions, Record, StepEvent};
use crate::metrics::{Metric, Prominence, Scores};
use crate::text::display_safe;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantity {
    #[default]
    Loss,
    Scores,
    /// Mean reward of sampled captions in self-critical training.
    Reward,
    LearningRate,
    GradientNorm,
    Speed,
}

impl Quantity {
    pub const ALL: [Self; 6] = [
        Self::Loss,
        Self::Scores,
        Self::Reward,
        Self::LearningRate,
        Self::GradientNorm,
        Self::Speed,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Scores => "dev scores",
            Self::Reward => "reward",
            Self::LearningRate => "learning rate",
            Self::GradientNorm => "gradient norm",
            Self::Speed => "tokens/s",
        }
    }

    pub fn after(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|known| *known == self).unwrap_or(0);
        let count = Self::ALL.len() as isize;
        Self::ALL[(at as isize + by).rem_euclid(count) as usize]
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XAxis {
    #[default]
    Steps,
    Epochs,
    /// Minutes of training, without the time between sessions.
    Minutes,
}

impl XAxis {
    pub fn next(self) -> Self {
        match self {
            Self::Steps => Self::Epochs,
            Self::Epochs => Self::Minutes,
            Self::Minutes => Self::Steps,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "step",
            Self::Epochs => "epoch",
            Self::Minutes => "minute",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    pub name: &'static str,
    pub series: &'a Series,
    pub density: CurveKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurveKind {
    /// A value per step: drawn as a band with a smoothed line over it.
    Steps,
    Epochs,
}

#[derive(Clone, Debug, Default)]
pub struct RunView {
    pub name: String,
    /// A summary of its log.
    pub summary: LogSummary,
    pub state: Option<JobState>,
    pub note: Option<String>,
    /// The settings of its last session.
    pub settings: Value,
    pub device: Option<String>,
    /// Captions of the sample images, oldest first.
    pub samples: Vec<Predictions>,
    /// The last message, warning or command in its log.
    pub news: Option<String>,
    health: Health,
    loss: Series,
    reward: Series,
    learning_rate: Series,
    grad_norm: Series,
    speed: Series,
    dev_loss: Series,
    dev_scores: Scores<Series>,
    /// Minutes of training at each step.
    minutes: Series,
    /// Start of the session in seconds since 1970, and the minutes of training before it.
    session: (f64, f32),
}

/// Rounds of sample captions to keep.
const ROUNDS: usize = 50;

impl RunView {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub fn take(&mut self, record: &Record) {
        self.summary.count(record);
        self.health.count(record);
        match &record.event {
            Event::Start(start) => {
                self.cut_after(start.step);
                self.settings = start.settings.clone();
                self.device = Some(display_safe(&start.device).into_owned());
                self.session = (record.time, self.minutes.last().unwrap_or(0.0));
            }
            Event::Step(step) => self.take_step(step, record.time),
            Event::Evaluation(evaluation) => {
                let step = evaluation.step;
                self.dev_loss.push(step, evaluation.dev_loss as f32);
                for (metric, score) in evaluation.scores.iter() {
                    self.dev_scores.get_or_default(metric).push(step, *score as f32);
                }
            }
            Event::Predictions(samples) => {
                self.samples.push(samples.clone());
                if self.samples.len() > ROUNDS {
                    self.samples.remove(0);
                }
            }
            Event::Control(control) => self.tell(&control.to_string()),
            Event::Checkpoint(saved) => self.tell(&format!("saved {} at step {}", saved.name, saved.step)),
            Event::Message(text) => self.tell(&text.text),
            Event::Warning(text) => self.tell(&format!("warning: {}", text.text)),
            Event::End(end) => {
                if let Some(error) = &end.error {
                    self.tell(&format!("failed: {error}"));
                }
            }
            Event::Progress(_) | Event::Unknown => {}
        }
    }

    fn tell(&mut self, news: &str) {
        self.news = Some(display_safe(news).into_owned());
    }

    fn take_step(&mut self, step: &StepEvent, time: f64) {
        match step.reward {
            None => self.loss.push(step.step, step.loss),
            // In self-critical training the loss is a policy-gradient surrogate: its value says nothing.
            Some(reward) => self.reward.push(step.step, reward),
        }
        self.learning_rate.push(step.step, step.learning_rate);
        self.grad_norm.push(step.step, step.grad_norm);
        self.speed.push(step.step, step.tokens_per_second);
        let (began, before) = self.session;
        self.minutes
            .push(step.step, before + ((time - began).max(0.0) / 60.0) as f32);
    }

    /// Removes the values after this step: the session that starts there logs them again.
    fn cut_after(&mut self, step: u64) {
        let series = [
            &mut self.loss,
            &mut self.reward,
            &mut self.learning_rate,
            &mut self.grad_norm,
            &mut self.speed,
            &mut self.dev_loss,
            &mut self.minutes,
        ];
        for series in series.into_iter().chain(self.dev_scores.values_mut()) {
            series.cut_after(step);
        }
        self.samples.retain(|samples| samples.step <= step);
    }

    /// The curves of a chart; overlaid runs are compared by the first.
    pub fn curves(&self, quantity: Quantity) -> Vec<Curve<'_>> {
        let steps = |name, series| Curve {
            name,
            series,
            density: CurveKind::Steps,
        };
        let epochs = |name, series| Curve {
            name,
            series,
            density: CurveKind::Epochs,
        };
        match quantity {
            Quantity::Loss => vec![steps("training", &self.loss), epochs("dev", &self.dev_loss)],
            // The last metric of the table is the one to compare runs by.
            Quantity::Scores => Metric::shown(Prominence::Headline)
                .rev()
                .filter_map(|metric| Some(epochs(metric.label(), self.dev_scores.get(metric)?)))
                .collect(),
            Quantity::Reward => vec![steps("reward", &self.reward)],
            Quantity::LearningRate => vec![steps("learning rate", &self.learning_rate)],
            Quantity::GradientNorm => vec![steps("gradient norm", &self.grad_norm)],
            Quantity::Speed => vec![steps("tokens/s", &self.speed)],
        }
    }

    pub fn signs(&self) -> Vec<Sign> {
        self.health.signs()
    }

    /// The training loss, averaged into `columns` values.
    pub fn small_curve(&self, columns: usize) -> Vec<f32> {
        self.loss.means(columns)
    }

    /// The first and last position of its data on an axis.
    pub fn range(&self, unit: XAxis) -> Option<(f64, f64)> {
        let (first, last) = self.learning_rate.range()?;
        Some((self.place(unit, first), self.place(unit, last)))
    }

    /// The position of a step on an axis.
    pub fn place(&self, unit: XAxis, step: u64) -> f64 {
        match unit {
            XAxis::Steps => step as f64,
            XAxis::Epochs => step as f64 / self.steps_of_an_epoch(),
            XAxis::Minutes => f64::from(self.minutes.at(step).unwrap_or(0.0)),
        }
    }

    /// The first step at or after this position; beyond the last step, numbers continue.
    pub fn step_at(&self, unit: XAxis, place: f64) -> u64 {
        let step = match unit {
            XAxis::Steps => place,
            // Undoes the rounding of the division by steps per epoch.
            XAxis::Epochs => place * self.steps_of_an_epoch() - 1e-6,
            XAxis::Minutes => {
                let last = self.minutes.last().unwrap_or(0.0);
                let beyond = u64::from(place as f32 > last);
                return self.minutes.step_reaching(place as f32).unwrap_or(0) + beyond;
            }
        };
        step.max(0.0).ceil() as u64
    }

    fn steps_of_an_epoch(&self) -> f64 {
        let batches = self.summary.step.as_ref().map_or(1, |step| step.batches);
        batches.max(1) as f64
    }

    /// The first step of each of `count` columns of equal width, and the end of the last one.
    pub fn edges(&self, unit: XAxis, (first, last): (f64, f64), count: usize) -> Vec<u64> {
        let width = (last - first) / count.max(1) as f64;
        let mut edges: Vec<u64> = (0..count)
            .map(|column| self.step_at(unit, first + column as f64 * width))
            .collect();
        // The last position belongs to the last column.
        edges.push(self.step_at(unit, last) + 1);
        edges
    }
}
