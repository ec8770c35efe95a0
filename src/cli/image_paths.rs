//! The images that a command line names: files, directories, and names on standard input.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::terminal::display_path;
use crate::data::image_files;

/// The images of the arguments: a directory stands for all images in it and below, `-` for the names on standard input,
/// one on each line.
///
/// # Errors
/// If a directory cannot be read or has no image, or standard input cannot be read.
pub(super) fn expand(arguments: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for argument in arguments {
        if argument == Path::new("-") {
            for name in io::stdin().lines() {
                let name = name.context("cannot read names from standard input")?;
                images.extend((!name.is_empty()).then(|| PathBuf::from(name)));
            }
        } else if argument.is_dir() {
            let found = image_files(argument)?;
            ensure!(
                !found.is_empty(),
                "{}: no images in this directory or below; the extensions of images are jpg, png, webp, bmp, gif and tiff",
                display_path(argument)
            );
            images.extend(found);
        } else {
            images.push(argument.clone());
        }
    }
    ensure!(!images.is_empty(), "standard input names no image");
    Ok(images)
}
