//! `descriptions.txt` of Keras tutorials: the image's name without extension, a blank, a cleaned caption.

use super::{Format, Reader, lines};
use crate::data::image::SourceCaption;

pub(super) const READER: Reader = Reader {
    format: Format::Descriptions,
    files: "descriptions.txt",
    is_named: |name| name.eq_ignore_ascii_case("descriptions.txt"),
    // Any text has words, so the name decides.
    recognizes: |_| false,
    read: |file, index| {
        lines::read_open_ended(file, index, |index, line| {
            let (image, caption) = line
                .trim()
                .split_once([' ', '\t'])
                .ok_or_else(|| format!("no caption: {line}"))?;
            index.caption(image, SourceCaption::new(caption.trim()));
            Ok(())
        })
    },
    has_several_files: false,
};
