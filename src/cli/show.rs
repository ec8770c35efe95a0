//! `cutline show`: draws an image and prints its path, size and format.

use std::path::{Path, PathBuf};

use clap::Args;
use image::{ImageFormat, ImageReader};

use super::Context;
use super::inline_image::{InlineImageArgs, draw};
use super::terminal::display_path;
use crate::vision::image_io;

/// Show an image in the terminal, and a line with its path, size and format
///
/// In a pipe, on a terminal that cannot draw (TERM=dumb) and with --color never, only the line is printed. A file that is
/// not an image, is truncated or is too large is an error, as in `prepare`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline show image.jpg
  cutline show image.jpg --width 40 --protocol blocks
  cutline show image.jpg | cat")]
pub(super) struct Show {
    /// Image: JPEG, PNG, GIF, WebP, TIFF or BMP
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    #[command(flatten)]
    inline_image: InlineImageArgs,
}

impl Show {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let pixels = image_io::decode(&self.image)?;
        let (width, height) = pixels.dimensions();
        if context.terminal.stdout.draws {
            draw(pixels, &self.inline_image, &context.terminal)?;
        }
        let path = display_path(&self.image);
        context.print(&format!(
            "{path}: {width} x {height}, {}\n",
            format_name(&self.image)
        ))?;
        Ok(())
    }
}

fn format_name(image: &Path) -> &'static str {
    let format = ImageReader::open(image)
        .and_then(ImageReader::with_guessed_format)
        .ok();
    match format.and_then(|reader| reader.format()) {
        Some(ImageFormat::Jpeg) => "JPEG",
        Some(ImageFormat::Png) => "PNG",
        Some(ImageFormat::Gif) => "GIF",
        Some(ImageFormat::WebP) => "WebP",
        Some(ImageFormat::Tiff) => "TIFF",
        Some(ImageFormat::Bmp) => "BMP",
        _ => "another format",
    }
}
