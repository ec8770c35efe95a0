//! The files of images, and the names by which captions and features mean them.

use super::error::DatasetError;
use crate::files::ConfinedPath;
use crate::suggest;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

/// The image files below some directories, listed when a name is first looked up.
#[derive(Debug, Default)]
pub(super) struct ImageFiles {
    pub(super) roots: Vec<PathBuf>,
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
    pub(super) fn of(&self, key: &str) -> Vec<&PathBuf> {
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
    pub(super) fn only(&self, key: &str) -> Option<PathBuf> {
        match self.of(key)[..] {
            [only] => Some(only.clone()),
            _ => None,
        }
    }

    /// The name of an existing file that is most like this one.
    pub(super) fn nearest(&self, key: &str) -> Option<String> {
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
            let files = nearest_in_place(files, &wanted);
            let named: Vec<&PathBuf> = files
                .iter()
                .copied()
                .filter(|file| name_of(file) == name_of(&wanted))
                .collect();
            return match named.is_empty() {
                true => files,
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

/// The files whose last directories are those of a name, as far as one has: `x/1.jpg` is `images/x/1.png`, not `y/1.jpg`.
fn nearest_in_place<'f>(files: &'f BTreeSet<PathBuf>, wanted: &Path) -> Vec<&'f PathBuf> {
    let directories = |path: &Path| {
        let above = path
            .ancestors()
            .skip(1)
            .filter(|above| above.file_name().is_some());
        above.map(name_of).collect::<Vec<_>>()
    };
    let wanted = directories(wanted);
    let in_common = |file: &PathBuf| {
        let directories = directories(file);
        let same = wanted
            .iter()
            .zip(&directories)
            .take_while(|(one, other)| one == other);
        same.count()
    };
    let most = match wanted.is_empty() {
        true => 0,
        false => files.iter().map(in_common).max().unwrap_or(0),
    };
    files
        .iter()
        .filter(|file| most == 0 || in_common(file) == most)
        .collect()
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

/// Calls `take` with the real path of every image file in a directory and its subdirectories, except hidden files and
/// linked directories.
///
/// # Errors
/// If a directory cannot be read.
pub(super) fn for_each_image(root: &Path, take: &mut dyn FnMut(PathBuf)) -> Result<(), DatasetError> {
    let root = fs::canonicalize(root).map_err(DatasetError::reading(root))?;
    walk(&root, &is_image, &mut |path, is_link| {
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
    walk(root, &is_image, &mut |path, _| files.push(path))?;
    files.sort_unstable();
    Ok(files)
}

fn is_image(path: &Path) -> bool {
    is_image_name(path) || (path.extension().is_none() && starts_as_image(path))
}

/// Calls `take` with the path of every file that is wanted, and whether it is a link; not with hidden ones.
pub(super) fn walk(
    root: &Path,
    is_wanted: &dyn Fn(&Path) -> bool,
    take: &mut dyn FnMut(PathBuf, bool),
) -> Result<(), DatasetError> {
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
            } else if is_wanted(&path) {
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
    const EXTENSIONS: [&str; 10] = [
        "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff",
    ];
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
            ("images/y/D.png", Some(4)),
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
}
