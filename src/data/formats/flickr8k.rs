//! Flickr8k's and Flickr30k's token file, `name.jpg#0<TAB>caption`, and the split lists that go with it.
//!
//! Hodosh, Young & Hockenmaier, "Framing Image Description as a Ranking Task" (2013).

use super::lines;
use super::{Format, Reader};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::image_files::ImageNames;
use crate::data::index::CaptionIndex;
use crate::data::split::{self, Split};
use std::cell::OnceCell;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Flickr8k,
    files: "*.token.txt",
    is_named,
    recognizes: |file, _| lines::first(file).is_some_and(|line| parse(&line).is_ok()),
    read,
    has_several_files: false,
};

/// `Flickr8k.token.txt`, `results_20130124.token`, but not `Flickr8k.lemma.token.txt`.
fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    (name.ends_with(".token.txt") || name.ends_with(".token")) && !name.contains("lemma")
}

fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    lines::read_open_ended(file, index, |index, line| {
        let (key, caption) = parse(line)?;
        index.caption(key, SourceCaption::new(caption));
        Ok(())
    })
}

fn parse(line: &str) -> Result<(&str, &str), String> {
    let (name, caption) = line
        .split_once('\t')
        .ok_or_else(|| format!("no tab after the image's name: {line}"))?;
    let key = name
        .rsplit_once('#')
        .filter(|(key, number)| !key.is_empty() && number.parse::<u32>().is_ok())
        // Flickr8k-CN marks the language as well: `name.jpg#zhm#0`.
        .map(|(key, _)| key.split_once('#').map_or(key, |(key, _)| key))
        .ok_or_else(|| format!("the image's name must be name#number, but is {name}"))?;
    match caption.trim() {
        "" => Err(format!("no caption after {name}")),
        caption => Ok((key, caption)),
    }
}

/// The split in the name of a split list (`Flickr_8k.trainImages.txt`, `val.txt`); `None` for other files.
pub(in crate::data) fn split_list_named(name: &str) -> Option<Split> {
    let other = |name: &str| is_named(name) || name.to_ascii_lowercase().contains("caption");
    if name.ends_with(".txt") && !other(name) {
        split::named_in(name)
    } else {
        None
    }
}

/// Whether the first line of a file names an image of the index.
pub(in crate::data) fn is_split_list(file: &Path, index: &CaptionIndex) -> bool {
    lines::first(file).is_some_and(|line| ListedNames::default().key(index, &line).is_some())
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

    /// The key of the image on a line: its name, which may be in quotes, with another extension, letter case or directory,
    /// or before a class as in lists of PASCAL VOC.
    fn key(&self, index: &CaptionIndex, line: &str) -> Option<String> {
        let name = line.trim().trim_matches(['"', '\'']);
        let key = index.key_of(name);
        if index.has_image(&key) {
            return Some(key.into_owned());
        }
        let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
        let first = || name.split(is_end).next().filter(|first| first.len() < name.len());
        self.find(index, name).or_else(|| self.find(index, first()?))
    }
}

/// Reads a split list: the name of an image on each line, with or without `.jpg`.
pub(in crate::data) fn read_split_list(
    file: &Path,
    split: Split,
    index: &mut CaptionIndex,
) -> Result<(), DatasetError> {
    let names = ListedNames::default();
    let (mut known, mut unknown) = (0, None);
    let read = lines::read(file, index, |index, line| {
        let key = names.key(index, line);
        match &key {
            Some(_) => known += 1,
            None => drop(unknown.get_or_insert_with(|| line.trim().to_owned())),
        }
        let key = key.unwrap_or_else(|| index.key_of(line.trim()).into_owned());
        index.split(&key, split);
        Ok(())
    });
    if let (0, Some(unknown)) = (known, unknown) {
        index.note(format!(
            "{}: none of its names is that of an image with captions, such as {unknown:?}",
            file.display()
        ));
    }
    read.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_list_may_write_names_in_another_way() {
        let mut index = CaptionIndex::default();
        for image in ["img_0.png", "img_1.png", "000000000008.jpg", "b/x.jpg"] {
            index.image(image);
        }
        let names = ListedNames::default();
        for (line, key) in [
            ("img_0", "img_0.png"),
            ("IMG_0.PNG", "img_0.png"),
            ("img_0.jpg", "img_0.png"),
            ("images/img_1", "img_1.png"),
            ("img_1 -1", "img_1.png"),
            ("img_1.png,0", "img_1.png"),
            ("\"img_1.png\"", "img_1.png"),
            ("8", "000000000008.jpg"),
            ("x.jpg", "b/x.jpg"),
        ] {
            assert_eq!(names.key(&index, line).as_deref(), Some(key), "{line}");
        }
        assert_eq!(names.key(&index, "img_2.png"), None);
    }

    #[test]
    fn token_line_parses_into_key_and_caption() {
        assert_eq!(parse("1_2.jpg#0\tA dog ."), Ok(("1_2.jpg", "A dog .")));
        assert_eq!(
            parse("2258277193_586949ec62.jpg.1#4\tA #2 dog"),
            Ok(("2258277193_586949ec62.jpg.1", "A #2 dog"))
        );
        for (line, reason) in [
            ("1_2.jpg#0 A dog", "no tab"),
            ("1_2.jpg\tA dog", "name#number"),
            ("1_2.jpg#x\tA dog", "name#number"),
            ("#0\tA dog", "name#number"),
            ("1_2.jpg#0\t ", "no caption"),
        ] {
            assert!(parse(line).unwrap_err().contains(reason), "{line}");
        }
    }

    #[test]
    fn token_files_and_split_lists_are_recognized_by_name() {
        assert!(is_named("Flickr8k.token.txt") && is_named("results_20130124.token"));
        assert!(!is_named("Flickr8k.lemma.token.txt") && !is_named("captions.txt"));
        assert_eq!(split_list_named("Flickr_8k.devImages.txt"), Some(Split::Dev));
        assert_eq!(split_list_named("train.txt"), Some(Split::Train));
        for name in [
            "captions_train.txt",
            "Flickr8k.token.txt",
            "dataset_train.json",
            "readme.txt",
        ] {
            assert_eq!(split_list_named(name), None, "{name}");
        }
    }
}
