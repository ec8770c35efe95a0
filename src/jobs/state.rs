//! The state of a job, derived from its lock, its log and the time.

use super::JobDirectory;
use super::control::settings_in;
use super::error::FileError;
use super::event::{DevEvaluation, StepEvent, TaskProgress};
use super::event::{EndReason, Event, JobKind, Record};
use super::event_log::now;
use super::lock::{LockState, MAX_ALIVE_AGE, age};
use super::reader::LogReader;
use crate::files::ConfinedPath;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::io;
use std::mem::discriminant;

/// A job is stalled without an event for this many median steps and [`MIN_STALLED_SECONDS`].
const STALLED_STEPS: f64 = 30.0;
/// Reading images, or captioning a few of them, takes a while.
const MIN_STALLED_SECONDS: f64 = 20.0;
/// The end of a log that tells the state: dozens of steps.
const END_BYTES: u64 = 16 << 10;
/// The median step time is of this many last steps.
const MEDIAN_STEPS: usize = 100;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// No process has worked on it yet.
    New,
    /// A process holds the lock and has not reached its first step.
    Starting,
    /// A process holds the lock and writes events.
    Running,
    /// A process holds the lock and was paused.
    Paused,
    /// A process holds the lock and has not written an event for too long.
    Stalled,
    /// It ran to its end, or stopped early.
    Complete,
    /// It was stopped and can be resumed.
    Stopped,
    /// It ended with an error, which is in the log.
    Failed,
    /// The process exited without an `end` event; the job can be resumed.
    Crashed,
    /// Its lock or its log cannot be read.
    Unreadable,
}

impl JobState {
    /// Whether a process works on it.
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Running | Self::Paused | Self::Stalled
        )
    }

    /// Whether it stays as it is until a process writes to its directory.
    pub(crate) fn is_settled(self) -> bool {
        !self.is_live() && self != Self::Unreadable
    }

    /// Its name in tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The summary of an event log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSummary {
    /// The kind of job.
    pub job: Option<JobKind>,
    /// The machine of the last session.
    pub host: Option<String>,
    /// The process of the last session.
    pub pid: Option<u32>,
    /// The dataset's name.
    pub dataset: Option<String>,
    /// The time of the last event, in seconds since 1970.
    pub last_time: Option<f64>,
    /// The settings of the last session, with the changes that it accepted; null before its start.
    pub settings: Value,
    /// Epochs of the training, by its settings.
    pub epochs: Option<u64>,
    /// The last step.
    pub step: Option<StepEvent>,
    /// The last evaluation.
    pub evaluation: Option<DevEvaluation>,
    /// The best evaluation at the end of an epoch.
    pub best: Option<DevEvaluation>,
    /// The task in progress besides steps.
    pub progress: Option<TaskProgress>,
    /// Whether the last session is paused.
    pub paused: bool,
    /// Seconds of the last session's pauses that have ended.
    pub paused_seconds: f64,
    /// The end of the last session, with the error of a failed one.
    pub end: Option<(EndReason, Option<String>)>,
    /// Number of events.
    pub events: usize,
    /// When the current pause began.
    pause_start: f64,
    /// The task's first `progress` event: its time without earlier pauses, and its `done`.
    progress_start: Option<(f64, u64)>,
    /// Times of the last steps, in order.
    step_times: VecDeque<f64>,
}

impl<'a> FromIterator<&'a Record> for LogSummary {
    fn from_iter<I: IntoIterator<Item = &'a Record>>(records: I) -> Self {
        let mut summary = Self::default();
        for record in records {
            summary.add(record);
        }
        summary
    }
}

/// Replaces a setting, unless it is unknown or the value is of another type.
fn change_setting(settings: &mut Value, key: &str, text: &str) {
    let key = match key {
        "lr" => "training.learning_rate",
        key => key,
    };
    let Some(setting) = settings.pointer_mut(&format!("/{}", key.replace('.', "/"))) else {
        return;
    };
    let value = match setting {
        Value::String(_) => Some(Value::from(text)),
        // TOML numbers may have underscores.
        _ => serde_json::from_str(&text.replace('_', "")).ok(),
    };
    let fits = |value: &Value| setting.is_null() || discriminant(value) == discriminant(setting);
    if let Some(value) = value.filter(fits) {
        *setting = value;
    }
}

/// Epochs of both phases, cross-entropy and SCST.
fn epochs(settings: &Value) -> Option<u64> {
    let of_phase = |key| settings.pointer(key).and_then(Value::as_u64);
    let scst = of_phase("/training/scst/epochs").unwrap_or(0);
    Some(of_phase("/training/epochs")?.saturating_add(scst))
}

impl LogSummary {
    /// Adds the next event.
    pub fn add(&mut self, record: &Record) {
        self.events += 1;
        self.last_time = Some(record.time);
        match &record.event {
            Event::Start(start) => {
                self.job = Some(start.job.kind);
                self.host = Some(start.host.clone());
                self.pid = Some(start.pid);
                self.dataset = Some(start.job.dataset.clone());
                self.settings = start.job.settings.clone();
                self.epochs = epochs(&self.settings);
                self.paused = false;
                self.paused_seconds = 0.0;
                self.progress = None;
                self.end = None;
            }
            Event::Step(step) => {
                self.progress = None;
                self.step = Some(step.clone());
                if self.step_times.len() > MEDIAN_STEPS {
                    self.step_times.pop_front();
                }
                self.step_times.push_back(record.time);
            }
            Event::Evaluation(evaluation) => {
                self.progress = None;
                if evaluation.best {
                    self.best = Some(evaluation.as_ref().clone());
                }
                self.evaluation = Some(evaluation.as_ref().clone());
            }
            Event::Progress(progress) => {
                let continues =
                    |before: &TaskProgress| before.task == progress.task && before.done <= progress.done;
                if !self.progress.as_ref().is_some_and(continues) {
                    self.progress_start = Some((record.time - self.paused_seconds, progress.done));
                }
                self.progress = Some(progress.clone());
            }
            Event::Control(control) if control.error.is_none() => self.apply(&control.command, record.time),
            Event::End(end) => {
                self.progress = None;
                self.end = Some((end.reason, end.error.clone()));
            }
            _ => {}
        }
    }

    fn apply(&mut self, command: &str, time: f64) {
        match (command, self.paused) {
            ("pause", false) => {
                self.paused = true;
                self.pause_start = time;
            }
            ("resume", true) => {
                self.paused = false;
                self.paused_seconds += (time - self.pause_start).max(0.0);
            }
            _ => {
                for (key, value) in settings_in(command) {
                    change_setting(&mut self.settings, key, value);
                }
                self.epochs = epochs(&self.settings);
            }
        }
    }

    /// Why the last session ended, if it did.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.end.as_ref().map(|(reason, _)| *reason)
    }

    /// The name of a job's state with this summary: that of the state, or `stopped early`.
    pub fn state_name(&self, state: JobState) -> &'static str {
        match (state, self.end_reason()) {
            (JobState::Complete, Some(EndReason::EarlyStopped)) => "stopped early",
            _ => state.name(),
        }
    }

    /// Total steps of the training.
    pub fn steps(&self) -> Option<u64> {
        Some(self.epochs?.saturating_mul(self.step.as_ref()?.batches as u64))
    }

    /// Fraction of the training's steps that are done; 1 once it is complete, also if it stopped early.
    pub fn fraction_done(&self) -> Option<f64> {
        let step = self.step.as_ref()?.step as f64;
        if let Some(EndReason::Complete | EndReason::EarlyStopped) = self.end_reason() {
            return Some(1.0);
        }
        Some((step / self.steps()?.max(1) as f64).min(1.0))
    }

    /// Estimated seconds to the end of the training, without evaluations; `None` while it is paused.
    pub fn seconds_left(&self) -> Option<f64> {
        if self.paused {
            return None;
        }
        let left = self.steps()?.saturating_sub(self.step.as_ref()?.step);
        Some(left as f64 * self.median_step_seconds()?)
    }

    /// Units of the task per second, and estimated seconds to its end; `None` while it is paused.
    pub fn progress_rate(&self) -> Option<(f64, f64)> {
        if self.paused {
            return None;
        }
        let (progress, (start_time, start_done)) = (self.progress.as_ref()?, self.progress_start?);
        let (done, seconds) = (
            progress.done.checked_sub(start_done)?,
            self.last_time? - self.paused_seconds - start_time,
        );
        if done == 0 || seconds <= 0.0 {
            return None;
        }
        let rate = done as f64 / seconds;
        Some((rate, progress.total.saturating_sub(progress.done) as f64 / rate))
    }

    /// Median seconds between the last steps.
    pub fn median_step_seconds(&self) -> Option<f64> {
        let times = self.step_times.iter();
        let mut intervals: Vec<f64> = times
            .clone()
            .zip(times.skip(1))
            .map(|(one, next)| next - one)
            .collect();
        intervals.sort_by(f64::total_cmp);
        intervals.get(intervals.len() / 2).copied()
    }
}

/// What a job's state depends on.
struct Facts<'a> {
    lock: &'a LockState,
    summary: &'a LogSummary,
    /// Seconds since the last write to the log, by the clock of its file system.
    log_age: f64,
    /// Seconds since the last write to the log or the lock.
    age: f64,
}

impl Facts<'_> {
    fn is_stalled(&self) -> bool {
        let median = self.summary.median_step_seconds().unwrap_or(0.0);
        self.log_age > (STALLED_STEPS * median).max(MIN_STALLED_SECONDS)
    }

    fn state(&self) -> JobState {
        let LogSummary {
            end,
            paused,
            last_time,
            ..
        } = self.summary;
        match (self.lock, end) {
            // The lock was taken after the last session's end: a new session is about to write its `start`.
            (LockState::Held(Some(holder)), Some(_)) if last_time.is_some_and(|last| last < holder.since) => {
                JobState::Starting
            }
            // Even if the lock is still held, the process is about to release it.
            (_, Some((reason, _))) => match reason {
                EndReason::Complete | EndReason::EarlyStopped => JobState::Complete,
                EndReason::Stopped => JobState::Stopped,
                EndReason::Failed => JobState::Failed,
            },
            (LockState::Free, None) if self.summary.events == 0 => JobState::New,
            (LockState::Held(_), None) if self.summary.events == 0 => JobState::Starting,
            (LockState::Free, None) => JobState::Crashed,
            // The lock of another machine cannot be seen from here, but what its process writes can.
            (LockState::Unknown(_), None) if self.age > MAX_ALIVE_AGE.as_secs_f64() => JobState::Crashed,
            _ if *paused => JobState::Paused,
            _ if self.is_stalled() => JobState::Stalled,
            _ if self.summary.step.is_none() && self.summary.progress.is_none() => JobState::Starting,
            _ => JobState::Running,
        }
    }
}

/// The state of a job with the summary of its log.
#[derive(Debug)]
pub struct JobStatus {
    /// Its state.
    pub state: JobState,
    /// The summary of its log.
    pub summary: LogSummary,
    /// Seconds since its last event.
    pub idle_seconds: Option<f64>,
    /// Why it is unreadable.
    pub error: Option<FileError>,
}

impl JobStatus {
    /// The state of a job, from its lock and the summary of its log.
    ///
    /// # Errors
    /// If the lock cannot be read.
    pub fn state_of(job: &JobDirectory, summary: &LogSummary) -> Result<JobState, FileError> {
        let (events, path) = (job.events(), job.lock());
        let lock = &LockState::read(&path).map_err(FileError::at(&path))?;
        if *lock == LockState::Free || summary.end.is_some() {
            // The files' ages do not matter.
            let (log_age, age) = (0.0, 0.0);
            return Ok(Facts {
                lock,
                summary,
                log_age,
                age,
            }
            .state());
        }
        let seconds =
            |files: &[&ConfinedPath]| Ok(age(&path, files).map_err(FileError::at(&path))?.as_secs_f64());
        Ok(Facts {
            lock,
            summary,
            log_age: seconds(&[&events])?,
            age: seconds(&[&events, &path])?,
        }
        .state())
    }

    /// The status of a job, from its lock and the summary of its log.
    pub fn from_summary(job: &JobDirectory, summary: LogSummary) -> Self {
        let (state, error) = match Self::state_of(job, &summary) {
            Ok(state) => (state, None),
            Err(error) => (JobState::Unreadable, Some(error)),
        };
        Self {
            state,
            idle_seconds: summary.last_time.map(|time| (now() - time).max(0.0)),
            summary,
            error,
        }
    }

    /// Reads the status of a job from its lock and its log. What cannot be read is reported in the status.
    pub fn read(job: &JobDirectory) -> Self {
        let path = job.events();
        match read_summary(&mut LogReader::new(&path)) {
            Ok(summary) => Self::from_summary(job, summary),
            Err(error) => Self {
                state: JobState::Unreadable,
                summary: LogSummary::default(),
                idle_seconds: None,
                error: Some(FileError::at(path)(error)),
            },
        }
    }
}

/// The summary of the end of a log, for the state of a job before its whole log is read.
///
/// # Errors
/// If the log cannot be read.
pub(crate) fn summarize_end(path: &ConfinedPath) -> io::Result<LogSummary> {
    read_summary(&mut LogReader::near_end(path, END_BYTES)?)
}

/// Reads a log to its end, a few megabytes at a time, and keeps only its summary.
pub(super) fn read_summary(reader: &mut LogReader) -> io::Result<LogSummary> {
    let mut summary = LogSummary::default();
    loop {
        let batch = reader.poll()?;
        if batch.records.is_empty() && batch.damaged == 0 {
            return Ok(summary);
        }
        batch.records.iter().for_each(|record| summary.add(record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Acknowledgement, FORMAT, JobInfo, LockHolder, SessionEnd, SessionStart};

    fn start(host: &str) -> Event {
        Event::Start(Box::new(SessionStart {
            format: FORMAT,
            version: String::new(),
            host: host.into(),
            pid: 1,
            job: JobInfo {
                kind: JobKind::Train,
                device: "cpu".into(),
                dataset: "scenes".into(),
                data_hash: None,
                settings: serde_json::Value::Null,
                step: 0,
            },
        }))
    }

    fn step() -> Event {
        let line = br#"{"epoch":0,"batch":1,"batches":2,"step":1,"loss":1,"learning_rate":1,"grad_norm":1,"tokens":1,"tokens_per_second":1,"memory":null}"#;
        Event::Step(serde_json::from_slice(line).unwrap())
    }

    fn control(command: &str, error: Option<&str>) -> Event {
        Event::Control(Acknowledgement {
            id: String::new(),
            command: command.into(),
            step: 1,
            error: error.map(str::to_owned),
        })
    }

    fn end(reason: EndReason) -> Event {
        Event::End(SessionEnd {
            reason,
            error: None,
            continues: false,
        })
    }

    /// The state `silence` seconds after the last of these events, which are a second apart.
    fn state(lock: LockState, events: &[Event], silence: f64) -> JobState {
        let records: Vec<Record> = (0..)
            .zip(events)
            .map(|(seq, event)| Record {
                seq,
                time: seq as f64,
                event: event.clone(),
            })
            .collect();
        let facts = Facts {
            lock: &lock,
            summary: &records.iter().collect(),
            log_age: silence,
            age: silence,
        };
        facts.state()
    }

    /// The summary of a training with these settings and then these events, a second apart.
    fn summary(settings: Value, events: &[Event]) -> LogSummary {
        let mut first = start("here.invalid");
        if let Event::Start(start) = &mut first {
            start.job.settings = settings;
        }
        let records = (0..).zip(std::iter::once(&first).chain(events));
        let records = records.map(|(seq, event)| Record {
            seq,
            time: seq as f64,
            event: event.clone(),
        });
        let mut summary = LogSummary::default();
        records.for_each(|record| summary.add(&record));
        summary
    }

    #[test]
    fn accepted_changes_replace_settings_of_the_session() {
        let settings = serde_json::json!({
            "training": {"epochs": 80, "learning_rate": 0.5, "scst": {"epochs": 0}},
            "search": {"kind": "beam"},
        });
        let summary = summary(
            settings,
            &[
                step(),
                control("set lr=2e-4 training.epochs=7 training.scst.epochs=1_0", None),
                control("set training.epochs=5", Some("no")),
                control(
                    "set training.epochs=many search.size=3 search=x search.kind=4",
                    None,
                ),
            ],
        );
        assert_eq!(
            summary.settings,
            serde_json::json!({
                "training": {"epochs": 7, "learning_rate": 2e-4, "scst": {"epochs": 10}},
                "search": {"kind": "4"},
            })
        );
        assert_eq!((summary.epochs, summary.steps()), (Some(17), Some(34)));
    }

    #[test]
    fn early_stopped_training_is_done_and_named_so() {
        let settings = serde_json::json!({"training": {"epochs": 400}});
        let summary = summary(settings, &[step(), end(EndReason::EarlyStopped)]);
        assert_eq!(summary.fraction_done(), Some(1.0));
        assert_eq!(summary.state_name(JobState::Complete), "stopped early");
        assert_eq!(summary.state_name(JobState::Starting), "starting");
    }

    #[test]
    fn pauses_do_not_count_for_rates() {
        let progress = |done| {
            Event::Progress(TaskProgress {
                task: "extracting".into(),
                done,
                total: 10,
                unit: "images".into(),
            })
        };
        let mut events = vec![
            progress(0),
            progress(4),
            control("pause", None),
            control("pause", None),
        ];
        assert_eq!(summary(Value::Null, &events).progress_rate(), None);
        events.extend([control("resume", None), progress(6)]);
        // Six images in five seconds, two of them paused.
        assert_eq!(summary(Value::Null, &events).progress_rate(), Some((2.0, 2.0)));
    }

    #[test]
    fn states_follow_from_lock_and_log() {
        let here = || start("here.invalid");
        let there = || start("elsewhere.invalid");
        let held = || LockState::Held(None);
        let free = || LockState::Free;
        let unknown = || {
            LockState::Unknown(LockHolder {
                pid: 2,
                host: "elsewhere.invalid".into(),
                since: 0.0,
                token: String::new(),
            })
        };
        let locked_later = || {
            LockState::Held(Some(LockHolder {
                pid: 2,
                host: "here.invalid".into(),
                since: 1e9,
                token: String::new(),
            }))
        };
        for (lock, events, silence, expected) in [
            (free(), vec![], 1.0, JobState::New),
            (held(), vec![], 1.0, JobState::Starting),
            (held(), vec![here()], 1.0, JobState::Starting),
            (held(), vec![here(), step()], 1.0, JobState::Running),
            (held(), vec![here(), step(), step()], 29.0, JobState::Running),
            (held(), vec![here(), step(), step()], 31.0, JobState::Stalled),
            (
                held(),
                vec![here(), step(), control("pause", None)],
                999.0,
                JobState::Paused,
            ),
            (
                held(),
                vec![here(), step(), control("pause", Some("no"))],
                1.0,
                JobState::Running,
            ),
            (
                held(),
                vec![here(), step(), control("pause", None), control("resume", None)],
                1.0,
                JobState::Running,
            ),
            (free(), vec![here(), step()], 1.0, JobState::Crashed),
            (unknown(), vec![there(), step()], 1.0, JobState::Running),
            (unknown(), vec![there(), step()], 25.0, JobState::Stalled),
            (unknown(), vec![there(), step()], 31.0, JobState::Crashed),
            (
                unknown(),
                vec![there(), step(), control("pause", None)],
                29.0,
                JobState::Paused,
            ),
            (
                locked_later(),
                vec![here(), end(EndReason::Stopped)],
                1.0,
                JobState::Starting,
            ),
            (
                held(),
                vec![here(), end(EndReason::Stopped)],
                1.0,
                JobState::Stopped,
            ),
            (
                free(),
                vec![here(), end(EndReason::EarlyStopped)],
                1.0,
                JobState::Complete,
            ),
            (
                free(),
                vec![here(), end(EndReason::Stopped)],
                1.0,
                JobState::Stopped,
            ),
            (
                free(),
                vec![here(), end(EndReason::Failed)],
                1.0,
                JobState::Failed,
            ),
            (
                held(),
                vec![here(), end(EndReason::Failed), here(), step()],
                1.0,
                JobState::Running,
            ),
        ] {
            assert_eq!(
                state(lock.clone(), &events, silence),
                expected,
                "{lock:?} {events:?} {silence}"
            );
        }
    }
}
