//! Files that are either whole or missing, in directories that cannot be left.
//!
//! Training, evaluations and datasets keep their files in directories that may come from elsewhere: [`ConfinedPath`]
//! opens them. Output files named by the user follow links, as with every program: `write_atomically`.

mod confined;
mod kind;
#[cfg(test)]
mod tests;

pub use confined::ConfinedPath;
pub(crate) use confined::{ConfinedEntry, Fingerprint};
pub use kind::FileKind;

use rustix::fs::{AtFlags, Mode, OFlags};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The beginning and the end of the names of temporary files.
const PREFIX: &str = ".";
const SUFFIX: &str = ".tmp";

/// Writes an output file as [`ConfinedPath::write_atomically`] does; writes into a device or a pipe, `/dev/stdout` say,
/// which a file cannot replace.
pub(crate) fn write_atomically(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        let mut writer = BufWriter::new(File::options().write(true).open(path)?);
        content(&mut writer)?;
        return writer.flush();
    }
    ConfinedPath::from(path).write_atomically(content)
}

/// The directories in a directory that the user chose, and links to directories, sorted; none if it does not exist.
pub(crate) fn roots_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut roots = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            roots.push(path);
        }
    }
    roots.sort();
    Ok(roots)
}

/// The bytes that this user may still write to the file system of an open file or directory.
pub(crate) fn free_space(file: impl AsFd) -> io::Result<u64> {
    let found = rustix::fs::fstatvfs(file)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether a file survives a loss of power.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Synced,
    Unsynced,
}

/// A new file under a temporary name in an open directory, removed unless it replaces another.
struct ReplacedFile {
    directory: OwnedFd,
    name: OsString,
    file: File,
    is_renamed: bool,
}

impl ReplacedFile {
    fn create(directory: OwnedFd) -> io::Result<Self> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let number = CREATED.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id()));
            match rustix::fs::openat(&directory, &name, flags, Mode::from_raw_mode(0o666)) {
                Err(rustix::io::Errno::EXIST) => {}
                opened => {
                    return Ok(Self {
                        file: opened?.into(),
                        directory,
                        name,
                        is_renamed: false,
                    });
                }
            }
        }
    }

    fn is_temporary_name(name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
    }

    /// Writes the content, then renames the file to `name`.
    fn write(
        mut self,
        name: &OsStr,
        durability: Durability,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut writer = BufWriter::new(&self.file);
        content(&mut writer)?;
        writer.flush()?;
        drop(writer);
        // Content first, then its name: after a power loss the name must not stand for an empty file.
        if durability == Durability::Synced {
            self.file.sync_all()?;
        }
        rustix::fs::renameat(&self.directory, &self.name, &self.directory, name)?;
        self.is_renamed = true;
        match durability {
            Durability::Synced => confined::sync(&self.directory),
            Durability::Unsynced => Ok(()),
        }
    }
}

impl Drop for ReplacedFile {
    fn drop(&mut self) {
        if !self.is_renamed {
            let _ = rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty());
        }
    }
}
