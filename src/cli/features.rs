//! `cutline features`: what a backbone makes of photos, as a file for other programs.

use std::path::PathBuf;

use clap::Args;

use super::{Context, not_built};

/// Write the features of photos to a .safetensors file
///
/// One tensor a photo, named by the photo's path as given. No data set and no run are needed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline features *.jpg --backbone vgg16 --weights vgg16.safetensors --out vgg16-fc2.safetensors
  cutline features photo.jpg --backbone mobilenet_v2 --weights mobilenet_v2.pth --out photo.safetensors")]
pub(super) struct Features {
    /// The photos
    #[arg(value_name = "PHOTO", required = true)]
    photos: Vec<PathBuf>,
    /// The CNN that looks at them (vgg16, mobilenet_v2)
    #[arg(long, value_name = "BACKBONE")]
    backbone: String,
    /// Its weights: .safetensors with Keras or torchvision names, or torchvision's .pth
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The layer whose output is written; the backbone's usual one if not given
    #[arg(long, value_name = "LAYER")]
    layer: Option<String>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Features {
    pub(super) fn run(self, _context: &Context) -> anyhow::Result<()> {
        Err(not_built("features"))
    }
}
