//! Progress of long tasks: a bar on a terminal, a line every ten seconds elsewhere, nothing with `--quiet`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{FormattedDuration, HumanCount, ProgressBar, ProgressState, ProgressStyle};

use super::terminal::{self, Terminal, display_safe};

/// The least time between lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// A terminal with fewer columns gets a shorter bar, so that there is room for the note.
const WIDE: u16 = 100;

const TEMPLATE: &str = "{prefix} [{bar:24}] {human_pos}/{human_len} {rate}, {eta_precise} left  {wide_msg}";
const NARROW_TEMPLATE: &str = "{prefix} [{bar:8}] {human_pos}/{human_len} {rate}, {eta} left  {wide_msg}";

/// A long task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Such as "extracting features".
    pub(super) label: Cow<'static, str>,
    /// What is counted, in the plural.
    pub(super) unit: &'static str,
    pub(super) total: u64,
    /// Units done by an earlier, interrupted command. They count for the position, not for the rate.
    pub(super) done: u64,
}

impl Task {
    pub(super) fn new(label: &'static str, unit: &'static str, total: usize) -> Self {
        Self {
            label: label.into(),
            unit,
            total: total as u64,
            done: 0,
        }
    }
}

/// The progress of a [`Task`]. Threads may share it. Dropping it removes the bar.
#[derive(Debug)]
pub(super) enum Progress {
    Bar {
        bar: ProgressBar,
        task: Task,
        started: Instant,
    },
    Lines {
        log: Mutex<Log>,
        started: Instant,
    },
    Silent,
}

impl Progress {
    pub(super) fn start(task: Task, terminal: &Terminal) -> Self {
        let started = Instant::now();
        match terminal.stderr.draws {
            true => Self::Bar {
                bar: bar(&task, terminal.size().0),
                task,
                started,
            },
            false => Self::Lines {
                log: Mutex::new(Log::new(task)),
                started,
            },
        }
    }

    /// Counts `more` units as done.
    pub(super) fn advance(&self, more: u64) {
        match self {
            Self::Bar { bar, .. } => bar.inc(more),
            Self::Lines { log, started } => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.position += more;
                if let Some(line) = log.line_if_due(started.elapsed()) {
                    terminal::print_to_stderr(&line);
                }
            }
            Self::Silent => {}
        }
    }

    /// Sets the text after the figures, such as the loss.
    pub(super) fn note(&self, note: &str) {
        let note = display_safe(note).into_owned();
        match self {
            Self::Bar { bar, .. } => bar.set_message(note),
            Self::Lines { log, .. } => log.lock().unwrap_or_else(PoisonError::into_inner).note = note,
            Self::Silent => {}
        }
    }

    /// Hides the bar while something else is printed.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match self {
            Self::Bar { bar, .. } => bar.suspend(print),
            Self::Lines { .. } | Self::Silent => print(),
        }
    }

    /// Ends the task with a line on the units done, the time and the rate.
    pub(super) fn finish(self) {
        let line = match &self {
            Self::Bar { bar, task, started } => {
                bar.finish_and_clear();
                summary(task, bar.position(), started.elapsed())
            }
            Self::Lines { log, started } => {
                let log = log.lock().unwrap_or_else(PoisonError::into_inner);
                summary(&log.task, log.position, started.elapsed())
            }
            Self::Silent => return,
        };
        terminal::print_to_stderr(&line);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn bar(task: &Task, columns: u16) -> ProgressBar {
    let unit = task.unit;
    let template = if columns < WIDE { NARROW_TEMPLATE } else { TEMPLATE };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key(
            "rate",
            move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{unit}, {}", rate(state.per_sec(), ""));
            },
        )
        .progress_chars("=> ");
    let bar = ProgressBar::new(task.total);
    bar.set_style(style);
    bar.set_prefix(task.label.clone());
    bar.set_position(task.done);
    bar.reset_eta();
    bar
}

/// Progress as lines.
#[derive(Debug)]
pub(super) struct Log {
    task: Task,
    position: u64,
    note: String,
    last_line: Duration,
}

impl Log {
    fn new(task: Task) -> Self {
        Self {
            position: task.done,
            task,
            note: String::new(),
            last_line: Duration::ZERO,
        }
    }

    fn line_if_due(&mut self, elapsed: Duration) -> Option<String> {
        if elapsed < self.last_line + LINE_INTERVAL {
            return None;
        }
        self.last_line = elapsed;
        Some(self.line(elapsed))
    }

    fn line(&self, elapsed: Duration) -> String {
        let Task {
            label,
            unit,
            total,
            done,
        } = &self.task;
        let speed = speed(self.position - done, elapsed);
        let mut line = format!("{label}: {}", HumanCount(self.position));
        let _ = write!(line, "/{} {unit}, {}", HumanCount(*total), rate(speed, unit));
        if speed > 0.0 {
            let left = total.saturating_sub(self.position) as f64 / speed;
            let left = Duration::try_from_secs_f64(left.round()).unwrap_or(Duration::MAX);
            let _ = write!(line, ", {} left", FormattedDuration(left));
        }
        if !self.note.is_empty() {
            let _ = write!(line, "  {}", self.note);
        }
        line
    }
}

fn summary(task: &Task, position: u64, elapsed: Duration) -> String {
    let Task {
        label, unit, done, ..
    } = task;
    let speed = speed(position - done, elapsed);
    format!(
        "{label}: {} {unit} in {}, {}",
        HumanCount(position - done),
        FormattedDuration(elapsed),
        rate(speed, unit)
    )
}

fn speed(count: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

/// `1,234 images/s`; behind a count that names the unit already it is left empty.
fn rate(per_second: f64, unit: &str) -> String {
    let blank = if unit.is_empty() { "" } else { " " };
    if per_second >= 100.0 {
        format!("{}{blank}{unit}/s", HumanCount(per_second.round() as u64))
    } else {
        format!("{per_second:.1}{blank}{unit}/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(total: usize, done: u64) -> Task {
        Task {
            done,
            ..Task::new("extracting features", "images", total)
        }
    }

    #[test]
    fn earlier_units_count_for_position_but_not_for_rate() {
        let mut log = Log::new(images(8000, 1000));
        log.position += 400;
        log.note = "vgg16".into();
        assert_eq!(
            log.line(Duration::from_secs(10)),
            "extracting features: 1,400/8,000 images, 40.0 images/s, 00:02:45 left  vgg16"
        );
    }

    #[test]
    fn log_has_a_line_every_ten_seconds() {
        let mut log = Log::new(images(10, 0));
        let seconds: Vec<u64> = (0..40)
            .filter(|second| log.line_if_due(Duration::from_secs(*second)).is_some())
            .collect();
        assert_eq!(seconds, [10, 20, 30]);
    }

    #[test]
    fn summary_has_units_of_this_command() {
        let line = summary(&images(8000, 1000), 8000, Duration::from_secs(140));
        assert_eq!(
            line,
            "extracting features: 7,000 images in 00:02:20, 50.0 images/s"
        );
    }

    #[test]
    fn bar_templates_are_valid() {
        for template in [TEMPLATE, NARROW_TEMPLATE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
        assert_eq!(bar(&images(3, 1), 80).position(), 1);
    }
}
