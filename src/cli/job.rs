//! Jobs of the slow subcommands: an event log, control files, and optionally a detached process.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::Context;
use super::exit_code::in_one_line;
use super::interrupt::{Interrupt, Interrupted};
use super::terminal::{display_path, display_safe};
use crate::jobs::{
    ControlCommand, Directive, EndReason, Event, FileError, JobDirectory, JobInfo, Lock, Record, Rejected,
    Session, SpawnError, TaskProgress, spawn_detached,
};

/// Progress is logged at most this often, since each event is a line of the log.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// A running job.
pub(super) struct Job<'a> {
    session: RefCell<Session<'a>>,
    last_progress: Cell<Option<Instant>>,
}

impl Job<'_> {
    pub(super) fn message(&self, text: impl Into<String>) {
        self.session.borrow_mut().emit(Event::message(text));
    }

    pub(super) fn warn(&self, text: &str) {
        self.session.borrow_mut().warn(text);
    }

    /// Logs progress, unless it was logged a moment ago.
    pub(super) fn progress(&self, progress: TaskProgress) {
        let last = self.last_progress.get();
        let is_due = last.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
        if is_due || progress.done == progress.total {
            self.last_progress.set(Some(Instant::now()));
            self.session.borrow_mut().emit(Event::Progress(progress));
        }
    }

    /// Breaks if the job is to stop; blocks while it is paused.
    pub(super) fn poll_command(&self) -> ControlFlow<()> {
        let reject = |command: ControlCommand| -> Result<std::convert::Infallible, Rejected> {
            Err(Rejected(format!(
                "this job accepts pause, resume and stop, but not {}",
                command.name()
            )))
        };
        match self.session.borrow_mut().poll_command(0, reject) {
            Directive::Continue => ControlFlow::Continue(()),
            Directive::Stop => ControlFlow::Break(()),
            Directive::Execute(never) => match never {},
        }
    }
}

/// Runs `task` as the job in `directory`, and logs how it ended.
pub(super) fn run_job<T>(
    directory: &JobDirectory,
    info: JobInfo,
    context: &Context,
    task: impl FnOnce(&Job<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    run_locked_job(directory, lock_job(directory)?, info, context, task)
}

/// Takes the lock of the job in `directory`, for a command that writes before the job begins.
pub(super) fn lock_job(directory: &JobDirectory) -> anyhow::Result<Lock> {
    directory
        .directory()
        .create_dir_all()
        .map_err(FileError::at(directory.path()))?;
    let lock = Lock::take(&directory.lock())?;
    // Only under the lock: otherwise they may be files that another process is writing.
    directory
        .directory()
        .remove_leftovers()
        .map_err(FileError::at(directory.path()))?;
    Ok(lock)
}

/// The same as [`run_job`], with the lock of the job.
pub(super) fn run_locked_job<T>(
    directory: &JobDirectory,
    lock: Lock,
    info: JobInfo,
    context: &Context,
    task: impl FnOnce(&Job<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let interrupt = Interrupt::install()?;
    let mut show_pauses = |record: &Record| {
        context.follow_pauses(&record.event);
        // A progress bar shows pauses itself.
        if let (Event::Control(answer), false) = (&record.event, context.terminal.stderr.draws) {
            context.notice(&display_safe(&answer.to_string()));
        }
    };
    let session = Session::start(directory, lock, info, interrupt.flag(), &mut show_pauses)?;
    let job = Job {
        session: RefCell::new(session),
        last_progress: Cell::new(None),
    };
    let result = task(&job);
    let (reason, error) = match &result {
        Ok(_) => (EndReason::Complete, None),
        Err(error) if error.is::<Interrupted>() => (EndReason::Stopped, None),
        Err(error) => (EndReason::Failed, Some(in_one_line(error))),
    };
    let ended = job.session.into_inner().end(reason, error);
    // The task's own error matters more than one of the log.
    let value = result?;
    ended?;
    Ok(value)
}

/// Runs this process's command line, without `--detach`, in a detached process.
pub(super) fn detach(job: &JobDirectory, context: &Context) -> anyhow::Result<()> {
    let typed = std::env::args_os().skip(1);
    let arguments: Vec<OsString> = typed.filter(|word| word != "--detach").collect();
    detach_with(&arguments, job, context)
}

/// Runs this program with `arguments` in a detached process.
pub(super) fn detach_with(
    arguments: &[OsString],
    job: &JobDirectory,
    context: &Context,
) -> anyhow::Result<()> {
    let pid = spawn_detached(job, arguments).inspect_err(|error| {
        if matches!(error, SpawnError::Ended { .. }) {
            remove_if_new(job);
        }
    })?;
    let path = display_path(job.path());
    context.notice(&format!(
        "Working in process {pid}. Follow it with: cutline attach {path}"
    ));
    Ok(context.print(&format!("{path}\n"))?)
}

/// Removes the directory of a job that never started; the error contains its output.
fn remove_if_new(job: &JobDirectory) {
    if !job.events().exists() {
        let _ = job.directory().remove_tree();
        // The directory of a new dataset; it is removed only if it is empty.
        if let Some(parent) = job.directory().parent() {
            let _ = parent.remove_empty_dir();
        }
    }
}
