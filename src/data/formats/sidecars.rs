//! A `.txt` file beside each image, one caption a line, as tools that train image generators save captions.

use super::{Format, Reader, text_file};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::index::{CaptionIndex, image_files};
use std::fs;
use std::path::{Path, PathBuf};

/// Its "file" is the directory.
pub(super) const READER: Reader = Reader {
    format: Format::Sidecars,
    files: "a .txt beside each image",
    is_named: |_| false,
    recognizes: |directory| directory.is_dir() && pairs(directory).is_ok_and(|pairs| !pairs.is_empty()),
    read,
    has_several_files: false,
};

fn read(directory: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let root = fs::canonicalize(directory).map_err(DatasetError::reading(directory))?;
    for (image, text) in pairs(&root)? {
        let key = image
            .strip_prefix(&root)
            .unwrap_or(&image)
            .to_string_lossy()
            .into_owned();
        let captions = text_file::bytes(&text)?;
        index.image(&key);
        for caption in String::from_utf8_lossy(&captions).lines().map(str::trim) {
            if !caption.is_empty() {
                index.caption(&key, SourceCaption::new(caption));
            }
        }
    }
    Ok(())
}

/// The images below a directory that have a text beside them.
fn pairs(directory: &Path) -> Result<Vec<(PathBuf, PathBuf)>, DatasetError> {
    let with_text = image_files(directory)?
        .into_iter()
        .map(|image| (image.with_extension("txt"), image));
    Ok(with_text
        .filter(|(text, _)| text.is_file())
        .map(|(text, image)| (image, text))
        .collect())
}
