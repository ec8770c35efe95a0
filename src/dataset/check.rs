//! The check of every photo's file: does it decode, and is it another's copy?

use super::photo::Photo;
use super::problems::{ProblemKind, Problems};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How far a preparation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How many of the photos are done.
    pub done: usize,
    /// How many photos there are; 0 while that is not known.
    pub total: usize,
}

/// What a preparation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading captions and splits.
    Reading,
    /// Decoding and hashing photos.
    Checking,
    /// Counting words and writing the data set.
    Writing,
}

/// Decodes a photo to see whether it can be, and says why not.
pub type Decode<'a> = &'a (dyn Fn(&Path) -> Result<(), String> + Sync);

/// Takes news of a preparation; called from several threads.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

/// Decodes and hashes every photo on rayon's threads; lists copies, and lists and leaves out what does not
/// decode.
pub(super) fn check(
    photos: Vec<Photo>,
    decode: Decode<'_>,
    progress: OnProgress<'_>,
    problems: &mut Problems,
) -> Vec<Photo> {
    let (done, total) = (AtomicUsize::new(0), photos.len());
    let inspected: Vec<_> = photos
        .into_par_iter()
        .map(|photo| {
            let hash = inspect(&photo.path, decode);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(Progress {
                stage: Stage::Checking,
                done,
                total,
            });
            (photo, hash)
        })
        .collect();

    let mut sound = Vec::with_capacity(inspected.len());
    let mut by_hash: BTreeMap<[u8; blake3::OUT_LEN], Vec<usize>> = BTreeMap::new();
    for (photo, hash) in inspected {
        match hash {
            Ok(hash) => {
                by_hash.entry(*hash.as_bytes()).or_default().push(sound.len());
                sound.push(photo);
            }
            Err(reason) => {
                problems.add_photo(ProblemKind::UndecodablePhoto, &photo.key, &photo.path, reason);
            }
        }
    }
    list_copies(&sound, by_hash.into_values(), problems);
    sound
}

/// The hash of a photo's file, where it decodes.
fn inspect(path: &Path, decode: Decode<'_>) -> Result<blake3::Hash, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    decode(path)?;
    Ok(blake3::hash(&bytes))
}

/// Lists every copy once, by the order of the photos, beside the first of its kind.
fn list_copies(photos: &[Photo], groups: impl Iterator<Item = Vec<usize>>, problems: &mut Problems) {
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
        let (copy, first) = (&photos[copy], &photos[first]);
        let (kind, detail) = if copy.split == first.split {
            (
                ProblemKind::DuplicatePhoto,
                format!("the same file as {}", first.key),
            )
        } else {
            let detail = format!(
                "in {}, the same file as {} in {}",
                copy.split, first.key, first.split
            );
            (ProblemKind::DuplicateAcrossSplits, detail)
        };
        problems.add_photo(kind, &copy.key, &copy.path, detail);
    }
}
