//! What state a job is in, told from facts: its lock, its log and the time.

use super::JobDirectory;
use super::event::{DevEvaluation, StepEvent, TaskProgress};
use super::event::{EndReason, Event, JobKind, Record};
use super::event_log::now;
use super::lock::{LockState, host_name, look_at_lock};
use super::reader::read_events;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::io;

/// A silence of so many median steps is one that should not be, if it is also as long as [`LEAST_SILENCE`].
const SILENT_STEPS: f64 = 30.0;
/// In seconds. Reading images, or captioning a few of them, takes its time.
const LEAST_SILENCE: f64 = 20.0;
/// How many of the latest steps the median is of.
const STEPS_JUDGED: usize = 100;

/// What state a job is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Nobody has worked on it yet.
    New,
    /// A process has taken it up, and has not come to its first step.
    Starting,
    /// A process works on it, and tells of it.
    Running,
    /// A process holds it, and was asked to wait.
    Paused,
    /// A process holds it, and has been silent for too long.
    Stalled,
    /// All is done, or went no further.
    Complete,
    /// It was asked to stop, and can be resumed.
    Stopped,
    /// It ended with an error; the log says which.
    Failed,
    /// The process died without a word; the job can be resumed.
    Crashed,
}

impl JobState {
    /// Whether a process has it in hand.
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Running | Self::Paused | Self::Stalled
        )
    }

    /// The word for it.
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
        }
    }
}

/// What a log comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSummary {
    /// What kind of work it is.
    pub job: Option<JobKind>,
    /// The machine that the last session ran on.
    pub host: Option<String>,
    /// The process of the last session.
    pub pid: Option<u32>,
    /// The data set's name.
    pub data_set: Option<String>,
    /// When the last event was told, in seconds since 1970.
    pub last_time: Option<f64>,
    /// Epochs that a training is to have, by its settings.
    pub epochs: Option<u64>,
    /// The last step.
    pub step: Option<StepEvent>,
    /// The last evaluation.
    pub evaluation: Option<DevEvaluation>,
    /// The best evaluation at an epoch's end.
    pub best: Option<DevEvaluation>,
    /// What the job is busy with besides steps.
    pub progress: Option<TaskProgress>,
    /// Whether the last session was asked to wait, and not to go on.
    pub paused: bool,
    /// How the last session ended, if it did.
    pub end: Option<(EndReason, Option<String>)>,
    /// Events told.
    pub events: usize,
    /// When the task of `progress` was first told of, and how far it was then.
    progress_began: Option<(f64, u64)>,
    /// When the latest steps were told, the last one last.
    step_times: VecDeque<f64>,
}

impl<'a> FromIterator<&'a Record> for LogSummary {
    fn from_iter<I: IntoIterator<Item = &'a Record>>(records: I) -> Self {
        let mut summary = Self::default();
        for record in records {
            summary.count(record);
        }
        summary
    }
}

/// Epochs of both phases of a training.
fn epochs(settings: &Value) -> Option<u64> {
    let of_phase = |key| settings.pointer(key).and_then(Value::as_u64);
    let rewarding = of_phase("/training/scst/epochs").unwrap_or(0);
    Some(of_phase("/training/epochs")? + rewarding)
}

impl LogSummary {
    /// Takes the next event into account.
    pub fn count(&mut self, record: &Record) {
        self.events += 1;
        self.last_time = Some(record.time);
        match &record.event {
            Event::Start(start) => {
                self.job = Some(start.job);
                self.host = Some(start.host.clone());
                self.pid = Some(start.pid);
                self.data_set = Some(start.data_set.clone());
                self.epochs = epochs(&start.settings);
                self.paused = false;
                self.progress = None;
                self.end = None;
            }
            Event::Step(step) => {
                self.progress = None;
                self.step = Some(step.clone());
                if self.step_times.len() > STEPS_JUDGED {
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
                let is_same =
                    |before: &TaskProgress| before.task == progress.task && before.done <= progress.done;
                if !self.progress.as_ref().is_some_and(is_same) {
                    self.progress_began = Some((record.time, progress.done));
                }
                self.progress = Some(progress.clone());
            }
            Event::Control(control) if control.error.is_none() => match control.command.as_str() {
                "pause" => self.paused = true,
                "resume" => self.paused = false,
                _ => {}
            },
            Event::End(end) => {
                self.progress = None;
                self.end = Some((end.reason, end.error.clone()));
            }
            _ => {}
        }
    }

    /// Steps that a training is to have.
    pub fn steps(&self) -> Option<u64> {
        Some(self.epochs? * self.step.as_ref()?.batches as u64)
    }

    /// The share of all steps that is done.
    pub fn done(&self) -> Option<f64> {
        let step = self.step.as_ref()?.step as f64;
        Some((step / self.steps()?.max(1) as f64).min(1.0))
    }

    /// Seconds to the end of a training at its present speed, evaluations left out.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.steps()?.saturating_sub(self.step.as_ref()?.step);
        Some(left as f64 * self.median_step()?)
    }

    /// How much of the present task is done in a second, and in how many seconds the rest will be.
    pub fn progress_rate(&self) -> Option<(f64, f64)> {
        let (progress, (began, first)) = (self.progress.as_ref()?, self.progress_began?);
        let (done, seconds) = (progress.done.checked_sub(first)?, self.last_time? - began);
        if done == 0 || seconds <= 0.0 {
            return None;
        }
        let rate = done as f64 / seconds;
        Some((rate, progress.total.saturating_sub(progress.done) as f64 / rate))
    }

    /// The median time between the latest steps, in seconds.
    pub fn median_step(&self) -> Option<f64> {
        let times = self.step_times.iter();
        let mut between: Vec<f64> = times
            .clone()
            .zip(times.skip(1))
            .map(|(one, next)| next - one)
            .collect();
        between.sort_by(f64::total_cmp);
        between.get(between.len() / 2).copied()
    }
}

/// What a state is told from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Whether a process holds the lock.
    pub lock: &'a LockState,
    /// What the log comes to.
    pub summary: &'a LogSummary,
    /// The time, in seconds since 1970.
    pub now: f64,
}

impl Facts<'_> {
    /// Whether the last session ran on another machine. Locks may not be seen from there.
    pub fn is_elsewhere(&self) -> bool {
        self.summary
            .host
            .as_ref()
            .is_some_and(|host| *host != host_name())
    }

    /// Seconds since the last event.
    pub fn silence(&self) -> Option<f64> {
        self.summary.last_time.map(|time| (self.now - time).max(0.0))
    }

    /// Whether the last event was told before that time.
    fn is_before(&self, time: f64) -> bool {
        self.summary.last_time.is_some_and(|last| last < time)
    }

    fn is_silent(&self) -> bool {
        let usual = self.summary.median_step().unwrap_or(0.0);
        let long = (SILENT_STEPS * usual).max(LEAST_SILENCE);
        self.silence().is_some_and(|silence| silence > long)
    }

    /// The state.
    pub fn state(&self) -> JobState {
        let LogSummary { end, paused, .. } = self.summary;
        match (self.lock, end) {
            (LockState::Held(Some(holder)), Some(_)) if self.is_before(holder.since) => JobState::Starting,
            // If the lock is held still, the process is about to let go.
            (_, Some((reason, _))) => match reason {
                EndReason::Complete | EndReason::EarlyStopped => JobState::Complete,
                EndReason::Stopped => JobState::Stopped,
                EndReason::Failed => JobState::Failed,
            },
            (LockState::Free, None) if self.summary.events == 0 => JobState::New,
            (LockState::Held(_), None) if self.summary.events == 0 => JobState::Starting,
            // A lock that is held elsewhere may look free from here; events that flow do not lie.
            (LockState::Free, None) if !self.is_elsewhere() || self.is_silent() => JobState::Crashed,
            _ if *paused => JobState::Paused,
            _ if self.is_silent() => JobState::Stalled,
            _ if self.summary.step.is_none() && self.summary.progress.is_none() => JobState::Starting,
            _ => JobState::Running,
        }
    }
}

/// A job as it is now.
#[derive(Clone, Debug)]
pub struct JobStatus {
    /// Its state.
    pub state: JobState,
    /// What its log comes to.
    pub summary: LogSummary,
    /// Seconds since its last event.
    pub silence: Option<f64>,
    /// Whether it was last worked on by another machine.
    pub is_elsewhere: bool,
}

impl JobStatus {
    /// The state alone of a job whose log comes to `summary`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn state_of(job: &JobDirectory, summary: &LogSummary) -> io::Result<JobState> {
        let lock = &look_at_lock(&job.lock())?;
        let now = now();
        Ok(Facts { lock, summary, now }.state())
    }

    /// Of a job whose log comes to `summary`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn of(job: &JobDirectory, summary: LogSummary) -> io::Result<Self> {
        let facts = Facts {
            lock: &look_at_lock(&job.lock())?,
            summary: &summary,
            now: now(),
        };
        Ok(Self {
            state: facts.state(),
            silence: facts.silence(),
            is_elsewhere: facts.is_elsewhere(),
            summary,
        })
    }

    /// Of a job whose log is read now.
    ///
    /// # Errors
    /// Those of the system.
    pub fn read(job: &JobDirectory) -> io::Result<Self> {
        Self::of(job, read_events(&job.events())?.records.iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Acknowledgement, FORMAT, LockHolder, SessionEnd, SessionStart};

    fn start(host: &str) -> Event {
        Event::Start(Box::new(SessionStart {
            format: FORMAT,
            job: JobKind::Train,
            version: String::new(),
            host: host.into(),
            pid: 1,
            device: "cpu".into(),
            data_set: "scenes".into(),
            data_hash: None,
            settings: serde_json::Value::Null,
            step: 0,
        }))
    }

    fn step() -> Event {
        let line = br#"{"epoch":0,"batch":1,"batches":2,"step":1,"loss":1,"learning_rate":1,"grad_norm":1,"tokens":1,"tokens_per_second":1,"memory":null}"#;
        Event::Step(serde_json::from_slice(line).unwrap())
    }

    fn control(command: &str, refused: Option<&str>) -> Event {
        Event::Control(Acknowledgement {
            id: String::new(),
            command: command.into(),
            step: 1,
            error: refused.map(str::to_owned),
        })
    }

    fn end(reason: EndReason) -> Event {
        Event::End(SessionEnd { reason, error: None })
    }

    /// The state a second after the last of these events, which came a second apart.
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
            now: records.len() as f64 - 1.0 + silence,
        };
        facts.state()
    }

    #[test]
    fn states_follow_from_lock_and_log() {
        let here = || start(&host_name());
        let there = || start("elsewhere.invalid");
        let held = || LockState::Held(None);
        let free = || LockState::Free;
        let taken_later = || {
            LockState::Held(Some(LockHolder {
                pid: 2,
                host: host_name(),
                since: 1e9,
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
            (free(), vec![there(), step()], 1.0, JobState::Running),
            (free(), vec![there(), step()], 999.0, JobState::Crashed),
            (
                taken_later(),
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
