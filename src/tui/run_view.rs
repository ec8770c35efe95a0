//! A run as shown in the workbench: a summary of its log, and its curves.

use super::series::Series;
use crate::diagnosis::{Symptom, TrainingMonitor};
use crate::jobs::{Event, JobState, LogSummary, Predictions, Record, StepEvent};
use crate::metrics::{DisplayLevel, Metric};
use crate::text::display_safe;

const LOSS: &str = "loss";
const DEV_LOSS: &str = "dev loss";

/// A chart: its title, and the names of its series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartSpec {
    pub title: String,
    pub series: Vec<String>,
}

/// The series of a metric on the dev split.
fn dev_series(metric: Metric) -> String {
    format!("dev {}", metric.label())
}

/// All charts of these runs, in order: the combined ones, then one for each further number in their logs.
pub fn charts(runs: &[&RunView]) -> Vec<ChartSpec> {
    let headline = Metric::shown(DisplayLevel::Headline).rev();
    let mut charts = vec![
        ChartSpec {
            title: "loss".to_owned(),
            series: vec![LOSS.to_owned(), DEV_LOSS.to_owned()],
        },
        ChartSpec {
            title: "dev scores".to_owned(),
            series: headline.map(dev_series).collect(),
        },
    ];
    for named in runs.iter().flat_map(|run| &run.series) {
        if !charts.iter().any(|chart| chart.series.contains(&named.name)) {
            charts.push(ChartSpec {
                title: named.label(),
                series: vec![named.name.clone()],
            });
        }
    }
    charts
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
pub enum XAxis {
    #[default]
    #[strum(serialize = "step")]
    Steps,
    #[strum(serialize = "epoch")]
    Epochs,
    /// Minutes of training, without pauses and the time between sessions.
    #[strum(serialize = "minute")]
    Minutes,
}

/// A number of the event log over the steps.
#[derive(Clone, Debug)]
pub struct NamedSeries {
    name: String,
    pub kind: CurveKind,
    pub values: Series,
}

impl NamedSeries {
    pub fn label(&self) -> String {
        self.name.replace('_', " ")
    }
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
    pub summary: LogSummary,
    pub state: Option<JobState>,
    pub note: Option<String>,
    /// The time of the last event when the workbench found the run, in seconds since 1970.
    pub last_active: Option<f64>,
    /// How much of the log has been read.
    pub percent_read: Option<u8>,
    pub device: Option<String>,
    /// Captions of the sample images, oldest first.
    pub samples: Vec<Predictions>,
    /// The last message, warning or command in its log.
    pub news: Option<String>,
    monitor: TrainingMonitor,
    /// In the order in which the log mentions them first.
    series: Vec<NamedSeries>,
    /// Minutes of training at each step.
    minutes: Series,
    /// The step and the time of a session that has logged nothing but its start yet: it may fail before it trains.
    resumed: Option<(u64, f64)>,
    /// Start of the session in seconds since 1970, and the minutes of training before it.
    session: (f64, f32),
}

const ROUNDS: usize = 50;

impl RunView {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub fn add(&mut self, record: &Record) {
        self.summary.add(record);
        self.monitor.add(record);
        if let (Event::Step(_) | Event::Evaluation(_) | Event::Predictions(_), Some((step, time))) =
            (&record.event, self.resumed)
        {
            self.resumed = None;
            self.cut_after(step);
            self.session = (time, self.minutes.last().unwrap_or(0.0));
        }
        match &record.event {
            Event::Start(start) => {
                self.resumed = Some((start.job.step, record.time));
                self.device = Some(display_safe(&start.job.device).into_owned());
            }
            Event::Step(step) => self.add_step(step, record.time),
            Event::Evaluation(evaluation) => {
                let step = evaluation.step;
                self.push(DEV_LOSS, CurveKind::Epochs, step, evaluation.dev_loss);
                for (metric, score) in evaluation.scores.iter() {
                    self.push(&dev_series(metric), CurveKind::Epochs, step, *score);
                }
            }
            Event::Predictions(samples) => {
                self.samples.push(samples.clone());
                if self.samples.len() > ROUNDS {
                    self.samples.remove(0);
                }
            }
            Event::Control(control) => self.set_news(&control.to_string()),
            Event::Checkpoint(saved) => {
                self.set_news(&format!("saved {} at step {}", saved.name, saved.step))
            }
            Event::Message(text) => self.set_news(&text.text),
            Event::Warning(text) => self.set_news(&format!("warning: {}", text.text)),
            Event::End(end) => {
                if let Some(error) = &end.error {
                    self.set_news(&format!("failed: {error}"));
                }
            }
            Event::Progress(_) | Event::Unknown => {}
        }
    }

    fn set_news(&mut self, news: &str) {
        self.news = Some(display_safe(news).into_owned());
    }

    fn add_step(&mut self, step: &StepEvent, time: f64) {
        for (name, value) in step.numbers() {
            self.push(name, CurveKind::Steps, step.step, value);
        }
        let (began, before) = self.session;
        let seconds = (time - began - self.summary.paused_seconds).max(0.0);
        self.minutes.push(step.step, before + (seconds / 60.0) as f32);
    }

    /// Appends a value to the series of this name, which starts with its first value.
    fn push(&mut self, name: &str, kind: CurveKind, step: u64, value: f64) {
        // A linear search: a run has about a dozen series, and their names differ in length.
        let index = match self.series.iter().position(|series| series.name == name) {
            Some(index) => index,
            None => {
                self.series.push(NamedSeries {
                    name: name.to_owned(),
                    kind,
                    values: Series::default(),
                });
                self.series.len() - 1
            }
        };
        self.series[index].values.push(step, value as f32);
    }

    /// Removes the values after this step: the session that starts there logs them again.
    fn cut_after(&mut self, step: u64) {
        for series in &mut self.series {
            series.values.cut_after(step);
        }
        self.minutes.cut_after(step);
        self.samples.retain(|samples| samples.step <= step);
    }

    pub fn curves<'a>(&'a self, chart: &'a ChartSpec) -> impl Iterator<Item = &'a NamedSeries> {
        chart.series.iter().filter_map(|name| self.named(name))
    }

    fn named(&self, name: &str) -> Option<&NamedSeries> {
        self.series.iter().find(|series| series.name == name)
    }

    /// The percentage of the log that has been read, while it is still being read.
    pub fn percent_while_reading(&self) -> Option<u8> {
        self.percent_read.filter(|percent| *percent < 100)
    }

    pub fn symptoms(&self) -> Vec<Symptom> {
        self.monitor.symptoms()
    }

    /// Symptoms that are no longer there, with their last epoch from 1.
    pub fn past_symptoms(&self) -> Vec<(usize, Symptom)> {
        self.monitor.past_symptoms()
    }

    /// The training loss, averaged into `columns` values.
    pub fn small_curve(&self, columns: usize) -> Vec<f32> {
        self.named(LOSS)
            .map_or_else(Vec::new, |loss| loss.values.means(columns))
    }

    /// The first and last position of its data on an axis.
    pub fn range(&self, unit: XAxis) -> Option<(f64, f64)> {
        let (first, last) = self.minutes.range()?;
        Some((self.position(unit, first), self.position(unit, last)))
    }

    pub fn position(&self, unit: XAxis, step: u64) -> f64 {
        match unit {
            XAxis::Steps => step as f64,
            XAxis::Epochs => step as f64 / self.steps_of_an_epoch(),
            XAxis::Minutes => f64::from(self.minutes.value_at(step).unwrap_or(0.0)),
        }
    }

    /// The first step at or after this position; beyond the last step, numbers continue.
    pub fn step_at(&self, unit: XAxis, position: f64) -> u64 {
        let step = match unit {
            XAxis::Steps => position,
            // Undoes the rounding of the division by steps per epoch.
            XAxis::Epochs => position * self.steps_of_an_epoch() - 1e-6,
            XAxis::Minutes => {
                let last = self.minutes.last().unwrap_or(0.0);
                let beyond = u64::from(position as f32 > last);
                return self.minutes.step_reaching(position as f32).unwrap_or(0) + beyond;
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
