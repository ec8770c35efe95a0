//! The built-in dataset `scenes`: images drawn by the program, to run the full pipeline without a download.
//!
//! A scene has one to three equal objects on a background, and perhaps another object beside, above or below them. Images
//! and captions depend on the seed and the scene's number only.

mod drawing;
mod figures;
mod grammar;
mod ground;
mod layout;
mod scene;
#[cfg(test)]
mod tests;

pub use grammar::CAPTIONS;
pub use scene::{Background, Color, Companion, Group, Item, ObjectKind, Relation, Scene};

use super::{SourceCaption, SourceImage, Split};
use crate::files::ConfinedPath;
use image::{ImageFormat, RgbImage};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::{self, Cursor};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The settings of `scenes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScenesSettings {
    /// The number of images: 80 % train, 10 % dev, 10 % test.
    pub images: usize,
    /// Width and height of an image in pixels.
    pub size: u32,
    /// The seed of all images.
    pub seed: u64,
}

impl Default for ScenesSettings {
    fn default() -> Self {
        Self {
            images: 4_000,
            size: 64,
            seed: 1,
        }
    }
}

/// In smaller images, objects are a few pixels wide and look alike.
const SMALLEST_SIZE: u32 = 32;
/// Larger images show no more detail.
const LARGEST_SIZE: u32 = 1_024;
/// With fewer images a split would be empty.
const FEWEST_IMAGES: usize = 10;

impl ScenesSettings {
    pub(crate) fn check(&self) -> Result<(), ScenesError> {
        if !(SMALLEST_SIZE..=LARGEST_SIZE).contains(&self.size) {
            return Err(ScenesError::Size { size: self.size });
        }
        if self.images < FEWEST_IMAGES {
            return Err(ScenesError::Images { images: self.images });
        }
        Ok(())
    }
}

/// Why `scenes` could not be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum ScenesError {
    #[error("scenes: size = {size} is out of range; choose {SMALLEST_SIZE} to {LARGEST_SIZE} pixels")]
    Size { size: u32 },
    #[error("scenes: images = {images} leaves a split empty; choose at least {FEWEST_IMAGES}")]
    Images { images: usize },
    #[error("cannot write {}: {source}; check that the disk has room and the folder is writable", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl ScenesError {
    fn writing(path: &ConfinedPath) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }
}

/// Draws the images `images/scene_00001.png` and so on under `dir`.
///
/// Images are drawn on all of rayon's threads; `progress` gets the number of images done. Existing images are
/// overwritten; after an interruption no image is partially written.
///
/// # Errors
///
/// Settings out of range; a folder or image that cannot be written.
pub fn write(
    settings: &ScenesSettings,
    dir: impl Into<ConfinedPath>,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<SourceImage>, ScenesError> {
    settings.check()?;
    let folder = dir.into().join("images");
    folder.create_dir_all().map_err(ScenesError::writing(&folder))?;
    let done = AtomicUsize::new(0);
    (0..settings.images)
        .into_par_iter()
        .map(|index| {
            let image = write_image(settings, &folder, index)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(image)
        })
        .collect()
}

fn write_image(
    settings: &ScenesSettings,
    folder: &ConfinedPath,
    index: usize,
) -> Result<SourceImage, ScenesError> {
    let scene = Scene::new(settings.seed, index as u64);
    let key = format!("scene_{:05}", index + 1);
    let path = folder.join(format!("{key}.png"));
    write_png(&path, &scene.draw(settings.size)).map_err(ScenesError::writing(&path))?;
    Ok(SourceImage {
        key,
        path: path.into(),
        split: Some(split_of(index)),
        captions: scene.captions().map(SourceCaption::new).into(),
    })
}

/// Writes an image atomically, but not synced: an image that a power loss damages is drawn again.
fn write_png(path: &ConfinedPath, image: &RgbImage) -> io::Result<()> {
    let mut png = Cursor::new(Vec::new());
    image
        .write_to(&mut png, ImageFormat::Png)
        .map_err(io::Error::other)?;
    path.replace(png.get_ref())
}

/// Of every ten images, eight are for training, one for dev and one for test. It is not random, so an image keeps its
/// split when more images are drawn.
fn split_of(index: usize) -> Split {
    match index % 10 {
        8 => Split::Dev,
        9 => Split::Test,
        _ => Split::Train,
    }
}
