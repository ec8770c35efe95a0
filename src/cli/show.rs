//! `cutline show`: one photo.
use super::picture::PictureArgs;
use super::{Context, not_built};
use clap::Args;
use std::path::PathBuf;
/// Show a photo in the terminal
#[derive(Debug, Args)]
pub(super) struct Show {
    photo: PathBuf,
    #[command(flatten)]
    picture: PictureArgs,
}
impl Show {
    pub(super) fn run(self, _context: &Context) -> anyhow::Result<()> {
        Err(not_built("show"))
    }
}
