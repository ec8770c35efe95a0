//! The images that a command line names: files, directories, and names on standard input.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::terminal::display_path;
use crate::data::image_files;

/// The images of the arguments: a directory stands for all images in it and below, `-` for the names on standard input,
/// one on each line, which may be of directories too.
///
/// # Errors
/// If a directory cannot be read or has no image, or standard input cannot be read.
pub(super) fn expand(arguments: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for argument in arguments {
        if argument != Path::new("-") {
            images.extend(images_at(argument)?);
            continue;
        }
        for name in io::stdin().lines() {
            let name = name.context("cannot read names from standard input")?;
            let name = Path::new(&name);
            // macOS adds files such as `._photo.jpg`.
            let is_added = name
                .file_name()
                .is_none_or(|name| name.as_encoded_bytes().starts_with(b"._"));
            if name.is_dir() || !is_added {
                images.extend(images_at(name)?);
            }
        }
    }
    ensure!(!images.is_empty(), "standard input names no image");
    Ok(images)
}

fn images_at(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let images = image_files(path)?;
    ensure!(
        !images.is_empty(),
        "{}: no images in this directory or below; the extensions of images are jpg, png, webp, bmp, gif and tiff",
        display_path(path)
    );
    Ok(images)
}
