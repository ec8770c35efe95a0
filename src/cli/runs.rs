//! `cutline runs`: list, rename, annotate and remove runs.

use std::io::{self, BufRead, IsTerminal};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::table::Table;
use super::terminal::{display_path, display_safe};
use super::{Context, json};
use crate::jobs::{EndReason, JobDirectory, JobState, JobStatus, Name, RunDirectory};
use crate::metrics::{DisplayLevel, Metric, Scores};
use crate::text::about_duration;
use crate::training::RunConfig;

/// List runs with their state, progress and best scores
///
/// A run is `running` while its process writes events, `stalled` when the process has not written one for a while, and
/// `crashed` when it exited without an `end` event; `cutline train --resume RUN` continues from the last checkpoint.
/// A training that early stopping ended is `stopped early`; with --json its `state` is `complete` and its `end`
/// `early_stopped`. On a terminal, columns at the right are left out where it is too narrow.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "Examples:
  cutline runs
  cutline runs --all
  cutline runs --json | jq -r '.[] | select(.state == \"crashed\") | .run'
  cutline runs note flickr8k-merge-001 wider
  cutline runs rename flickr8k-merge-001 wide
  cutline runs rm flickr8k-merge-001"
)]
pub(super) struct Runs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Also list prepare and evaluate jobs, as the paths that `attach` and `control` accept
    #[arg(long)]
    all: bool,
    /// Print JSON, one object per run
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    Rm(Remove),
    Rename(Rename),
    Note(Note),
}

/// Rename a run
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline runs rename flickr8k-merge-001 wide")]
struct Rename {
    /// The run's name
    #[arg(value_name = "RUN")]
    run: String,
    /// Its new name
    #[arg(value_name = "NAME")]
    name: Name,
}

/// Set or print the note on a run
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline runs note flickr8k-merge-001 wider
  cutline runs note flickr8k-merge-001
  cutline runs note flickr8k-merge-001 ''")]
struct Note {
    /// The run's name
    #[arg(value_name = "RUN")]
    run: String,
    /// The note [default: print it]; an empty text removes it
    #[arg(value_name = "TEXT")]
    text: Option<String>,
}

/// Delete runs with all their checkpoints
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline runs rm flickr8k-merge-001
  cutline runs rm --yes demo-001 demo-002")]
struct Remove {
    /// The runs' names
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// Columns that every terminal shows: run, state and epoch.
const KEPT: usize = 3;

/// An entry of `runs --json`.
#[derive(Debug, Serialize)]
struct RunEntry {
    run: String,
    state: JobState,
    /// In the table: `stopped early` for a training that is complete for that reason.
    #[serde(skip)]
    state_name: &'static str,
    /// Why the last session ended, if it did.
    end: Option<EndReason>,
    dataset: Option<String>,
    /// Optimizer steps.
    step: u64,
    /// Epochs done, including the fraction of the current one.
    epoch: Option<f64>,
    epochs: Option<u64>,
    /// Estimated seconds left, without evaluations; only while training.
    seconds_left: Option<f64>,
    best: Option<BestEntry>,
    /// Seconds since the last event.
    idle_seconds: Option<f64>,
    pid: Option<u32>,
    host: Option<String>,
    error: Option<String>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct BestEntry {
    /// From 0.
    epoch: usize,
    scores: Scores,
    dev_loss: f64,
}

impl Runs {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.action {
            Some(Action::Rm(remove)) => remove.run(context),
            Some(Action::Rename(rename)) => rename.run(context),
            Some(Action::Note(note)) => note.run(context),
            None => self.list(context),
        }
    }

    /// The name and job of every row.
    fn jobs(&self, context: &Context) -> anyhow::Result<Vec<(String, JobDirectory)>> {
        let runs = context.root.runs()?.into_iter();
        let mut jobs: Vec<(String, JobDirectory)> = runs
            .map(|name| (name.to_string(), context.root.run_dir(&name).job()))
            .collect();
        if self.all {
            let others = context.root.other_jobs()?.into_iter();
            jobs.extend(others.map(|(path, job)| (display_path(&path).to_string(), job)));
        }
        Ok(jobs)
    }

    fn list(&self, context: &Context) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for (name, job) in self.jobs(context)? {
            let status = JobStatus::read(&job);
            let note = context.root.find_run(&name).and_then(|run| run.note());
            rows.push(row(name, status, note.unwrap_or_default()));
        }
        if self.json {
            return Ok(context.print(&json::pretty(&rows)?)?);
        }
        if rows.is_empty() {
            let root = context.root.path();
            context.notice(&match root.is_dir() {
                true => "there are no runs yet; create one with `cutline train`, or give --root".to_owned(),
                false => format!(
                    "there are no runs: there is no directory {}; give another --root",
                    display_path(root)
                ),
            });
            return Ok(());
        }
        let metrics = Metric::shown(DisplayLevel::Headline).map(Metric::label);
        let heading = ["run", "state", "epoch", "left"].into_iter().chain(metrics);
        let mut table = Table::new(heading.chain(["last", "pid", "host"]));
        let mut notes = String::new();
        for row in rows {
            if let Some(note) = &row.note {
                notes += &format!("{}: {}\n", row.run, display_safe(note));
            }
            if let (JobState::Unreadable, Some(error)) = (row.state, &row.error) {
                notes += &format!("{}: {}\n", row.run, display_safe(error));
            }
            table.row(cells(row));
        }
        let stdout = context.terminal.stdout;
        let dropped = match stdout.is_terminal {
            true => table.fit(usize::from(context.terminal.size().0), KEPT),
            false => Vec::new(),
        };
        if !dropped.is_empty() {
            let dropped = dropped.join(", ");
            notes += &format!("too wide for this terminal: {dropped} (all are in --json)\n");
        }
        let table = table.render(stdout.paint);
        Ok(context.print(&format!("{table}{}", context.terminal.wrap_for(stdout, &notes)))?)
    }
}

fn row(run: String, status: JobStatus, note: Option<String>) -> RunEntry {
    let summary = status.summary;
    let is_live = status.state.is_live();
    RunEntry {
        state_name: summary.state_name(status.state),
        end: summary.end_reason(),
        epochs: summary.epochs,
        seconds_left: summary.seconds_left().filter(|_| is_live),
        run,
        state: status.state,
        dataset: summary.dataset,
        step: summary.step.as_ref().map_or(0, |step| step.step),
        epoch: summary
            .step
            .as_ref()
            .map(|step| step.epoch as f64 + step.batch as f64 / step.batches.max(1) as f64),
        best: summary.best.map(|best| BestEntry {
            epoch: best.epoch,
            scores: best.scores,
            dev_loss: best.dev_loss,
        }),
        idle_seconds: status.idle_seconds,
        pid: summary.pid.filter(|_| is_live),
        host: summary.host,
        error: status
            .error
            .map(|error| error.to_string())
            .or(summary.end.and_then(|(_, error)| error)),
        note,
    }
}

fn cells(row: RunEntry) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let score = |metric| or_dash(row.best.as_ref().map(|best| best.scores.cell(metric, 4)));
    let mut cells = vec![
        row.run.clone(),
        row.state_name.into(),
        or_dash(row.epoch.map(|epoch| match row.epochs {
            Some(epochs) => format!("{epoch:.1}/{epochs}"),
            None => format!("{epoch:.1}"),
        })),
        or_dash(row.seconds_left.map(about_duration)),
    ];
    cells.extend(Metric::shown(DisplayLevel::Headline).map(score));
    cells.extend([
        or_dash(row.idle_seconds.map(about_duration)),
        or_dash(row.pid.map(|pid| pid.to_string())),
        or_dash(row.host.as_deref().map(|host| display_safe(host).into_owned())),
    ]);
    cells
}

impl Remove {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        // All runs are checked before any is removed.
        let mut runs = Vec::new();
        for name in &self.runs {
            let run = context.root.find_run_by_name(name)?;
            // A `config.toml` of another program does not make a run.
            RunConfig::load(run.config())?;
            run.check_removable()?;
            runs.push(run);
        }
        if !self.yes {
            confirm(&runs, context)?;
        }
        for run in runs {
            let target = run.path().read_link().ok();
            run.remove()?;
            let path = display_path(run.path());
            context.notice(&match target {
                Some(target) => format!(
                    "removed the link {path}; the run itself is kept: {}",
                    display_path(&target)
                ),
                None => format!("removed {path}"),
            });
        }
        Ok(())
    }
}

impl Rename {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let renamed = context.root.find_run_by_name(&self.run)?.rename(&self.name)?;
        context.notice(&format!("renamed to {}", display_path(renamed.path())));
        Ok(())
    }
}

impl Note {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let run = context.root.find_run(&self.run)?;
        match (self.text, run.note()?) {
            (Some(text), _) => run.set_note(&text)?,
            (None, Some(note)) => context.print(&format!("{}\n", display_safe(&note)))?,
            (None, None) => context.notice(&format!("{} has no note", run.name())),
        }
        Ok(())
    }
}

fn confirm(runs: &[RunDirectory], context: &Context) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        bail!("cannot ask for confirmation without a terminal; give --yes");
    }
    for run in runs {
        context.notice(&format!(
            "{} and all its checkpoints will be removed",
            display_path(run.path())
        ));
    }
    context.notice("remove? [y/N]");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was removed"),
    }
}
