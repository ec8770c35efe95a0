//! Flickr8k's and Flickr30k's token file, `name.jpg#0<TAB>caption`, and the split lists that go with it.
//!
//! Hodosh, Young & Hockenmaier, "Framing Image Description as a Ranking Task" (2013).

use super::lines;
use super::{Format, Reader};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::index::CaptionIndex;
use crate::data::split::{self, Split};
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
    lines::first(file).is_some_and(|line| index.has_image(&index.key_of(line.trim())))
}

/// Reads a split list: the name of an image on each line, with or without `.jpg`.
pub(in crate::data) fn read_split_list(
    file: &Path,
    split: Split,
    index: &mut CaptionIndex,
) -> Result<(), DatasetError> {
    lines::read(file, index, |index, line| {
        let key = index.key_of(line.trim()).into_owned();
        index.split(&key, split);
        Ok(())
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

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
