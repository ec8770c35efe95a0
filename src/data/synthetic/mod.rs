//! The built-in data set `scenes`: pictures drawn by the program, so that the whole way from images to
//! scored captions can be walked with nothing on disk.
//!
//! A scene holds one to three things alike in a place, and perhaps another thing beside, above or below
//! them. Every picture and caption follows from the seed and the scene's number alone.

mod choice;
mod drawing;
mod figures;
mod grammar;
mod ground;
mod layout;
mod scene;
#[cfg(test)]
mod tests;

pub use grammar::CAPTIONS;
pub use scene::{Color, Companion, Group, Item, Relation, Scene, Terrain, Thing};

use super::{SourceCaption, SourceImage, Split};
use crate::files::ConfinedPath;
use image::{ImageError, ImageFormat};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::{self, Cursor};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What can be chosen about `scenes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScenesSettings {
    /// How many images: eight tenths to train on, one tenth each for dev and test.
    pub images: usize,
    /// Width and height of an image in pixels.
    pub size: u32,
    /// Another seed gives other images.
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

/// Below this, objects are a few pixels wide and look alike.
const SMALLEST_SIZE: u32 = 32;
/// Beyond this an image shows nothing more.
const LARGEST_SIZE: u32 = 1_024;
/// So that every split has an image.
const FEWEST_IMAGES: usize = 10;

impl ScenesSettings {
    fn check(&self) -> Result<(), ScenesError> {
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
pub enum ScenesError {
    /// `size` is out of range.
    #[error("scenes: size = {size} is out of range; choose {SMALLEST_SIZE} to {LARGEST_SIZE} pixels")]
    Size {
        /// The size asked for.
        size: u32,
    },
    /// `images` is too small to be split.
    #[error("scenes: images = {images} leaves a split empty; choose at least {FEWEST_IMAGES}")]
    Images {
        /// The number asked for.
        images: usize,
    },
    /// The folder for the images could not be made.
    #[error("cannot make the folder {}: {source}; check that its parent exists and is writable", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An image could not be encoded as PNG.
    #[error("cannot encode {} as PNG: {source}; try another size", path.display())]
    Encode {
        /// The image.
        path: PathBuf,
        /// What the encoder said.
        source: ImageError,
    },
    /// An image could not be written.
    #[error("cannot write {}: {source}; check that the disk has room and the folder is writable", path.display())]
    Write {
        /// The image.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Draws the data set as `images/scene_00001.png` and so on under `dir`.
///
/// Images are drawn on all of rayon's threads; `progress` gets the number of images done. Under its
/// final name an image is always whole, whatever interrupts; existing images are overwritten.
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
    folder.create_dir_all().map_err(|source| ScenesError::Folder {
        path: (&folder).into(),
        source,
    })?;
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
    let mut png = Cursor::new(Vec::new());
    scene
        .draw(settings.size)
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|source| ScenesError::Encode {
            path: (&path).into(),
            source,
        })?;
    // Not synced: an image that a power loss damages is drawn again.
    path.replace(png.get_ref()).map_err(|source| ScenesError::Write {
        path: (&path).into(),
        source,
    })?;
    Ok(SourceImage {
        key,
        path: path.into(),
        split: Some(split_of(index)),
        captions: scene.captions().into_iter().map(source_caption).collect(),
    })
}

/// Of ten images in a row eight are for training, one for dev and one for test. By number and not by lot: a
/// image stays in its split when more are drawn.
fn split_of(index: usize) -> Split {
    match index % 10 {
        8 => Split::Dev,
        9 => Split::Test,
        _ => Split::Train,
    }
}

fn source_caption(raw: String) -> SourceCaption {
    SourceCaption { raw, tokens: None }
}
