//! Captions and splits by image, as collected by the readers of formats.

use super::error::DatasetError;
use super::formats::columns::ColumnNames;
use super::image::{SourceCaption, SourceImage};
use super::problems::{ProblemKind, Problems};
use super::split::Split;
use crate::suggest;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use unicode_normalization::UnicodeNormalization;

/// Captions and splits of each image, sorted by key; a key is the path of the image's file within its directory.
#[derive(Debug, Default)]
pub(super) struct CaptionIndex {
    images: BTreeMap<String, IndexedImage>,
    pub(super) problems: Problems,
    /// Names of columns that the user gives.
    pub(super) columns: ColumnNames,
    notes: Vec<String>,
    /// The directory that the names in the file being read are relative to, such as `train/`, or empty.
    pub(super) directory: String,
}

/// The images whose files exist.
pub(super) struct FoundImages {
    pub(super) images: Vec<SourceImage>,
    pub(super) problems: Problems,
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Default)]
struct IndexedImage {
    split: Option<Split>,
    captions: Vec<SourceCaption>,
}

impl CaptionIndex {
    /// Adds an image, perhaps without captions.
    pub(super) fn image(&mut self, key: &str) {
        self.entry(key);
    }

    /// Adds a caption to those of the image.
    pub(super) fn caption(&mut self, key: &str, caption: SourceCaption) {
        self.entry(key).captions.push(caption);
    }

    /// Assigns a split. An image that is already in another split stays there, and the conflict is listed.
    pub(super) fn split(&mut self, key: &str, split: Split) {
        let first = *self.entry(key).split.get_or_insert(split);
        if first != split {
            let detail = format!("in {first} and in {split}");
            self.problems.add(ProblemKind::SplitConflict, key, detail);
        }
    }

    /// Notes what was guessed.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The first line that is left out, with its reason.
    pub(super) fn first_problem(&self) -> Option<String> {
        let problems = self.problems.iter().flat_map(|(_, problems)| problems);
        problems.map(ToString::to_string).next()
    }

    /// The key of an image from its name in a split list, perhaps with or without extension.
    pub(super) fn key_of<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.images.contains_key(name) {
            return name.into();
        }
        let with_extension = format!("{name}.jpg");
        if self.images.contains_key(&with_extension) {
            return with_extension.into();
        }
        let path = Path::new(name);
        if let Some(file_name) = path.file_name().and_then(OsStr::to_str)
            && self.images.contains_key(file_name)
        {
            return file_name.to_owned().into();
        }
        let stem = path.file_stem().and_then(OsStr::to_str);
        match stem.filter(|stem| self.images.contains_key(*stem)) {
            Some(stem) => stem.to_owned().into(),
            None => name.into(),
        }
    }

    /// Where no image has a split, takes it from the directories in the images' names: `train/a.jpg`.
    pub(super) fn split_by_directories(&mut self) {
        if self.has_splits() {
            return;
        }
        let split_of = |key: &String| {
            key.rsplit(['/', '\\'])
                .skip(1)
                .find_map(|name| name.parse::<Split>().ok())
        };
        let splits: Vec<Option<Split>> = self.images.keys().map(split_of).collect();
        if splits.iter().all(Option::is_some) {
            self.images
                .values_mut()
                .zip(splits)
                .for_each(|(image, split)| image.split = split);
        }
    }

    /// Removes all splits.
    pub(super) fn forget_splits(&mut self) {
        self.images.values_mut().for_each(|image| image.split = None);
    }

    pub(super) fn has_splits(&self) -> bool {
        self.images.values().any(|image| image.split.is_some())
    }

    pub(super) fn has_image(&self, key: &str) -> bool {
        self.images.contains_key(key)
    }

    /// Assigns a split to the images that have none.
    pub(super) fn split_the_rest(&mut self, split: Split) {
        for image in self.images.values_mut() {
            image.split.get_or_insert(split);
        }
    }

    pub(super) fn has_captions(&self) -> bool {
        self.images.values().any(|image| !image.captions.is_empty())
    }

    fn entry(&mut self, key: &str) -> &mut IndexedImage {
        let key = format!("{}{key}", self.directory);
        self.images.entry(key).or_default()
    }

    /// Finds each image's file: by its path below one of `roots`, else by its name with another extension, other letter
    /// case or other directories, if only one file in the roots has that name. Lists captions without image and images
    /// without caption.
    ///
    /// # Errors
    /// If not one image is found.
    pub(super) fn find_images(self, roots: &[PathBuf]) -> Result<FoundImages, DatasetError> {
        let Self {
            images: indexed,
            mut problems,
            mut notes,
            ..
        } = self;
        let mut images = Vec::new();
        let mut used_roots = BTreeSet::new();
        let count = indexed.len();
        let example = indexed.keys().next().cloned().unwrap_or_default();
        let tree = LazyLock::new(|| FileNames::below(roots));
        let mut renamed = 0;

        for (key, IndexedImage { split, captions }) in indexed {
            let found = find_file(roots, &key).or_else(|| {
                let path = tree.find(&key)?;
                renamed += 1;
                Some((
                    roots.iter().rev().find(|root| !root.as_os_str().is_empty())?,
                    path,
                ))
            });
            match found {
                Some((root, path)) => {
                    used_roots.insert(root);
                    images.push(SourceImage {
                        key,
                        path,
                        split,
                        captions,
                    });
                }
                None if captions.is_empty() => {
                    problems.add(
                        ProblemKind::ImageWithoutCaption,
                        key,
                        "neither a caption nor a file",
                    );
                }
                None => {
                    let detail = |caption: &str| match tree.candidates(&key) {
                        0 | 1 => caption.to_owned(),
                        files => format!("{files} files have this name: {caption}"),
                    };
                    for caption in captions {
                        problems.add(ProblemKind::CaptionWithoutImage, &key, detail(&caption.raw));
                    }
                }
            }
        }
        if images.is_empty() {
            return Err(DatasetError::NoImages {
                images: count,
                nearest: tree.nearest(&example),
                example,
                looked_in: roots.to_vec(),
            });
        }
        if renamed > 0 {
            notes.push(format!(
                "{renamed} of {} images have another extension, letter case or directory than the captions say",
                images.len()
            ));
        }
        list_images_without_captions(&used_roots, &images, &mut problems)?;
        Ok(FoundImages {
            images,
            problems,
            notes,
        })
    }

    /// All images with their captions, for tests of readers.
    #[cfg(test)]
    pub(super) fn captions(&self) -> Vec<(String, Vec<String>)> {
        let captions =
            |image: &IndexedImage| image.captions.iter().map(|caption| caption.raw.clone()).collect();
        self.images
            .iter()
            .map(|(key, image)| (key.clone(), captions(image)))
            .collect()
    }
}

fn find_file<'a>(roots: &'a [PathBuf], key: &str) -> Option<(&'a PathBuf, PathBuf)> {
    let key = key.replace('\\', "/");
    let key = key.trim_start_matches("./");
    // A directory too many: `val2014/a.jpg` where the images' directory is `val2014` itself.
    let shorter = iter::successors(Some(key), |key| Some(key.split_once('/')?.1));
    let mut paths = shorter.flat_map(|key| roots.iter().map(move |root| (root, root.join(key))));
    paths.find_map(|(root, path)| {
        let path = fs::canonicalize(path).ok()?;
        path.is_file().then_some((root, path))
    })
}

/// The image files below some directories by their names without extension, in lower case.
struct FileNames(HashMap<String, BTreeSet<PathBuf>>);

impl FileNames {
    fn below(roots: &[PathBuf]) -> Self {
        let mut names: HashMap<String, BTreeSet<PathBuf>> = HashMap::new();
        for path in roots
            .iter()
            .filter_map(|root| real_image_files(root).ok())
            .flatten()
        {
            names.entry(stem_of(&path)).or_default().insert(path);
        }
        Self(names)
    }

    /// The only file that the name can mean: with its extension if several have the stem.
    fn find(&self, key: &str) -> Option<PathBuf> {
        let wanted = PathBuf::from(key.replace('\\', "/"));
        // A name such as `2258277193.1` has no extension, though it has a dot.
        let files = self
            .0
            .get(&stem_of(&wanted))
            .or_else(|| self.0.get(&name_of(&wanted)))?;
        let with_name = files.iter().filter(|file| name_of(file) == name_of(&wanted));
        let candidates: Vec<&PathBuf> = match files.len() {
            1 => files.iter().collect(),
            _ => with_name.collect(),
        };
        match candidates[..] {
            [only] => Some(only.clone()),
            _ => None,
        }
    }

    fn candidates(&self, key: &str) -> usize {
        self.0.get(&stem_of(Path::new(key))).map_or(0, BTreeSet::len)
    }

    /// The name of an existing file that is most like this one.
    fn nearest(&self, key: &str) -> Option<String> {
        let names = self
            .0
            .values()
            .flatten()
            .filter_map(|path| path.file_name()?.to_str());
        let names: BTreeSet<&str> = names.collect();
        let nearest = suggest::nearest(key, names.iter().copied()).or_else(|| names.first().copied());
        nearest.map(str::to_owned)
    }
}

fn name_of(path: &Path) -> String {
    comparable(path.file_name())
}

fn stem_of(path: &Path) -> String {
    match is_image_name(path) {
        true => comparable(path.file_stem()),
        false => name_of(path),
    }
}

/// A name in lower case, and in NFC: archives from macOS have decomposed names.
fn comparable(name: Option<&OsStr>) -> String {
    let name = name.unwrap_or_default().to_string_lossy();
    name.nfc().collect::<String>().to_lowercase()
}

/// Lists the image files under `roots` that are not among the `found`.
fn list_images_without_captions(
    roots: &BTreeSet<&PathBuf>,
    found: &[SourceImage],
    problems: &mut Problems,
) -> Result<(), DatasetError> {
    let captioned: HashSet<&Path> = found.iter().map(|image| image.path.as_path()).collect();
    let mut others = BTreeSet::new();
    for root in roots {
        others.extend(real_image_files(root)?);
    }
    others.retain(|path| !captioned.contains(path.as_path()));
    for path in others {
        let path = path.display().to_string();
        problems.add(ProblemKind::ImageWithoutCaption, path, "no caption names it");
    }
    Ok(())
}

/// [`image_files`], with links resolved.
fn real_image_files(root: &Path) -> Result<impl Iterator<Item = PathBuf>, DatasetError> {
    let root = fs::canonicalize(root).map_err(DatasetError::reading(root))?;
    let files = image_files(&root)?.into_iter();
    Ok(files.map(|path| fs::canonicalize(&path).unwrap_or(path)))
}

/// The image files in a directory and its subdirectories, sorted, except hidden files and linked directories.
///
/// # Errors
/// If a directory cannot be read.
pub fn image_files(root: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(DatasetError::reading(&directory))? {
            let entry = entry.map_err(DatasetError::reading(&directory))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(DatasetError::reading(&path))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            } else if kind.is_dir() {
                directories.push(path);
            } else if is_image_name(&path) {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether a file's name has the extension of an image.
pub(super) fn is_image_name(path: &Path) -> bool {
    const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];
    let is_known = |extension: &OsStr| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    };
    path.extension().is_some_and(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_keeps_all_captions_and_its_first_split() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.jpg"), "").unwrap();
        let mut index = CaptionIndex::default();
        index.caption("a.jpg", SourceCaption::new("one"));
        index.split("a.jpg", Split::Dev);
        index.caption("a.jpg", SourceCaption::new("two"));
        let key = index.key_of("a").into_owned();
        index.split(&key, Split::Test);
        let FoundImages { images, problems, .. } = index.find_images(&[directory.path().to_owned()]).unwrap();
        assert_eq!(images.len(), 1);
        assert_eq!(images[0].captions.len(), 2);
        assert_eq!(images[0].split, Some(Split::Dev));
        assert_eq!(
            problems.of_kind(ProblemKind::SplitConflict)[0].detail,
            "in dev and in test"
        );
    }

    #[test]
    fn captions_without_images_and_images_without_captions_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        let images = directory.path().join("images");
        fs::create_dir_all(images.join("more")).unwrap();
        for name in ["a.jpg", "alone.PNG", "more/alone.jpg", "notes.txt", ".hidden.jpg"] {
            fs::write(images.join(name), "").unwrap();
        }
        let mut index = CaptionIndex::default();
        index.caption("a.jpg", SourceCaption::new("here"));
        index.caption("b.jpg.1", SourceCaption::new("not here"));
        index.image("c.jpg");
        let FoundImages {
            images: found,
            problems,
            ..
        } = index.find_images(&[images]).unwrap();
        assert_eq!(found.len(), 1);
        let [missing] = problems.of_kind(ProblemKind::CaptionWithoutImage) else {
            panic!("{problems:?}")
        };
        assert_eq!(missing.to_string(), "b.jpg.1: not here");
        let uncaptioned = problems.of_kind(ProblemKind::ImageWithoutCaption);
        let [c, alone, more] = uncaptioned else {
            panic!("{uncaptioned:?}")
        };
        assert_eq!(c.location, "c.jpg");
        assert!(alone.location.ends_with("alone.PNG"), "{alone}");
        assert!(more.location.ends_with("more/alone.jpg"), "{more}");
    }
}
