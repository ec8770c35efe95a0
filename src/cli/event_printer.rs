//! Events of a job as terminal output: a row per epoch, a progress bar, and lines for messages. `train` and `attach`
//! share it.

use std::io;
use std::mem::{Discriminant, discriminant};

use super::Context;
use super::progress::{BYTES, Figures, Progress as Bar, Task};
use super::terminal::{Role, Stream, display_safe};
use crate::diagnosis::{Symptom, TrainingMonitor};
use crate::jobs::{
    DevEvaluation, EndReason, Event, JobKind, LogSummary, Prediction, Predictions, Record, SessionEnd,
    SessionStart, StepEvent, TaskProgress, Trigger,
};
use crate::metrics::Metric;
use crate::text::{about_duration, per_second};

/// The header of the rows of epochs, before the metrics.
const HEADING: &str = "epoch    loss  dev loss";

/// Where permanent lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// To standard error; standard output has another result.
    Notices,
    /// To standard output.
    Results,
}

/// Prints the events of a job.
pub(super) struct EventPrinter<'a> {
    context: &'a Context,
    output: Output,
    summary: LogSummary,
    monitor: TrainingMonitor,
    /// Symptoms reported after the last epoch.
    reported: Vec<Discriminant<Symptom>>,
    bar: Option<Bar>,
    /// The task of the bar.
    task: String,
    /// The position of the bar.
    done: u64,
    heading: Heading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heading {
    Pending,
    Printed,
}

impl<'a> EventPrinter<'a> {
    pub(super) fn new(context: &'a Context, output: Output) -> Self {
        Self {
            context,
            output,
            summary: LogSummary::default(),
            monitor: TrainingMonitor::default(),
            reported: Vec::new(),
            bar: None,
            task: String::new(),
            done: 0,
            heading: Heading::Pending,
        }
    }

    /// The summary of all events so far.
    pub(super) fn summary(&self) -> &LogSummary {
        &self.summary
    }

    /// Adds an event that is printed elsewhere.
    pub(super) fn count_silently(&mut self, record: &Record) {
        self.summary.add(record);
    }

    /// Adds an event that has been printed, and prints new symptoms after an evaluation.
    fn count(&mut self, record: &Record) -> io::Result<()> {
        self.summary.add(record);
        self.monitor.add(record);
        match &record.event {
            Event::Evaluation(_) => self.report_symptoms(),
            _ => Ok(()),
        }
    }

    /// Prints the symptoms that were not there after the last epoch.
    fn report_symptoms(&mut self) -> io::Result<()> {
        let symptoms = self.monitor.symptoms();
        for symptom in &symptoms {
            if !self.reported.contains(&discriminant(symptom)) {
                self.say(Role::Warning, &format!("       {symptom}"))?;
                self.say(Role::Quiet, &format!("       {}", symptom.advice()))?;
            }
        }
        self.reported = symptoms.iter().map(discriminant).collect();
        Ok(())
    }

    /// Shows a new event.
    pub(super) fn show(&mut self, record: &Record) -> io::Result<()> {
        match &record.event {
            Event::Step(step) => self.step(step),
            Event::Progress(progress) => self.progress(progress),
            other => self.permanent(other)?,
        }
        self.context.follow_pauses(&record.event);
        self.count(record)?;
        if let (Event::Control(_), true, Some(bar)) = (&record.event, self.summary.paused, &self.bar) {
            // It has the time left.
            bar.note("");
        }
        Ok(())
    }

    /// Shows an event from before attaching, if it leaves a permanent line.
    pub(super) fn show_past(&mut self, record: &Record) -> io::Result<()> {
        match &record.event {
            Event::Step(_) | Event::Progress(_) | Event::Control(_) => {}
            other => self.permanent(other)?,
        }
        self.context.follow_pauses(&record.event);
        self.count(record)
    }

    /// Shows the current task, after the events from before attaching.
    pub(super) fn show_current(&mut self) {
        match (self.summary.progress.clone(), self.summary.step.clone()) {
            (Some(progress), _) => self.progress(&progress),
            (None, Some(step)) => self.step(&step),
            (None, None) => {}
        }
    }

    /// Removes the progress bar.
    pub(super) fn clear(&mut self) {
        self.bar = None;
        self.task.clear();
    }

    fn permanent(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Start(start) => self.start(start),
            Event::Evaluation(evaluation) => self.evaluation(evaluation),
            Event::Predictions(predictions) => self.predictions(predictions),
            Event::Control(control) => {
                let role = match &control.error {
                    None => Role::Quiet,
                    Some(_) => Role::Warning,
                };
                self.say(role, &control.to_string())
            }
            Event::Message(message) => self.say(Role::Quiet, &message.text),
            Event::Warning(warning) => self.say(Role::Warning, &format!("warning: {}", warning.text)),
            Event::End(end) => self.end(end),
            _ => Ok(()),
        }
    }

    fn start(&mut self, start: &SessionStart) -> io::Result<()> {
        self.clear();
        if self.summary.events > 0 && self.summary.end.is_none() {
            self.say(
                Role::Warning,
                "the process of the session above exited without an `end` event",
            )?;
        }
        if self.output == Output::Results {
            let SessionStart {
                version,
                host,
                pid,
                job,
                ..
            } = start;
            let verb = match job.kind {
                JobKind::Prepare => "preparing",
                JobKind::Train => "training on",
                JobKind::Evaluate => "evaluating on",
                JobKind::Fetch => "fetching",
            };
            let dataset = &job.dataset;
            self.say(
                Role::Quiet,
                &format!("{verb} {dataset}: process {pid} on {host}, Cutline {version}"),
            )?;
        }
        if start.job.step > 0 {
            self.say(Role::Quiet, &format!("resuming after step {}", start.job.step))?;
        }
        if start.job.kind == JobKind::Train && self.heading == Heading::Pending {
            self.heading = Heading::Printed;
            self.say(Role::Heading, &heading())?;
        }
        Ok(())
    }

    fn end(&mut self, end: &SessionEnd) -> io::Result<()> {
        self.clear();
        match describe_end(end, self.summary.job) {
            Some(line) => self.say(Role::Quiet, &line),
            None => Ok(()),
        }
    }

    fn step(&mut self, step: &StepEvent) {
        let left = self
            .summary
            .seconds_left()
            .map_or(String::new(), |left| format!("{} left, ", about_duration(left)));
        let task = Task {
            label: format!("epoch {}", step.epoch + 1).into(),
            unit: "batches",
            total: step.batches as u64,
            done: step.batch as u64,
            figures: Figures::Position,
        };
        // The most important first: a narrow terminal cuts the rest.
        self.bar(task).note(&format!(
            "{left}loss {}, {} tokens/s",
            loss(f64::from(step.loss)),
            per_second(f64::from(step.tokens_per_second))
        ));
    }

    fn progress(&mut self, progress: &TaskProgress) {
        let TaskProgress {
            task,
            done,
            total,
            unit,
        } = progress;
        // The bar needs a static unit.
        let unit = ["images", "captions", BYTES]
            .into_iter()
            .find(|known| known == unit)
            .unwrap_or("");
        self.bar(Task {
            label: display_safe(task).into_owned().into(),
            unit,
            total: *total,
            done: *done,
            figures: Figures::PositionAndRate,
        });
    }

    /// The progress bar of a task, advanced to what is done of it.
    fn bar(&mut self, task: Task) -> &Bar {
        let done = task.done;
        if self.task != task.label || done < self.done {
            self.bar = None;
            self.task = task.label.clone().into_owned();
        }
        let before = self.done;
        self.done = done;
        let context = self.context;
        let mut is_new = false;
        let bar = self.bar.get_or_insert_with(|| {
            is_new = true;
            context.progress(Task {
                done: done.saturating_sub(1),
                ..task
            })
        });
        bar.advance(if is_new { done.min(1) } else { done - before });
        bar
    }

    fn evaluation(&mut self, evaluation: &DevEvaluation) -> io::Result<()> {
        self.clear();
        let paint = self.stream().paint;
        let (epoch, mark) = match (evaluation.trigger, evaluation.best) {
            (Trigger::EpochEnd, true) => (
                format!("{}", evaluation.epoch + 1),
                format!("  {}", paint.text(Role::Success, "best")),
            ),
            (Trigger::EpochEnd, false) => (format!("{}", evaluation.epoch + 1), String::new()),
            (Trigger::Manual, _) => (
                self.epochs_done(),
                format!("  {}", paint.text(Role::Quiet, "manual")),
            ),
        };
        self.line(&format!("{}{mark}", row(&epoch, evaluation)))
    }

    /// Epochs done, as a fraction.
    fn epochs_done(&self) -> String {
        let epochs = |step: &StepEvent| step.epoch as f64 + step.batch as f64 / step.batches.max(1) as f64;
        format!("{:.1}", self.summary.step.as_ref().map_or(0.0, epochs))
    }

    fn predictions(&mut self, predictions: &Predictions) -> io::Result<()> {
        match predictions.captions.first() {
            Some(Prediction { image, caption }) => {
                self.say(Role::Quiet, &format!("       {image}: {caption}"))
            }
            None => Ok(()),
        }
    }

    /// Prints text from the log.
    pub(super) fn say(&self, role: Role, text: &str) -> io::Result<()> {
        let terminal = &self.context.terminal;
        let text = display_safe(text);
        let text = terminal.wrap_for(self.stream(), &text);
        self.line(&self.stream().paint.text(role, &text))
    }

    /// Prints a permanent line above the bar.
    fn line(&self, line: &str) -> io::Result<()> {
        let print = || match self.output {
            Output::Notices => {
                self.context.notice(line);
                Ok(())
            }
            Output::Results => self.context.print(&format!("{line}\n")),
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn stream(&self) -> Stream {
        match self.output {
            Output::Notices => self.context.terminal.stderr,
            Output::Results => self.context.terminal.stdout,
        }
    }
}

fn describe_end(end: &SessionEnd, job: Option<JobKind>) -> Option<String> {
    Some(match (end.reason, &end.error) {
        (EndReason::Complete, _) if job == Some(JobKind::Train) => "All epochs are done.".into(),
        (EndReason::Complete, _) => return None,
        (EndReason::EarlyStopped, _) => "Stopped early: the dev score no longer improves.".into(),
        (EndReason::Stopped, _) => match job {
            Some(JobKind::Evaluate) => {
                "Stopped before all images were captioned; there are no scores.".into()
            }
            _ => "Stopped; everything is saved.".into(),
        },
        (EndReason::Failed, Some(error)) => format!("Failed: {error}"),
        (EndReason::Failed, None) => "Failed.".into(),
    })
}

/// A loss in six characters, or more if it is huge.
fn loss(value: f64) -> String {
    if value.abs() < 100.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.1e}")
    }
}

/// The heading of [`row`].
fn heading() -> String {
    let labels = Metric::all().map(|metric| format!("  {:>6}", metric.label()));
    HEADING.to_owned() + &labels.collect::<String>()
}

/// A row of an epoch under [`heading`]; scores as in `cutline evaluate`.
fn row(epoch: &str, evaluation: &DevEvaluation) -> String {
    let score = |metric: Metric| {
        let width = metric.label().len().max(6);
        format!("  {:>width$}", evaluation.scores.cell(metric, 4))
    };
    format!(
        "{epoch:>5}  {:>6}  {:>8}{}",
        loss(evaluation.train_loss),
        loss(evaluation.dev_loss),
        Metric::all().map(score).collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::LossKind;
    use crate::training::RunSettings;

    #[test]
    fn huge_loss_fits_its_column() {
        assert_eq!(
            [3.2104, 99.9, 150.0, 6.8e29].map(loss),
            ["3.210", "99.900", "1.5e2", "6.8e29"]
        );
    }

    #[test]
    fn advice_names_existing_settings() {
        let settings = serde_json::to_value(RunSettings::default()).unwrap();
        let symptoms = [
            Symptom::Repetition {
                captions: 2,
                images: 3,
                caption: String::new(),
            },
            Symptom::SameCaption {
                fraction: 1.0,
                caption: String::new(),
            },
            Symptom::ZeroScores {
                bleu_4: 0.0,
                cider_d: 0.0,
            },
            Symptom::ExplodingGradients {
                count: 3,
                step: 1,
                norm: 1.0,
                median: 1.0,
            },
            Symptom::LossSpikes {
                count: 3,
                step: 1,
                loss: 1.0,
                median: 1.0,
            },
            Symptom::Overfitting {
                best_epoch: 1,
                lowest: 1.0,
                last: 1.0,
                epochs: 2,
            },
        ];
        let plateaus = [LossKind::Training, LossKind::Dev].map(|loss| Symptom::Plateau {
            loss,
            lowest: 1.0,
            since_epoch: 1,
        });
        for symptom in symptoms.into_iter().chain(plateaus) {
            let words = symptom
                .advice()
                .split(|c: char| !(c.is_ascii_lowercase() || c == '.' || c == '_'));
            let keys: Vec<&str> = words
                .filter(|word| word.trim_matches('.').contains('.'))
                .collect();
            assert!(!keys.is_empty(), "{symptom:?}");
            for key in keys {
                let pointer = format!("/{}", key.trim_matches('.').replace('.', "/"));
                assert!(settings.pointer(&pointer).is_some(), "{key}");
            }
        }
    }
}
