//! A run as the workbench sees it: what its log comes to, and its curves.

use super::series::Series;
use crate::runs::job::{State, Status, Summary};
use crate::runs::{Event, Record};
use crate::text::display_safe;
use crate::training::{Samples, Step};

/// A figure that a chart can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The training loss, with that of the dev split.
    Loss,
    /// BLEU-4 and CIDEr-D of the dev split.
    Scores,
    /// The learning rate.
    LearningRate,
    /// The gradients' norm before clipping.
    GradientNorm,
    /// Tokens a second.
    Speed,
}

impl Quantity {
    /// All of them, in the order in which they are gone through.
    pub const ALL: [Self; 5] = [
        Self::Loss,
        Self::Scores,
        Self::LearningRate,
        Self::GradientNorm,
        Self::Speed,
    ];

    /// The chart's title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Scores => "dev scores",
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

/// A curve of a chart.
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

/// A run that is looked at.
#[derive(Clone, Debug, Default)]
pub struct RunView {
    /// Its name.
    pub name: String,
    /// What its log comes to.
    pub summary: Summary,
    /// Its state, once it is known.
    pub state: Option<State>,
    /// The last captions of a few dev photos.
    pub samples: Option<Samples>,
    /// The last thing worth knowing.
    pub news: Option<String>,
    loss: Series,
    learning_rate: Series,
    gradient_norm: Series,
    speed: Series,
    dev_loss: Series,
    bleu_4: Series,
    cider_d: Series,
}

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
        match &record.event {
            Event::Start(start) => self.cut_after(start.step),
            Event::Step(step) => self.take_step(step),
            Event::Evaluation(evaluation) => {
                let step = evaluation.step;
                self.dev_loss.push(step, evaluation.loss as f32);
                self.bleu_4.push(step, evaluation.scores.bleu[3] as f32);
                self.cider_d.push(step, evaluation.scores.cider_d as f32);
            }
            Event::Samples(samples) => self.samples = Some(samples.clone()),
            Event::Control(control) => self.news = Some(control.to_string()),
            Event::Checkpoint(saved) => {
                self.news = Some(format!("saved {} at step {}", saved.name, saved.step));
            }
            Event::Message(text) => self.news = Some(text.text.clone()),
            Event::Warning(text) => self.news = Some(format!("warning: {}", text.text)),
            Event::End(end) => {
                if let Some(error) = &end.error {
                    self.news = Some(format!("failed: {error}"));
                }
            }
            Event::Progress(_) | Event::Unknown => {}
        }
        if let Some(news) = &mut self.news {
            *news = display_safe(news).into_owned();
        }
    }

    fn take_step(&mut self, step: &Step) {
        self.loss.push(step.step, step.loss);
        self.learning_rate.push(step.step, step.learning_rate);
        self.gradient_norm.push(step.step, step.gradient_norm);
        self.speed.push(step.step, step.tokens_per_second);
    }

    /// A session begins after this step: what was told of later ones is told again.
    fn cut_after(&mut self, step: u64) {
        for series in [
            &mut self.loss,
            &mut self.learning_rate,
            &mut self.gradient_norm,
            &mut self.speed,
            &mut self.dev_loss,
            &mut self.bleu_4,
            &mut self.cider_d,
        ] {
            series.cut_after(step);
        }
    }

    /// The curves of a chart.
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
            Quantity::Scores => vec![epochs("BLEU-4", &self.bleu_4), epochs("CIDEr-D", &self.cider_d)],
            Quantity::LearningRate => vec![steps("learning rate", &self.learning_rate)],
            Quantity::GradientNorm => vec![steps("gradient norm", &self.gradient_norm)],
            Quantity::Speed => vec![steps("tokens/s", &self.speed)],
        }
    }

    /// The first and the last step that there are figures of.
    pub fn range(&self) -> Option<(u64, u64)> {
        self.loss.range()
    }
}

/// A run in the list of all.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// Its name.
    pub name: String,
    /// What it is at.
    pub status: Status,
    /// Its training loss, in a few columns.
    pub losses: Vec<f32>,
}
