//! Unpacking archives from elsewhere.
//!
//! Only plain files and directories are taken. A name that leads out, a link or a device rejects the archive, and so does
//! one that expands beyond any archive of images or captions.

use super::assets::ArchiveKind;
use super::error::FetchError;
use super::watcher::FetchObserver;
use crate::data::webdataset::name_in_extension;
use crate::files::{ConfinedPath, free_space};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Component, Path};
use tar::{Archive, EntryType};
use zip::ZipArchive;

/// An archive that expands more is a bomb: deflate reaches 1,032, captions reach 20.
const MAX_EXPANSION: u64 = 200;
/// Small archives may expand more.
const SMALL: u64 = 1 << 20;
/// COCO has 123,287 images.
const MAX_ENTRIES: usize = 4 << 20;
const MAX_NAME_BYTES: usize = 1024;
const MAX_LEVELS: usize = 32;

/// The files that macOS adds to archives.
const MAC_FOLDER: &str = "__MACOSX";

/// An archive that is being unpacked.
struct Unpacking<'a> {
    archive: &'a Path,
    into: &'a ConfinedPath,
    watcher: &'a mut dyn FetchObserver,
    /// Bytes that may still be written.
    left: u64,
    written: u64,
    entries: usize,
}

/// Unpacks an archive into a directory that is there and is not yet in use.
///
/// # Errors
/// If the archive is damaged or hostile, or a file cannot be written. What was unpacked before is left.
pub fn unpack(
    path: &Path,
    kind: ArchiveKind,
    into: &ConfinedPath,
    watcher: &mut dyn FetchObserver,
) -> Result<(), FetchError> {
    let file = File::open(path).map_err(FetchError::at(path))?;
    let length = file.metadata().map_err(FetchError::at(path))?.len();
    let mut unpacking = Unpacking {
        archive: path,
        into,
        watcher,
        left: length.saturating_mul(MAX_EXPANSION).max(SMALL * MAX_EXPANSION),
        written: 0,
        entries: 0,
    };
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    match kind {
        ArchiveKind::Zip => unpacking.zip(file, &name)?,
        ArchiveKind::TarGz => unpacking.tar(file, &name)?,
    }
    match unpacking.written {
        0 => Err(unpacking.rejected("it has no files")),
        _ => Ok(()),
    }
}

impl Unpacking<'_> {
    fn rejected(&self, problem: impl Into<String>) -> FetchError {
        FetchError::Archive {
            path: self.archive.to_owned(),
            problem: problem.into(),
        }
    }

    fn damaged(&self) -> impl Fn(&dyn std::fmt::Display) -> FetchError + use<> {
        let path = self.archive.to_owned();
        move |error| FetchError::Archive {
            path: path.clone(),
            problem: format!("it is damaged: {error}"),
        }
    }

    fn zip(&mut self, file: File, name: &str) -> Result<(), FetchError> {
        let damaged = self.damaged();
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(&error))?;
        let stated = archive
            .decompressed_size()
            .and_then(|size| u64::try_from(size).ok());
        if stated.is_some_and(|stated| stated > self.left) {
            return Err(self.rejected(format!(
                "it expands more than {MAX_EXPANSION} times, as no archive of data does"
            )));
        }
        self.check_space(stated.unwrap_or(0))?;
        self.watcher.begin(&format!("unpacking {name}"), 0, stated);
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(|error| damaged(&error))?;
            let name = entry.name().map_err(|error| damaged(&error))?.into_owned();
            let size = entry.size();
            // An entry of a Unix archiver has its kind in the mode.
            let is_special = entry
                .unix_mode()
                .is_some_and(|mode| !matches!(mode & 0o170_000, 0 | 0o100_000 | 0o040_000));
            if is_special || entry.is_symlink() {
                return Err(self.rejected(format!("{name:?} in it is a link or a device")));
            }
            match entry.is_dir() {
                true => self.directory(&name)?,
                false => self.file(&name, entry, size)?,
            }
        }
        Ok(())
    }

    fn tar(&mut self, file: File, name: &str) -> Result<(), FetchError> {
        let damaged = self.damaged();
        let mut archive = Archive::new(MultiGzDecoder::new(BufReader::new(file)).take(self.left));
        self.watcher.begin(&format!("unpacking {name}"), 0, None);
        // Raw: the crate would read a long name of any length into memory.
        let entries = archive.entries().map_err(|error| damaged(&error))?.raw(true);
        let mut long_name = None;
        for entry in entries {
            let mut entry = entry.map_err(|error| damaged(&error))?;
            if matches!(
                entry.header().entry_type(),
                EntryType::GNULongName | EntryType::XHeader
            ) {
                let name = name_in_extension(&mut entry).map_err(|error| damaged(&error))?;
                long_name = name.or(long_name);
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = long_name.take().unwrap_or(name);
            let size = entry.size();
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => self.file(&name, entry, size)?,
                EntryType::Directory => self.directory(&name)?,
                EntryType::XGlobalHeader => {}
                _ => return Err(self.rejected(format!("{name:?} in it is a link or a device"))),
            }
        }
        Ok(())
    }

    fn check_space(&self, needed: u64) -> Result<(), FetchError> {
        let path = self.into.as_path();
        let free = File::open(path)
            .and_then(free_space)
            .map_err(FetchError::at(path))?;
        match free < needed {
            true => Err(FetchError::NoSpace {
                path: path.to_owned(),
                needed,
                free,
            }),
            false => Ok(()),
        }
    }

    /// The place of an entry; `None` for the files that macOS adds.
    fn place(&mut self, name: &str) -> Result<Option<ConfinedPath>, FetchError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(self.rejected(format!("it has more than {MAX_ENTRIES} entries")));
        }
        if name.contains(['\0', '\\']) || name.len() > MAX_NAME_BYTES {
            return Err(self.rejected(format!(
                "the name {:?} in it is none of a file",
                name.chars().take(80).collect::<String>()
            )));
        }
        let mut parts = Vec::new();
        for component in Path::new(name).components() {
            match component {
                Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
                Component::CurDir => {}
                _ => return Err(self.rejected(format!("{name:?} in it leads out of its directory"))),
            }
        }
        if parts.len() > MAX_LEVELS {
            return Err(self.rejected(format!("it has more than {MAX_LEVELS} levels of directories")));
        }
        let is_from_mac = parts
            .iter()
            .any(|part| part == MAC_FOLDER || part == ".DS_Store" || part.starts_with("._"));
        Ok((!is_from_mac && !parts.is_empty()).then(|| self.into.join(parts.join("/"))))
    }

    fn directory(&mut self, name: &str) -> Result<(), FetchError> {
        match self.place(name)? {
            Some(place) => place.create_dir_all().map_err(FetchError::at(&place)),
            None => Ok(()),
        }
    }

    fn file(&mut self, name: &str, entry: impl Read, size: u64) -> Result<(), FetchError> {
        let Some(place) = self.place(name)? else {
            return Ok(());
        };
        if size > self.left {
            return Err(self.rejected(format!(
                "it expands more than {MAX_EXPANSION} times, as no archive of data does"
            )));
        }
        let parent = place.parent().map_or(Ok(()), |parent| parent.create_dir_all());
        let file = parent.and_then(|()| place.open_in_place());
        let mut file = file.map_err(FetchError::at(&place))?;
        if file.metadata().map_err(FetchError::at(&place))?.len() > 0 {
            return Err(self.rejected(format!("{name:?} is in it twice")));
        }
        let damaged = self.damaged();
        // Its header states the size; more than that is not read.
        let mut entry = entry.take(size.saturating_add(1));
        let written = io::copy(&mut entry, &mut file).map_err(|error| match error.raw_os_error() {
            Some(_) => FetchError::at(&place)(error),
            None => damaged(&error),
        })?;
        if written != size {
            return Err(self.rejected(format!("{name:?} in it has not the size that it states")));
        }
        self.left -= written;
        self.written += written;
        match self.watcher.update(self.written) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(FetchError::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::fs;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    struct Silent;

    impl FetchObserver for Silent {
        fn begin(&mut self, _task: &str, _done: u64, _total: Option<u64>) {}
        fn update(&mut self, _done: u64) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
        fn notice(&mut self, _text: &str) {}
    }

    /// Unpacks these bytes into `out` of the folder.
    fn unpacked(archive: &[u8], kind: ArchiveKind) -> (Result<(), FetchError>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        fs::write(&path, archive).unwrap();
        let out = ConfinedPath::from(folder.path().join("out"));
        out.create_dir_all().unwrap();
        (unpack(&path, kind, &out, &mut Silent), folder)
    }

    fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
            archive.start_file(*name, options).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn tarred(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
        for (name, kind, bytes) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(*kind);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            // `append_data` would reject hostile names.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn problem(result: Result<(), FetchError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn files_are_unpacked_without_those_of_macos() {
        let entries: [(&str, &[u8]); 4] = [
            ("a/b.txt", b"one"),
            ("__MACOSX/a/._b.txt", b"mac"),
            ("a/._c", b"mac"),
            ("./d", b"two"),
        ];
        let tar = entries.map(|(name, bytes)| (name, EntryType::Regular, bytes));
        for (archive, kind) in [
            (zipped(&entries), ArchiveKind::Zip),
            (tarred(&tar), ArchiveKind::TarGz),
        ] {
            let (result, folder) = unpacked(&archive, kind);
            result.unwrap();
            let out = folder.path().join("out");
            assert_eq!(fs::read(out.join("a/b.txt")).unwrap(), b"one");
            assert_eq!(fs::read(out.join("d")).unwrap(), b"two");
            assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
            assert_eq!(fs::read_dir(out.join("a")).unwrap().count(), 1);
        }
    }

    #[test]
    fn long_names_are_taken_from_their_extension() {
        let long = format!("{}/{}.txt", "d".repeat(90), "f".repeat(90));
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        builder.append_data(&mut header, &long, &b"one"[..]).unwrap();
        let archive = builder.into_inner().unwrap().finish().unwrap();
        let (result, folder) = unpacked(&archive, ArchiveKind::TarGz);
        result.unwrap();
        assert_eq!(fs::read(folder.path().join("out").join(long)).unwrap(), b"one");
        let endless = tarred(&[("././@LongLink", EntryType::GNULongName, &[b'x'; 1 << 20])]);
        assert!(problem(unpacked(&endless, ArchiveKind::TarGz).0).contains("absurd length"));
    }

    #[test]
    fn names_that_lead_out_reject_the_archive() {
        for name in ["../evil", "/tmp/cutline-evil", "a/../../evil", "a\\..\\evil"] {
            let regular = [(name, EntryType::Regular, &b"E"[..])];
            for (archive, kind) in [
                (zipped(&[(name, b"E")]), ArchiveKind::Zip),
                (tarred(&regular), ArchiveKind::TarGz),
            ] {
                let (result, folder) = unpacked(&archive, kind);
                let problem = problem(result);
                assert!(problem.contains("evil"), "{problem}");
                assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 0);
                assert!(!folder.path().join("evil").exists());
            }
        }
        assert!(!Path::new("/tmp/cutline-evil").exists());
    }

    #[test]
    fn links_reject_the_archive() {
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Fifo,
            EntryType::Char,
        ] {
            let (result, folder) = unpacked(&tarred(&[("link", kind, b"")]), ArchiveKind::TarGz);
            assert!(problem(result).contains("link or a device"));
            assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 0);
        }
        let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        archive
            .add_symlink("link", "/etc", SimpleFileOptions::default())
            .unwrap();
        archive
            .start_file("link/passwd", SimpleFileOptions::default())
            .unwrap();
        archive.write_all(b"E").unwrap();
        let (result, _folder) = unpacked(&archive.finish().unwrap().into_inner(), ArchiveKind::Zip);
        assert!(problem(result).contains("link or a device"));
    }

    #[test]
    fn bomb_is_not_unpacked() {
        let zeros = vec![0; 300 << 20];
        let (result, folder) = unpacked(&zipped(&[("bomb", &zeros)]), ArchiveKind::Zip);
        assert!(problem(result).contains("expands more than 200 times"));
        assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 0);
        let (result, _folder) = unpacked(
            &tarred(&[("bomb", EntryType::Regular, &zeros)]),
            ArchiveKind::TarGz,
        );
        assert!(problem(result).contains("expands more than 200 times"));
    }

    #[test]
    fn damaged_archive_is_an_error() {
        let whole = zipped(&[("a", &[7; 5000])]);
        let mut flipped = whole.clone();
        flipped[40] ^= 0xff;
        for archive in [&whole[..whole.len() / 2], &flipped, b"<html>", b""] {
            let (result, _folder) = unpacked(archive, ArchiveKind::Zip);
            assert!(matches!(result, Err(FetchError::Archive { .. })));
        }
        let whole = tarred(&[("a", EntryType::Regular, &[7; 5000])]);
        for archive in [&whole[..whole.len() - 20], b"<html>", b""] {
            let (result, _folder) = unpacked(archive, ArchiveKind::TarGz);
            assert!(matches!(result, Err(FetchError::Archive { .. })));
        }
        let (result, _folder) = unpacked(&zipped(&[]), ArchiveKind::Zip);
        assert!(problem(result).contains("no files"));
    }

    proptest! {
        #[test]
        fn unpack_never_panics_nor_leaves_its_directory(name in ".{1,40}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let archive = zipped(&[(&name, &bytes)]);
            let (_, folder) = unpacked(&archive, ArchiveKind::Zip);
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
            let _ = unpacked(&bytes, ArchiveKind::Zip);
            let _ = unpacked(&bytes, ArchiveKind::TarGz);
        }
    }
}
