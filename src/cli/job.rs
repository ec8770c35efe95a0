//! What the subcommands that take long have in common: each is a job, which tells a log and obeys control files, and
//! may be handed to a process of its own.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fs;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::Context;
use super::failure::in_one_line;
use super::interrupt::{Interrupt, Interrupted};
use super::terminal::display_path;
use crate::files::remove_leftovers;
use crate::jobs::{
    ControlCommand, EndReason, Event, JobDirectory, Lock, LogText, Pace, Rejected, Session, SessionEnd,
    SpawnError, TaskProgress, Work, spawn_detached,
};

/// Progress is told no more often; every event costs a line.
const BETWEEN_NEWS: Duration = Duration::from_millis(500);

/// A job at work, as those see it who do the work.
pub(super) struct Job<'a> {
    session: RefCell<Session<'a>>,
    told: Cell<Option<Instant>>,
}

impl Job<'_> {
    /// Tells of something worth knowing.
    pub(super) fn message(&self, text: impl Into<String>) {
        let text = LogText { text: text.into() };
        self.session.borrow_mut().tell(Event::Message(text));
    }

    /// Tells of something that should not be.
    pub(super) fn warn(&self, text: &str) {
        self.session.borrow_mut().warn(text);
    }

    /// Tells how far the work is, if that was not told just now.
    pub(super) fn progress(&self, progress: TaskProgress) {
        let is_due = self.told.get().is_none_or(|told| told.elapsed() >= BETWEEN_NEWS);
        if is_due || progress.done == progress.total {
            self.told.set(Some(Instant::now()));
            self.session.borrow_mut().tell(Event::Progress(progress));
        }
    }

    /// Whether to go on with the work; waits while the job is paused.
    pub(super) fn go_on(&self) -> ControlFlow<()> {
        let refuse = |command: ControlCommand| -> Result<std::convert::Infallible, Rejected> {
            Err(Rejected(format!(
                "this job takes pause, resume and stop; it knows nothing of {}",
                command.name()
            )))
        };
        match self.session.borrow_mut().pace(0, refuse) {
            Pace::Go => ControlFlow::Continue(()),
            Pace::Stop => ControlFlow::Break(()),
            Pace::Do(never) => match never {},
        }
    }
}

/// Does `work` as the job in `directory`. What ends it stands in the log.
///
/// # Errors
/// Those of the work; where another process is at the same job, or its directory cannot be used.
pub(super) fn run_job<T>(
    directory: &JobDirectory,
    work: Work,
    task: impl FnOnce(&Job<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let interrupt = Interrupt::install()?;
    fs::create_dir_all(directory.path())?;
    let lock = Lock::take(&directory.lock())?;
    remove_leftovers(directory.path())?;
    let mut nobody = |_: &crate::jobs::Record| {};
    let session = Session::begin(directory, lock, work, interrupt.flag(), &mut nobody)?;
    let job = Job {
        session: RefCell::new(session),
        told: Cell::new(None),
    };
    let result = task(&job);
    let (reason, error) = match &result {
        Ok(_) => (EndReason::Complete, None),
        Err(error) if error.is::<Interrupted>() => (EndReason::Stopped, None),
        Err(error) => (EndReason::Failed, Some(in_one_line(error))),
    };
    let ended = job.session.into_inner().end(SessionEnd { reason, error });
    let done = result?;
    ended?;
    Ok(done)
}

/// Hands the command line that was typed, but for `--detach`, to a process of its own.
///
/// # Errors
/// Where that cannot be started, or ends before it has begun.
pub(super) fn detach(job: &JobDirectory, context: &Context) -> anyhow::Result<()> {
    let typed = std::env::args_os().skip(1);
    let arguments: Vec<OsString> = typed.filter(|word| word != "--detach").collect();
    let process = spawn_detached(job, &arguments).inspect_err(|error| {
        if matches!(error, SpawnError::Ended { .. }) {
            remove_if_new(job);
        }
    })?;
    let place = display_path(job.path());
    context.notice(&format!(
        "Working in process {}. Look at it with: cutline attach {place}",
        process.pid
    ));
    Ok(context.print(&format!("{place}\n"))?)
}

/// A job that never began leaves nothing but what it said, which has been told by now.
fn remove_if_new(job: &JobDirectory) {
    if !job.events().exists() {
        let _ = fs::remove_dir_all(job.path());
        // The directory of a data set that was not there before; it is only removed if it is empty.
        if let Some(parent) = job.path().parent() {
            let _ = fs::remove_dir(parent);
        }
    }
}
