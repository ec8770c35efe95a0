//! Tables of captions as people save them: any usual delimiter, with and without quotes and header.

use super::columns::{Cell, ColumnNames, Columns};
use super::{lines, text_file};
use crate::data::error::DatasetError;
use crate::data::index::{CaptionIndex, is_image_name};
use std::cell::RefCell;
use std::iter;
use std::path::Path;

const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// A quoted caption has at most this many lines; further ones belong to a quotation mark that is never closed.
const MAX_LINES_OF_A_RECORD: usize = 20;
/// Characters that suffice to recognize a table.
const START: usize = 1 << 16;

/// How a table is written.
#[derive(Debug)]
struct Dialect {
    delimiter: char,
    /// `\"` stands for a quotation mark within quotes.
    has_backslashes: bool,
    /// Reset for each record: to build one takes a hundred times as long as to read a record, and csv-core 0.1.13 loses the
    /// character classes in a clone.
    reader: RefCell<csv_core::Reader>,
}

impl Dialect {
    fn new(delimiter: char, has_backslashes: bool) -> Self {
        let reader = csv_core::ReaderBuilder::new()
            .delimiter(delimiter as u8)
            .escape(has_backslashes.then_some(b'\\'))
            .build();
        Self {
            delimiter,
            has_backslashes,
            reader: RefCell::new(reader),
        }
    }
}

/// Whether a file starts as a table of captions.
pub(super) fn recognizes(file: &Path) -> bool {
    text_file::start(file, START).is_some_and(|text| Table::of(&text, &ColumnNames::default()).is_some())
}

/// Reads a table.
///
/// # Errors
/// If the file cannot be read, its columns cannot be determined, or no row is valid.
pub(super) fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let text = text_file::read(file, index)?;
    let lossy = String::from_utf8_lossy(&text);
    let Some(Table {
        dialect,
        columns,
        header,
    }) = Table::of(&lossy, &index.columns)
    else {
        return Err(DatasetError::Header {
            file: file.to_owned(),
            found: lossy
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default()
                .to_owned(),
        });
    };
    if let Some(names) = &header {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Some(columns) = columns.describe(&names) {
            index.note(format!("{}: {columns}", file.display()));
        }
    }
    let records = dialect.records(&text).skip(usize::from(header.is_some()));
    let unended = lines::list(file, index, records, |index, record| {
        let fields = dialect.fields(record, &columns)?;
        columns.take(index, &fields)
    })?;
    if let Some(number) = unended {
        lines::add_unended(file, number, index);
    }
    Ok(())
}

/// A table's dialect and columns.
struct Table {
    dialect: Dialect,
    columns: Columns,
    header: Option<Vec<String>>,
}

impl Table {
    /// By the first line of a table, with or without header.
    fn of(text: &str, given: &ColumnNames) -> Option<Self> {
        let first = text.lines().find(|line| !line.trim().is_empty())?;
        let has_backslashes = text.contains("\\\"");
        let with_header = DELIMITERS.into_iter().find_map(|delimiter| {
            let dialect = Dialect::new(delimiter, has_backslashes);
            let names = dialect.split(first);
            let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
            let columns = Columns::named(&borrowed, given)?;
            Some(Self {
                dialect,
                columns,
                header: Some(names),
            })
        });
        with_header.or_else(|| {
            DELIMITERS.into_iter().find_map(|delimiter| {
                let dialect = Dialect::new(delimiter, has_backslashes);
                let fields = dialect.split(first);
                let columns = without_header(&fields)?;
                Some(Self {
                    dialect,
                    columns,
                    header: None,
                })
            })
        })
    }
}

/// The columns of a table whose first row is `a.jpg,A dog` or `a.jpg,0,A dog`.
fn without_header(fields: &[String]) -> Option<Columns> {
    let (image, rest) = fields.split_first()?;
    let count = match rest {
        [] => return None,
        [number, _, ..] if number.parse::<u32>().is_ok() => 3,
        // Further delimiters belong to the caption.
        _ => 2,
    };
    is_image_name(Path::new(image)).then(|| Columns {
        image: 0,
        captions: vec![count - 1],
        split: None,
        count,
    })
}

/// Where a record ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Closed,
    Open,
    /// A quotation mark within a field, which stands for itself.
    Stray,
}

impl Dialect {
    /// The records with the number of their first line, and whether they have a line ending. A quoted field may have
    /// several lines; where a quotation mark is never closed, only its own line is lost.
    fn records<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = (usize, &'t [u8], bool)> {
        let (mut start, mut number) = (0, 1);
        std::iter::from_fn(move || {
            if start >= text.len() {
                return None;
            }
            let ends = line_ends(&text[start..]).take(MAX_LINES_OF_A_RECORD);
            let mut record = (line_ends(&text[start..]).next()?, 1);
            for (end, lines) in ends.zip(1..) {
                match self.quotes(&text[start..start + end]) {
                    Quotes::Closed => {
                        record = (end, lines);
                        break;
                    }
                    Quotes::Open => {}
                    Quotes::Stray => break,
                }
            }
            let (end, lines) = record;
            let found = &text[start..start + end];
            let first = number;
            start += end;
            number += lines;
            Some((first, found, found.ends_with(b"\n")))
        })
    }

    fn quotes(&self, record: &[u8]) -> Quotes {
        let delimiter = self.delimiter as u8;
        let mut bytes = record.iter().copied().peekable();
        let mut at_start = true;
        while let Some(byte) = bytes.next() {
            if byte == b'"' && at_start {
                loop {
                    match bytes.next() {
                        None => return Quotes::Open,
                        Some(b'\\') if self.has_backslashes => drop(bytes.next()),
                        Some(b'"') if bytes.peek() == Some(&b'"') => drop(bytes.next()),
                        Some(b'"') => break,
                        Some(_) => {}
                    }
                }
                while bytes.next_if_eq(&b' ').is_some() {}
                match bytes.peek() {
                    None | Some(b'\r' | b'\n') => {}
                    Some(&next) if next == delimiter => {}
                    Some(_) => return Quotes::Stray,
                }
            }
            at_start = byte == delimiter;
        }
        Quotes::Closed
    }

    /// The cells of a record. Where the caption is the last column, the rest of an unquoted line belongs to it.
    fn fields(&self, record: &str, columns: &Columns) -> Result<Vec<Cell>, String> {
        if self.quotes(record.as_bytes()) == Quotes::Open {
            return Err(format!("a quotation mark is not closed: {record}"));
        }
        let mut fields = self.split(record);
        let is_last = columns.captions.iter().max() == Some(&(columns.count - 1));
        if fields.len() > columns.count && is_last {
            let rest: Vec<&str> = record.splitn(columns.count, self.delimiter).collect();
            if rest.len() == columns.count
                && !rest[..columns.count - 1].iter().any(|field| field.contains('"'))
            {
                fields = rest.into_iter().map(str::to_owned).collect();
            }
        }
        if fields.len() != columns.count {
            let (found, expected) = (fields.len(), columns.count);
            return Err(format!("{found} fields instead of {expected}: {record}"));
        }
        Ok(fields.iter().map(|field| Cell::of_text(field)).collect())
    }

    fn split(&self, record: &str) -> Vec<String> {
        let mut reader = self.reader.borrow_mut();
        reader.reset();
        let mut text = vec![0; record.len()];
        let mut ends = vec![0; record.len() + 1];
        let (_, _, length, count) = reader.read_record(record.as_bytes(), &mut text, &mut ends);
        // The end of the input ends a record without line ending.
        let (_, _, more, last) = reader.read_record(&[], &mut text[length..], &mut ends[count..]);
        text.truncate(length + more);
        let starts = iter::once(0).chain(ends.iter().copied());
        let fields = starts.zip(&ends[..count + last]);
        let one_line = |bytes: &[u8]| {
            let field = String::from_utf8_lossy(bytes);
            field.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        fields.map(|(start, &end)| one_line(&text[start..end])).collect()
    }
}

fn line_ends(text: &[u8]) -> impl Iterator<Item = usize> {
    let mut end = 0;
    text.split_inclusive(|&byte| byte == b'\n').map(move |line| {
        end += line.len();
        end
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn captions(text: &str) -> Vec<(String, Vec<String>)> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("captions.csv");
        std::fs::write(&file, text).unwrap();
        let mut index = CaptionIndex::default();
        read(&file, &mut index).unwrap();
        index.captions()
    }

    fn one(image: &str, captions: &[&str]) -> (String, Vec<String>) {
        (
            image.into(),
            captions.iter().map(|&caption| caption.to_owned()).collect(),
        )
    }

    #[test]
    fn tables_are_read_in_all_dialects() {
        let dog = [one("a.jpg", &["A dog , running"])];
        for text in [
            "image,caption\na.jpg,\"A dog , running\"\n",
            "image,caption\na.jpg,A dog , running\n",
            "a.jpg,A dog , running\n",
            "a.jpg\tA dog , running\n",
            "image;caption\na.jpg;A dog , running\n",
            "image_name| comment_number| comment\na.jpg| 0| A dog , running\n",
            "caption,filename\n\"A dog , running\",a.jpg\n",
            "image,caption\na.jpg,\"A dog ,\n running\"\n",
            "captions,Image Name\n\"['A dog , running']\",a.jpg\n",
        ] {
            assert_eq!(captions(text), dog, "{text}");
        }
        let quoted = [one("a.jpg", &["A \"big\" dog"])];
        assert_eq!(captions("image,caption\na.jpg,\"A \"\"big\"\" dog\"\n"), quoted);
        assert_eq!(captions("image,caption\na.jpg,\"A \\\"big\\\" dog\"\n"), quoted);
    }

    #[test]
    fn unclosed_quotation_mark_costs_its_own_line_only() {
        let text = "image,caption\na.jpg,\"A dog\nb.jpg,A cat\nc.jpg,A 5\" nail\n";
        assert_eq!(
            captions(text),
            [one("b.jpg", &["A cat"]), one("c.jpg", &["A 5\" nail"])]
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("captions.csv");
            for start in ["", "image,caption\n", "image|caption\n"] {
                std::fs::write(&file, [start.as_bytes(), &bytes].concat()).unwrap();
                recognizes(&file);
                let _ = read(&file, &mut CaptionIndex::default());
            }
        }
    }
}
