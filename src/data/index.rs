//! Where readers put what they find: captions and splits by image, until the images' files are looked up.

use super::error::DatasetError;
use super::image::{SourceCaption, SourceImage};
use super::problems::{ProblemKind, Problems};
use super::split::Split;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Captions and splits by key, sorted by key; a key is the image's file name within its directory.
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
    /// Notes that the source knows this image, though maybe no caption of it.
    pub(super) fn image(&mut self, key: &str) {
        self.entry(key);
    }

    /// Adds a caption; a key that comes again keeps the captions it has.
    pub(super) fn caption(&mut self, key: &str, caption: SourceCaption) {
        self.entry(key).captions.push(caption);
    }

    /// Puts an image into a split; where it is in another already, it stays there and that is listed.
    pub(super) fn split(&mut self, key: &str, split: Split) {
        let first = *self.entry(key).split.get_or_insert(split);
        if first != split {
            let detail = format!("in {first} and in {split}");
            self.problems.add(ProblemKind::SplitConflict, key, detail);
        }
    }

    /// The key of the image that a split list calls `name`, perhaps without its extension.
    pub(super) fn key_of<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let with_extension = format!("{name}.jpg");
        if !self.images.contains_key(name) && self.images.contains_key(&with_extension) {
            with_extension.into()
        } else {
            name.into()
        }
    }

    /// Forgets the splits the source gave, for lists that the user gives instead.
    pub(super) fn forget_splits(&mut self) {
        self.images.values_mut().for_each(|image| image.split = None);
    }

    pub(super) fn has_captions(&self) -> bool {
        self.images.values().any(|image| !image.captions.is_empty())
    }

    fn entry(&mut self, key: &str) -> &mut IndexedImage {
        if !self.images.contains_key(key) {
            self.images.insert(key.to_owned(), IndexedImage::default());
        }
        self.images.entry(key.to_owned()).or_default()
    }

    /// Finds each image's file under the first of `roots` that has it; lists captions whose image is nowhere
    /// and image files that no caption names.
    ///
    /// # Errors
    /// Where not one image is found.
    pub(super) fn find_images(self, roots: &[PathBuf]) -> Result<(Vec<SourceImage>, Problems), DatasetError> {
        let mut problems = self.problems;
        let mut found = Vec::new();
        let mut used_roots = BTreeSet::new();
        let named = self.images.len();
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
            let looked_in = roots.to_vec();
            return Err(DatasetError::NoImages {
                images: named,
                example,
                looked_in,
            });
        }
        list_unnamed(&used_roots, &found, &mut problems)?;
        Ok((found, problems))
    }
}

fn find_file<'a>(roots: &'a [PathBuf], key: &str) -> Option<(&'a PathBuf, PathBuf)> {
    roots.iter().find_map(|root| {
        let path = fs::canonicalize(root.join(key)).ok()?;
        path.is_file().then_some((root, path))
    })
}

/// Lists the image files under `roots` that are none of the `found`.
fn list_unnamed(
    roots: &BTreeSet<&PathBuf>,
    found: &[SourceImage],
    problems: &mut Problems,
) -> Result<(), DatasetError> {
    let named: HashSet<&Path> = found.iter().map(|image| image.path.as_path()).collect();
    let mut unnamed = BTreeSet::new();
    for root in roots {
        let root = fs::canonicalize(root).map_err(DatasetError::reading(root))?;
        for path in image_files(&root)? {
            if !named.contains(path.as_path()) {
                unnamed.insert(path);
            }
        }
    }
    for path in unnamed {
        problems.add(
            ProblemKind::ImageWithoutCaption,
            path.display().to_string(),
            "no caption names it",
        );
    }
    Ok(())
}

/// Every file under a directory whose extension is an image's, hidden ones and linked directories left out.
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
    path.extension().is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_key_keeps_all_captions_and_its_first_split() {
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
        assert_eq!(
            (missing.location.as_str(), missing.detail.as_str()),
            ("b.jpg.1", "not here")
        );
        let alone: Vec<_> = problems
            .of(ProblemKind::ImageWithoutCaption)
            .iter()
            .map(|p| &p.location)
            .collect();
        assert_eq!(alone.len(), 3);
        assert_eq!(alone[0], "c.jpg");
        assert!(
            alone[1].ends_with("alone.PNG") && alone[2].ends_with("more/alone.jpg"),
            "{alone:?}"
        );
    }
}
