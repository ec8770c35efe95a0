//! The check of every image's file: does it decode, and is it another's copy?

use super::image::Image;
use super::problems::{ProblemKind, Problems};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How far a preparation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareProgress {
    /// What is being done.
    pub stage: PrepareStage,
    /// How many of the images are done.
    pub done: usize,
    /// How many images there are; 0 while that is not known.
    pub total: usize,
}

/// What a preparation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrepareStage {
    /// Reading captions and splits.
    Reading,
    /// Decoding and hashing images.
    Checking,
    /// Counting words and writing the data set.
    Writing,
}

/// Decodes an image to see whether it can be, and says why not.
pub type Decode<'a> = &'a (dyn Fn(&Path) -> Result<(), String> + Sync);

/// Takes news of a preparation; called from several threads.
pub type OnProgress<'a> = &'a (dyn Fn(PrepareProgress) + Sync);

/// Decodes and hashes every image on rayon's threads; lists copies, and lists and leaves out what does not
/// decode.
pub(super) fn validate(
    images: Vec<Image>,
    decode: Decode<'_>,
    progress: OnProgress<'_>,
    problems: &mut Problems,
) -> Vec<Image> {
    let (done, total) = (AtomicUsize::new(0), images.len());
    let inspected: Vec<_> = images
        .into_par_iter()
        .map(|image| {
            let hash = inspect(&image.path, decode);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(PrepareProgress {
                stage: PrepareStage::Checking,
                done,
                total,
            });
            (image, hash)
        })
        .collect();

    let mut sound = Vec::with_capacity(inspected.len());
    let mut by_hash: BTreeMap<[u8; blake3::OUT_LEN], Vec<usize>> = BTreeMap::new();
    for (image, hash) in inspected {
        match hash {
            Ok(hash) => {
                by_hash.entry(*hash.as_bytes()).or_default().push(sound.len());
                sound.push(image);
            }
            Err(reason) => {
                problems.add_image(ProblemKind::UndecodableImage, &image.key, &image.path, reason);
            }
        }
    }
    list_copies(&sound, by_hash.into_values(), problems);
    sound
}

/// The hash of an image's file, where it decodes.
fn inspect(path: &Path, decode: Decode<'_>) -> Result<blake3::Hash, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    decode(path)?;
    Ok(blake3::hash(&bytes))
}

/// Lists every copy once, by the order of the images, beside the first of its kind.
fn list_copies(images: &[Image], groups: impl Iterator<Item = Vec<usize>>, problems: &mut Problems) {
    let mut copies: Vec<(usize, usize)> = groups
        .flat_map(|group| {
            let first = group.first().copied();
            group
                .into_iter()
                .skip(1)
                .filter_map(move |copy| Some((copy, first?)))
        })
        .collect();
    copies.sort_unstable();
    for (copy, first) in copies {
        let (copy, first) = (&images[copy], &images[first]);
        let (kind, detail) = if copy.split == first.split {
            (
                ProblemKind::DuplicateImage,
                format!("the same file as {}", first.key),
            )
        } else {
            let detail = format!(
                "in {}, the same file as {} in {}",
                copy.split, first.key, first.split
            );
            (ProblemKind::DuplicateAcrossSplits, detail)
        };
        problems.add_image(kind, &copy.key, &copy.path, detail);
    }
}
