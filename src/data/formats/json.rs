//! Reading a JSON file. Errors tell a truncated file from an invalid one, and name the line.

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
            Category::Eof => DatasetError::TruncatedJson { file, line, column },
            _ => DatasetError::Json {
                file,
                line,
                column,
                detail: describe(&error),
            },
        }
    })
}

/// The message of serde_json without the position, which [`DatasetError`] has already.
fn describe(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&position).unwrap_or(&message).to_owned()
}

/// Whether a file, perhaps truncated, contains this key. A caption cannot contain it, as JSON escapes quotes.
pub(super) fn mentions(file: &Path, key: &str) -> bool {
    let key = format!("\"{key}\"");
    fs::read(file).is_ok_and(|bytes| bytes.windows(key.len()).any(|window| window == key.as_bytes()))
}

pub(super) fn has_extension(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}
