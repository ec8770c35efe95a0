//! Files that are either whole or not there: what training and data sets leave on disk goes through here.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// What the names of temporary files begin and end with.
const PREFIX: &str = ".";
const SUFFIX: &str = ".tmp";

/// Writes a file so that a reader, or a crash at any moment, sees the old content or the new, never a part.
///
/// The content goes to a temporary name in the same directory, is synced, renamed, and the directory is
/// synced. On any error (a full disk, say) the temporary file is removed and the old content stays.
pub(crate) fn write_atomically(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    // A device or a pipe, `/dev/stdout` say, cannot be replaced by a file; what it gets is never partial anyway.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        let mut writer = BufWriter::new(File::options().write(true).open(path)?);
        content(&mut writer)?;
        return writer.flush();
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = new_file_in(directory)?;
    let mut writer = BufWriter::new(temporary);
    content(&mut writer)?;
    let temporary = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_directory(directory)
}

/// Removes what [`write_atomically`], or another writer of files of such names, has left in a directory when the
/// program died in the middle of it.
pub(crate) fn remove_leftovers(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(PREFIX.as_bytes())
            && name.ends_with(SUFFIX.as_bytes())
            && entry.file_type()?.is_file()
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A temporary file with the permissions of any newly created file (`tempfile` alone would give 0600).
fn new_file_in(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .make_in(directory, |path| File::create_new(path))
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_failed_write_leaves_the_old_content_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(b"half of the ne")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_dead_writer_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let left = new_file_in(directory.path())
            .unwrap()
            .into_temp_path()
            .keep()
            .unwrap();
        for other in [".hidden", "x.tmp"] {
            fs::write(directory.path().join(other), "").unwrap();
        }
        remove_leftovers(directory.path()).unwrap();
        assert!(!left.exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        use std::os::unix::fs::FileTypeExt;
        let null = Path::new("/dev/null");
        write_atomically(null, |out| out.write_all(b"gone")).unwrap();
        assert!(null.metadata().unwrap().file_type().is_char_device());
    }

    #[test]
    fn content_larger_than_a_buffer_replaces_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "old").unwrap();
        let content = vec![7u8; 100_000];
        write_atomically(&path, |out| out.write_all(&content)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}
