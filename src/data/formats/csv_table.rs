//! Captions as CSV with a header, one caption a line: the files of Kaggle and of plain folders.

use super::lines;
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::index::CaptionIndex;
use crate::data::split::Split;
use std::io::Read;
use std::path::Path;

/// The indices of the columns.
struct CsvColumns {
    image: usize,
    caption: usize,
    split: Option<usize>,
    count: usize,
}

/// Reads a table whose header has `image` or `photo`, `caption` and perhaps `split`.
///
/// Captions do not span lines, so an unclosed quotation mark invalidates its line only, not the rest of the file.
///
/// # Errors
/// If the file cannot be read, its header does not have the columns, or no line is valid.
pub(super) fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let mut columns = None;
    let mut wrong_header = None;
    let read = lines::read_open_ended(file, index, |index, line| match &columns {
        Some(columns) => take(index, columns, line),
        None if wrong_header.is_some() => Err("no header".to_owned()),
        None => {
            columns = CsvColumns::named_in(line);
            if columns.is_none() {
                wrong_header = Some(line.to_owned());
            }
            Ok(())
        }
    });
    match wrong_header {
        Some(found) => Err(DatasetError::Header {
            file: file.to_owned(),
            found,
        }),
        None => read,
    }
}

/// Whether a line is such a table's header.
pub(super) fn is_header(line: &str) -> bool {
    CsvColumns::named_in(line).is_some()
}

impl CsvColumns {
    fn named_in(header: &str) -> Option<Self> {
        let names = fields(header).ok()?;
        let column = |known: &[&str]| {
            let is_known = |name: &str| known.iter().any(|known| name.trim().eq_ignore_ascii_case(known));
            names.iter().position(is_known)
        };
        Some(Self {
            image: column(&["image", "photo"])?,
            caption: column(&["caption"])?,
            split: column(&["split"]),
            count: names.len(),
        })
    }
}

fn take(index: &mut CaptionIndex, columns: &CsvColumns, line: &str) -> Result<(), String> {
    let fields = fields(line)?;
    if fields.len() != columns.count {
        let (found, expected) = (fields.len(), columns.count);
        return Err(format!("{found} fields instead of {expected}: {line}"));
    }
    let field = |column: usize| fields.get(column).unwrap_or_default().trim();
    let (key, caption) = (field(columns.image), field(columns.caption));
    if key.is_empty() || caption.is_empty() {
        return Err(format!("no image or no caption: {line}"));
    }
    let split = match columns.split.map(field) {
        None | Some("") => None,
        Some(name) => Some(name.parse::<Split>().map_err(|error| error.to_string())?),
    };
    index.caption(key, SourceCaption::new(caption));
    if let Some(split) = split {
        index.split(key, split);
    }
    Ok(())
}

/// The fields of one line of CSV.
fn fields(line: &str) -> Result<csv::StringRecord, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(line.len().max(1))
        .from_reader(line.as_bytes().chain(b"\n".as_slice()));
    let mut record = csv::StringRecord::new();
    reader
        .read_record(&mut record)
        .map_err(|error| error.to_string())?;
    // After an unclosed quotation mark, the line ending is part of the field.
    if record
        .iter()
        .next_back()
        .is_some_and(|field| field.ends_with('\n'))
    {
        return Err(format!("a quotation mark is not closed on its line: {line}"));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_line_is_split_and_an_open_quote_is_an_error() {
        let fields = |line| fields(line).map(|record| record.iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(
            fields("a.jpg,\"A dog , \"\"Rex\"\" .\"").unwrap(),
            ["a.jpg", "A dog , \"Rex\" ."]
        );
        assert_eq!(fields("a.jpg,A 5\" nail").unwrap(), ["a.jpg", "A 5\" nail"]);
        assert!(fields("a.jpg,\"A dog").unwrap_err().contains("not closed"));
    }

    #[test]
    fn header_columns_may_have_any_order() {
        assert!(is_header("image,caption"));
        assert!(is_header("split, Caption ,\"image\""));
        assert!(!is_header("a.jpg,A dog"));
    }
}
