//! A job: long work in a process of its own, told of in an event log and steered by control files.
//!
//! ```text
//! <job>/
//!   events.jsonl   what happened, only ever appended to
//!   lock           held by the process that works on it, while it lives; says which
//!   control/       an inbox: files are renamed into it, taken between batches and acknowledged in the log
//!   job.log        what a detached process would have printed; `trainer.log` in a run
//! ```
//!
//! Whoever looks reads the log; whoever steers leaves a file. Neither needs to be on the same machine, nor to be
//! known to the process, and any number may.

mod control;
mod directory_error;
mod event;
mod event_log;
mod lock;
mod name;
mod reader;
mod root;
mod run_directory;
mod session;
mod spawn;
mod state;

use std::path::{Path, PathBuf};

pub use control::{ControlCommand, ControlError, Inbox, ReceivedCommand, ask, send};
pub use directory_error::DirectoryError;
pub use event::{
    Acknowledgement, CheckpointSaved, DevEvaluation, EndReason, Event, FORMAT, JobKind, LogText, Prediction,
    Predictions, Record, SessionEnd, SessionStart, StepEvent, TaskProgress, Trigger,
};
pub use event_log::EventLog;
pub use lock::{Lock, LockError, LockHolder, LockState, host_name, look_at_lock};
pub use name::{Name, NameError};
pub use reader::{LogBatch, LogLines, LogReader, read_events};
pub use root::{DirectoryKind, Root};
pub use run_directory::RunDirectory;
pub use session::{Pace, Rejected, Session, SessionError, Work};
pub use spawn::{DetachedProcess, SpawnError, spawn_detached};
pub use state::{Facts, JobState, JobStatus, LogSummary};

/// The directory of a job, and the paths of what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDirectory {
    path: PathBuf,
    output: &'static str,
}

impl JobDirectory {
    /// The job in this directory, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            output: "job.log",
        }
    }

    /// The job of training the run in this directory.
    fn of_run(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            output: "trainer.log",
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name: the last part of its path.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// The append-only event log, one JSON object a line.
    pub fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// The lock that the working process holds while it lives.
    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The inbox of control files.
    pub fn control(&self) -> PathBuf {
        self.path.join("control")
    }

    /// What a detached process would have printed.
    pub fn output(&self) -> PathBuf {
        self.path.join(self.output)
    }
}
