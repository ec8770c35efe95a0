//! The events of a job as somebody at a terminal wants to read them: a row for each epoch, a bar for what is being
//! done, a line for what is worth knowing. Those who train and those who attach see the same.

use super::Context;
use super::progress::{Progress as Bar, Task};
use super::terminal::{Paint, Role, display_safe};
use crate::runs::{End, EndReason, Event, JobKind, Record};
use crate::training::{Evaluation, Occasion, Progress, Samples, Step};

/// Over the rows of epochs.
const HEADING: &str = "epoch    loss     dev  BLEU-1  BLEU-2  BLEU-3  BLEU-4  ROUGE-L  CIDEr-D";

/// Shows the events of a job.
pub(super) struct Follower<'a> {
    context: &'a Context,
    bar: Option<Bar>,
    /// What the bar counts.
    doing: String,
    /// How much of it is done.
    done: u64,
    heading: Heading,
}

/// Whether the heading over the rows of epochs is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heading {
    ToCome,
    Printed,
}

impl<'a> Follower<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self {
            context,
            bar: None,
            doing: String::new(),
            done: 0,
            heading: Heading::ToCome,
        }
    }

    /// Shows what happens now.
    pub(super) fn show(&mut self, record: &Record) {
        match &record.event {
            Event::Step(step) => self.step(step),
            Event::Progress(progress) => self.progress(progress),
            other => self.lasting(other),
        }
    }

    /// Shows what has happened before: what lasts of it.
    pub(super) fn show_past(&mut self, record: &Record) {
        match &record.event {
            Event::Step(_) | Event::Progress(_) | Event::Control(_) => {}
            other => self.lasting(other),
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        self.bar = None;
        self.doing.clear();
    }

    fn lasting(&mut self, event: &Event) {
        match event {
            Event::Start(start) => {
                self.heading(start.job);
                if start.step > 0 {
                    self.say(Role::Quiet, &format!("going on after step {}", start.step));
                }
            }
            Event::Evaluation(evaluation) => self.evaluation(evaluation),
            Event::Samples(samples) => self.samples(samples),
            Event::Control(control) => match &control.refused {
                None => self.say(
                    Role::Quiet,
                    &format!("{} at step {}", control.command, control.step),
                ),
                Some(why) => self.say(Role::Warning, &format!("refused to {}: {why}", control.command)),
            },
            Event::Message(message) => self.say(Role::Quiet, &message.text),
            Event::Warning(warning) => self.say(Role::Warning, &format!("warning: {}", warning.text)),
            Event::End(end) => {
                self.clear();
                if let Some(line) = ending(end) {
                    self.context.notice(&display_safe(&line));
                }
            }
            Event::Step(_) | Event::Progress(_) | Event::Checkpoint(_) | Event::Unknown => {}
        }
    }

    fn heading(&mut self, job: JobKind) {
        if job == JobKind::Train && self.heading == Heading::ToCome {
            self.heading = Heading::Printed;
            let paint = self.paint();
            self.context.notice(&paint.text(Role::Heading, HEADING));
        }
    }

    fn step(&mut self, step: &Step) {
        let label = format!("epoch {}", step.epoch + 1);
        let bar = self.bar(&label, "batches", step.batches as u64, step.batch as u64);
        bar.note(&format!(
            "loss {:.3}, {:.0} tokens/s",
            step.loss, step.tokens_per_second
        ));
    }

    fn progress(&mut self, progress: &Progress) {
        let Progress {
            task,
            done,
            total,
            unit,
        } = progress;
        // The unit of a bar lives as long as the program; these are the ones there are.
        let unit = ["photos", "captions"]
            .into_iter()
            .find(|known| known == unit)
            .unwrap_or("");
        self.bar(task, unit, *total, *done);
    }

    /// The bar of what is being done, moved on to where that is now.
    fn bar(&mut self, doing: &str, unit: &'static str, total: u64, done: u64) -> &Bar {
        if self.doing != doing || done < self.done {
            self.bar = None;
            self.doing = doing.to_owned();
        }
        let before = self.done;
        self.done = done;
        let context = self.context;
        let mut is_new = false;
        let bar = self.bar.get_or_insert_with(|| {
            is_new = true;
            context.progress(Task {
                label: display_safe(doing).into_owned().into(),
                unit,
                total: Some(total),
                done: done.saturating_sub(1),
            })
        });
        bar.advance(if is_new { done.min(1) } else { done - before });
        bar
    }

    fn evaluation(&mut self, evaluation: &Evaluation) {
        self.clear();
        let paint = self.paint();
        let mark = match (evaluation.occasion, evaluation.best) {
            (Occasion::EpochEnd, true) => format!("  {}", paint.text(Role::Success, "best")),
            (Occasion::EpochEnd, false) => String::new(),
            (Occasion::Asked, _) => format!("  {}", paint.text(Role::Quiet, "asked for")),
        };
        self.context.notice(&format!("{}{mark}", row(evaluation)));
    }

    fn samples(&mut self, samples: &Samples) {
        if let Some(sample) = samples.captions.first() {
            self.say(Role::Quiet, &format!("       {}", sample.caption));
        }
    }

    /// A line that stays, above the bar.
    fn say(&self, role: Role, text: &str) {
        let text = display_safe(text);
        let line = self.paint().text(role, &text);
        match &self.bar {
            Some(bar) => bar.say(&line),
            None => self.context.notice(&line),
        }
    }

    fn paint(&self) -> Paint {
        self.context.terminal.stderr_paint()
    }
}

/// What an end means to a reader; nothing where that is told elsewhere.
fn ending(end: &End) -> Option<String> {
    match (end.reason, &end.error) {
        (EndReason::Complete, _) => None,
        (EndReason::Early, _) => Some("Stopped early: the dev score has not got better for a while.".into()),
        (EndReason::Stopped, _) => Some("Stopped; all that was done is saved.".into()),
        (EndReason::Failed, Some(error)) => Some(format!("Failed: {error}")),
        (EndReason::Failed, None) => Some("Failed.".into()),
    }
}

/// The figures of an epoch under [`HEADING`], as fractions like those of `cutline evaluate`.
fn row(evaluation: &Evaluation) -> String {
    let Evaluation {
        epoch,
        training_loss,
        loss,
        scores,
        ..
    } = evaluation;
    let [one, two, three, four] = scores.bleu;
    format!(
        "{:>5}  {training_loss:>6.3}  {loss:>6.3}  {one:>6.4}  {two:>6.4}  {three:>6.4}  {four:>6.4}  {:>7.4}  {:>7.4}",
        epoch + 1,
        scores.rouge_l,
        scores.cider_d,
    )
}
