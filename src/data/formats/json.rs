//! Reading a whole JSON file with errors that say where it is wrong and whether it was cut short.

use crate::data::error::DatasetError;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::fs;
use std::path::Path;

pub(super) fn read<T: DeserializeOwned>(file: &Path) -> Result<T, DatasetError> {
    let bytes = fs::read(file).map_err(DatasetError::reading(file))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let (file, line, column) = (file.to_owned(), error.line(), error.column());
        match error.classify() {
            Category::Eof => DatasetError::TornJson { file, line, column },
            _ => DatasetError::Json {
                file,
                line,
                column,
                detail: describe(&error),
            },
        }
    })
}

/// What serde_json says, without the position that it appends and the error names already.
fn describe(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&position).unwrap_or(&message).to_owned()
}

/// Whether a file holds this key anywhere, torn or not; a caption cannot pretend to, as JSON escapes quotes.
pub(super) fn mentions(file: &Path, key: &str) -> bool {
    let key = format!("\"{key}\"");
    fs::read(file).is_ok_and(|bytes| bytes.windows(key.len()).any(|window| window == key.as_bytes()))
}
