//! `cutline caption`: photos, and under each the caption that a run gives it.

use std::path::PathBuf;

use clap::Args;

use super::evaluate::Checkpoint;
use super::picture::PictureArgs;
use super::search::SearchArgs;
use super::{Context, not_built};

/// Caption photos with a run
///
/// On a terminal each photo is drawn with its caption under it, and its references beside it where the data
/// set knows them. Into a pipe one line a photo is printed: the path, a tab, the caption.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline caption flickr8k-merge-001 photo.jpg
  cutline caption flickr8k-merge-001 *.jpg --beam 5 > captions.tsv
  cutline caption flickr8k-merge-001 photo.jpg --temperature 0.8 --seed 3")]
pub(super) struct Caption {
    /// The run's name, or the path of its directory
    #[arg(value_name = "RUN")]
    run: String,
    /// The photos: JPEG, PNG, GIF, WebP, TIFF or BMP
    #[arg(value_name = "PHOTO", required = true)]
    photos: Vec<PathBuf>,
    /// The checkpoint to use
    #[arg(long, value_enum, default_value_t)]
    checkpoint: Checkpoint,
    /// Print JSON: one object a line with `photo`, `caption` and `log_probability`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    picture: PictureArgs,
}

impl Caption {
    pub(super) fn run(self, _context: &Context) -> anyhow::Result<()> {
        Err(not_built("caption"))
    }
}
