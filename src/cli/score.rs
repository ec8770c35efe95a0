//! `cutline score`: one photo.
use super::picture::PictureArgs;
use super::{Context, not_built};
use clap::Args;
use std::path::PathBuf;
/// Score a photo in the terminal
#[derive(Debug, Args)]
pub(super) struct Score {
    photo: PathBuf,
    #[command(flatten)]
    picture: PictureArgs,
}
impl Score {
    pub(super) fn run(self, _context: &Context) -> anyhow::Result<()> {
        Err(not_built("score"))
    }
}
