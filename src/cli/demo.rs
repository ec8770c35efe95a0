//! `cutline demo`: the full pipeline on the built-in dataset.
//!
//! Each step is a command line, printed and then run. Standard output gets only scores and captions, the same in every run.

use clap::{Args, Command};

use super::Context;
use super::evaluate::{Evaluate, caption_lines, format_figures, some_captions};
use super::interrupt::{Interrupt, Interrupted};
use super::prepare::Prepare;
use super::terminal::{Role, display_safe};
use super::train::{self, Train};
use super::workbench;
use crate::evaluation::Report;
use crate::jobs::{Name, Root};
use crate::training::{Outcome, TrainingRun, presets};

/// The name in the help of `prepare`, so the dataset may exist already.
const DATASET: &str = "scenes";
/// References printed below each caption.
const REFERENCES: usize = 1;

/// Run the full pipeline on the built-in dataset: generate, train, score, caption
///
/// The images are generated from a seed, with five captions each; a small CNN and a decoder are trained on them from
/// scratch. On a terminal the workbench opens when training starts. In a pipe, or with --headless, scores and captions
/// are printed; this takes at most three minutes on two cores and is reproducible.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline demo
  cutline demo --headless > demo.txt")]
pub(super) struct Demo {
    /// Print scores and captions; do not open the workbench
    #[arg(long)]
    headless: bool,
}

impl Demo {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        context.device.check()?;
        let interrupt = Interrupt::install()?;
        let run = free_run(&context.root);
        prepare(context)?;
        interrupt.check().inspect_err(|_| suggest("demo", context))?;
        if !self.headless && context.terminal.is_interactive() {
            return watch_training(&run, context);
        }
        train(&run, context)?;
        let report = evaluate(&run, context)?;
        interrupt
            .check()
            .inspect_err(|_| suggest(&format!("evaluate {run}"), context))?;
        show(&report, context)?;
        let root = context.root_flag();
        context.notice(&format!(
            "\nThat was the full pipeline. Next, with this run:\n  \
             cutline evaluate {run} --split test{root}\n  \
             cutline caption {run} IMAGE{root}\n\
             or with your own images:\n  \
             cutline prepare --help"
        ));
        Ok(())
    }
}

fn show(report: &Report, context: &Context) -> anyhow::Result<()> {
    let paint = context.terminal.stdout.paint;
    context.notice("");
    context.print(&format_figures(report, &context.terminal))?;
    for sample in some_captions(&report.captions) {
        let image = display_safe(&sample.image);
        context.print(&format!("\n{}\n", paint.text(Role::Quiet, &image)))?;
        context.print(&caption_lines(sample, REFERENCES, paint))?;
    }
    Ok(())
}

fn prepare(context: &Context) -> anyhow::Result<()> {
    let command = CommandLine::new(["prepare", DATASET, "--name", DATASET]);
    announce(
        "1. Prepare a dataset: generated scenes with five captions each.",
        &command,
        context,
    );
    let prepare: Prepare = command.parse()?;
    if prepare.has_scenes(context)? {
        context.notice("It exists already.");
        return Ok(());
    }
    prepare.run(&context.as_substep())
}

/// Announces the training and creates the run.
fn start_training(run: &Name, context: &Context) -> anyhow::Result<TrainingRun> {
    let command = CommandLine::new(["train", DATASET, "--run", run.as_str(), "--decoder", "merge"])
        .with(presets::DEMO.iter().flat_map(|setting| ["--set", setting]));
    announce(
        "2. Train a small CNN encoder and an LSTM decoder jointly.",
        &command,
        context,
    );
    let train: Train = command.parse()?;
    train.start(context)
}

/// Opens the workbench on the training, which runs in a background process.
fn watch_training(run: &Name, context: &Context) -> anyhow::Result<()> {
    start_training(run, context)?.release().resume_detached(&[])?;
    workbench::open(context, Some(run.as_str()))?;
    let root = context.root_flag();
    context.notice(&format!(
        "Training continues in the background. Follow, score or control it:\n  \
         cutline attach {run}{root}\n  \
         cutline evaluate {run}{root}\n  \
         cutline control {run} stop{root}"
    ));
    Ok(())
}

fn train(run: &Name, context: &Context) -> anyhow::Result<()> {
    match train::follow(start_training(run, context)?, context)? {
        Outcome::Complete | Outcome::EarlyStopped => Ok(()),
        Outcome::Interrupted => Err(Interrupted.into()),
    }
}

fn evaluate(run: &Name, context: &Context) -> anyhow::Result<Report> {
    let command = CommandLine::new(["evaluate", run.as_str()]);
    announce(
        "3. Score captions of images outside the training split.",
        &command,
        context,
    );
    let evaluate: Evaluate = command.parse()?;
    evaluate.report(context)
}

/// Prints the purpose of a step and its command.
fn announce(purpose: &str, command: &CommandLine, context: &Context) {
    let paint = context.terminal.stderr.paint;
    context.notice(&format!("\n{purpose}\n"));
    let (columns, _) = context.terminal.size();
    let shown = command.shown(&context.root_flag(), usize::from(columns));
    context.notice(&format!("{}\n", paint.text(Role::Heading, &shown)));
}

/// How to continue after an interruption.
fn suggest(command: &str, context: &Context) {
    context.notice(&format!(
        "Continue with: cutline {command}{}",
        context.root_flag()
    ));
}

/// The first unused name of `demo-001`, `demo-002`, ...
fn free_run(root: &Root) -> Name {
    let mut number = 1_u32;
    loop {
        let name = Name::sanitized(&format!("demo-{number:03}"));
        if !root.run_dir(&name).path().exists() {
            return name;
        }
        number += 1;
    }
}

/// The words of a command after `cutline`, none of which needs quotes.
struct CommandLine(Vec<String>);

impl CommandLine {
    fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self(words.into_iter().map(str::to_owned).collect())
    }

    fn with<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.extend(words.into_iter().map(str::to_owned));
        self
    }

    /// The arguments of the subcommand, as if they had been typed.
    fn parse<A: Args>(&self) -> Result<A, clap::Error> {
        let subcommand = A::augment_args(Command::new("cutline"));
        A::from_arg_matches(&subcommand.try_get_matches_from(&self.0)?)
    }

    /// The command after a prompt, as valid shell, in lines of at most `columns` characters where possible; a flag and its
    /// value stay on one line. `last` is appended.
    fn shown(&self, last: &str, columns: usize) -> String {
        const CONTINUED: &str = " \\";
        let room = columns.saturating_sub(CONTINUED.len());
        let mut lines = vec!["$ cutline".to_owned()];
        let pieces = self.0.chunk_by(|flag, _| flag.starts_with("--"));
        let last = (!last.is_empty()).then(|| last.trim().to_owned());
        for piece in pieces.map(|words| words.join(" ")).chain(last) {
            match lines.last_mut() {
                Some(line) if line.len() + 1 + piece.len() <= room => *line = format!("{line} {piece}"),
                _ => lines.push(format!("    {piece}")),
            }
        }
        lines.join(&format!("{CONTINUED}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_wraps_long_commands_as_valid_shell() {
        let command = CommandLine::new(["train", "scenes", "--set", "a=1", "--set", "b=2"]);
        assert_eq!(
            command.shown("", 80),
            "$ cutline train scenes --set a=1 --set b=2"
        );
        let shown = command.shown(" --root x", 27);
        assert_eq!(
            shown,
            "$ cutline train scenes \\\n    --set a=1 --set b=2 \\\n    --root x"
        );
        assert!(shown.lines().all(|line| line.len() <= 27));
    }

    #[test]
    fn free_run_is_first_unused_name() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        assert_eq!(free_run(&root).as_str(), "demo-001");
        for taken in ["demo-001", "demo-003"] {
            root.create_run(&taken.parse().unwrap()).unwrap();
        }
        assert_eq!(free_run(&root).as_str(), "demo-002");
    }
}
