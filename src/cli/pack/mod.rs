//! `cutline pack`: a trained run as one file, or as a folder for another program.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Context, choices, output};
use crate::jobs::CheckpointKind;

/// Pack a run into one file that captions images anywhere
///
/// The file holds the settings, the vocabulary, the weights of decoder and CNN, the scores of the run's evaluations, and a
/// model card. `cutline caption FILE image.jpg` needs nothing else.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline pack flickr8k-merge-001 --out captioner.cutline")]
pub(super) struct Pack {
    /// The run's name, or the path of its directory
    #[arg(value_name = "RUN")]
    run: String,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The form to write
    #[arg(long, value_enum, default_value_t)]
    format: PackFormat,
    /// The checkpoint to pack
    #[arg(long, value_name = "CHECKPOINT", value_parser = choices::named::<CheckpointKind>(), default_value_t)]
    checkpoint: CheckpointKind,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// A form of a packed run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum PackFormat {
    /// One file for `cutline caption`.
    #[default]
    Cutline,
}

impl Pack {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        output::check(&self.out)?;
        let run = context.root.find_run(&self.run)?;
        match self.format {
            PackFormat::Cutline => anyhow::bail!(
                "{}, checkpoint {}: this version cannot pack yet (--force {})",
                run.name(),
                self.checkpoint,
                self.force
            ),
        }
    }
}
