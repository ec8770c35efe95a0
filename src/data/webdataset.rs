//! WebDataset: tar shards whose entries form samples by their name up to the first dot, as img2dataset and others
//! write them.
//!
//! ```text
//! 00000.tar: 000000000.jpg  000000000.txt  000000000.json  000000001.jpg ...
//! ```
//!
//! The captions are the lines of `.txt` (or `.caption`), or else the caption keys of `.json`. Shards are unpacked: their
//! images go to `images/SHARD/`, their captions to `captions.jsonl` beside it, which is written last, and the folder
//! reader reads both.

use super::error::DatasetError;
use super::image_files::is_image_name;
use super::shard_stream::{Counted, EndOfStream, TAR_BLOCK, decompressed};
use super::split::{self, Split};
use crate::files::ConfinedPath;
use crate::text::{counted, json_of_python};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType, PaxExtensions};

/// The captions file of unpacked shards.
pub const CAPTIONS: &str = "captions.jsonl";
/// The directory of unpacked images.
const IMAGES: &str = "images";
/// Larger images are skipped: no decoder here reads them.
const MAX_IMAGE_BYTES: u64 = 1 << 30;
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// Captions and metadata stay in memory until their shard ends.
const MAX_SHARD_TEXT_BYTES: u64 = 1 << 30;
/// Longer names of entries are rejected.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// The shards of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shards {
    /// Tar files, each with its name in the dataset.
    Files(Vec<(String, PathBuf)>),
    /// One tar stream on standard input.
    Stdin,
}

/// The result of unpacking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Images with captions.
    pub samples: usize,
    /// Images without captions.
    pub without_caption: usize,
    /// Other entries: classes, metadata, and names or sizes that no image has.
    pub skipped: usize,
    /// Shards without the zero bytes that end a tar file.
    pub unended: usize,
}

impl Shards {
    /// The shards that a source names: `-`, a tar file, or a directory with tar files.
    ///
    /// # Errors
    /// If the directory cannot be listed.
    pub fn find(source: &Path) -> Result<Option<Self>, DatasetError> {
        if source == Path::new("-") {
            return Ok(Some(Self::Stdin));
        }
        let mut files = Vec::new();
        match source.is_dir() {
            true => list(source, &mut files, 2)?,
            false if is_tar(source) => files.push(source.to_owned()),
            false => {}
        }
        files.sort_unstable();
        let named = files.into_iter().map(|file| {
            let relative = file
                .strip_prefix(source)
                .ok()
                .filter(|path| !path.as_os_str().is_empty());
            let name = relative.unwrap_or_else(|| Path::new(file.file_name().unwrap_or_default()));
            (without_extensions(&name.to_string_lossy()).to_owned(), file)
        });
        let files: Vec<_> = named.collect();
        Ok((!files.is_empty()).then_some(Self::Files(files)))
    }

    /// The names and sizes of the shards, by which a later run knows that they are unpacked already.
    pub fn origin(&self) -> Value {
        match self {
            Self::Stdin => json!("standard input"),
            Self::Files(files) => files
                .iter()
                .map(|(_, file)| json!([file, length(file)]))
                .collect(),
        }
    }

    /// Whether the names of the shards tell splits apart. If all are of the training split, as shards of large datasets are,
    /// dev and test images are drawn from it.
    fn have_splits(&self) -> bool {
        match self {
            Self::Stdin => false,
            Self::Files(files) => files
                .iter()
                .any(|(name, _)| split::named_in(name).is_some_and(|split| split != Split::Train)),
        }
    }

    /// The sum of the sizes in bytes; `None` if unknown.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::Files(files) => Some(files.iter().map(|(_, file)| length(file)).sum()),
        }
    }

    /// Unpacks images and captions into `directory`; `progress` is called with the number of bytes read since the last
    /// call.
    ///
    /// # Errors
    /// If a shard is damaged, a file cannot be read or written, or there is no sample.
    pub fn unpack(
        &self,
        directory: &ConfinedPath,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Unpacked, DatasetError> {
        let mut unpacked = Unpacked::default();
        let captions = directory.join(CAPTIONS);
        // Unpacking writes from within the writer of the captions: what fails there is no error of that file.
        let mut failed = None;
        let written = captions.write_atomically(|out| {
            let result = self.unpack_to(directory, out, progress, &mut unpacked);
            result.map_err(|error| {
                failed = Some(error);
                io::Error::other("unpacking failed")
            })
        });
        match (failed, written) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(DatasetError::writing(&captions)(error)),
            (None, Ok(())) => Ok(unpacked),
        }
    }

    fn unpack_to(
        &self,
        directory: &ConfinedPath,
        captions: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
        unpacked: &mut Unpacked,
    ) -> Result<(), DatasetError> {
        let mut unpack = |name: &str, path: &Path, reader: &mut dyn Read| {
            let shard = Shard {
                name,
                path,
                directory,
                split: split::named_in(name).filter(|_| self.have_splits()),
            };
            shard.unpack(
                &mut Counted {
                    reader,
                    progress: &mut *progress,
                },
                captions,
                unpacked,
            )
        };
        match self {
            Self::Stdin => unpack("stdin", Path::new("standard input"), &mut io::stdin().lock())?,
            Self::Files(files) => {
                for (name, path) in files {
                    if length(path) == 0 {
                        return Err(DatasetError::Empty { file: path.clone() });
                    }
                    let file = File::open(path).map_err(DatasetError::reading(path))?;
                    unpack(name, path, &mut BufReader::new(file))?;
                }
            }
        }
        match unpacked.samples {
            0 => Err(DatasetError::NoSamples {
                origin: self.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Shards {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdin => out.write_str("standard input"),
            Self::Files(files) => out.write_str(&counted(files.len() as u64, "tar files")),
        }
    }
}

/// A shard, and the directory that it is unpacked into.
struct Shard<'a> {
    name: &'a str,
    path: &'a Path,
    directory: &'a ConfinedPath,
    split: Option<Split>,
}

/// A sample whose entries are being read.
#[derive(Default)]
struct Sample {
    /// The name of the image below the directory of images.
    image: Option<String>,
    texts: Option<String>,
    metadata: Option<Map<String, Value>>,
}

/// The samples of a shard that are read.
#[derive(Default)]
struct Samples {
    by_key: BTreeMap<String, Sample>,
    text_bytes: u64,
}

impl Shard<'_> {
    fn unpack(
        &self,
        reader: &mut dyn Read,
        captions: &mut dyn Write,
        unpacked: &mut Unpacked,
    ) -> Result<(), DatasetError> {
        let damaged = |error| self.damaged(&error);
        let mut reader = EndOfStream {
            reader: decompressed(reader).map_err(damaged)?,
            zeros: 0,
        };
        let mut archive = Archive::new(&mut reader);
        // `cat *.tar` has the end marks of its parts within.
        archive.set_ignore_zeros(true);
        // Raw: the crate would read a long name of any length into memory.
        let entries = archive.entries().map_err(damaged)?.raw(true);
        let mut long_name = None;
        let mut samples = Samples::default();
        let mut any_read = false;
        for entry in entries {
            let mut entry = entry.map_err(|error| match any_read {
                true => damaged(error),
                false => DatasetError::NotTar {
                    file: self.path.to_owned(),
                },
            })?;
            any_read = true;
            match entry.header().entry_type() {
                EntryType::GNULongName | EntryType::XHeader => {
                    long_name = name_in_extension(&mut entry).map_err(damaged)?.or(long_name);
                    continue;
                }
                EntryType::XGlobalHeader => continue,
                _ => {}
            }
            let path = match long_name.take() {
                Some(name) => name,
                None => String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            };
            let is_file = matches!(
                entry.header().entry_type(),
                EntryType::Regular | EntryType::Continuous
            );
            match is_file.then(|| plain_name(&path)).flatten() {
                None => unpacked.skipped += usize::from(is_file),
                Some(name) => {
                    let is_used = self.take(&name, &mut entry, &mut samples)?;
                    unpacked.skipped += usize::from(!is_used);
                }
            }
        }
        unpacked.unended += usize::from(reader.zeros < TAR_BLOCK);
        for sample in samples.by_key.into_values() {
            self.write(sample, captions, unpacked)
                .map_err(DatasetError::writing(self.directory.join(CAPTIONS)))?;
        }
        Ok(())
    }

    fn damaged(&self, error: &io::Error) -> DatasetError {
        DatasetError::DamagedShard {
            file: self.path.to_owned(),
            detail: error.to_string(),
        }
    }

    /// Takes an image, a text or metadata of a sample; `false` for anything else.
    fn take(
        &self,
        name: &str,
        entry: &mut tar::Entry<'_, impl Read>,
        samples: &mut Samples,
    ) -> Result<bool, DatasetError> {
        let (key, extension) = (without_extensions(name), extension(name));
        let damaged = |error| self.damaged(&error);
        if is_image_name(Path::new(name)) {
            if entry.size() > MAX_IMAGE_BYTES {
                return Ok(false);
            }
            let image = format!("{}/{name}", self.name);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            let file = self.directory.join(IMAGES).join(&image);
            let written = file.parent().map_or(Ok(()), |parent| parent.create_dir_all());
            written
                .and_then(|()| file.replace(&bytes))
                .map_err(DatasetError::writing(&file))?;
            samples.by_key.entry(key.to_owned()).or_default().image = Some(image);
            return Ok(true);
        }
        if !matches!(extension.as_str(), "txt" | "caption" | "json") || entry.size() > MAX_TEXT_BYTES {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        samples.text_bytes += entry.size();
        if samples.text_bytes > MAX_SHARD_TEXT_BYTES {
            return Err(damaged(io::Error::other(format!(
                "its captions take more than {MAX_SHARD_TEXT_BYTES} bytes; split it into smaller shards"
            ))));
        }
        let sample = samples.by_key.entry(key.to_owned()).or_default();
        match extension.as_str() {
            "json" => match json_of_python(&bytes) {
                Ok(metadata) => sample.metadata = Some(metadata),
                Err(_) => return Ok(false),
            },
            _ => sample.texts = Some(String::from_utf8_lossy(&bytes).into_owned()),
        }
        Ok(true)
    }

    /// Writes the line of a sample for the reader of folders.
    fn write(&self, sample: Sample, out: &mut dyn Write, unpacked: &mut Unpacked) -> io::Result<()> {
        let Some(image) = sample.image else {
            return Ok(());
        };
        let mut line = match (sample.texts, sample.metadata) {
            (Some(texts), _) => {
                let lines: Vec<&str> = texts
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .collect();
                Map::from_iter([("captions".to_owned(), json!(lines))])
            }
            (None, Some(metadata)) => metadata,
            (None, None) => {
                unpacked.without_caption += 1;
                return Ok(());
            }
        };
        line.insert("image".to_owned(), image.into());
        if let Some(split) = self.split {
            line.insert("split".to_owned(), split.to_string().into());
        }
        unpacked.samples += 1;
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }
}

/// The path in the extension header before an entry, if it holds one.
pub(crate) fn name_in_extension(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Option<String>> {
    if entry.size() > MAX_NAME_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "an entry has a name of absurd length",
        ));
    }
    let is_pax = entry.header().entry_type() == EntryType::XHeader;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    if !is_pax {
        return Ok(Some(text(&bytes)));
    }
    let path = PaxExtensions::new(&bytes)
        .flatten()
        .find(|extension| extension.key_bytes() == b"path");
    Ok(path.map(|extension| text(extension.value_bytes())))
}

/// A relative path without `.` and `..`, with `/` between its parts; `None` for any other name and for the files that
/// macOS adds.
fn plain_name(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let is_hidden = parts.last()?.starts_with('.');
    (!is_hidden && !path.contains(['\0', '\\'])).then(|| parts.join("/"))
}

/// A name up to the first dot of its last part: the key of a sample.
fn without_extensions(name: &str) -> &str {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    name[start..].find('.').map_or(name, |dot| &name[..start + dot])
}

fn extension(name: &str) -> String {
    name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase()
}

fn is_tar(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let is_named = [".tar", ".tar.gz", ".tgz"]
        .iter()
        .any(|extension| name.ends_with(extension));
    // The name first: a directory may hold a million images.
    is_named && path.is_file()
}

fn list(directory: &Path, files: &mut Vec<PathBuf>, levels: usize) -> Result<(), DatasetError> {
    for entry in fs::read_dir(directory).map_err(DatasetError::reading(directory))? {
        let path = entry.map_err(DatasetError::reading(directory))?.path();
        if path.is_dir() && levels > 1 {
            list(&path, files, levels - 1)?;
        } else if is_tar(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shards_that_are_cut_or_no_tar_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let shard = folder.path().join("train-0.tar");
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2000);
        builder.append_data(&mut header, "a.jpg", &[1; 2000][..]).unwrap();
        let whole = builder.into_inner().unwrap();
        let error = |content: &[u8]| {
            fs::write(&shard, content).unwrap();
            let shards = Shards::find(folder.path()).unwrap().unwrap();
            let out = ConfinedPath::from(folder.path().join("out"));
            out.create_dir_all().unwrap();
            shards.unpack(&out, &mut |_| ()).unwrap_err().to_string()
        };
        assert!(error(&whole[..1500]).contains("train-0.tar cannot be unpacked (unexpected EOF"));
        assert!(error(&[b'<'; 2000]).contains("train-0.tar is not a tar file"));
        assert!(error(b"").contains("train-0.tar: it is empty"));
        assert!(error(b"<html>").contains("train-0.tar is"));
    }

    #[test]
    fn shard_cut_between_entries_is_counted() {
        let (whole, _, folder) = unpacked(&[("a.jpg", b"A"), ("a.txt", b"one"), ("b.jpg", b"B")]);
        assert_eq!(whole.unwrap().unended, 0);
        let shard = folder.path().join("train-0.tar");
        let bytes = fs::read(&shard).unwrap();
        fs::write(&shard, &bytes[..4 * TAR_BLOCK]).unwrap();
        let shards = Shards::find(folder.path()).unwrap().unwrap();
        let out = ConfinedPath::from(folder.path().join("cut"));
        out.create_dir_all().unwrap();
        let cut = shards.unpack(&out, &mut |_| ()).unwrap();
        assert_eq!((cut.samples, cut.unended), (1, 1));
    }

    #[test]
    fn shards_of_the_training_split_alone_have_no_splits() {
        let shards = |names: &[&str]| {
            Shards::Files(
                names
                    .iter()
                    .map(|name| (name.to_string(), PathBuf::new()))
                    .collect(),
            )
        };
        assert!(!shards(&["train-000000"]).have_splits());
        assert!(!shards(&["train-000000", "train-000001", "0"]).have_splits());
        assert!(shards(&["train-000000", "val-000000"]).have_splits());
    }

    /// A tar file of these entries, and the captions and the directory that it is unpacked to.
    fn unpacked(entries: &[(&str, &[u8])]) -> (Result<Unpacked, DatasetError>, String, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(File::create(folder.path().join("train-0.tar")).unwrap());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            // `append_data` would reject hostile names.
            if name.len() < 100 {
                header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
                header.set_cksum();
                builder.append(&header, *bytes).unwrap();
            } else {
                builder.append_data(&mut header, name, *bytes).unwrap();
            }
        }
        builder.finish().unwrap();
        let shards = Shards::find(folder.path()).unwrap().unwrap();
        let out = ConfinedPath::from(folder.path().join("out"));
        out.create_dir_all().unwrap();
        let mut bytes = 0;
        let result = shards.unpack(&out, &mut |read| bytes += read);
        assert!(result.is_err() || Some(bytes) >= shards.bytes().map(|all| all - 1024));
        let captions = fs::read_to_string(out.join(CAPTIONS).as_path()).unwrap_or_default();
        (result, captions, folder)
    }

    #[test]
    fn sample_has_the_captions_of_its_text_or_its_metadata() {
        let long = format!("{}/c.jpeg", "x".repeat(120));
        let (result, captions, folder) = unpacked(&[
            ("a.txt", b"one\n\n two \n"),
            ("a.jpg", b"A"),
            ("a.cls", b"3"),
            ("./b.seg.png", b"B"),
            ("./b.json", br#"{"caption": "three", "width": 5}"#),
            (&long, b"C"),
            (&long.replace("jpeg", "caption"), b"four"),
            ("d.jpg", b"D"),
        ]);
        let expected = Unpacked {
            samples: 3,
            without_caption: 1,
            skipped: 1,
            unended: 0,
        };
        assert_eq!(result.unwrap(), expected);
        let lines: Vec<Value> = captions
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines[0],
            json!({"image": "train-0/a.jpg", "captions": ["one", "two"]})
        );
        assert_eq!(lines[1]["caption"], "three");
        assert_eq!(lines[2]["image"], format!("train-0/{long}"));
        assert_eq!(
            fs::read(folder.path().join("out/images/train-0/b.seg.png")).unwrap(),
            b"B"
        );
    }

    #[test]
    fn hostile_names_write_nothing_outside() {
        let (result, captions, folder) = unpacked(&[
            ("../evil.jpg", b"E"),
            ("/tmp/cutline-evil.jpg", b"E"),
            ("x/../../evil.jpg", b"E"),
            ("._a.jpg", b"E"),
            ("a.jpg", b"A"),
            ("a.txt", b"one"),
        ]);
        assert_eq!(result.unwrap().skipped, 4);
        assert_eq!(captions.lines().count(), 1);
        assert!(!Path::new("/tmp/cutline-evil.jpg").exists());
        assert!(!folder.path().join("evil.jpg").exists() && !folder.path().join("out/evil.jpg").exists());
    }

    #[test]
    fn shard_without_samples_is_an_error() {
        let (result, captions, _folder) = unpacked(&[("a.cls", b"3")]);
        assert!(matches!(result, Err(DatasetError::NoSamples { .. })));
        assert_eq!(captions, "");
    }

    proptest! {
        #[test]
        fn unpack_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000), name in ".{0,40}") {
            let folder = tempfile::tempdir().unwrap();
            let mut tar = Vec::new();
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            let name: Vec<u8> = name.bytes().take(99).collect();
            header.as_mut_bytes()[..name.len()].copy_from_slice(&name);
            header.set_entry_type(EntryType::new(*bytes.first().unwrap_or(&0)));
            header.set_cksum();
            tar.extend_from_slice(header.as_bytes());
            tar.extend_from_slice(&bytes);
            fs::write(folder.path().join("0.tar"), tar).unwrap();
            fs::write(folder.path().join("1.tar"), bytes).unwrap();
            let shards = Shards::find(folder.path()).unwrap().unwrap();
            let _ = shards.unpack(&folder.path().join("out").into(), &mut |_| ());
        }
    }
}
