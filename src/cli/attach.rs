//! `cutline attach`: follow a running job, or read the log of an ended one.

use std::thread;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::Context;
use super::event_printer::{EventPrinter, Output};
use super::terminal::{Role, display_safe};
use super::workbench;
use crate::jobs::{JobDirectory, JobKind, JobState, JobStatus, LogReader, Name};

const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Follow a training or another job from any terminal
///
/// Opens the workbench on a run. With --plain, in a pipe, or for another kind of job, prints past events, then new events
/// until the job ends. Any number of terminals can follow a job; Ctrl-C stops following, never the job.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline attach flickr8k-merge-001
  cutline attach flickr8k-merge-001 --plain
  cutline attach flickr8k-merge-001 --json | jq -c 'select(.event == \"evaluation\") | .scores'
  cutline attach datasets/flickr8k/prepare

Exit codes: 0 if the job is complete or stopped, 1 if it failed or crashed.")]
pub(super) struct Attach {
    /// Name of a run, or path of a job's directory
    #[arg(value_name = "RUN")]
    run: String,
    /// Print text instead of opening the workbench; the default in a pipe
    #[arg(long)]
    plain: bool,
    /// Print all events of the log as JSON Lines
    #[arg(long)]
    json: bool,
}

/// Whether events were logged before attaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventAge {
    Past,
    New,
}

impl Attach {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let job = context.root.find_job(&self.run)?;
        if let (Ok(run), false, false) = (self.run.parse::<Name>(), self.plain, self.json)
            && context.terminal.is_interactive()
        {
            return workbench::open(context, Some(run.as_str()));
        }
        let mut view = LogView::new(&job, context);
        self.show_new(&mut view, EventAge::Past, context)?;
        if !self.json {
            self.show_current(&job, &mut view, context)?;
        }
        loop {
            if self.show_new(&mut view, EventAge::New, context)? {
                continue;
            }
            let status = JobStatus::from_summary(&job, view.follower.summary().clone());
            // The job may have logged more between the last poll of the log and the read of the lock.
            if !status.state.is_live() && !self.show_new(&mut view, EventAge::New, context)? {
                view.follower.clear();
                return self.report_end(&status, context);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Shows new events. Returns whether there were any.
    fn show_new(&self, view: &mut LogView<'_>, age: EventAge, context: &Context) -> anyhow::Result<bool> {
        let mut any = false;
        loop {
            let lines = view.reader.poll_lines()?;
            if lines.is_empty() {
                return Ok(any);
            }
            any = true;
            for (line, record) in lines.with_events() {
                match (self.json, age) {
                    (true, _) => {
                        // The original line: serializing again could change digits and would drop fields of a later version.
                        context.print(&String::from_utf8_lossy(line))?;
                        view.follower.count_silently(&record);
                    }
                    (false, EventAge::Past) => view.follower.show_past(&record)?,
                    (false, EventAge::New) => view.follower.show(&record)?,
                }
            }
        }
    }

    /// Shows what a live job does at the moment.
    fn show_current(
        &self,
        job: &JobDirectory,
        view: &mut LogView<'_>,
        context: &Context,
    ) -> anyhow::Result<()> {
        let summary = view.follower.summary();
        let is_paused = summary.paused;
        if !JobStatus::from_summary(job, summary.clone()).state.is_live() {
            return Ok(());
        }
        view.follower.show_current();
        if is_paused {
            let (run, root) = (display_safe(&self.run), context.root_flag());
            let text = format!("paused; continue it with: cutline control {run} resume{root}");
            view.follower.say(Role::Warning, &text)?;
        }
        Ok(())
    }

    fn report_end(&self, status: &JobStatus, context: &Context) -> anyhow::Result<()> {
        let (run, root) = (display_safe(&self.run), context.root_flag());
        let next = match status.summary.job {
            Some(JobKind::Prepare) => "run the same `cutline prepare` again to continue".to_owned(),
            Some(JobKind::Evaluate) => "evaluate again".to_owned(),
            Some(JobKind::Fetch) => "run the same `cutline fetch` again to continue".to_owned(),
            Some(JobKind::Train) | None => format!("resume it with: cutline train --resume {run}{root}"),
        };
        match status.state {
            JobState::Unreadable => match &status.error {
                Some(error) => bail!("{run} cannot be read: {error}"),
                None => bail!("{run} cannot be read"),
            },
            JobState::Crashed => bail!("{run} crashed: its process exited without an `end` event; {next}"),
            JobState::Failed => bail!("{run} failed, see above; what was saved before is kept"),
            JobState::New => bail!("{run} has not been started yet; {next}"),
            _ => Ok(()),
        }
    }
}

/// A log and its output.
struct LogView<'a> {
    reader: LogReader,
    follower: EventPrinter<'a>,
}

impl<'a> LogView<'a> {
    fn new(job: &JobDirectory, context: &'a Context) -> Self {
        Self {
            reader: LogReader::new(job.events()),
            follower: EventPrinter::new(context, Output::Results),
        }
    }
}
