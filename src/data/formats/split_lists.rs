//! Files that assign images to splits: a list of names for each split, as Flickr8k has, or one table or JSON file for all.
//!
//! ```text
//! train.txt    a.jpg                 a name on each line
//! splits.csv   a.jpg,train           a name and its split
//! splits.json  {"train": ["a.jpg"]}, {"a.jpg": "train"} or [{"image": "a.jpg", "split": "train"}]
//! ```

use super::columns::Columns;
use super::{extension_of, flickr8k, json, name_of, stem_of, text_file};
use crate::data::error::DatasetError;
use crate::data::image_files::{ImageNames, is_image_name};
use crate::data::index::CaptionIndex;
use crate::data::split::{self, Split};
use serde_json::Value;
use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

/// Longer files are no lists.
const MAX_BYTES: u64 = 256 << 20;

/// A file with the splits of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::data) struct SplitList {
    pub(in crate::data) file: PathBuf,
    /// The split that its name says; none for a file that names one for each image.
    split: Option<Split>,
}

impl SplitList {
    /// A file that the user names.
    pub(in crate::data) fn given(file: PathBuf) -> Self {
        Self {
            split: split::named_in(&stem_of(&file)),
            file,
        }
    }

    /// A file whose name is that of a list: `Flickr_8k.trainImages.txt`, `val.txt`, `splits.json`.
    pub(in crate::data) fn named(file: PathBuf) -> Option<Self> {
        let name = name_of(&file).to_lowercase();
        if flickr8k::is_named(&name) || name.contains("caption") || name.starts_with('.') {
            return None;
        }
        let list = Self::given(file);
        let assigns = name.contains("split");
        let is_list = match extension_of(&list.file).as_str() {
            "txt" | "lst" | "list" | "csv" | "tsv" => assigns || list.split.is_some(),
            // Annotations of other tasks have such names too.
            "json" => assigns || stem_of(&list.file).parse::<Split>().is_ok(),
            _ => false,
        };
        let is_short =
            || fs::metadata(&list.file).is_ok_and(|found| found.is_file() && found.len() <= MAX_BYTES);
        (is_list && is_short()).then_some(list)
    }

    /// Whether it has the images of one split.
    pub(in crate::data) fn is_for_one_split(&self) -> bool {
        self.split.is_some()
    }

    /// Whether it assigns an image of the index.
    pub(in crate::data) fn is_of(&self, index: &mut CaptionIndex) -> bool {
        let names = ListedNames::default();
        let assigned = self.assignments(&names, index).unwrap_or_default();
        assigned.iter().any(|(name, _)| names.key(index, name).is_some())
    }

    /// Assigns the splits.
    ///
    /// # Errors
    /// If the file cannot be read, or assigns none.
    pub(in crate::data) fn read(&self, index: &mut CaptionIndex) -> Result<(), DatasetError> {
        let names = ListedNames::default();
        let assigned = self.assignments(&names, index)?;
        let Some((first, _)) = assigned.first() else {
            let file = self.file.clone();
            return Err(match self.split {
                Some(_) => DatasetError::Empty { file },
                None => DatasetError::UnnamedSplit(file),
            });
        };
        let mut any_known = false;
        for (name, split) in &assigned {
            let known = names.key(index, name);
            any_known |= known.is_some();
            let key = known.unwrap_or_else(|| index.key_of(name.trim()).into_owned());
            index.split(&key, *split);
        }
        if !any_known {
            index.note(format!(
                "{}: none of its names is that of an image with captions, such as {first:?}",
                self.file.display()
            ));
        }
        Ok(())
    }

    /// The names of images with their splits.
    fn assignments(
        &self,
        names: &ListedNames,
        index: &mut CaptionIndex,
    ) -> Result<Vec<(String, Split)>, DatasetError> {
        let mut found = Vec::new();
        if json::has_extension(&self.file) {
            collect(&json::read(&self.file, index)?, self.split, &mut found);
            return Ok(found);
        }
        let text = text_file::read(&self.file, index)?;
        let text = String::from_utf8_lossy(&text);
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .peekable();
        let is_header = |line: &&str| {
            let cells: Vec<&str> = cells(line).collect();
            Columns::image_and_split(&cells).is_some() && names.named_on(index, line).is_none()
        };
        lines.next_if(is_header);
        found.extend(lines.filter_map(|line| {
            let split = match self.split {
                Some(split) => split,
                None => split_on(line)?,
            };
            let name = names.named_on(index, line).unwrap_or(match self.split {
                Some(_) => line,
                None => cells(line).find(|cell| cell.parse::<Split>().is_err())?,
            });
            Some((name.to_owned(), split))
        }));
        Ok(found)
    }
}

/// The cells of a line of a table, without quotes.
fn cells(line: &str) -> impl Iterator<Item = &str> + Clone {
    line.split([',', ';', '\t', '|'])
        .map(|cell| cell.trim().trim_matches(['"', '\'']))
}

/// The split in a cell of a line, or else its last word.
fn split_on(line: &str) -> Option<Split> {
    let last = line.rsplit(char::is_whitespace).next();
    cells(line).chain(last).find_map(|cell| cell.parse().ok())
}

/// Collects names of images with their splits; `split` is that of the keys above.
fn collect(value: &Value, split: Option<Split>, found: &mut Vec<(String, Split)>) {
    match value {
        Value::String(name) => found.extend(split.map(|split| (name.clone(), split))),
        Value::Number(number) => found.extend(split.map(|split| (number.to_string(), split))),
        Value::Array(items) => match items.as_slice() {
            [Value::String(name), Value::String(own)] if own.parse::<Split>().is_ok() => {
                found.extend(own.parse().ok().map(|own| (name.clone(), own)));
            }
            items => items.iter().for_each(|item| collect(item, split, found)),
        },
        Value::Object(map) => {
            let keys: Vec<&str> = map.keys().map(String::as_str).collect();
            let text = |at: usize| json::texts(map.values().nth(at)?).into_iter().next();
            if let Some((image, own)) = Columns::image_and_split(&keys)
                && let Some(split) = own.and_then(text).and_then(|own| own.parse().ok()).or(split)
            {
                found.extend(text(image).map(|name| (name, split)));
                return;
            }
            for (key, value) in map {
                match (value.as_str().and_then(|own| own.parse().ok()), key.parse()) {
                    (Some(own), _) => found.push((key.clone(), own)),
                    (None, Ok(own)) => collect(value, Some(own), found),
                    (None, Err(_)) => match split.filter(|_| is_image_name(Path::new(key))) {
                        Some(split) => found.push((key.clone(), split)),
                        None => collect(value, split, found),
                    },
                }
            }
        }
        Value::Bool(_) | Value::Null => {}
    }
}

/// The images of an index by the names that a split list may give them.
#[derive(Default)]
struct ListedNames {
    /// Listed when a name is first not a key.
    names: OnceCell<(Vec<String>, ImageNames)>,
}

impl ListedNames {
    fn find(&self, index: &CaptionIndex, name: &str) -> Option<String> {
        let (keys, names) = self.names.get_or_init(|| {
            let keys: Vec<String> = index.keys().map(str::to_owned).collect();
            let names = ImageNames::new(keys.iter().map(String::as_str));
            (keys, names)
        });
        names.find(name).map(|found| keys[found].clone())
    }

    /// The key of the image with a name, which may have another extension, letter case or directory.
    fn key(&self, index: &CaptionIndex, name: &str) -> Option<String> {
        // The names of a token file: `a.jpg#0`.
        let name = match name.rsplit_once('#') {
            Some((name, number)) if number.parse::<u32>().is_ok() => name,
            _ => name,
        };
        let key = index.key_of(name);
        match index.has_image(&key) {
            true => Some(key.into_owned()),
            false => self.find(index, name),
        }
    }

    /// The name on a line that is one of an image: the line, perhaps in quotes, one of its cells, or its first word, as
    /// before the class in lists of PASCAL VOC. A cell with the extension of an image comes before a number.
    fn named_on<'l>(&self, index: &CaptionIndex, line: &'l str) -> Option<&'l str> {
        let whole = line.trim().trim_matches(['"', '\'']);
        let is_file = |cell: &&str| is_image_name(Path::new(cell));
        let others = cells(line).filter(|cell| *cell != whole);
        let first_word = whole
            .split(char::is_whitespace)
            .next()
            .filter(|word| *word != whole);
        let mut candidates = std::iter::once(whole)
            .chain(others.clone().filter(is_file))
            .chain(others.filter(|cell| !is_file(cell)))
            .chain(first_word)
            .filter(|name| !name.is_empty());
        candidates.find(|name| self.key(index, name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> CaptionIndex {
        let mut index = CaptionIndex::default();
        for image in ["img_0.png", "img_1.png", "000000000008.jpg", "b/x.jpg"] {
            index.image(image);
        }
        index
    }

    #[test]
    fn split_list_may_write_names_in_another_way() {
        let (index, names) = (index(), ListedNames::default());
        for (line, key) in [
            ("img_0.png", "img_0.png"),
            ("img_0", "img_0.png"),
            ("IMG_0.PNG", "img_0.png"),
            ("img_0.jpg", "img_0.png"),
            ("images/img_1", "img_1.png"),
            ("img_1 -1", "img_1.png"),
            ("img_1.png,0", "img_1.png"),
            ("8,img_1.png", "img_1.png"),
            ("\"img_1.png\"", "img_1.png"),
            ("8", "000000000008.jpg"),
            ("x.jpg", "b/x.jpg"),
            ("img_0.png#4", "img_0.png"),
        ] {
            let named = names.named_on(&index, line);
            assert_eq!(
                named.and_then(|name| names.key(&index, name)).as_deref(),
                Some(key),
                "{line}"
            );
        }
        assert_eq!(names.named_on(&index, "img_2.png"), None);
    }

    #[test]
    fn lists_are_recognized_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let is_list = |name: &str| {
            let file = directory.path().join(name);
            fs::write(&file, "a.jpg").unwrap();
            SplitList::named(file).map(|list| list.split)
        };
        let [train, dev, _] = Split::ALL.map(|split| Some(Some(split)));
        for (name, expected) in [
            ("Flickr_8k.devImages.txt", dev),
            ("train.txt", train),
            ("train.csv", train),
            ("val.json", dev),
            ("splits.json", Some(None)),
            ("image_splits.csv", Some(None)),
            ("captions_train.txt", None),
            ("Flickr8k.token.txt", None),
            ("instances_train2017.json", None),
            ("readme.txt", None),
        ] {
            assert_eq!(is_list(name), expected, "{name}");
        }
    }

    #[test]
    fn splits_are_read_in_all_forms() {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [
            (
                "splits.json",
                r#"{"img_0.png": "train", "img_1": "val", "b/x.jpg": "Test set"}"#,
            ),
            (
                "splits.json",
                r#"{"train": ["img_0"], "val": ["img_1.png"], "test": ["b/x.jpg"], "seed": 1}"#,
            ),
            (
                "splits.json",
                r#"{"train_images": {"img_0.png": [1]}, "val": [{"image": "img_1"}], "test": ["x"]}"#,
            ),
            (
                "splits.json",
                r#"[{"image": "img_0.png", "split": "train"}, {"image": "img_1.png", "split": "dev"}, {"image": "x.jpg", "split": "test"}]"#,
            ),
            (
                "splits.json",
                r#"{"images": [["img_0.png", "train"], ["img_1.png", "dev"], ["x.jpg", "test"]]}"#,
            ),
            (
                "splits.csv",
                "image,split\nimg_0.png,train\nimg_1.png,val\nb/x.jpg,test\n",
            ),
            (
                "splits.csv",
                ",split,image\n0,train,\"img_0.png\"\n1,val,\"img_1.png\"\n8,test,\"x.jpg\"\n",
            ),
            (
                "splits.tsv",
                "img_0.png\tTRAIN\r\nimg_1.png\tval2014\r\nb/x.jpg\ttesting",
            ),
            ("split.txt", "img_0 train\nimg_1 val\nb/x.jpg test\n"),
        ] {
            let file = directory.path().join(name);
            fs::write(&file, content).unwrap();
            let mut index = index();
            let list = SplitList::named(file).unwrap();
            assert!(list.is_of(&mut index), "{content}");
            list.read(&mut index).unwrap();
            let splits: Vec<String> = index
                .splits()
                .map(|split| split.map_or("-".to_owned(), |split| split.to_string()))
                .collect();
            assert_eq!(splits.join(" "), "- test train dev", "{content}");
        }
    }
}
