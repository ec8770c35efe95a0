//! Jobs: a long-running process that writes an event log and is controlled through files.
//!
//! ```text
//! <job>/
//!   events.jsonl   one JSON object per event, append-only
//!   lock           locked by the working process while it lives; holds its pid and host
//!   control/       command files are renamed into it, taken between batches and acknowledged in the log
//!   job.log        stdout and stderr of a detached process; `trainer.log` in a run
//! ```
//!
//! Readers follow the log, controllers write command files. Neither needs to run on the same machine or to be known to
//! the process, and there may be any number of them. This module knows nothing of tensors or training.

mod checkpoint_ref;
mod control;
mod error;
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

use crate::files::ConfinedPath;
use std::path::Path;

pub use checkpoint_ref::{CheckpointKind, CheckpointRef};
pub use control::{ControlCommand, ControlDirectory, ControlError, ReceivedCommand, send, send_and_wait};
pub use error::{DirectoryError, FileError};
pub use event::{
    Acknowledgement, CheckpointSaved, DevEvaluation, EndReason, Event, FORMAT, JobInfo, JobKind, LogText,
    Prediction, Predictions, Record, SessionEnd, SessionStart, StepEvent, TaskProgress, Trigger,
};
pub use event_log::EventLog;
pub use lock::{Lock, LockError, LockHolder, LockState, host_name};
pub use name::{Name, NameError};
pub use reader::{LogBatch, LogLines, LogReader, read_events};
pub use root::{DirectoryKind, Root};
pub use run_directory::RunDirectory;
pub use session::{Directive, Rejected, Session, SessionError, StopFlag, StopRequest};
pub use spawn::{SpawnError, spawn_detached};
pub(crate) use state::summarize_end;
pub use state::{JobState, JobStatus, LogSummary};

/// The directory of a job and the paths of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDirectory {
    directory: ConfinedPath,
    output: &'static str,
}

impl JobDirectory {
    /// The job in this directory, which need not exist yet.
    pub fn new(directory: impl Into<ConfinedPath>) -> Self {
        Self {
            directory: directory.into(),
            output: "job.log",
        }
    }

    /// The training job of the run in this directory.
    fn of_run(directory: &ConfinedPath) -> Self {
        Self {
            directory: directory.clone(),
            output: "trainer.log",
        }
    }

    /// The directory itself.
    pub fn directory(&self) -> &ConfinedPath {
        &self.directory
    }

    /// Its path, for messages.
    pub fn path(&self) -> &Path {
        self.directory.as_path()
    }

    /// The last part of its path.
    pub fn name(&self) -> String {
        last_part(self.path())
    }

    /// The append-only event log, one JSON object per line.
    pub fn events(&self) -> ConfinedPath {
        self.directory.join("events.jsonl")
    }

    /// The lock held by the working process.
    pub fn lock(&self) -> ConfinedPath {
        self.directory.join("lock")
    }

    /// The control directory, for command files.
    pub fn control(&self) -> ConfinedPath {
        self.directory.join("control")
    }

    /// Standard output and standard error of a detached process.
    pub fn output(&self) -> ConfinedPath {
        self.directory.join(self.output)
    }
}

/// The last part of a path, as text.
fn last_part(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
