//! Zip archives that hold weights: PyTorch's, NumPy's `.npz` and Keras' `.keras`.

use super::WeightsErrorKind;
use std::io::{Cursor, Read};
use std::ops::Range;
use zip::{CompressionMethod, ZipArchive};

type Result<T> = std::result::Result<T, WeightsErrorKind>;

/// Larger than any description of a model or of an archive.
const LARGEST_ENTRY: u64 = 64 << 20;

pub(super) type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

pub(super) fn recognizes(file: &[u8]) -> bool {
    file.starts_with(b"PK\x03\x04")
}

pub(super) fn open(file: &[u8]) -> Result<Archive<'_>> {
    ZipArchive::new(Cursor::new(file)).map_err(damaged)
}

/// The names of the entries, in the archive's order.
pub(super) fn names(archive: &Archive<'_>) -> Vec<String> {
    let names = archive.file_names().filter_map(|name| name.ok());
    names.map(|name| name.into_owned()).collect()
}

/// The content of a small entry, if there is one of this name.
pub(super) fn read_entry(archive: &mut Archive<'_>, name: &str) -> Result<Option<Vec<u8>>> {
    if archive.index_for_name(name).is_none() {
        return Ok(None);
    }
    match inflated(archive, name, LARGEST_ENTRY)? {
        Some(contents) => Ok(Some(contents)),
        None => Err(WeightsErrorKind::NotAStateDict(format!(
            "{name:?} is far too large"
        ))),
    }
}

/// The content of an entry, or `None` if it is longer than `limit`.
pub(super) fn inflated(archive: &mut Archive<'_>, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    let entry = archive.by_index(index(archive, name)?).map_err(damaged)?;
    if entry.size() > limit {
        return Ok(None);
    }
    let mut contents = Vec::new();
    // The size in the archive's directory may be false.
    (entry.take(limit)).read_to_end(&mut contents).map_err(damaged)?;
    Ok(Some(contents))
}

/// The range of an entry's bytes in the file; `None` if they are compressed.
pub(super) fn stored_range(archive: &mut Archive<'_>, name: &str) -> Result<Option<Range<usize>>> {
    let entry = archive.by_index_raw(index(archive, name)?).map_err(damaged)?;
    if entry.compression() != CompressionMethod::Stored {
        return Ok(None);
    }
    let range = entry.data_start().and_then(|start| {
        let end = start.checked_add(entry.size())?;
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    });
    match range {
        Some(range) => Ok(Some(range)),
        None => Err(damaged(format!("entry {name:?} has no data"))),
    }
}

/// The range of an entry that is never compressed by the program that writes such archives.
pub(super) fn uncompressed_range(archive: &mut Archive<'_>, name: &str) -> Result<Range<usize>> {
    stored_range(archive, name)?.ok_or_else(|| WeightsErrorKind::Compressed(name.to_owned()))
}

fn index(archive: &Archive<'_>, name: &str) -> Result<usize> {
    archive
        .index_for_name(name)
        .ok_or_else(|| damaged(format!("entry {name:?} is missing")))
}

pub(super) fn damaged(why: impl ToString) -> WeightsErrorKind {
    WeightsErrorKind::Damaged(why.to_string())
}
