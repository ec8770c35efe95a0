//! Captions and splits by image, as collected by the readers of formats.

use super::error::DatasetError;
use super::image::{SourceCaption, SourceImage};
use super::problems::{ProblemKind, Problems};
use super::split::Split;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Captions and splits of each image, sorted by key; a key is the path of the image's file within its directory.
#[derive(Debug, Default)]
pub(super) struct CaptionIndex {
    images: BTreeMap<String, IndexedImage>,
    pub(super) problems: Problems,
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

    /// The key of an image from its name in a split list, perhaps without extension.
    pub(super) fn key_of<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let with_extension = format!("{name}.jpg");
        if !self.images.contains_key(name) && self.images.contains_key(&with_extension) {
            with_extension.into()
        } else {
            name.into()
        }
    }

    /// Removes all splits.
    pub(super) fn forget_splits(&mut self) {
        self.images.values_mut().for_each(|image| image.split = None);
    }

    pub(super) fn has_captions(&self) -> bool {
        self.images.values().any(|image| !image.captions.is_empty())
    }

    fn entry(&mut self, key: &str) -> &mut IndexedImage {
        self.images.entry(key.to_owned()).or_default()
    }

    /// Finds each image's file in the first of `roots` that has it. Lists captions without image and images without
    /// caption.
    ///
    /// # Errors
    /// If not one image is found.
    pub(super) fn find_images(self, roots: &[PathBuf]) -> Result<(Vec<SourceImage>, Problems), DatasetError> {
        let mut problems = self.problems;
        let mut found = Vec::new();
        let mut used_roots = BTreeSet::new();
        let count = self.images.len();
        let example = self.images.keys().next().cloned().unwrap_or_default();

        for (key, IndexedImage { split, captions }) in self.images {
            match find_file(roots, &key) {
                Some((root, path)) => {
                    used_roots.insert(root);
                    found.push(SourceImage {
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
                    for caption in captions {
                        problems.add(ProblemKind::CaptionWithoutImage, &key, caption.raw);
                    }
                }
            }
        }
        if found.is_empty() {
            return Err(DatasetError::NoImages {
                images: count,
                example,
                looked_in: roots.to_vec(),
            });
        }
        list_images_without_captions(&used_roots, &found, &mut problems)?;
        Ok((found, problems))
    }
}

fn find_file<'a>(roots: &'a [PathBuf], key: &str) -> Option<(&'a PathBuf, PathBuf)> {
    roots.iter().find_map(|root| {
        let path = fs::canonicalize(root.join(key)).ok()?;
        path.is_file().then_some((root, path))
    })
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
        let root = fs::canonicalize(root).map_err(DatasetError::reading(root))?;
        others.extend(image_files(&root)?);
    }
    others.retain(|path| !captioned.contains(path.as_path()));
    for path in others {
        let path = path.display().to_string();
        problems.add(ProblemKind::ImageWithoutCaption, path, "no caption names it");
    }
    Ok(())
}

/// The image files in a directory and its subdirectories, except hidden files and linked directories.
fn image_files(root: &Path) -> Result<Vec<PathBuf>, DatasetError> {
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
                files.push(fs::canonicalize(&path).unwrap_or(path));
            }
        }
    }
    Ok(files)
}

fn is_image_name(path: &Path) -> bool {
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
        let (images, problems) = index.find_images(&[directory.path().to_owned()]).unwrap();
        assert_eq!(images.len(), 1);
        assert_eq!(images[0].captions.len(), 2);
        assert_eq!(images[0].split, Some(Split::Dev));
        assert_eq!(
            problems.of(ProblemKind::SplitConflict)[0].detail,
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
        let (found, problems) = index.find_images(&[images]).unwrap();
        assert_eq!(found.len(), 1);
        let [missing] = problems.of(ProblemKind::CaptionWithoutImage) else {
            panic!("{problems:?}")
        };
        assert_eq!(missing.to_string(), "b.jpg.1: not here");
        let uncaptioned = problems.of(ProblemKind::ImageWithoutCaption);
        let [c, alone, more] = uncaptioned else {
            panic!("{uncaptioned:?}")
        };
        assert_eq!(c.location, "c.jpg");
        assert!(alone.location.ends_with("alone.PNG"), "{alone}");
        assert!(more.location.ends_with("more/alone.jpg"), "{more}");
    }
}
