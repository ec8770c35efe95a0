//! Reading a JSON file. Errors tell a truncated file from an invalid one, and name the line.

use super::cell::Cell;
use super::columns::Columns;
use super::{lines, text_file};
use crate::data::error::DatasetError;
use crate::data::index::CaptionIndex;
use crate::text::json_of_python;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;
use std::path::Path;

pub(super) fn read<T: DeserializeOwned>(file: &Path, index: &mut CaptionIndex) -> Result<T, DatasetError> {
    let bytes = text_file::read(file, index)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(DatasetError::Empty {
            file: file.to_owned(),
        });
    }
    json_of_python(&bytes).map_err(|error| {
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

/// Reads a file with an object on each line.
///
/// # Errors
/// If it cannot be read, or has no valid line.
pub(super) fn read_lines(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    // Some programs write one JSON list under this name.
    if lines::first(file).is_some_and(|line| line.trim_start().starts_with('[')) {
        return super::json_records::read(file, index);
    }
    // A truncated line is not valid JSON, so a missing line ending at the end of the file is no problem.
    lines::read(file, index, |index, line| {
        let record: Value = json_of_python(line.as_bytes()).map_err(|error| format!("{error}: {line}"))?;
        take_record(&record, index)
    })
    .map(drop)
}

/// Adds an object with the keys of an image and its captions.
///
/// # Errors
/// If it has none, or a split of an unknown name.
pub(super) fn take_record(record: &Value, index: &mut CaptionIndex) -> Result<(), String> {
    let Value::Object(record) = record else {
        return Err(format!("not an object: {record}"));
    };
    let keys: Vec<&str> = record.keys().map(String::as_str).collect();
    let columns = Columns::named(&keys, &index.columns).ok_or_else(|| {
        match Columns::missing(&keys, &index.columns) {
            Some(unknown) => unknown.to_string(),
            None => format!("no keys of an image and a caption, but {}", keys.join(", ")),
        }
    })?;
    if !index.described_keys.iter().eq(&keys) {
        index.described_keys = keys.iter().map(|key| (*key).to_owned()).collect();
        if let Some(columns) = columns.describe(&keys) {
            index.note(format!("{}: {columns}", index.file));
        }
    }
    let cells = record.values().map(|value| Cell::of_list(texts(value))).collect();
    columns.take(index, cells)
}

/// The texts of a value: a string, a number, or a list of strings or of objects with a caption or the path of an image.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(object) => {
            let text = [
                "raw",
                "caption",
                "captions",
                "text",
                "sentence",
                "path",
                "file_name",
            ]
            .iter()
            .find_map(|key| object.get(*key));
            text.map_or_else(Vec::new, texts)
        }
        Value::Null => vec![String::new()],
        Value::Bool(flag) => vec![flag.to_string()],
    }
}

/// The message of serde_json without the position, which [`DatasetError`] has already.
fn describe(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&position).unwrap_or(&message).to_owned()
}

/// Whether a JSON file, perhaps truncated, contains all these keys. A caption cannot contain one, as JSON escapes quotes.
pub(super) fn mentions(file: &Path, keys: &[&str]) -> bool {
    if !has_extension(file) {
        return false;
    }
    let Ok(text) = text_file::text(file) else {
        return false;
    };
    keys.iter().all(|key| text.contains(&format!("\"{key}\"")))
}

/// Whether a JSON file ends where a value may end: it is not truncated.
pub(super) fn is_whole(file: &Path) -> bool {
    has_extension(file) && text_file::text(file).is_ok_and(|text| text.trim_end().ends_with(['}', ']']))
}

/// Whether a JSON file has an object on each line.
pub(super) fn has_lines(file: &Path) -> bool {
    let Some(start) = text_file::start(file, 1 << 16) else {
        return false;
    };
    let mut lines = start.lines().filter(|line| !line.trim().is_empty());
    let is_object = |line: &str| serde_json::from_str::<serde_json::Map<String, Value>>(line).is_ok();
    lines.next().is_some_and(is_object) && lines.next().is_some()
}

pub(super) fn has_extension(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}
