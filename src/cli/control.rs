//! `cutline control`: steer a job from any terminal.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::Context;
use super::terminal::{display_path, display_safe};
use crate::config::Assignment;
use crate::runs::job::{Command, EventLogTail, JobDirectory, Status, send};
use crate::runs::{Acknowledgement, Event};

/// How often the log is looked at for the answer.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Steer a training, or another job, from any terminal
///
/// Leaves a file for the job, which takes it between two batches and acknowledges it in its log; waits for that.
/// Works from another machine too, where both see the same files.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline control flickr8k-merge-001 pause
  cutline control flickr8k-merge-001 resume
  cutline control flickr8k-merge-001 set lr=2e-4 training.epochs=20
  cutline control datasets/flickr8k/prepare stop

Exit codes: 0 once it is acknowledged, 1 where it is refused or nobody answers.")]
pub(super) struct Control {
    /// The run's name, or the path of a job's directory
    #[arg(value_name = "RUN")]
    run: String,
    /// What to do
    #[arg(value_enum, value_name = "COMMAND")]
    command: Verb,
    /// With `set`: settings to change, such as lr=2e-4 (short for training.learning_rate)
    #[arg(value_name = "KEY=VALUE", required_if_eq("command", "set"))]
    settings: Vec<Assignment>,
    /// How many seconds to wait for the answer; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Verb {
    /// Wait until told to resume
    Pause,
    /// Go on
    Resume,
    /// Save and end
    Stop,
    /// Save a checkpoint now
    Checkpoint,
    /// Caption and score the dev split now
    Evaluate,
    /// Caption a few dev photos now
    Sample,
    /// Change settings
    Set,
}

impl Control {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let job = context.root.find_job(&self.run)?;
        let command = self.command()?;
        let status = Status::read(&job).with_context(|| cannot_use(&job))?;
        if !status.state.is_live() {
            bail!(
                "nobody works on {}: it is {}; nothing was asked",
                display_safe(&self.run),
                status.state.name()
            );
        }
        let mut tail = EventLogTail::new(job.events());
        let id = send(&job, &command).with_context(|| cannot_use(&job))?;
        if self.wait == 0 {
            context.notice("left for the job; not waiting for the answer");
            return Ok(());
        }
        let answer = self.answer(&job, &mut tail, &id)?;
        match answer.refused {
            Some(why) => bail!("refused to {}: {}", command.name(), display_safe(&why)),
            None => Ok(context.print(&format!("{} at step {}\n", command.name(), answer.step))?),
        }
    }

    fn command(&self) -> anyhow::Result<Command> {
        if self.command != Verb::Set && !self.settings.is_empty() {
            bail!("settings are for `set`: cutline control RUN set KEY=VALUE");
        }
        Ok(match self.command {
            Verb::Pause => Command::Pause,
            Verb::Resume => Command::Resume,
            Verb::Stop => Command::Stop,
            Verb::Checkpoint => Command::Checkpoint,
            Verb::Evaluate => Command::Evaluate,
            Verb::Sample => Command::Sample,
            Verb::Set => {
                let settings: BTreeMap<String, String> = self
                    .settings
                    .iter()
                    .map(|set| (set.key(), set.text().to_owned()))
                    .collect();
                Command::Set { settings }
            }
        })
    }

    /// What the job says to the command of this name.
    fn answer(
        &self,
        job: &JobDirectory,
        tail: &mut EventLogTail,
        id: &str,
    ) -> anyhow::Result<Acknowledgement> {
        let until = Instant::now() + Duration::from_secs(self.wait);
        while Instant::now() < until {
            let records = tail.poll().with_context(|| cannot_use(job))?.records;
            let quiet = records.is_empty();
            for record in records {
                match record.event {
                    Event::Control(answer) if answer.id == id => return Ok(answer),
                    _ => {}
                }
            }
            if quiet {
                thread::sleep(BETWEEN_LOOKS);
            }
        }
        bail!(
            "no answer from {} in {} seconds; it may be busy between two batches, and will take it then",
            display_safe(&self.run),
            self.wait
        )
    }
}

fn cannot_use(job: &JobDirectory) -> String {
    format!("cannot use {}", display_path(job.path()))
}
