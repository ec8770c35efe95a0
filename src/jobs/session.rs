//! A process at work on a job: it holds the lock, tells what happens, and does what it is asked.

use super::JobDirectory;
use super::control::{ControlCommand, Inbox, ReceivedCommand};
use super::event::{
    Acknowledgement, EndReason, Event, FORMAT, JobKind, LogText, Record, SessionEnd, SessionStart,
};
use super::event_log::EventLog;
use super::lock::{Lock, LockError, host_name};
use serde_json::Value;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often a job that waits looks whether it should go on.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How many looks a job lets pass before it tries a full disk again.
const LOOKS_BEFORE_RETRY: usize = 30;

/// What the log calls a command that cannot be read.
const UNKNOWN: &str = "unknown";

/// What a job works on.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// What kind of work it is.
    pub job: JobKind,
    /// What it computes on, such as `cpu`.
    pub device: String,
    /// The name of the data set.
    pub data_set: String,
    /// The hash of the data set, where there is one already.
    pub data_hash: Option<String>,
    /// The settings as resolved.
    pub settings: Value,
    /// Updates made before.
    pub step: u64,
}

/// How a job goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace<O> {
    /// With its work.
    Go,
    /// With what somebody asked for; then it asks again.
    Do(O),
    /// Not at all: it saves and ends.
    Stop,
}

/// Why a command is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected(pub String);

/// Why a process cannot work on a job.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another process does.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The operating system refused.
    #[error("{}: {source}; check permissions and free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Somebody has deleted the directory.
    #[error("{} was deleted while it was worked on; what was not saved elsewhere is lost", path.display())]
    Gone {
        /// The directory.
        path: PathBuf,
    },
}

/// A process at work on a job.
pub struct Session<'a> {
    directory: JobDirectory,
    log: EventLog,
    inbox: Inbox,
    stop: &'a AtomicBool,
    listener: &'a mut dyn FnMut(&Record),
    /// Taken from the inbox, and not answered yet.
    waiting: VecDeque<ReceivedCommand>,
    paused: bool,
    /// Whether the log had no room when it was last written to.
    cramped: bool,
    /// Whether it was told that the job waits for room.
    told_of_waiting: bool,
    /// Updates made when the job last asked what to do.
    step: u64,
    /// Why the log or the inbox could not be used, other than for lack of space.
    trouble: Option<SessionError>,
    _lock: Lock,
}

impl<'a> Session<'a> {
    /// Begins to work on a job whose lock is taken. `listener` hears every event; the session stops once `stop` is
    /// set.
    ///
    /// # Errors
    /// Where log or inbox cannot be used.
    pub fn begin(
        directory: &JobDirectory,
        lock: Lock,
        work: Work,
        stop: &'a AtomicBool,
        listener: &'a mut dyn FnMut(&Record),
    ) -> Result<Self, SessionError> {
        let failed = |path: PathBuf| move |source| SessionError::Io { path, source };
        let mut session = Self {
            log: EventLog::open(&directory.events()).map_err(failed(directory.events()))?,
            inbox: Inbox::open(directory).map_err(failed(directory.control()))?,
            directory: directory.clone(),
            stop,
            listener,
            waiting: VecDeque::new(),
            paused: false,
            cramped: false,
            told_of_waiting: false,
            step: work.step,
            trouble: None,
            _lock: lock,
        };
        let Work {
            job,
            device,
            data_set,
            data_hash,
            settings,
            step,
        } = work;
        session.tell(Event::Start(Box::new(SessionStart {
            format: FORMAT,
            job,
            version: env!("CARGO_PKG_VERSION").into(),
            host: host_name(),
            pid: std::process::id(),
            device,
            data_set,
            data_hash,
            settings,
            step,
        })));
        Ok(session)
    }

    /// Tells of an event. A log that cannot be written to does not end the work: see [`Session::end`].
    pub fn tell(&mut self, event: Event) {
        let kept = self.log.keep(event).map_err(io::Error::from);
        let written = kept.and_then(|record| {
            (self.listener)(&record);
            self.log.flush()
        });
        match written {
            Ok(()) => self.cramped = false,
            Err(error) => self.note_log_error(error),
        }
    }

    /// Tells of something that should not be.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.tell(Event::Warning(LogText { text: text.into() }));
    }

    /// Whether the process has been asked to end.
    pub fn is_hurried(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What is to be done next, at `step`; waits while the job is paused, or the disk is full.
    ///
    /// `accept` turns a command other than `pause`, `resume` and `stop` into an order, or refuses it.
    pub fn pace<O>(
        &mut self,
        step: u64,
        mut accept: impl FnMut(ControlCommand) -> Result<O, Rejected>,
    ) -> Pace<O> {
        self.step = step;
        self.told_of_waiting = false;
        loop {
            if self.is_hurried() || self.look_into_inbox().is_err() {
                return Pace::Stop;
            }
            while let Some(ReceivedCommand { id, content }) = self.waiting.pop_front() {
                let (name, answer) = match content {
                    Ok(command) => (command.to_string(), self.answer(command, &mut accept)),
                    Err(why) => (UNKNOWN.to_owned(), Err(Rejected(why))),
                };
                let (pace, error) = match answer {
                    Ok(pace) => (pace, None),
                    Err(Rejected(why)) => (Pace::Go, Some(why)),
                };
                self.acknowledge(id, name, error);
                if !matches!(pace, Pace::Go) {
                    return pace;
                }
            }
            if !self.paused && !self.is_cramped() {
                return Pace::Go;
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Waits for space on a full disk. Whether another try is worth it: not once the job was asked to stop.
    pub fn wait_for_room(&mut self, why: &str) -> bool {
        if !std::mem::replace(&mut self.told_of_waiting, true) {
            self.warn(format!("{why}; waiting until there is space"));
        }
        for _ in 0..LOOKS_BEFORE_RETRY {
            if self.is_hurried() || self.look_into_inbox().is_err() || self.is_stop_waiting() {
                return false;
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        true
    }

    /// Ends the session.
    ///
    /// # Errors
    /// What was wrong with the log or the inbox on the way.
    pub fn end(mut self, end: SessionEnd) -> Result<(), SessionError> {
        let _ = self.look_into_inbox();
        while let Some(ReceivedCommand { id, content }) = self.waiting.pop_front() {
            let (name, error) = match content {
                Ok(ControlCommand::Stop) => (ControlCommand::Stop.to_string(), None),
                Ok(command) => (command.to_string(), Some("the job has ended".to_owned())),
                Err(why) => (UNKNOWN.to_owned(), Some(why)),
            };
            self.acknowledge(id, name, error);
        }
        self.tell(Event::End(end));
        match self.trouble {
            Some(trouble) => Err(trouble),
            None => self.log.flush().map_err(|source| SessionError::Io {
                path: self.directory.events(),
                source,
            }),
        }
    }

    /// Ends a session that met an error, and hands the error on.
    pub fn fail<E: std::fmt::Display>(self, error: E) -> E {
        let end = SessionEnd {
            reason: EndReason::Failed,
            error: Some(error.to_string()),
        };
        // The error itself is worth more than one in telling of it.
        let _ = self.end(end);
        error
    }

    /// Whether the directory has been deleted under it, or is being deleted.
    pub fn is_gone(&self) -> bool {
        self.log.is_removed() || !self.directory.path().exists()
    }

    fn answer<O>(
        &mut self,
        command: ControlCommand,
        accept: &mut impl FnMut(ControlCommand) -> Result<O, Rejected>,
    ) -> Result<Pace<O>, Rejected> {
        match command {
            ControlCommand::Pause => self.paused = true,
            ControlCommand::Resume => self.paused = false,
            ControlCommand::Stop => return Ok(Pace::Stop),
            other => return accept(other).map(Pace::Do),
        }
        Ok(Pace::Go)
    }

    fn acknowledge(&mut self, id: String, command: String, error: Option<String>) {
        self.tell(Event::Control(Acknowledgement {
            id,
            command,
            step: self.step,
            error,
        }));
    }

    fn is_stop_waiting(&self) -> bool {
        self.waiting
            .iter()
            .any(|letter| letter.content == Ok(ControlCommand::Stop))
    }

    /// Fetches what has come; an error once the job's directory is gone.
    fn look_into_inbox(&mut self) -> Result<(), ()> {
        match self.inbox.take() {
            Ok(letters) => self.waiting.extend(letters),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // If only the inbox was taken away, it is made anew: without it, nothing can be asked.
                let made = match self.is_gone() {
                    true => Err(error),
                    false => Inbox::open(&self.directory).map(|inbox| self.inbox = inbox),
                };
                if self.is_gone() {
                    let path = self.directory.path().to_owned();
                    self.trouble.get_or_insert(SessionError::Gone { path });
                    return Err(());
                }
                self.note_inbox_error(made);
            }
            Err(error) => self.note_inbox_error(Err(error)),
        }
        Ok(())
    }

    fn note_inbox_error(&mut self, result: io::Result<()>) {
        if let Err(source) = result {
            let path = self.directory.control();
            self.trouble.get_or_insert(SessionError::Io { path, source });
        }
    }

    fn note_log_error(&mut self, source: io::Error) {
        if is_for_lack_of_space(&source) {
            self.cramped = true;
        } else {
            let path = self.directory.events();
            self.trouble.get_or_insert(SessionError::Io { path, source });
        }
    }

    /// Whether there are events that the disk has no room for.
    fn is_cramped(&mut self) -> bool {
        if self.cramped {
            self.cramped = self.log.flush().is_err_and(|error| is_for_lack_of_space(&error));
        }
        self.cramped
    }
}

fn is_for_lack_of_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
