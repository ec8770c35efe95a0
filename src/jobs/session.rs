//! A process at work on a job: it holds the lock, writes events and executes control commands.

use super::JobDirectory;
use super::control::{ControlCommand, ControlDirectory, ReceivedCommand};
use super::error::FileError;
use super::event::{Acknowledgement, EndReason, Event, JobInfo, Record, SessionEnd, SessionStart};
use super::event_log::EventLog;
use super::lock::{Lock, LockError};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a paused or waiting job checks for commands.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The lock is checked at most this often, and before every checkpoint.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Polls between two attempts to write to a full disk.
const POLLS_PER_RETRY: usize = 30;

/// On a file system that other machines share, the log is synced at most this often: until then they may not see its end.
const SHARED_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The log's name for a command that cannot be parsed.
const UNKNOWN: &str = "unknown";

/// A request to end, set by a signal handler and polled by the job.
#[derive(Debug, Default)]
pub struct StopFlag(AtomicU8);

/// How a process was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StopRequest {
    /// Save and end.
    Stop = 1,
    /// Save and end; a batch system is to start the job again.
    Requeue = 2,
}

impl StopFlag {
    /// Nothing requested.
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Requests the end. Returns whether that had been requested before.
    pub fn request(&self, request: StopRequest) -> bool {
        self.0.fetch_max(request as u8, Ordering::Relaxed) > 0
    }

    /// The strongest request so far.
    pub fn requested(&self) -> Option<StopRequest> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(StopRequest::Stop),
            _ => Some(StopRequest::Requeue),
        }
    }
}

/// What a job does next. `C` is a command that the job itself executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive<C> {
    /// Continue with its work.
    Continue,
    /// Execute a command, then poll again.
    Execute(C),
    /// Save and end.
    Stop,
}

/// Why a command is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected(pub String);

/// Why a process cannot work on a job.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The event log or the control directory cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The job's directory was deleted.
    #[error("{} was deleted while the job was running; what was not saved elsewhere is lost", path.display())]
    Deleted {
        /// The directory.
        path: PathBuf,
    },
    /// Another process took the lock over, because this one showed no sign of life.
    #[error("another process has taken over {}; this one has stopped without saving, so that nothing is written twice", path.display())]
    LockLost {
        /// The directory.
        path: PathBuf,
    },
}

/// A process at work on a job.
pub struct Session<'a> {
    directory: JobDirectory,
    log: EventLog,
    control_directory: ControlDirectory,
    /// Set by a signal handler: the process was asked to end.
    stop: &'a StopFlag,
    on_event: &'a mut dyn FnMut(&Record),
    /// Commands taken from the control directory, not yet acknowledged.
    queue: VecDeque<ReceivedCommand>,
    paused: bool,
    /// The last write to the log failed because the disk is full.
    disk_full: bool,
    /// The current wait for disk space has been reported.
    disk_full_reported: bool,
    /// Steps at the last poll, for acknowledgements.
    step: u64,
    /// The first error of log or control directory other than a full disk; reported by [`Session::end`].
    error: Option<SessionError>,
    // Held until the session is dropped, that is, until after its `end` event.
    lock: Lock,
    /// When the lock was last checked.
    lock_checked: Instant,
    is_lock_lost: bool,
    /// On a file system that other machines share: when the log was last synced.
    shared_log_synced: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Starts a session on a job whose lock is taken, with a `start` event.
    ///
    /// `on_event` is called with every event. The session stops once `stop` is set.
    ///
    /// # Errors
    /// If the event log or the control directory cannot be opened, or the lock has been lost meanwhile.
    pub fn start(
        directory: &JobDirectory,
        lock: Lock,
        job: JobInfo,
        stop: &'a StopFlag,
        on_event: &'a mut dyn FnMut(&Record),
    ) -> Result<Self, SessionError> {
        let is_shared = directory.events().is_on_shared_file_system().unwrap_or(false);
        let mut session = Self {
            log: EventLog::open(&directory.events()).map_err(FileError::at(directory.events()))?,
            control_directory: ControlDirectory::open(directory)
                .map_err(FileError::at(directory.control()))?,
            directory: directory.clone(),
            stop,
            on_event,
            queue: VecDeque::new(),
            paused: false,
            disk_full: false,
            disk_full_reported: false,
            step: job.step,
            error: None,
            lock,
            lock_checked: Instant::now(),
            is_lock_lost: false,
            shared_log_synced: is_shared.then(Instant::now),
        };
        // Loading the data may have taken so long that another host took the lock over.
        session.check_lock().map_err(|LockLost| session.lock_lost())?;
        session.emit(Event::Start(Box::new(SessionStart::new(job))));
        Ok(session)
    }

    /// Writes an event to the log. A log that cannot be written does not end the job: see [`Session::end`].
    pub fn emit(&mut self, event: Event) {
        if self.keep_lock().is_err() {
            return;
        }
        let queued = self.log.queue(event).map_err(io::Error::from);
        let written = queued.and_then(|record| {
            (self.on_event)(&record);
            self.log.flush()
        });
        match written {
            Ok(()) => {
                self.disk_full = false;
                self.sync_shared_log();
            }
            Err(error) => self.on_log_error(error),
        }
    }

    fn sync_shared_log(&mut self) {
        if self
            .shared_log_synced
            .is_some_and(|synced| synced.elapsed() >= SHARED_SYNC_INTERVAL)
        {
            self.shared_log_synced = Some(Instant::now());
            // An error shows up at the next write.
            let _ = self.log.sync();
        }
    }

    /// Makes sure that a checkpoint may be written: the lock is still held, and the events before the checkpoint are on
    /// disk, so that after a loss of power the log is not older than the checkpoint. A full disk is left to the checkpoint,
    /// which waits for space.
    ///
    /// # Errors
    /// If the lock is lost, or the log cannot be synced.
    pub fn before_checkpoint(&mut self) -> Result<(), SessionError> {
        self.check_lock().map_err(|LockLost| self.lock_lost())?;
        match self.log.sync() {
            Err(error) if is_out_of_space(&error) => {
                self.disk_full = true;
                Ok(())
            }
            synced => Ok(synced.map_err(FileError::at(self.directory.events()))?),
        }
    }

    /// Whether another process has taken the lock over.
    pub fn is_lock_lost(&self) -> bool {
        self.is_lock_lost
    }

    fn lock_lost(&self) -> SessionError {
        let path = self.directory.path().to_owned();
        SessionError::LockLost { path }
    }

    /// Checks the lock, unless that was done a moment ago.
    fn keep_lock(&mut self) -> Result<(), LockLost> {
        if self.is_lock_lost {
            return Err(LockLost);
        }
        match self.lock_checked.elapsed() < CHECK_INTERVAL {
            true => Ok(()),
            false => self.check_lock(),
        }
    }

    fn check_lock(&mut self) -> Result<(), LockLost> {
        self.is_lock_lost |= !self.is_deleted() && !self.lock.is_ours();
        if self.is_lock_lost {
            let error = self.lock_lost();
            self.error.get_or_insert(error);
            return Err(LockLost);
        }
        self.lock_checked = Instant::now();
        Ok(())
    }

    /// Writes a `warning` event.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.emit(Event::warning(text));
    }

    /// Whether the process has been asked to end.
    pub fn stop_requested(&self) -> bool {
        self.stop.requested().is_some()
    }

    /// What to do next, at `step`. Blocks while the job is paused or the log's disk is full.
    ///
    /// The session handles `pause`, `resume` and `stop`; `accept` converts any other command or rejects it.
    pub fn poll_command<C>(
        &mut self,
        step: u64,
        mut accept: impl FnMut(ControlCommand) -> Result<C, Rejected>,
    ) -> Directive<C> {
        self.step = step;
        self.disk_full_reported = false;
        loop {
            if self.keep_lock().is_err() || self.stop_requested() || self.receive().is_err() {
                return Directive::Stop;
            }
            while let Some(ReceivedCommand { id, command }) = self.queue.pop_front() {
                let (name, result) = match command {
                    Ok(command) => (command.to_string(), self.handle(command, &mut accept)),
                    Err(error) => (UNKNOWN.to_owned(), Err(Rejected(error))),
                };
                let (directive, error) = match result {
                    Ok(directive) => (directive, None),
                    Err(Rejected(error)) => (Directive::Continue, Some(error)),
                };
                // Acknowledged before it is executed: the sender need not wait for a long evaluation.
                self.acknowledge(id, name, error);
                if !matches!(directive, Directive::Continue) {
                    return directive;
                }
            }
            if !self.paused && !self.is_disk_full() {
                return Directive::Continue;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits a few seconds for space on a full disk. False if the job was asked to stop: do not retry.
    pub fn wait_for_space(&mut self, error: &str) -> bool {
        if !std::mem::replace(&mut self.disk_full_reported, true) {
            self.warn(format!("{error}; waiting until there is space"));
        }
        for _ in 0..POLLS_PER_RETRY {
            let is_ours = self.keep_lock().is_ok();
            if !is_ours || self.stop_requested() || self.receive().is_err() || self.is_stop_queued() {
                return false;
            }
            thread::sleep(POLL_INTERVAL);
        }
        true
    }

    /// Ends the session with an `end` event, after rejecting the commands that came too late.
    ///
    /// # Errors
    /// The first error of the event log or the control directory in this session.
    pub fn end(mut self, reason: EndReason, error: Option<String>) -> Result<(), SessionError> {
        let _ = self.receive();
        while let Some(ReceivedCommand { id, command }) = self.queue.pop_front() {
            let (name, error) = match command {
                Ok(ControlCommand::Stop) => (ControlCommand::Stop.to_string(), None),
                Ok(command) => (command.to_string(), Some("the job has ended".to_owned())),
                Err(error) => (UNKNOWN.to_owned(), Some(error)),
            };
            self.acknowledge(id, name, error);
        }
        let continues = reason == EndReason::Stopped && self.stop.requested() == Some(StopRequest::Requeue);
        self.emit(Event::End(SessionEnd {
            reason,
            error,
            continues,
        }));
        if let Some(error) = self.error {
            return Err(error);
        }
        let flushed = self.log.flush();
        Ok(flushed.map_err(FileError::at(self.directory.events()))?)
    }

    /// Ends a session that failed with `error`, which is returned.
    pub fn fail<E: std::fmt::Display>(self, error: E) -> E {
        // The original error matters more than a failure to log it.
        let _ = self.end(EndReason::Failed, Some(error.to_string()));
        error
    }

    /// Whether the job's directory has been deleted, or is being deleted.
    pub fn is_deleted(&self) -> bool {
        self.log.is_removed() || !self.directory.directory().exists()
    }

    fn handle<C>(
        &mut self,
        command: ControlCommand,
        accept: &mut impl FnMut(ControlCommand) -> Result<C, Rejected>,
    ) -> Result<Directive<C>, Rejected> {
        match command {
            ControlCommand::Pause => self.paused = true,
            ControlCommand::Resume => self.paused = false,
            ControlCommand::Stop => return Ok(Directive::Stop),
            other => return accept(other).map(Directive::Execute),
        }
        Ok(Directive::Continue)
    }

    fn acknowledge(&mut self, id: String, command: String, error: Option<String>) {
        self.emit(Event::Control(Acknowledgement {
            id,
            command,
            step: self.step,
            error,
        }));
    }

    fn is_stop_queued(&self) -> bool {
        self.queue
            .iter()
            .any(|received| received.command == Ok(ControlCommand::Stop))
    }

    /// Moves new commands from the control directory to the queue. An error means that the job's directory is gone.
    fn receive(&mut self) -> Result<(), ()> {
        match self.control_directory.take() {
            Ok(commands) if !commands.is_empty() => {
                // Commands that another holder's process should take are left unanswered.
                self.check_lock().map_err(drop)?;
                self.queue.extend(commands);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // If only the control directory was deleted, create it again: without it the job cannot be controlled.
                let created = match self.is_deleted() {
                    true => Err(error),
                    false => ControlDirectory::open(&self.directory)
                        .map(|control_directory| self.control_directory = control_directory),
                };
                if self.is_deleted() {
                    let path = self.directory.path().to_owned();
                    self.error.get_or_insert(SessionError::Deleted { path });
                    return Err(());
                }
                self.keep_error(created, self.directory.control());
            }
            Err(error) => self.keep_error(Err(error), self.directory.control()),
        }
        Ok(())
    }

    fn keep_error(&mut self, result: io::Result<()>, path: impl Into<PathBuf>) {
        if let Err(error) = result {
            self.error.get_or_insert(FileError::at(path)(error).into());
        }
    }

    fn on_log_error(&mut self, error: io::Error) {
        if is_out_of_space(&error) {
            self.disk_full = true;
        } else {
            self.keep_error(Err(error), self.directory.events());
        }
    }

    /// Whether queued events still do not fit on the disk; tries to write them.
    fn is_disk_full(&mut self) -> bool {
        if self.disk_full {
            self.disk_full = self.log.flush().is_err_and(|error| is_out_of_space(&error));
        }
        self.disk_full
    }
}

/// The lock is lost; the error is kept for [`Session::end`].
struct LockLost;

fn is_out_of_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
