//! `cutline train`: from a data set to a run with checkpoints.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Context, not_built};
use crate::config::Assignment;
use crate::runs::Name;

/// Train a decoder on a data set; the run is written to `checkpoints/RUN`
///
/// Settings come in layers: the defaults, then --config, then --decoder and --set. A misspelt key is refused.
/// Ctrl-C saves a checkpoint and stops; --resume goes on from it to the same losses, bit for bit.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline train flickr8k --decoder merge
  cutline train flickr8k --run wide --set decoder.hidden=512 --set optimiser.learning_rate=5e-4
  cutline train flickr8k --print-settings > settings.toml
  cutline train flickr8k --config settings.toml
  cutline train flickr8k --run wide --resume")]
pub(super) struct Train {
    /// The data set's name, or the path of its directory
    #[arg(value_name = "NAME")]
    dataset: String,
    /// The run's name; the first free one of NAME-DECODER-001, -002, ... if not given
    #[arg(long, value_name = "RUN")]
    run: Option<Name>,
    /// How the photo meets the LSTM
    #[arg(long, value_enum)]
    decoder: Option<DecoderKind>,
    /// A TOML file of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, such as decoder.hidden=512; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Assignment>,
    /// Go on with an interrupted run
    #[arg(long, requires = "run", conflicts_with_all = ["config", "set", "decoder"])]
    resume: bool,
    /// Print the settings as they would be used, as TOML, and train nothing
    #[arg(long)]
    print_settings: bool,
}

/// How the features of a photo meet the LSTM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DecoderKind {
    /// The photo joins the words after the LSTM
    Merge,
    /// The photo is the LSTM's first input (Show and Tell)
    Inject,
}

impl Train {
    pub(super) fn run(self, _context: &Context) -> anyhow::Result<()> {
        Err(not_built("train"))
    }
}
