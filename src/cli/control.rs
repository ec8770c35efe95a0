//! `cutline control`: send a command to a job from any terminal.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::Context;
use super::terminal::display_path;
use crate::config::Assignment;
use crate::jobs::{ControlCommand, send, send_and_wait};

/// Pause, resume, stop or change a training or another job from any terminal
///
/// Writes a command file for the job, which reads it between two batches and acknowledges it in its log, and waits for the
/// acknowledgement. Works from another machine too, if both see the same files.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline control flickr8k-merge-001 pause
  cutline control flickr8k-merge-001 resume
  cutline control flickr8k-merge-001 set lr=2e-4 training.epochs=20
  cutline control datasets/flickr8k/prepare stop

Exit codes: 0 if the command is accepted, 1 if it is rejected or the job does not acknowledge it.")]
pub(super) struct Control {
    /// Name of a run, or path of a job's directory
    #[arg(value_name = "RUN")]
    run: String,
    /// Command
    #[arg(value_enum, value_name = "COMMAND")]
    command: Verb,
    /// Settings for `set`, such as lr=2e-4 (short for training.learning_rate)
    #[arg(value_name = "KEY=VALUE", required_if_eq("command", "set"))]
    settings: Vec<Assignment>,
    /// Seconds to wait for the acknowledgement; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Verb {
    /// Pause until resumed
    Pause,
    /// Continue
    Resume,
    /// Save a checkpoint and exit
    Stop,
    /// Save a checkpoint now
    Checkpoint,
    /// Caption and score the dev split now
    Evaluate,
    /// Caption a few dev images now
    Predict,
    /// Change settings
    Set,
}

impl Control {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let job = context.root.find_job(&self.run)?;
        let command = self.command()?;
        if self.wait == 0 {
            send(&job, &command).with_context(|| format!("cannot write to {}", display_path(job.path())))?;
            context.notice("sent; not waiting for the acknowledgement");
            return Ok(());
        }
        let acknowledgement = send_and_wait(&job, &command, Duration::from_secs(self.wait))?;
        Ok(context.print(&format!("{acknowledgement}\n"))?)
    }

    fn command(&self) -> anyhow::Result<ControlCommand> {
        if self.command != Verb::Set && !self.settings.is_empty() {
            bail!("only `set` takes settings: cutline control RUN set KEY=VALUE");
        }
        Ok(match self.command {
            Verb::Pause => ControlCommand::Pause,
            Verb::Resume => ControlCommand::Resume,
            Verb::Stop => ControlCommand::Stop,
            Verb::Checkpoint => ControlCommand::Checkpoint,
            Verb::Evaluate => ControlCommand::Evaluate,
            Verb::Predict => ControlCommand::Predict,
            Verb::Set => {
                let settings: BTreeMap<String, String> = self
                    .settings
                    .iter()
                    .map(|set| (set.key(), set.text().to_owned()))
                    .collect();
                ControlCommand::Set { settings }
            }
        })
    }
}
