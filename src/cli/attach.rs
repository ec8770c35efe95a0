//! `cutline attach`: follow a job that runs elsewhere, or read what it has left.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use super::Context;
use super::follow::{Follower, Output};
use super::terminal::{display_path, display_safe};
use super::workbench;
use crate::jobs::{JobDirectory, JobKind, JobState, JobStatus, LogReader, Name};

/// How often the log is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Follow a training, or another job, from any terminal
///
/// Opens the workbench on a run; with --plain, into a pipe, or for another job, prints what has happened so far, then
/// what happens, until the job ends. Any number may look at a job at once;
/// Ctrl-C ends the looking, never the job.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline attach flickr8k-merge-001
  cutline attach flickr8k-merge-001 --plain
  cutline attach flickr8k-merge-001 --json | jq -c 'select(.event == \"evaluation\") | .scores'
  cutline attach datasets/flickr8k/prepare

Exit codes: 0 once the job is done or was stopped, 1 where it failed or died.")]
pub(super) struct Attach {
    /// The run's name, or the path of a job's directory
    #[arg(value_name = "RUN")]
    run: String,
    /// Print lines of text rather than open the workbench on the run; into a pipe that is done anyway
    #[arg(long)]
    plain: bool,
    /// Print every event as it stands in the log, one JSON object a line, from the first
    #[arg(long)]
    json: bool,
}

/// Whether events were there when somebody began to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Past,
    Now,
}

impl Attach {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let job = context.root.find_job(&self.run)?;
        if let (Ok(run), false, false) = (self.run.parse::<Name>(), self.plain, self.json)
            && context.terminal.is_interactive()
        {
            return workbench::open(context, Some(run.as_str()));
        }
        let mut view = View::new(&job, context);
        self.show_new(&mut view, Time::Past, context)?;
        loop {
            if self.show_new(&mut view, Time::Now, context)? {
                continue;
            }
            let status =
                JobStatus::of(&job, view.follower.summary().clone()).with_context(|| cannot_read(&job))?;
            // Between the last look at the log and that at the lock, more may have been told.
            if !status.state.is_live() && !self.show_new(&mut view, Time::Now, context)? {
                view.follower.clear();
                return self.leave(&status, context);
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Shows what has come; whether anything has.
    fn show_new(&self, view: &mut View<'_>, time: Time, context: &Context) -> anyhow::Result<bool> {
        let mut any = false;
        loop {
            let lines = view.tail.poll_lines()?;
            if lines.is_empty() {
                return Ok(any);
            }
            any = true;
            for (line, record) in lines.with_events() {
                match (self.json, time) {
                    (true, _) => {
                        // Not written anew: digits might differ, and what only a later version knows would be lost.
                        context.print(&String::from_utf8_lossy(line))?;
                        view.follower.hear(&record);
                    }
                    (false, Time::Past) => view.follower.show_past(&record)?,
                    (false, Time::Now) => view.follower.show(&record)?,
                }
            }
        }
    }

    fn leave(&self, status: &JobStatus, context: &Context) -> anyhow::Result<()> {
        let (run, root) = (display_safe(&self.run), context.root_flag());
        let go_on = match status.summary.job {
            Some(JobKind::Prepare) => "the same `cutline prepare` goes on from there".to_owned(),
            Some(JobKind::Evaluate) => "evaluate again".to_owned(),
            Some(JobKind::Train) | None => format!("go on with: cutline train --resume {run}{root}"),
        };
        match status.state {
            JobState::Crashed => bail!("the process that worked on {run} died without a word; {go_on}"),
            JobState::Failed => bail!("{run} failed, see above; what was saved before is kept"),
            JobState::New => bail!("nobody has worked on {run} yet; {go_on}"),
            _ => Ok(()),
        }
    }
}

/// A log, and what has been seen of it.
struct View<'a> {
    tail: LogReader,
    follower: Follower<'a>,
}

impl<'a> View<'a> {
    fn new(job: &JobDirectory, context: &'a Context) -> Self {
        Self {
            tail: LogReader::new(job.events()),
            follower: Follower::new(context, Output::Results),
        }
    }
}

fn cannot_read(job: &JobDirectory) -> String {
    format!("cannot read {}", display_path(job.path()))
}
