//! `cutline demo`: the whole way walked on the built-in data set.

use clap::Args;

use super::{Context, not_built};

/// Walk the whole way on the built-in data set: draw, train, caption, score
///
/// The photos are drawn by the program from a seed, five captions each; a small CNN and a decoder are trained
/// on them from scratch. Takes at most three minutes on two cores, and two runs print the same numbers.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline demo
  cutline demo --headless > demo.txt")]
pub(super) struct Demo {
    /// Print text only: no photos, whatever the terminal can draw
    #[arg(long)]
    headless: bool,
}

impl Demo {
    pub(super) fn run(self, _context: &Context) -> anyhow::Result<()> {
        Err(not_built("demo"))
    }
}
