//! A run as the workbench sees it: what its log comes to, and its curves.

use super::series::Series;
use crate::diagnosis::{Health, Sign};
use crate::jobs::{Event, JobState, LogSummary, Predictions, Record, StepEvent};
use crate::text::display_safe;
use serde_json::Value;

/// A figure that a chart can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantity {
    /// The training loss, with that of the dev split.
    #[default]
    Loss,
    /// BLEU-4 and CIDEr-D of the dev split.
    Scores,
    /// What captions are worth that the model has drawn, in self-critical training.
    Reward,
    /// The learning rate.
    LearningRate,
    /// The gradients' norm before clipping.
    GradientNorm,
    /// Tokens a second.
    Speed,
}

impl Quantity {
    /// All of them, in the order in which they are gone through.
    pub const ALL: [Self; 6] = [
        Self::Loss,
        Self::Scores,
        Self::Reward,
        Self::LearningRate,
        Self::GradientNorm,
        Self::Speed,
    ];

    /// The chart's title.
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

    /// The one that comes `by` after it, around the end.
    pub fn after(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|known| *known == self).unwrap_or(0);
        let count = Self::ALL.len() as isize;
        Self::ALL[(at as isize + by).rem_euclid(count) as usize]
    }
}

/// What is counted along a chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Updates.
    #[default]
    Steps,
    /// Times that every caption was read.
    Epochs,
    /// Minutes of training, without those between sessions.
    Minutes,
}

impl Unit {
    /// The next one, around the end.
    pub fn next(self) -> Self {
        match self {
            Self::Steps => Self::Epochs,
            Self::Epochs => Self::Minutes,
            Self::Minutes => Self::Steps,
        }
    }

    /// The word for one of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "step",
            Self::Epochs => "epoch",
            Self::Minutes => "minute",
        }
    }
}

/// A curve of a run.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    /// What it is called.
    pub name: &'static str,
    /// Its figures.
    pub series: &'a Series,
    /// Whether it has a figure for every step, or for every epoch.
    pub density: Density,
}

/// How many figures a curve has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Density {
    /// One for every step: a band, and a smoothed line over it.
    Steps,
    /// One for every epoch: points, joined.
    Epochs,
}

/// A run and all that its log has told.
#[derive(Clone, Debug, Default)]
pub struct RunView {
    /// Its name.
    pub name: String,
    /// What its log comes to.
    pub summary: LogSummary,
    /// Its state, once it is known.
    pub state: Option<JobState>,
    /// What a user has noted on it.
    pub note: Option<String>,
    /// The settings of its last session.
    pub settings: Value,
    /// What it computes on.
    pub device: Option<String>,
    /// The last captions of a few dev images, and those before them.
    pub samples: Vec<Predictions>,
    /// The last thing worth knowing.
    pub news: Option<String>,
    health: Health,
    loss: Series,
    reward: Series,
    learning_rate: Series,
    grad_norm: Series,
    speed: Series,
    dev_loss: Series,
    bleu_4: Series,
    cider_d: Series,
    /// Minutes of training up to each step.
    minutes: Series,
    /// When the session began, in seconds since 1970, and the minutes before it.
    session: (f64, f32),
}

/// Rounds of captions that are kept, to see how they change.
const ROUNDS: usize = 50;

impl RunView {
    /// Of the run of that name; nothing is known of it yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Takes the next event into account.
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
                self.bleu_4.push(step, evaluation.scores.bleu[3] as f32);
                self.cider_d.push(step, evaluation.scores.cider_d as f32);
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
            // The loss is then no cross-entropy: it only has the gradient that is wanted.
            Some(reward) => self.reward.push(step.step, reward),
        }
        self.learning_rate.push(step.step, step.learning_rate);
        self.grad_norm.push(step.step, step.grad_norm);
        self.speed.push(step.step, step.tokens_per_second);
        let (began, before) = self.session;
        self.minutes
            .push(step.step, before + ((time - began).max(0.0) / 60.0) as f32);
    }

    /// A session begins after this step: what was told of later ones is told again.
    fn cut_after(&mut self, step: u64) {
        for series in [
            &mut self.loss,
            &mut self.reward,
            &mut self.learning_rate,
            &mut self.grad_norm,
            &mut self.speed,
            &mut self.dev_loss,
            &mut self.bleu_4,
            &mut self.cider_d,
            &mut self.minutes,
        ] {
            series.cut_after(step);
        }
        self.samples.retain(|samples| samples.step <= step);
    }

    /// The curves of a chart; the first is the one to compare runs by.
    pub fn curves(&self, quantity: Quantity) -> Vec<Curve<'_>> {
        let steps = |name, series| Curve {
            name,
            series,
            density: Density::Steps,
        };
        let epochs = |name, series| Curve {
            name,
            series,
            density: Density::Epochs,
        };
        match quantity {
            Quantity::Loss => vec![steps("training", &self.loss), epochs("dev", &self.dev_loss)],
            Quantity::Scores => vec![epochs("CIDEr-D", &self.cider_d), epochs("BLEU-4", &self.bleu_4)],
            Quantity::Reward => vec![steps("reward", &self.reward)],
            Quantity::LearningRate => vec![steps("learning rate", &self.learning_rate)],
            Quantity::GradientNorm => vec![steps("gradient norm", &self.grad_norm)],
            Quantity::Speed => vec![steps("tokens/s", &self.speed)],
        }
    }

    /// Signs that it does not go well.
    pub fn signs(&self) -> Vec<Sign> {
        self.health.signs()
    }

    /// Its training loss in a few columns.
    pub fn small_curve(&self, columns: usize) -> Vec<f32> {
        self.loss.means(columns)
    }

    /// Where its figures begin and end on an axis.
    pub fn range(&self, unit: Unit) -> Option<(f64, f64)> {
        let (first, last) = self.learning_rate.range()?;
        Some((self.place(unit, first), self.place(unit, last)))
    }

    /// Where a step stands on an axis.
    pub fn place(&self, unit: Unit, step: u64) -> f64 {
        match unit {
            Unit::Steps => step as f64,
            Unit::Epochs => step as f64 / self.steps_of_an_epoch(),
            Unit::Minutes => f64::from(self.minutes.at(step).unwrap_or(0.0)),
        }
    }

    /// The first step that stands at this place or after it; after the last one, steps go on in their number.
    pub fn step_at(&self, unit: Unit, place: f64) -> u64 {
        let step = match unit {
            Unit::Steps => place,
            // Places were steps before they were divided: what is a step but for rounding is meant to be one.
            Unit::Epochs => place * self.steps_of_an_epoch() - 1e-6,
            Unit::Minutes => {
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

    /// The steps at which `count` columns of equal width between two places begin, and where the last one ends.
    pub fn edges(&self, unit: Unit, (first, last): (f64, f64), count: usize) -> Vec<u64> {
        let width = (last - first) / count.max(1) as f64;
        let mut edges: Vec<u64> = (0..count)
            .map(|column| self.step_at(unit, first + column as f64 * width))
            .collect();
        // The last place belongs to the last column.
        edges.push(self.step_at(unit, last) + 1);
        edges
    }
}
