//! Validation of images: files that do not decode, and duplicates.

use super::build::TokenizedImage;
use super::image::Image;
use super::problems::{ProblemKind, Problems};
use crate::files::ConfinedPath;
use rayon::prelude::*;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The progress of building a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareProgress {
    /// The current stage.
    pub stage: PrepareStage,
    /// The number of images done.
    pub done: usize,
    /// The number of images; 0 if unknown.
    pub total: usize,
}

/// A stage of building a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum PrepareStage {
    Reading,
    Checking,
    Writing,
}

/// Tries to decode an image; the error says why it is not possible.
pub type Decode<'a> = &'a (dyn Fn(&Path) -> Result<(), String> + Sync);

/// Called with the progress, from several threads.
pub type OnProgress<'a> = &'a (dyn Fn(PrepareProgress) + Sync);

/// Decodes and hashes every image on rayon's threads. Lists and removes images that do not decode.
pub(super) fn decodable(
    images: Vec<TokenizedImage>,
    decode: Decode<'_>,
    progress: OnProgress<'_>,
    problems: &mut Problems,
) -> Vec<(TokenizedImage, blake3::Hash)> {
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
    let mut valid = Vec::with_capacity(inspected.len());
    for (image, hash) in inspected {
        match hash {
            Ok(hash) => valid.push((image, hash)),
            Err(reason) => {
                problems.add_image(ProblemKind::UndecodableImage, &image.key, &image.path, reason);
            }
        }
    }
    valid
}

/// Lists images whose files are equal to that of an earlier one.
pub(super) fn list_duplicates(images: &[Image], hashes: &[blake3::Hash], problems: &mut Problems) {
    let mut first_of: HashMap<blake3::Hash, &Image> = HashMap::new();
    for (image, hash) in images.iter().zip(hashes) {
        match first_of.entry(*hash) {
            Entry::Occupied(first) => list_duplicate(image, first.get(), problems),
            Entry::Vacant(entry) => drop(entry.insert(image)),
        }
    }
}

/// The hash of an image's file, if it decodes. It is decoded first, since the decoder rejects files that are too long.
fn inspect(path: &Path, decode: Decode<'_>) -> Result<blake3::Hash, String> {
    decode(path)?;
    let hash = || {
        blake3::Hasher::new()
            .update_reader(ConfinedPath::from(path).open()?)
            .map(|hasher| hasher.finalize())
    };
    hash().map_err(|error: io::Error| error.to_string())
}

fn list_duplicate(duplicate: &Image, first: &Image, problems: &mut Problems) {
    let (kind, detail) = if duplicate.split == first.split {
        let detail = format!("the same file as {}", first.key);
        (ProblemKind::DuplicateImage, detail)
    } else {
        let (split, other) = (duplicate.split, first.split);
        let detail = format!("in {split}, the same file as {} in {other}", first.key);
        (ProblemKind::DuplicateAcrossSplits, detail)
    };
    problems.add_image(kind, &duplicate.key, &duplicate.path, detail);
}
