//! Captions and splits by image, as collected by the readers of formats.

use super::error::DatasetError;
use super::formats::columns::ColumnNames;
use super::formats::other_kinds::OtherFiles;
use super::image::{SourceCaption, SourceImage};
use super::image_files::{ImageFiles, for_each_image};
use super::problems::{ProblemKind, Problems};
use super::report::SplitsFrom;
use super::split::Split;
use crate::text::counted;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

/// Captions and splits of each image, sorted by key; a key is the path of the image's file within its directory.
#[derive(Debug, Default)]
pub(super) struct CaptionIndex {
    images: BTreeMap<String, IndexedImage>,
    pub(super) problems: Problems,
    /// Names of columns that the user gives.
    pub(super) columns: ColumnNames,
    /// The files that the images may be.
    pub(super) files: ImageFiles,
    notes: Vec<String>,
    /// The file being read, for notes.
    pub(super) file: String,
    /// The keys of the last object whose use is noted.
    pub(super) described_keys: Vec<String>,
    /// The directory that the names in the file being read are relative to, such as `train/`, or empty.
    pub(super) directory: String,
    /// The split of rows that name none, where a file has a list for each split.
    pub(super) split_of_rows: Option<Split>,
    /// Whether the splits of the source count.
    pub(super) splits_from: SplitsFrom,
    /// Captions with start or end tokens, and one of these tokens.
    marked: Option<(u64, String)>,
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
    /// Another split that also has the image.
    conflict: Option<Split>,
    captions: Vec<SourceCaption>,
}

impl CaptionIndex {
    /// An index of captions whose images are below these directories.
    pub(super) fn of_images(roots: Vec<PathBuf>) -> Self {
        Self {
            files: ImageFiles::below(roots),
            ..Self::default()
        }
    }

    /// Adds an image, perhaps without captions.
    pub(super) fn image(&mut self, key: &str) {
        self.entry(key);
    }

    /// Adds a caption to those of the image.
    pub(super) fn caption(&mut self, key: &str, caption: SourceCaption) {
        let caption = self.without_marks(caption);
        self.entry(key).captions.push(caption);
    }

    /// The caption without the tokens that mark its start and end for training scripts.
    fn without_marks(&mut self, mut caption: SourceCaption) -> SourceCaption {
        let Some((text, mark)) = without_marks(&caption.raw) else {
            return caption;
        };
        let (captions, _) = self.marked.get_or_insert_with(|| (0, mark.to_owned()));
        *captions += 1;
        caption.raw = text.to_owned();
        if let Some(tokens) = &mut caption.tokens {
            tokens.retain(|token| !is_mark(token));
        }
        caption
    }

    /// Assigns a split. An image that is already in another split stays there, and the conflict is listed once, however many
    /// captions the image has. Where splits are drawn, it only adds the image.
    pub(super) fn split(&mut self, key: &str, split: Split) {
        if self.splits_from == SplitsFrom::Drawn {
            return self.image(key);
        }
        let image = self.entry(key);
        let first = *image.split.get_or_insert(split);
        if first != split && image.conflict.replace(split) != Some(split) {
            let detail = format!("in {first} and in {split}");
            self.problems.add(ProblemKind::SplitConflict, key, detail);
        }
    }

    /// Notes what was guessed.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
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
        // Unpacked shards are in directories such as `train-000000`, also where all are of one split.
        let is_of_letters = |name: &&str| name.chars().all(char::is_alphabetic);
        let split_of = |key: &String| {
            let directories = key.rsplit(['/', '\\']).skip(1);
            directories
                .filter(is_of_letters)
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

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.images.keys().map(String::as_str)
    }

    /// The splits of the images, in the order of their keys.
    #[cfg(test)]
    pub(super) fn splits(&self) -> impl Iterator<Item = Option<Split>> {
        self.images.values().map(|image| image.split)
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

    /// Finds each image's file: by its path below one of the directories, else by its name with another extension, other
    /// letter case or other directories, if only one file has that name. Lists captions without image and images without
    /// caption.
    ///
    /// # Errors
    /// If not one image is found.
    pub(super) fn find_images(self) -> Result<FoundImages, DatasetError> {
        let Self {
            images: indexed,
            files,
            mut problems,
            mut notes,
            marked,
            ..
        } = self;
        let mut images = Vec::new();
        let mut used_roots = BTreeSet::new();
        let count = indexed.len();
        let example = indexed.keys().next().cloned().unwrap_or_default();
        let mut links = Links::default();
        let mut renamed = 0;
        let mut ambiguous = Vec::new();
        let mut by_path: HashMap<PathBuf, usize> = HashMap::new();
        let mut merged = 0;

        for (key, IndexedImage { split, captions, .. }) in indexed {
            let exact = find_file(&files.roots, &key, &mut links);
            let is_exact = exact.is_some();
            let found = exact.or_else(|| {
                let path = files.only(&key)?;
                let root = files
                    .roots
                    .iter()
                    .rev()
                    .find(|root| !root.as_os_str().is_empty())?;
                Some((root, path))
            });
            if let Some((root, path)) = found {
                used_roots.insert(root);
                if let Some(&same) = by_path.get(&path) {
                    merge(&mut images[same], key, split, captions, &mut problems);
                    merged += 1;
                    continue;
                }
                renamed += usize::from(!is_exact);
                by_path.insert(path.clone(), images.len());
                images.push(SourceImage {
                    key,
                    path,
                    split,
                    captions,
                });
                continue;
            }
            let candidates = files.of(&key);
            if captions.is_empty() {
                let detail = "neither a caption nor a file";
                problems.add(ProblemKind::ImageWithoutCaption, key, detail);
                continue;
            }
            let detail = |caption: &str| match candidates.len() {
                0 | 1 => caption.to_owned(),
                files => format!("{files} files have this name: {caption}"),
            };
            for caption in captions {
                problems.add(ProblemKind::CaptionWithoutImage, &key, detail(&caption.raw));
            }
            if let [one, other, ..] = candidates[..] {
                ambiguous.push(format!("{key} ({} or {})", one.display(), other.display()));
            }
        }
        if images.is_empty() && !ambiguous.is_empty() {
            let ambiguous_names = ambiguous.len();
            ambiguous.truncate(3);
            return Err(DatasetError::AmbiguousImages {
                names: ambiguous_names,
                examples: ambiguous,
            });
        }
        if images.is_empty() {
            return Err(DatasetError::NoImages {
                images: count,
                nearest: files.nearest(&example),
                example,
                others: OtherFiles::below(&files.roots),
                looked_in: files.roots,
            });
        }
        if merged > 0 {
            images.sort_by(|one, other| one.key.cmp(&other.key));
            notes.push(format!(
                "{merged} further names of images mean files that other names mean too; their captions are together"
            ));
        }
        if renamed > 0 {
            notes.push(format!(
                "{renamed} of {} images have another extension, letter case or directory than the captions say",
                images.len()
            ));
        }
        if let Some((captions, mark)) = marked {
            let captions = counted(captions, "captions");
            notes.push(format!(
                "start and end tokens such as `{mark}` are left out of {captions}"
            ));
        }
        list_images_without_captions(&used_roots, &images, &mut problems)?;
        Ok(FoundImages {
            images,
            problems,
            notes,
        })
    }

    /// All images with their captions.
    pub(super) fn into_captions(self) -> BTreeMap<String, Vec<String>> {
        let captions = |image: IndexedImage| image.captions.into_iter().map(|caption| caption.raw).collect();
        let images = self.images.into_iter();
        images.map(|(key, image)| (key, captions(image))).collect()
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

/// A caption without start and end tokens, and one of these; `None` if it has none.
fn without_marks(caption: &str) -> Option<(&str, &str)> {
    let (mut rest, mut found) = (caption.trim(), None);
    while let Some(first) = rest.split_whitespace().next().filter(|word| is_mark(word)) {
        found = found.or(Some(first));
        rest = rest[first.len()..].trim_start();
    }
    while let Some(last) = rest.split_whitespace().next_back().filter(|word| is_mark(word)) {
        found = found.or(Some(last));
        rest = rest[..rest.len() - last.len()].trim_end();
    }
    found.map(|found| (rest, found))
}

/// Whether a word marks the start or end of a caption, or pads it, for a training script.
fn is_mark(word: &str) -> bool {
    const WORDS: [&str; 5] = ["startseq", "endseq", "start_seq", "end_seq", "startofseq"];
    const BRACKETED: [&str; 14] = [
        "start",
        "end",
        "s",
        "/s",
        "bos",
        "eos",
        "sos",
        "pad",
        "cls",
        "sep",
        "startoftext",
        "endoftext",
        "go",
        "stop",
    ];
    let inner = match word.as_bytes() {
        [b'<', .., b'>'] | [b'[', .., b']'] => &word[1..word.len() - 1],
        [b's' | b'S' | b'e' | b'E', ..] => return WORDS.iter().any(|mark| word.eq_ignore_ascii_case(mark)),
        _ => return false,
    };
    let inner = inner.trim_matches('|');
    BRACKETED.iter().any(|mark| inner.eq_ignore_ascii_case(mark))
}

/// Adds what another name of an image's file has. The name that is the file's own stays.
fn merge(
    image: &mut SourceImage,
    key: String,
    split: Option<Split>,
    captions: Vec<SourceCaption>,
    problems: &mut Problems,
) {
    if let (Some(first), Some(other)) = (image.split, split)
        && first != other
    {
        let detail = format!("in {first} and in {other}");
        problems.add(ProblemKind::SplitConflict, &key, detail);
    }
    image.split = image.split.or(split);
    image.captions.extend(captions);
    if image.path.ends_with(&key) && key.len() > image.key.len() || !image.path.ends_with(&image.key) {
        image.key = key;
    }
}

fn find_file<'a>(roots: &'a [PathBuf], key: &str, links: &mut Links) -> Option<(&'a PathBuf, PathBuf)> {
    let key = key.replace('\\', "/");
    let key = key.trim_start_matches("./");
    // A directory too many: `val2014/a.jpg` where the images' directory is `val2014` itself.
    let shorter = iter::successors(Some(key), |key| Some(key.split_once('/')?.1));
    let mut paths = shorter.flat_map(|key| roots.iter().map(move |root| (root, root.join(key))));
    paths.find_map(|(root, path)| Some((root, links.file(&path)?)))
}

/// Resolves links, those of a directory once for all its files.
#[derive(Default)]
struct Links(HashMap<PathBuf, Option<PathBuf>>);

impl Links {
    /// The absolute path of a file without links; `None` if there is no such file.
    fn file(&mut self, path: &Path) -> Option<PathBuf> {
        let (parent, name) = (path.parent()?, path.file_name()?);
        if !self.0.contains_key(parent) {
            let parent_or_here = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            self.0
                .insert(parent.to_owned(), fs::canonicalize(parent_or_here).ok());
        }
        let path = self.0.get(parent)?.as_ref()?.join(name);
        let kind = fs::symlink_metadata(&path).ok()?.file_type();
        if kind.is_symlink() {
            return fs::canonicalize(path).ok().filter(|path| path.is_file());
        }
        kind.is_file().then_some(path)
    }
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
        for_each_image(root, &mut |path| {
            if !captioned.contains(path.as_path()) {
                others.insert(path);
            }
        })?;
    }
    for path in others {
        let path = path.display().to_string();
        problems.add(ProblemKind::ImageWithoutCaption, path, "no caption names it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_and_end_tokens_are_left_out() {
        for (caption, expected) in [
            ("startseq a dog endseq", Some("a dog")),
            ("<start> a dog <end> <pad> <pad>", Some("a dog")),
            ("[START] a dog", Some("a dog")),
            ("<|startoftext|> a dog </s>", Some("a dog")),
            ("start a dog <3 the end", None),
            ("end of a <dog>", None),
            ("", None),
        ] {
            assert_eq!(
                without_marks(caption).map(|(text, _)| text),
                expected,
                "{caption}"
            );
        }
        assert_eq!(without_marks("startseq endseq"), Some(("", "startseq")));
    }

    #[test]
    fn image_keeps_all_captions_and_its_first_split() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.jpg"), "").unwrap();
        let mut index = CaptionIndex::of_images(vec![directory.path().to_owned()]);
        index.caption("a.jpg", SourceCaption::new("one"));
        index.split("a.jpg", Split::Dev);
        index.caption("a.jpg", SourceCaption::new("two"));
        let key = index.key_of("a").into_owned();
        index.split(&key, Split::Test);
        index.split(&key, Split::Test);
        let FoundImages { images, problems, .. } = index.find_images().unwrap();
        assert_eq!(images.len(), 1);
        assert_eq!(images[0].captions.len(), 2);
        assert_eq!(images[0].split, Some(Split::Dev));
        assert_eq!(problems.count(ProblemKind::SplitConflict), 1);
        assert_eq!(
            problems.of_kind(ProblemKind::SplitConflict)[0].detail,
            "in dev and in test"
        );
    }

    #[test]
    fn names_of_one_file_are_one_image() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["x.png", "y.png"] {
            fs::write(directory.path().join(file), "").unwrap();
        }
        let mut index = CaptionIndex::of_images(vec![directory.path().to_owned()]);
        for name in ["./x.png", "X.PNG", "foo/x.png", "x", "x.png", "y.png"] {
            index.caption(name, SourceCaption::new(name));
        }
        index.split("x", Split::Dev);
        let FoundImages { images, notes, .. } = index.find_images().unwrap();
        let keys: Vec<&str> = images.iter().map(|image| image.key.as_str()).collect();
        assert_eq!(keys, ["x.png", "y.png"]);
        assert_eq!(images[0].captions.len(), 5);
        assert_eq!(images[0].split, Some(Split::Dev));
        assert!(notes[0].starts_with("4 further names"), "{notes:?}");
    }

    #[test]
    fn captions_without_images_and_images_without_captions_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        let images = directory.path().join("images");
        fs::create_dir_all(images.join("more")).unwrap();
        for name in ["a.jpg", "alone.PNG", "more/alone.jpg", "notes.txt", ".hidden.jpg"] {
            fs::write(images.join(name), "").unwrap();
        }
        let mut index = CaptionIndex::of_images(vec![images]);
        index.caption("a.jpg", SourceCaption::new("here"));
        index.caption("b.jpg.1", SourceCaption::new("not here"));
        index.image("c.jpg");
        let FoundImages {
            images: found,
            problems,
            ..
        } = index.find_images().unwrap();
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
