//! Flickr8k's and Flickr30k's token file, `name.jpg#0<TAB>caption`; `split_lists.rs` reads its splits.
//!
//! Hodosh, Young & Hockenmaier, "Framing Image Description as a Ranking Task" (2013).

use super::lines;
use super::{Format, Reader};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::index::CaptionIndex;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Flickr8k,
    files: "*.token.txt",
    is_named,
    recognizes: |file, _| recognizes(file),
    read,
    has_several_files: false,
};

/// `Flickr8k.token.txt`, `results_20130124.token`, but not `Flickr8k.lemma.token.txt`.
pub(super) fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    (name.ends_with(".token.txt") || name.ends_with(".token")) && !name.contains("lemma")
}

/// Whether the first line is `name.jpg#0<TAB>caption`.
pub(super) fn recognizes(file: &Path) -> bool {
    lines::first(file).is_some_and(|line| parse(&line).is_ok())
}

pub(super) fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    lines::read_open_ended(file, index, |index, line| {
        let (key, caption) = parse(line)?;
        index.caption(key, SourceCaption::new(caption));
        Ok(())
    })
}

fn parse(line: &str) -> Result<(&str, &str), String> {
    let (name, caption) = line
        .split_once('\t')
        .or_else(|| line.split_once(' ').filter(|(name, _)| name.contains('#')))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_line_parses_into_key_and_caption() {
        for line in [
            "1_2.jpg#0\tA dog .",
            "1_2.jpg#0  A dog .",
            "1_2.jpg#enc#0\tA dog .",
        ] {
            assert_eq!(parse(line), Ok(("1_2.jpg", "A dog .")));
        }
        assert_eq!(
            parse("2258277193_586949ec62.jpg.1#4\tA #2 dog"),
            Ok(("2258277193_586949ec62.jpg.1", "A #2 dog"))
        );
        for (line, reason) in [
            ("1_2.jpg#0", "no tab"),
            ("1_2.jpg\tA dog", "name#number"),
            ("1_2.jpg#x\tA dog", "name#number"),
            ("#0\tA dog", "name#number"),
            ("1_2.jpg#0\t ", "no caption"),
        ] {
            assert!(parse(line).unwrap_err().contains(reason), "{line}");
        }
    }

    #[test]
    fn token_files_are_recognized_by_name() {
        assert!(is_named("Flickr8k.token.txt") && is_named("results_20130124.token"));
        assert!(!is_named("Flickr8k.lemma.token.txt") && !is_named("captions.txt"));
    }
}
