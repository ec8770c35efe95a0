//! Progress of long tasks: a bar on a terminal, a line every ten seconds elsewhere, nothing with `--quiet`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::terminal::{self, Terminal, display_safe};
use crate::text::{about_duration, byte_size, counted, grouped, per_second};

/// The unit that is shown with a decimal prefix.
pub(super) const BYTES: &str = "bytes";

/// The least time between lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// A bar is drawn this often: its rate changes, and a pause begins, without news.
const DRAW_INTERVAL: Duration = Duration::from_millis(500);

/// A terminal with fewer columns gets a shorter bar, so that there is room for the note.
const WIDE: u16 = 100;

const TEMPLATE: &str = "{prefix} [{bar:24}] {figures}{wide_msg}";
const NARROW_TEMPLATE: &str = "{prefix} [{bar:8}] {figures}{wide_msg}";

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
    pub(super) figures: Figures,
}

/// The figures behind a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figures {
    /// Units done, their rate and the time left.
    PositionAndRate,
    /// Units done; the note has the rest.
    Position,
}

impl Task {
    pub(super) fn new(label: &'static str, unit: &'static str, total: usize) -> Self {
        Self {
            label: label.into(),
            unit,
            total: total as u64,
            done: 0,
            figures: Figures::PositionAndRate,
        }
    }

    /// The figures after `worked` without pauses.
    fn figures(&self, position: u64, worked: Worked) -> String {
        let mut text = match (self.unit, self.total) {
            // The server of a file may not state its size.
            (BYTES, 0) => byte_size(position),
            (BYTES, total) => format!("{} of {}", byte_size(position), byte_size(total)),
            (_, total) => format!("{}/{}", grouped(position), grouped(total)),
        };
        if !matches!(self.unit, "" | BYTES) {
            let _ = write!(text, " {}", self.unit);
        }
        if worked.is_paused {
            return text + ", paused";
        }
        let speed = speed(position.saturating_sub(self.done), worked.time);
        if self.figures == Figures::PositionAndRate && speed > 0.0 {
            let _ = write!(text, ", {}", self.rate(speed));
            if self.total > 0 {
                let left = self.total.saturating_sub(position) as f64 / speed;
                let _ = write!(text, ", {} left", about_duration(left));
            }
        }
        text
    }
}

impl Task {
    /// Units or bytes a second, without the unit.
    fn rate(&self, speed: f64) -> String {
        match self.unit {
            BYTES => format!("{}/s", byte_size(speed as u64)),
            _ => format!("{}/s", per_second(speed)),
        }
    }
}

/// The pauses of the job that this process works on or follows.
#[derive(Debug, Default)]
pub(super) struct PauseClock(Mutex<Pauses>);

#[derive(Clone, Copy, Debug, Default)]
struct Pauses {
    ended: Duration,
    since: Option<Instant>,
}

/// The time worked on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worked {
    /// Without pauses.
    time: Duration,
    is_paused: bool,
}

impl PauseClock {
    fn lock(&self) -> MutexGuard<'_, Pauses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pause begins, unless one has begun.
    pub(super) fn pause(&self, now: Instant) {
        self.lock().since.get_or_insert(now);
    }

    /// The pause ends, if there is one.
    pub(super) fn resume(&self, now: Instant) {
        let mut pauses = self.lock();
        if let Some(since) = pauses.since.take() {
            pauses.ended += now.saturating_duration_since(since);
        }
    }

    /// The length of all pauses so far.
    fn paused(&self, now: Instant) -> Duration {
        let Pauses { ended, since } = *self.lock();
        ended + since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn is_paused(&self) -> bool {
        self.lock().since.is_some()
    }
}

/// Measures the time worked on a task.
#[derive(Clone, Debug)]
pub(super) struct WorkTimer {
    clock: Arc<PauseClock>,
    started: Instant,
    /// The length of earlier pauses.
    paused: Duration,
}

impl WorkTimer {
    fn start(clock: &Arc<PauseClock>, now: Instant) -> Self {
        Self {
            clock: Arc::clone(clock),
            started: now,
            paused: clock.paused(now),
        }
    }

    fn worked(&self, now: Instant) -> Worked {
        let paused = self.clock.paused(now).saturating_sub(self.paused);
        Worked {
            time: now.saturating_duration_since(self.started).saturating_sub(paused),
            is_paused: self.clock.is_paused(),
        }
    }
}

/// The progress of a [`Task`]. Threads may share it. Dropping it removes the bar.
#[derive(Debug)]
pub(super) enum Progress {
    Bar {
        bar: ProgressBar,
        task: Task,
        timer: WorkTimer,
    },
    Lines {
        log: Mutex<Log>,
        timer: WorkTimer,
    },
    Silent,
}

impl Progress {
    pub(super) fn start(task: Task, terminal: &Terminal, clock: &Arc<PauseClock>) -> Self {
        let timer = WorkTimer::start(clock, Instant::now());
        match terminal.stderr.draws {
            true => Self::Bar {
                bar: bar(&task, &timer, terminal.size().0),
                task,
                timer,
            },
            false => Self::Lines {
                log: Mutex::new(Log::new(task)),
                timer,
            },
        }
    }

    /// Counts `more` units as done.
    pub(super) fn advance(&self, more: u64) {
        match self {
            Self::Bar { bar, .. } => bar.inc(more),
            Self::Lines { log, timer } => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.position += more;
                if let Some(line) = log.line_if_due(timer.worked(Instant::now())) {
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
            Self::Bar { bar, .. } => bar.set_message(format!("  {note}")),
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

    /// Ends the task with a line on the units done, the time and the rate, if anything was done.
    pub(super) fn finish(self) {
        let (task, position, timer) = match &self {
            Self::Bar { bar, task, timer } => {
                bar.finish_and_clear();
                (task.clone(), bar.position(), timer)
            }
            Self::Lines { log, timer } => {
                let log = log.lock().unwrap_or_else(PoisonError::into_inner);
                (log.task.clone(), log.position, timer)
            }
            Self::Silent => return,
        };
        if let Some(line) = summary(&task, position, timer.worked(Instant::now()).time) {
            terminal::print_to_stderr(&line);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn bar(task: &Task, timer: &WorkTimer, columns: u16) -> ProgressBar {
    let template = if columns < WIDE { NARROW_TEMPLATE } else { TEMPLATE };
    let (counted, timer) = (task.clone(), timer.clone());
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key(
            "figures",
            move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = out.write_str(&counted.figures(state.pos(), timer.worked(Instant::now())));
            },
        )
        .progress_chars("=> ");
    let bar = ProgressBar::new(task.total);
    bar.set_style(style);
    bar.set_prefix(task.label.clone());
    bar.set_position(task.done);
    bar.enable_steady_tick(DRAW_INTERVAL);
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

    fn line_if_due(&mut self, worked: Worked) -> Option<String> {
        if worked.time < self.last_line + LINE_INTERVAL {
            return None;
        }
        self.last_line = worked.time;
        Some(self.line(worked))
    }

    fn line(&self, worked: Worked) -> String {
        let mut line = format!(
            "{}: {}",
            self.task.label,
            self.task.figures(self.position, worked)
        );
        if !self.note.is_empty() {
            let _ = write!(line, "  {}", self.note);
        }
        line
    }
}

/// `None` if an earlier command had done everything.
fn summary(task: &Task, position: u64, worked: Duration) -> Option<String> {
    let done = position.saturating_sub(task.done);
    (done > 0).then(|| {
        let (time, speed) = (about_duration(worked.as_secs_f64()), speed(done, worked));
        let (amount, rate) = match task.unit {
            BYTES => (byte_size(done), task.rate(speed)),
            unit => (counted(done, unit), format!("{} {unit}/s", per_second(speed))),
        };
        format!("{}: {amount} in {time}, {rate}", task.label)
    })
}

fn speed(count: u64, worked: Duration) -> f64 {
    let seconds = worked.as_secs_f64();
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
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

    fn worked(seconds: u64) -> Worked {
        Worked {
            time: Duration::from_secs(seconds),
            is_paused: false,
        }
    }

    #[test]
    fn earlier_units_count_for_position_but_not_for_rate() {
        let mut log = Log::new(images(8000, 1000));
        log.position += 400;
        log.note = "vgg16".into();
        assert_eq!(
            log.line(worked(10)),
            "extracting features: 1,400/8,000 images, 40.0/s, 2 min left  vgg16"
        );
    }

    #[test]
    fn bytes_have_a_prefix_and_may_have_no_total() {
        let mut task = Task::new("fetching", BYTES, 20_000_000);
        assert_eq!(
            task.figures(5_000_000, worked(5)),
            "5.0 MB of 20.0 MB, 1.0 MB/s, 15 s left"
        );
        task.total = 0;
        assert_eq!(task.figures(5_000_000, worked(5)), "5.0 MB, 1.0 MB/s");
        let line = summary(&task, 20_000_000, Duration::from_secs(10)).unwrap();
        assert_eq!(line, "fetching: 20.0 MB in 10 s, 2.0 MB/s");
    }

    #[test]
    fn epoch_has_no_time_of_its_own() {
        let task = Task {
            figures: Figures::Position,
            ..Task::new("epoch 3", "batches", 8)
        };
        assert_eq!(task.figures(7, worked(1)), "7/8 batches");
    }

    #[test]
    fn pause_stops_rate_and_time() {
        let (clock, begin) = (Arc::new(PauseClock::default()), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        clock.pause(begin);
        clock.resume(after(5));
        let timer = WorkTimer::start(&clock, after(5));
        clock.pause(after(15));
        clock.pause(after(20));
        let paused = timer.worked(after(60));
        let task = images(100, 0);
        assert_eq!(task.figures(20, paused), "20/100 images, paused");
        clock.resume(after(65));
        assert_eq!(timer.worked(after(75)), worked(20));
        assert_eq!(
            task.figures(40, timer.worked(after(75))),
            "40/100 images, 2.0/s, 30 s left"
        );
    }

    #[test]
    fn log_has_a_line_every_ten_seconds() {
        let mut log = Log::new(images(10, 0));
        let seconds: Vec<u64> = (0..40)
            .filter(|second| log.line_if_due(worked(*second)).is_some())
            .collect();
        assert_eq!(seconds, [10, 20, 30]);
    }

    #[test]
    fn summary_has_units_of_this_command() {
        let seconds = Duration::from_secs(140);
        assert_eq!(
            summary(&images(8000, 1000), 8000, seconds).unwrap(),
            "extracting features: 7,000 images in 2 min, 50.0 images/s"
        );
        assert_eq!(
            summary(&images(1, 0), 1, seconds).unwrap(),
            "extracting features: 1 image in 2 min, 0.0 images/s"
        );
        assert_eq!(summary(&images(8000, 8000), 8000, seconds), None);
    }

    #[test]
    fn bar_templates_are_valid() {
        for template in [TEMPLATE, NARROW_TEMPLATE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
        let timer = WorkTimer::start(&Arc::default(), Instant::now());
        assert_eq!(bar(&images(3, 1), &timer, 80).position(), 1);
    }
}
