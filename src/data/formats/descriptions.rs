//! `descriptions.txt` of Keras tutorials: the image's name without extension, a blank, a cleaned caption. A colon may follow
//! the name.

use super::{Format, Reader, lines, text_file};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::image_files::{ImageFiles, is_image_name};
use crate::data::index::CaptionIndex;
use std::path::Path;

/// Characters and lines that suffice to recognize the format.
const START: usize = 1 << 14;
const LINES: usize = 20;

pub(super) const READER: Reader = Reader {
    format: Format::Descriptions,
    files: "descriptions.txt",
    is_named: |name| name.eq_ignore_ascii_case("descriptions.txt"),
    recognizes,
    read,
    has_several_files: false,
};

/// Whether the first lines start with names of images, with an extension or a number: `dog` may be a word.
pub(super) fn recognizes(file: &Path, images: &ImageFiles) -> bool {
    let Some(text) = text_file::start(file, START) else {
        return false;
    };
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(LINES)
        .collect();
    let is_name = |word: &str| {
        is_image_name(Path::new(word))
            || (word.contains(|character: char| character.is_ascii_digit()) && images.have(word))
    };
    let is_known = |line: &&&str| parse(line).is_some_and(|(image, _)| is_name(image));
    2 * lines.iter().filter(is_known).count() > lines.len()
}

pub(super) fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    lines::read_open_ended(file, index, |index, line| {
        let (image, caption) = parse(line).ok_or_else(|| format!("no caption: {line}"))?;
        index.caption(image, SourceCaption::new(caption));
        Ok(())
    })
}

fn parse(line: &str) -> Option<(&str, &str)> {
    let (image, caption) = line.trim().split_once([' ', '\t'])?;
    Some((image.trim_end_matches(':'), caption.trim()))
}
