//! Paths that cannot lead out of their root.
//!
//! A run or a dataset may come from an archive or from another user, and a symbolic link in it may point anywhere.
//! Every directory below the root is therefore opened relative to its parent's handle without following links, and a
//! file must be a plain file once it is open. The root itself is the user's choice, so links that lead to it are followed.
//! Walking one component at a time needs no `openat2`, so it works on every kernel.

use super::{Durability, PREFIX, ReplacedFile, SUFFIX};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Permissions of new files and directories, before the umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Opening a FIFO must not wait for its other end, and a terminal must not become the controlling one.
const PLAIN: OFlags = OFlags::CLOEXEC.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A path in or at a directory that the user chose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfinedPath {
    root: PathBuf,
    /// Relative to the root; empty for the root itself.
    below: PathBuf,
    /// Both together, for messages.
    path: PathBuf,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfinedEntry {
    pub(crate) path: ConfinedPath,
    pub(crate) kind: FileType,
}

/// Inode, length and time of the last change (seconds, nanoseconds) of a directory and some entries of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(Vec<Option<[i128; 4]>>);

impl From<PathBuf> for ConfinedPath {
    /// A root.
    fn from(root: PathBuf) -> Self {
        Self {
            path: root.clone(),
            below: PathBuf::new(),
            root,
        }
    }
}

impl From<&Path> for ConfinedPath {
    /// A root.
    fn from(root: &Path) -> Self {
        root.to_owned().into()
    }
}

impl From<&PathBuf> for ConfinedPath {
    /// A root.
    fn from(root: &PathBuf) -> Self {
        root.clone().into()
    }
}

/// For messages.
impl From<ConfinedPath> for PathBuf {
    fn from(path: ConfinedPath) -> Self {
        path.path
    }
}

/// For messages.
impl From<&ConfinedPath> for PathBuf {
    fn from(path: &ConfinedPath) -> Self {
        path.path.clone()
    }
}

/// For messages, and for programs that trust the directory: opening the path so follows links.
impl AsRef<Path> for ConfinedPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl From<&ConfinedPath> for ConfinedPath {
    fn from(path: &ConfinedPath) -> Self {
        path.clone()
    }
}

impl fmt::Display for ConfinedPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(out)
    }
}

impl ConfinedPath {
    /// The path of an entry below this one.
    pub fn join(&self, below: impl AsRef<Path>) -> Self {
        Self {
            root: self.root.clone(),
            below: self.below.join(&below),
            path: self.path.join(below),
        }
    }

    /// The path as text for messages. Opening it elsewhere would follow links.
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// The absolute path, with the links resolved that lead to the root.
    ///
    /// # Errors
    /// If the root does not exist.
    pub(crate) fn canonicalize(&self) -> io::Result<PathBuf> {
        let root = self.root.canonicalize()?;
        Ok(match self.is_root() {
            true => root,
            false => root.join(&self.below),
        })
    }

    /// The last component.
    pub fn file_name(&self) -> &OsStr {
        self.path.file_name().unwrap_or(self.path.as_os_str())
    }

    /// The path of its directory; none of a root.
    pub(crate) fn parent(&self) -> Option<Self> {
        let below = self.below.parent()?;
        Some(match below.as_os_str().is_empty() {
            true => self.root.clone().into(),
            false => Self::from(&self.root).join(below),
        })
    }

    /// A path beside this one.
    pub(crate) fn with_file_name(&self, name: impl AsRef<OsStr>) -> Self {
        match self.below.parent() {
            None => self.path.with_file_name(name).into(),
            Some(parent) => Self::from(self.root.clone()).join(parent.join(name.as_ref())),
        }
    }

    /// Opens a plain file for reading.
    ///
    /// # Errors
    /// If it is missing, is a link or another kind of file, or cannot be read.
    pub fn open(&self) -> io::Result<File> {
        let (parent, name) = self.open_parent()?;
        // A device may act on being opened, so the kind is checked first; afterwards it is checked on the open file.
        check_plain(FileType::from_raw_mode(self.stat_at(&parent, name)?.st_mode))?;
        self.open_at(&parent, name, OFlags::RDONLY)
    }

    /// Reads a plain file of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`ConfinedPath::open`]; if the file is longer.
    pub fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open()?;
        let length = file.metadata()?.len();
        let too_long = || {
            other(format!(
                "it is longer than {limit} bytes, which no such file should be"
            ))
        };
        if length > limit {
            return Err(too_long());
        }
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(limit + 1).read_to_end(&mut content)?;
        match content.len() as u64 > limit {
            true => Err(too_long()),
            false => Ok(content),
        }
    }

    /// Reads a plain UTF-8 file of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`ConfinedPath::read`]; if it is not UTF-8.
    pub fn read_to_string(&self, limit: u64) -> io::Result<String> {
        String::from_utf8(self.read(limit)?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Opens a plain file for reading and appending, and creates it if it is missing.
    ///
    /// # Errors
    /// As [`ConfinedPath::open`]; if the file has a second name, through which it would be changed too.
    pub(crate) fn append(&self) -> io::Result<File> {
        self.open_for_writing(OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)
    }

    /// Opens a plain file for reading and writing in place, and creates it if it is missing.
    ///
    /// # Errors
    /// As [`ConfinedPath::append`].
    pub(crate) fn open_in_place(&self) -> io::Result<File> {
        self.open_for_writing(OFlags::RDWR | OFlags::CREATE)
    }

    fn open_for_writing(&self, flags: OFlags) -> io::Result<File> {
        let (parent, name) = self.open_parent()?;
        match self.stat_at(&parent, name) {
            Err(Errno::NOENT) => {}
            found => check_plain(FileType::from_raw_mode(found?.st_mode))?,
        }
        let file = self.open_at(&parent, name, flags)?;
        match file.metadata()?.nlink() {
            0 | 1 => Ok(file),
            names => Err(other(format!(
                "it has {names} names (hard links), and writing would change it under the others too; replace it with a copy"
            ))),
        }
    }

    /// Writes a file so that a reader, or a crash at any moment, sees the old content or the new, never a part.
    ///
    /// The content goes to a temporary name in the same directory, is synced, renamed, and the directory is synced. On
    /// any error (a full disk, say) the temporary file is removed and the old content stays.
    ///
    /// # Errors
    /// If the directory or the file cannot be written.
    pub fn write_atomically(&self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let (parent, name) = self.open_parent()?;
        ReplacedFile::create(parent)?.write(name, Durability::Synced, content)
    }

    /// Writes a file that is whole or missing, unless power is lost: nothing is synced.
    ///
    /// # Errors
    /// If the directory or the file cannot be written.
    pub(crate) fn replace(&self, content: &[u8]) -> io::Result<()> {
        let (parent, name) = self.open_parent()?;
        ReplacedFile::create(parent)?.write(name, Durability::Unsynced, |out| out.write_all(content))
    }

    /// The kind of the entry; `None` if there is none. Links are not followed below the root.
    ///
    /// # Errors
    /// If a directory on the way is a link or cannot be searched.
    pub(crate) fn kind(&self) -> io::Result<Option<FileType>> {
        let found = self
            .open_parent()
            .and_then(|(parent, name)| Ok(self.stat_at(&parent, name)?));
        match found {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a plain file.
    pub fn is_file(&self) -> bool {
        self.kind().is_ok_and(|kind| kind == Some(FileType::RegularFile))
    }

    /// Whether there is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind().is_ok_and(|kind| kind == Some(FileType::Directory))
    }

    /// Whether there is an entry of any kind.
    pub fn exists(&self) -> bool {
        self.kind().is_ok_and(|kind| kind.is_some())
    }

    /// When the file was last modified, and its length in bytes.
    ///
    /// # Errors
    /// As [`ConfinedPath::open`].
    pub(crate) fn modified_and_length(&self) -> io::Result<(SystemTime, u64)> {
        let metadata = self.open()?.metadata()?;
        Ok((metadata.modified()?, metadata.len()))
    }

    /// What tells whether the directory or one of these entries of it has changed.
    ///
    /// # Errors
    /// If it is not a directory or cannot be opened.
    pub(crate) fn fingerprint(&self, names: &[&str]) -> io::Result<Fingerprint> {
        let directory = self.open_directory()?;
        // The types of the fields differ between systems.
        let stamp = |stat: rustix::fs::Stat| {
            [
                i128::from(stat.st_ino),
                i128::from(stat.st_size),
                i128::from(stat.st_ctime),
                i128::from(stat.st_ctime_nsec),
            ]
        };
        let mut stamps = vec![Some(stamp(rustix::fs::fstat(&directory)?))];
        for name in names {
            let stat = rustix::fs::statat(&directory, *name, AtFlags::SYMLINK_NOFOLLOW);
            stamps.push(stat.ok().map(stamp));
        }
        Ok(Fingerprint(stamps))
    }

    /// The time by the clock of the file system that this entry's directory is on: the server's, on a shared one.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub(crate) fn file_system_time(&self) -> io::Result<SystemTime> {
        let (parent, _) = self.open_parent()?;
        ReplacedFile::create(parent)?.file.metadata()?.modified()
    }

    /// Whether other machines may share the file system. An unknown one counts as shared.
    ///
    /// # Errors
    /// If the directory cannot be opened.
    pub(crate) fn is_on_shared_file_system(&self) -> io::Result<bool> {
        let (parent, _) = self.open_parent()?;
        Ok(!is_local(&rustix::fs::fstatfs(parent)?))
    }

    /// The entries of a directory, sorted by name; none if it does not exist.
    ///
    /// # Errors
    /// If it is not a directory or cannot be listed.
    pub(crate) fn entries(&self) -> io::Result<Vec<ConfinedEntry>> {
        match self.existing_entries() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries,
        }
    }

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound` if it does not exist; if it is not a directory or cannot be listed.
    pub(crate) fn existing_entries(&self) -> io::Result<Vec<ConfinedEntry>> {
        let directory = self.open_directory()?;
        let mut entries = Vec::new();
        for name in names(&directory)? {
            // An entry that vanishes meanwhile is left out.
            if let Ok(stat) = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                entries.push(ConfinedEntry {
                    path: self.join(&name),
                    kind: FileType::from_raw_mode(stat.st_mode),
                });
            }
        }
        entries.sort_by(|one, other| one.path.path.cmp(&other.path.path));
        Ok(entries)
    }

    /// The directories in a directory, sorted by name; none if it does not exist.
    ///
    /// # Errors
    /// As [`ConfinedPath::entries`].
    pub(crate) fn subdirectories(&self) -> io::Result<Vec<Self>> {
        let mut entries = self.entries()?;
        entries.retain(|entry| entry.kind == FileType::Directory);
        Ok(entries.into_iter().map(|entry| entry.path).collect())
    }

    /// Creates a directory that survives a loss of power.
    ///
    /// # Errors
    /// `AlreadyExists` if there is an entry of any kind.
    pub(crate) fn create_dir(&self) -> io::Result<()> {
        let (parent, name) = self.open_parent()?;
        rustix::fs::mkdirat(&parent, name, DIRECTORY_MODE)?;
        sync(parent)
    }

    /// Creates a directory and those above it, where they are missing. The new entries are synced: after a power loss
    /// a file in the directory must not be lost with it.
    ///
    /// # Errors
    /// If one of them is a link or another kind of file, or cannot be created.
    pub(crate) fn create_dir_all(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.root)?;
        let mut directory = rustix::fs::openat(CWD, &self.root, DIRECTORY, Mode::empty())?;
        for name in self.names_below()? {
            match rustix::fs::mkdirat(&directory, name, DIRECTORY_MODE) {
                Ok(()) => sync(&directory)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            directory = open_directory_at(&directory, name)?;
        }
        Ok(())
    }

    /// Syncs a directory: after a power loss its entries have their names.
    ///
    /// # Errors
    /// If it cannot be opened or synced.
    pub(crate) fn sync_directory(&self) -> io::Result<()> {
        sync(self.open_directory()?)
    }

    /// Syncs the file system of a directory, and so all files in it at once.
    ///
    /// # Errors
    /// If the directory cannot be opened, or the file system reports an error.
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        let directory = self.open_directory()?;
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(directory)?;
        #[cfg(not(target_os = "linux"))]
        {
            drop(directory);
            rustix::fs::sync();
        }
        Ok(())
    }

    /// Removes a file, or another entry that is not a directory; a link itself, not its target. A missing one is no
    /// error.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn remove_file(&self) -> io::Result<()> {
        let removed = self
            .open_parent()
            .and_then(|(parent, name)| Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?));
        match removed {
            Err(error) if is_missing(&error) => Ok(()),
            removed => removed,
        }
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// If it is not empty or cannot be removed.
    pub(crate) fn remove_empty_dir(&self) -> io::Result<()> {
        let (parent, name) = self.open_parent()?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
    }

    /// Removes an entry with all that is in it; of links only the links. A missing one is no error.
    ///
    /// # Errors
    /// If a part cannot be removed.
    pub(crate) fn remove_tree(&self) -> io::Result<()> {
        let removed = self
            .open_parent()
            .and_then(|(parent, name)| remove_tree_at(&parent, name));
        match removed {
            Err(error) if is_missing(&error) => Ok(()),
            removed => removed,
        }
    }

    /// Renames an entry within its directory, atomically; of a link, the link.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken.
    pub(crate) fn rename_to(&self, name: &str) -> io::Result<()> {
        let (parent, old) = self.open_parent()?;
        match rustix::fs::renameat_with(&parent, old, &parent, name, RenameFlags::NOREPLACE) {
            // Some file systems (NFS, for one) cannot refuse to replace: look first, then rename.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => Ok(rustix::fs::renameat(&parent, old, &parent, name)?),
                    found => found.map_err(io::Error::from).and(Err(Errno::EXIST.into())),
                }
            }
            renamed => Ok(renamed?),
        }
    }

    /// Removes a root with all that is in it; of a link, only the link. It is renamed first: a reader, or a crash in the
    /// middle, never sees a part of it under its name.
    ///
    /// # Errors
    /// If it cannot be renamed, or a part of it cannot be removed.
    pub(crate) fn remove_root(&self) -> io::Result<()> {
        let name = format!(
            "{PREFIX}{}-{}{SUFFIX}",
            self.file_name().to_string_lossy(),
            std::process::id()
        );
        self.rename_to(&name)?;
        self.with_file_name(&name).remove_tree()
    }

    /// Removes what [`ConfinedPath::write_atomically`] has left in the directory when the program died in the middle
    /// of it.
    ///
    /// # Errors
    /// If the directory cannot be listed or a file cannot be removed.
    pub(crate) fn remove_leftovers(&self) -> io::Result<()> {
        let leftovers = self.entries()?.into_iter().filter(|entry| {
            entry.kind == FileType::RegularFile && ReplacedFile::is_temporary_name(entry.path.file_name())
        });
        leftovers
            .map(|entry| entry.path)
            .try_for_each(|path| path.remove_file())
    }

    fn stat_at(&self, parent: &OwnedFd, name: &OsStr) -> Result<rustix::fs::Stat, Errno> {
        rustix::fs::statat(
            parent,
            name,
            match self.is_root() {
                true => AtFlags::empty(),
                false => AtFlags::SYMLINK_NOFOLLOW,
            },
        )
    }

    fn open_at(&self, parent: &OwnedFd, name: &OsStr, flags: OFlags) -> io::Result<File> {
        let follow = match self.is_root() {
            true => OFlags::empty(),
            false => OFlags::NOFOLLOW,
        };
        let file: File = rustix::fs::openat(parent, name, flags | PLAIN | follow, FILE_MODE)?.into();
        check_plain(FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode))?;
        Ok(file)
    }

    fn is_root(&self) -> bool {
        self.below.as_os_str().is_empty()
    }

    fn open_directory(&self) -> io::Result<OwnedFd> {
        let root = rustix::fs::openat(CWD, &self.root, DIRECTORY, Mode::empty())?;
        let mut names = self.names_below()?.into_iter();
        names.try_fold(root, |directory, name| open_directory_at(&directory, name))
    }

    /// The open directory of this path's entry, and the entry's name.
    fn open_parent(&self) -> io::Result<(OwnedFd, &OsStr)> {
        if self.is_root() {
            let parent = match self.root.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            let name = self.root.file_name();
            let name = name.ok_or_else(|| other(format!("{} has no file name", self.root.display())))?;
            return Ok((rustix::fs::openat(CWD, parent, DIRECTORY, Mode::empty())?, name));
        }
        let mut names = self.names_below()?;
        let name = names.pop().unwrap_or_default();
        let root = rustix::fs::openat(CWD, &self.root, DIRECTORY, Mode::empty())?;
        let directory = names
            .into_iter()
            .try_fold(root, |directory, name| open_directory_at(&directory, name))?;
        Ok((directory, name))
    }

    fn names_below(&self) -> io::Result<Vec<&OsStr>> {
        let names = self.below.components().map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err(other(format!(
                "{} leads out of its directory",
                self.path.display()
            ))),
        });
        names.collect()
    }
}

/// Whether a file system is of one machine, by the magic number of its kind (`statfs(2)`).
#[cfg(target_os = "linux")]
fn is_local(file_system: &rustix::fs::StatFs) -> bool {
    const BTRFS: u32 = 0x9123_683e;
    const EXT: u32 = 0xef53;
    const F2FS: u32 = 0xf2f5_2010;
    const OVERLAY: u32 = 0x794c_7630;
    const RAM: u32 = 0x8584_58f6;
    const TMP: u32 = 0x0102_1994;
    const XFS: u32 = 0x5846_5342;
    const ZFS: u32 = 0x2fc1_2fc1;
    [BTRFS, EXT, F2FS, OVERLAY, RAM, TMP, XFS, ZFS].contains(&(file_system.f_type as u32))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_file_system: &rustix::fs::StatFs) -> bool {
    true
}

fn open_directory_at(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let opened = rustix::fs::openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
    opened.map_err(|error| match error {
        // The kernel reports a link as "not a directory".
        Errno::NOTDIR if is_link(parent, name) => link_error(),
        error => error.into(),
    })
}

fn is_link(parent: &OwnedFd, name: &OsStr) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn names(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn remove_tree_at(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match open_directory_at(parent, name) {
        Ok(directory) => {
            for name in names(&directory)? {
                remove_tree_at(&directory, &name)?;
            }
            Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        // Not a directory, or one that cannot be listed; of the latter, unlinking reports the reason.
        Err(_) => Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?),
    }
}

pub(super) fn sync(directory: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(directory)?)
}

fn check_plain(kind: FileType) -> io::Result<()> {
    let kind = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Symlink => return Err(link_error()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something else",
    };
    Err(other(format!("it is {kind}, not a plain file")))
}

fn link_error() -> io::Error {
    other("it is a symbolic link, which is not followed inside a run or a dataset; put the file itself there")
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::NOTDIR)
}

fn other(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}
