//! `cutline evaluate`: the captions of a run's checkpoint against the references of a split.

use clap::{Args, ValueEnum};

use super::search::SearchArgs;
use super::{Context, not_built};

/// Score a run on a split: BLEU, ROUGE-L, CIDEr-D, and the signs of a collapse
///
/// Beside the scores it prints what share of photos got the commonest caption, how many captions are distinct
/// and how many are not in the training split, and the score when the photos are shuffled among the captions:
/// a decoder that ignores the photo keeps it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline evaluate flickr8k-merge-001
  cutline evaluate flickr8k-merge-001 --split test --beam 5
  cutline evaluate flickr8k-merge-001 --json | jq .bleu")]
pub(super) struct Evaluate {
    /// The run's name, or the path of its directory
    #[arg(value_name = "RUN")]
    run: String,
    /// The split whose photos are captioned
    #[arg(long, value_enum, default_value_t)]
    split: Split,
    /// The checkpoint to use
    #[arg(long, value_enum, default_value_t)]
    checkpoint: Checkpoint,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    search: SearchArgs,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Split {
    /// What the decoder learned from
    Train,
    /// What training was steered by
    #[default]
    #[value(alias = "val", alias = "validation")]
    Dev,
    /// What nothing was steered by
    Test,
}

/// Which of a run's checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Checkpoint {
    /// The one with the best dev score
    #[default]
    Best,
    /// The last one saved
    Latest,
}

impl Evaluate {
    pub(super) fn run(self, _context: &Context) -> anyhow::Result<()> {
        Err(not_built("evaluate"))
    }
}
