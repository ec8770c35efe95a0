//! Captions and splits by image, as collected by the readers of formats.

use super::error::DatasetError;
use super::formats::columns::ColumnNames;
use super::image::{SourceCaption, SourceImage};
use super::problems::{ProblemKind, Problems};
use super::split::Split;
use crate::files::ConfinedPath;
use crate::suggest;
use crate::text::counted;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::iter;
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

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
    /// The directory that the names in the file being read are relative to, such as `train/`, or empty.
    pub(super) directory: String,
    /// The split of rows that name none, where a file has a list for each split.
    pub(super) split_of_rows: Option<Split>,
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
    /// captions the image has.
    pub(super) fn split(&mut self, key: &str, split: Split) {
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

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.images.keys().map(String::as_str)
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
            let found = find_file(&files.roots, &key, &mut links).or_else(|| {
                let path = files.only(&key)?;
                renamed += 1;
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

/// The image files below some directories, listed when a name is first looked up.
#[derive(Debug, Default)]
pub(super) struct ImageFiles {
    roots: Vec<PathBuf>,
    names: OnceCell<FileNames>,
}

/// Image files by their names without extension, in lower case, and by the numbers that their names end with.
#[derive(Debug, Default)]
struct FileNames {
    by_stem: HashMap<String, BTreeSet<PathBuf>>,
    by_number: OnceCell<HashMap<u64, BTreeSet<PathBuf>>>,
}

impl ImageFiles {
    pub(super) fn below(roots: Vec<PathBuf>) -> Self {
        Self {
            roots,
            names: OnceCell::new(),
        }
    }

    /// Whether a file has this name, perhaps with an extension.
    pub(super) fn have(&self, name: &str) -> bool {
        !self.of(name).is_empty()
    }

    /// The files that a name can mean, also as it is written in URLs.
    fn of(&self, key: &str) -> Vec<&PathBuf> {
        let names = self.names.get_or_init(|| FileNames::below(&self.roots));
        let files = names.of(key);
        if !files.is_empty() || !key.contains(['%', '?']) {
            return files;
        }
        let without_query = key.split_once('?').map_or(key, |(path, _)| path);
        let files = names.of(without_query);
        match files.is_empty() {
            true => names.of(&percent_decoded(without_query)),
            false => files,
        }
    }

    /// The only file that a name can mean.
    fn only(&self, key: &str) -> Option<PathBuf> {
        match self.of(key)[..] {
            [only] => Some(only.clone()),
            _ => None,
        }
    }

    /// The name of an existing file that is most like this one.
    fn nearest(&self, key: &str) -> Option<String> {
        let files = self.names.get()?.by_stem.values().flatten();
        let names: BTreeSet<&str> = files.filter_map(|path| path.file_name()?.to_str()).collect();
        let nearest = suggest::nearest(key, names.iter().copied()).or_else(|| names.first().copied());
        nearest.map(str::to_owned)
    }
}

impl FileNames {
    fn below(roots: &[PathBuf]) -> Self {
        let mut names = Self::default();
        for root in roots {
            // A directory that cannot be listed has no files to find.
            let _ = for_each_image(root, &mut |path| {
                names.by_stem.entry(stem_of(&path)).or_default().insert(path);
            });
        }
        names
    }

    /// The files with a stem, those with the whole name if there are some; or else the files with a number: `42` or `42.jpg`
    /// is `000000000042.jpg`, and without extension also `COCO_val2014_000000000042.jpg`.
    fn of(&self, key: &str) -> Vec<&PathBuf> {
        let wanted = PathBuf::from(key.replace('\\', "/"));
        // A name such as `2258277193.1` has no extension, though it has a dot.
        let stem = self
            .by_stem
            .get(&stem_of(&wanted))
            .or_else(|| self.by_stem.get(&name_of(&wanted)));
        if let Some(files) = stem {
            let named: Vec<&PathBuf> = files
                .iter()
                .filter(|file| name_of(file) == name_of(&wanted))
                .collect();
            return match named.is_empty() {
                true => files.iter().collect(),
                false => named,
            };
        }
        let Some(number) = plain_number(&stem_of(&wanted)) else {
            return Vec::new();
        };
        let files = self.by_number().get(&number).into_iter().flatten();
        let (plain, prefixed): (Vec<_>, Vec<_>) =
            files.partition(|file| plain_number(&stem_of(file)).is_some());
        match plain.is_empty() && !is_image_name(&wanted) {
            true => prefixed,
            false => plain,
        }
    }

    fn by_number(&self) -> &HashMap<u64, BTreeSet<PathBuf>> {
        self.by_number.get_or_init(|| {
            let mut files: HashMap<u64, BTreeSet<PathBuf>> = HashMap::new();
            for (stem, paths) in &self.by_stem {
                if let Some(number) = last_number(stem) {
                    files.entry(number).or_default().extend(paths.iter().cloned());
                }
            }
            files
        })
    }
}

impl FromIterator<PathBuf> for FileNames {
    fn from_iter<I: IntoIterator<Item = PathBuf>>(paths: I) -> Self {
        let mut names = Self::default();
        for path in paths {
            names.by_stem.entry(stem_of(&path)).or_default().insert(path);
        }
        names
    }
}

/// Finds images by name among the names that another program gave them: the same name, or else one that differs in
/// extension, letter case or directories as the names in captions may, or COCO's number of the image.
pub struct ImageNames {
    exact: HashMap<String, usize>,
    files: FileNames,
}

impl ImageNames {
    /// Names, which are found by their index.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let exact: HashMap<String, usize> = names.into_iter().map(str::to_owned).zip(0..).collect();
        Self {
            files: exact.keys().map(PathBuf::from).collect(),
            exact,
        }
    }

    /// The index of the only name that the image can have.
    pub fn find(&self, image: &str) -> Option<usize> {
        let index = |name: &Path| self.exact.get(name.to_str()?).copied();
        let by_file = || match self.files.of(image)[..] {
            [only] => index(only),
            _ => None,
        };
        // `42` for `COCO_val2014_000000000042.jpg`.
        let by_number = || {
            let number = last_number(stem_of(Path::new(image)).strip_prefix("coco_")?)?;
            let names = self.files.by_number().get(&number)?.iter();
            let mut plain = names.filter(|name| plain_number(&stem_of(name)).is_some());
            let first = plain.next()?;
            plain.next().is_none().then(|| index(first))?
        };
        self.exact.get(image).copied().or_else(by_file).or_else(by_number)
    }
}

/// The number that a name is.
fn plain_number(stem: &str) -> Option<u64> {
    let is_number = stem.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| stem.parse().ok())?
}

/// The number that a name is or, written with leading zeros or many digits, ends with.
fn last_number(stem: &str) -> Option<u64> {
    const DIGITS: usize = 6;
    let last = stem.rsplit(['_', '-']).next()?;
    match last.len() >= DIGITS || last.len() == stem.len() {
        true => plain_number(last),
        false => None,
    }
}

/// The text with `%20` and the like replaced by the bytes that they stand for.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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

/// Calls `take` with the real path of every image file in a directory and its subdirectories, except hidden files and
/// linked directories.
///
/// # Errors
/// If a directory cannot be read.
fn for_each_image(root: &Path, take: &mut dyn FnMut(PathBuf)) -> Result<(), DatasetError> {
    let root = fs::canonicalize(root).map_err(DatasetError::reading(root))?;
    walk(&root, &mut |path, is_link| {
        let real = is_link.then(|| fs::canonicalize(&path).ok()).flatten();
        take(real.unwrap_or(path));
    })
}

/// The image files in a directory and its subdirectories, sorted, except hidden files and linked directories.
///
/// # Errors
/// If a directory cannot be read.
pub fn image_files(root: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut files = Vec::new();
    walk(root, &mut |path, _| files.push(path))?;
    files.sort_unstable();
    Ok(files)
}

/// Calls `take` with the path of every image file, and whether it is a link.
fn walk(root: &Path, take: &mut dyn FnMut(PathBuf, bool)) -> Result<(), DatasetError> {
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
            } else if is_image_name(&path) || (path.extension().is_none() && starts_as_image(&path)) {
                take(path, kind.is_symlink());
            }
        }
    }
    Ok(())
}

/// Whether a file without extension has the first bytes of an image.
fn starts_as_image(path: &Path) -> bool {
    const STARTS: [&[u8]; 6] = [b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*"];
    let mut start = Vec::new();
    let read = ConfinedPath::from(path)
        .open()
        .map(|file| file.take(12).read_to_end(&mut start));
    let is_webp = start.starts_with(b"RIFF") && start.ends_with(b"WEBP");
    matches!(read, Ok(Ok(_))) && (is_webp || STARTS.iter().any(|known| start.starts_with(known)))
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
    fn names_are_found_as_numbers_and_in_urls_encoding() {
        let directory = tempfile::tempdir().unwrap();
        let files = [
            "000000000042.jpg",
            "COCO_val2014_000000000007.jpg",
            "a b.png",
            "photo_3.jpg",
            "é.jpg",
        ];
        for name in files {
            fs::write(directory.path().join(name), "").unwrap();
        }
        fs::write(directory.path().join("bare"), b"\xff\xd8\xff\xe0").unwrap();
        fs::write(directory.path().join("LICENSE"), "text").unwrap();
        let images = ImageFiles::below(vec![directory.path().to_owned()]);
        let found = |name: &str| Some(images.only(name)?.file_name()?.to_string_lossy().into_owned());
        for (name, file) in [
            ("42", "000000000042.jpg"),
            ("42.jpg", "000000000042.jpg"),
            ("0042.png", "000000000042.jpg"),
            ("7", "COCO_val2014_000000000007.jpg"),
            ("a%20b.png", "a b.png"),
            ("%C3%A9.jpg?w=1", "é.jpg"),
            ("a b.png?w=1", "a b.png"),
            ("bare.jpg", "bare"),
        ] {
            assert_eq!(found(name).as_deref(), Some(file), "{name}");
        }
        for name in ["7.jpg", "3", "LICENSE", "%zz", "", "99999999999999999999999"] {
            assert_eq!(found(name), None, "{name}");
        }
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
    fn names_of_features_are_found_by_file_name_stem_and_number() {
        let names = [
            "a.jpg",
            "train/b.jpg",
            "c",
            "x/d.jpg",
            "y/d.jpg",
            "42",
            "COCO_val2014_000000000007",
        ];
        let names = ImageNames::new(names);
        for (image, index) in [
            ("a.jpg", Some(0)),
            ("images/A.JPEG", Some(0)),
            ("b.jpg", Some(1)),
            ("train/c.jpg", Some(2)),
            ("x/d.jpg", Some(3)),
            ("d.jpg", None), // two names end in it
            ("val2014/COCO_val2014_000000000042.jpg", Some(5)),
            ("000000000042.jpg", Some(5)),
            ("7", Some(6)),
            ("1000_7.jpg", None),
            ("8", None),
            ("", None),
        ] {
            assert_eq!(names.find(image), index, "{image}");
        }
        let ambiguous = ImageNames::new(["COCO_train2014_000000000001", "COCO_val2014_000000000001"]);
        assert_eq!(ambiguous.find("1"), None);
        assert_eq!(
            ambiguous.find("train2014/COCO_train2014_000000000001.jpg"),
            Some(0)
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
