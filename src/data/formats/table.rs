//! Tables of captions as people save them: any usual delimiter, with and without quotes and header.

use super::cell::Cell;
use super::columns::{ColumnNames, Columns};
use super::{descriptions, flickr8k, json_records, lines, text_file};
use crate::data::error::DatasetError;
use crate::data::image_files::{ImageFiles, is_image_name};
use crate::data::index::CaptionIndex;
use std::cell::RefCell;
use std::iter;
use std::path::Path;

const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// A quoted caption has at most this many lines; further ones belong to a quotation mark that is never closed.
const MAX_LINES_OF_A_RECORD: usize = 20;
/// Characters that suffice to recognize a table.
const START: usize = 1 << 16;
/// Lines by which names without extension and single quotes are recognized.
const SAMPLE: usize = 20;

/// How a table is written.
#[derive(Debug)]
struct Dialect {
    delimiter: char,
    /// `\"` stands for a quotation mark within quotes.
    has_backslashes: bool,
    /// Cells are in `'`, whose ends are the only ones that count: captions have apostrophes.
    has_single_quotes: bool,
    buffers: RefCell<Buffers>,
}

/// Reused for each record: to build a reader takes a hundred times as long as to read a record, and csv-core 0.1.13 loses
/// the character classes in a clone.
#[derive(Debug)]
struct Buffers {
    reader: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Dialect {
    fn new(delimiter: char, has_backslashes: bool, has_single_quotes: bool) -> Self {
        let reader = csv_core::ReaderBuilder::new()
            .delimiter(delimiter as u8)
            .escape(has_backslashes.then_some(b'\\'))
            .quoting(!has_single_quotes)
            .build();
        Self {
            delimiter,
            has_backslashes,
            has_single_quotes,
            buffers: RefCell::new(Buffers {
                reader,
                text: Vec::new(),
                ends: Vec::new(),
            }),
        }
    }
}

/// Whether a file starts as a table of captions.
pub(super) fn recognizes(file: &Path, images: &ImageFiles) -> bool {
    text_file::start(file, START)
        .is_some_and(|text| Table::of(&text, &ColumnNames::default(), images).is_some())
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
        skipped,
    }) = Table::of(&lossy, &index.columns, &index.files)
    else {
        if lossy.trim_start().starts_with(['{', '[']) {
            // Some programs save objects under any name.
            return json_records::read(file, index);
        }
        if flickr8k::recognizes(file) {
            return flickr8k::read(file, index);
        }
        if descriptions::recognizes(file, &index.files) {
            return descriptions::read(file, index);
        }
        return Err(without_columns(file, &lossy, &index.columns));
    };
    if let Some(names) = &header {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Some(unknown) = Columns::missing(&names, &index.columns) {
            let file = file.to_owned();
            return Err(DatasetError::Column { file, unknown });
        }
        if let Some(columns) = columns.describe(&names) {
            index.note(format!("{}: {columns}", file.display()));
        }
    } else {
        index.note(format!(
            "{}: no header; {}",
            file.display(),
            columns.describe_numbers()
        ));
    }
    let skipped = skipped + usize::from(header.is_some());
    let records = dialect.records(&text, skipped);
    let unended = lines::list(file, index, records, |index, record| {
        let fields = dialect.fields(record, &columns)?;
        columns.take(index, fields)
    })?;
    if let Some(number) = unended {
        lines::add_unended(file, number, index);
    }
    Ok(())
}

/// The error for a table in which no columns of image and caption are found.
fn without_columns(file: &Path, text: &str, given: &ColumnNames) -> DatasetError {
    let file = file.to_owned();
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let Some(first) = lines().next() else {
        return DatasetError::Empty { file };
    };
    let header = lines().find(|line| !line.starts_with('#')).unwrap_or(first);
    let splits = DELIMITERS.map(|delimiter| Dialect::new(delimiter, false, false).split(header));
    let names = splits
        .iter()
        .max_by_key(|names| names.len())
        .map(Vec::as_slice)
        .unwrap_or_default();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match Columns::missing(&names, given) {
        Some(unknown) => DatasetError::Column { file, unknown },
        None => DatasetError::Header {
            file,
            found: first.to_owned(),
        },
    }
}

/// A table's dialect and columns.
struct Table {
    dialect: Dialect,
    columns: Columns,
    header: Option<Vec<String>>,
    /// The lines before it: blank lines, comments, and the `sep=;` of spreadsheets.
    skipped: usize,
}

impl Table {
    /// By the first lines of a table, with or without header.
    fn of(text: &str, given: &ColumnNames, images: &ImageFiles) -> Option<Self> {
        let has_backslashes = text.contains("\\\"");
        let mut delimiters = DELIMITERS.to_vec();
        for (skipped, line) in text.lines().enumerate().take(SAMPLE) {
            if line.trim().is_empty() {
                continue;
            }
            if let Some(delimiter) = named_delimiter(line) {
                delimiters = vec![delimiter];
                continue;
            }
            let rows: Vec<&str> = text
                .lines()
                .skip(skipped)
                .filter(|line| !line.trim().is_empty())
                .take(SAMPLE)
                .collect();
            let found = delimiters.iter().find_map(|&delimiter| {
                let dialect = Dialect::new(
                    delimiter,
                    has_backslashes,
                    has_single_quotes(&rows[1..], delimiter),
                );
                let names = dialect.split(line);
                let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
                let mut columns = Columns::named(&borrowed, given)?;
                let below: Vec<Vec<String>> = rows[1..].iter().map(|row| dialect.split(row)).collect();
                columns.look_at(&below);
                Some((dialect, columns, Some(names)))
            });
            let found = found.or_else(|| {
                delimiters.iter().find_map(|&delimiter| {
                    let dialect =
                        Dialect::new(delimiter, has_backslashes, has_single_quotes(&rows, delimiter));
                    let (columns, header) = dialect.columns_of(&rows, given, images)?;
                    Some((dialect, columns, header))
                })
            });
            match found {
                Some((dialect, columns, header)) => {
                    return Some(Self {
                        dialect,
                        columns,
                        header,
                        skipped,
                    });
                }
                None if line.starts_with('#') => {}
                None => return None,
            }
        }
        None
    }
}

/// The delimiter that a line `sep=;` names.
fn named_delimiter(line: &str) -> Option<char> {
    let line = line.trim_matches(['\r', '"', ' ']);
    let (name, delimiter) = line.split_at_checked(4)?;
    let mut characters = delimiter.chars();
    let delimiter = characters.next().filter(char::is_ascii)?;
    (name.eq_ignore_ascii_case("sep=") && characters.next().is_none()).then_some(delimiter)
}

/// Whether the last cell of all rows is in single quotes.
fn has_single_quotes(rows: &[&str], delimiter: char) -> bool {
    let is_quoted = |row: &&str| {
        let last = row.trim().strip_suffix('\'').unwrap_or_default();
        let starts = |(at, _): (usize, &str)| {
            last[..at].trim_end().is_empty() || last[..at].trim_end().ends_with(delimiter)
        };
        last.match_indices('\'').any(starts)
    };
    !rows.is_empty() && rows.iter().all(is_quoted)
}

/// The columns of a table whose header has unknown names, by the rows below.
fn under_unknown_names(rows: &[Vec<String>], is_image: &dyn Fn(&str) -> bool) -> Option<Columns> {
    let (names, rows) = rows.split_first()?;
    if names.len() < 2 || rows.iter().any(|row| row.len() < names.len()) {
        return None;
    }
    // Further delimiters belong to the caption, if it is the last column.
    let fitted = |row: &Vec<String>| {
        let (first, rest) = row.split_at(names.len() - 1);
        [first, &[rest.join(" ")]].concat()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(fitted).collect();
    let columns = Columns::by_content(&rows, is_image)?;
    let is_header = is_like_header(names) && names.len() == columns.count && !names[0].starts_with('#');
    (is_header && !is_image(&names[columns.image]) && columns.captions_are_alike(names)).then_some(columns)
}

/// Whether no cell of a row is longer than the name of a column.
fn is_like_header(row: &[String]) -> bool {
    row.iter()
        .all(|cell| (1..=2).contains(&cell.split_whitespace().count()))
}

/// The columns of a table whose first row is `a.jpg,A dog`, `a.jpg,0,A dog` or `A dog,a.jpg`, perhaps without extensions.
fn without_header(rows: &[Vec<String>], is_image: &dyn Fn(&str) -> bool) -> Option<Columns> {
    let is_named = |cell: &String| is_image_name(Path::new(cell.trim_matches('\'')));
    let (image, rest) = rows.first()?.split_first()?;
    let count = match rest {
        [] => return None,
        [number, _, ..] if number.parse::<u32>().is_ok() => 3,
        // Further delimiters belong to the caption.
        _ => 2,
    };
    let is_known = |row: &&Vec<String>| row.len() > 1 && is_image(&row[0]);
    let are_known = || 2 * rows.iter().filter(is_known).count() > rows.len();
    if is_image(image) || (are_known() && !is_like_header(&rows[0])) {
        return Some(Columns::at(0, vec![count - 1], count));
    }
    let is_last = rows.iter().all(|row| row.len() == 2 && is_named(&row[1]));
    is_last.then(|| Columns::at(1, vec![0], 2))
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
    /// The columns of a table without the usual names, from its first rows, and its header if it has one.
    fn columns_of(
        &self,
        rows: &[&str],
        given: &ColumnNames,
        images: &ImageFiles,
    ) -> Option<(Columns, Option<Vec<String>>)> {
        let is_separate = self.separates(rows);
        let rows: Vec<Vec<String>> = rows.iter().map(|row| self.split(row)).collect();
        if given.are_given() {
            return Some((Columns::numbered(given, rows.first()?.len())?, None));
        }
        let is_image = |cell: &str| {
            let name = cell.trim_matches('\'');
            is_image_name(Path::new(name)) || images.have(name)
        };
        if let Some(columns) = under_unknown_names(&rows, &is_image) {
            return Some((columns, rows.into_iter().next()));
        }
        // A header of unknown names over captions in several languages, for one: the user has to choose.
        let is_headed =
            rows.len() > 1 && is_like_header(&rows[0]) && !rows[0].iter().any(|cell| is_image(cell));
        if is_headed && Columns::by_content(&rows[1..], &is_image).is_some() {
            return None;
        }
        let by_content = || Columns::by_content(&rows, &is_image).filter(|columns| columns.count > 2);
        let columns = is_separate
            .then(by_content)
            .flatten()
            .or_else(|| without_header(&rows, &is_image));
        Some((columns?, None))
    }

    /// Whether delimiters stand between cells in these rows, and not in captions without quotes: there a blank follows.
    fn separates(&self, rows: &[&str]) -> bool {
        let blank = format!("{} ", self.delimiter);
        rows.len() > 1 && !rows.iter().any(|row| row.contains(&blank) && !row.contains('"'))
    }

    /// The records after some lines, with the number of their first line, and whether they have a line ending. A quoted field may have
    /// several lines; where a quotation mark is never closed, only its own line is lost.
    fn records<'t>(
        &'t self,
        text: &'t [u8],
        skipped: usize,
    ) -> impl Iterator<Item = (usize, &'t [u8], bool)> {
        let mut number = 1 + skipped;
        let mut start = line_ends(text).take(skipped).last().unwrap_or(0);
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
        if self.has_single_quotes || !record.contains(&b'"') {
            return Quotes::Closed;
        }
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

    /// The cells of a record. Further delimiters of an unquoted line belong to the caption.
    fn fields(&self, record: &str, columns: &Columns) -> Result<Vec<Cell>, String> {
        if self.quotes(record.as_bytes()) == Quotes::Open {
            return Err(format!("a quotation mark is not closed: {record}"));
        }
        let mut fields = match self.single_quoted(record) {
            Some(fields) if fields.len() == columns.count => fields,
            _ => self.split(record),
        };
        if fields.len() > columns.count
            && let Some(column) = columns.caption_with_delimiters()
        {
            let cells: Vec<&str> = record.split(self.delimiter).collect();
            let further = cells.len() - columns.count.min(cells.len());
            let (before, rest) = cells.split_at(column);
            let (caption, after) = rest.split_at(1 + further);
            if ![before, after].concat().iter().any(|cell| cell.contains('"')) {
                let caption = caption.join(&self.delimiter.to_string());
                let others = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
                fields = [others(before), vec![caption], others(after)].concat();
            }
        }
        if fields.len() != columns.count {
            let (found, expected) = (fields.len(), columns.count);
            return Err(format!("{found} fields instead of {expected}: {record}"));
        }
        let cell = |field: &String| match self.has_single_quotes {
            true => Cell::of_text(&unquoted(field)),
            false => Cell::of_text(field),
        };
        Ok(fields.iter().map(cell).collect())
    }

    /// The fields of `'a.jpg','A dog, running'`, which may have delimiters and apostrophes.
    fn single_quoted(&self, record: &str) -> Option<Vec<String>> {
        if !self.has_single_quotes {
            return None;
        }
        let inner = record.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        let boundary = format!("'{}'", self.delimiter);
        Some(inner.split(&boundary).map(str::to_owned).collect())
    }

    fn split(&self, record: &str) -> Vec<String> {
        let Buffers { reader, text, ends } = &mut *self.buffers.borrow_mut();
        reader.reset();
        if text.len() < record.len() {
            text.resize(record.len(), 0);
            ends.resize(record.len() + 1, 0);
        }
        let (_, _, length, count) = reader.read_record(record.as_bytes(), text, ends);
        // The end of the input ends a record without line ending.
        let (_, _, _, last) = reader.read_record(&[], &mut text[length..], &mut ends[count..]);
        let starts = iter::once(0).chain(ends.iter().copied());
        let fields = starts.zip(&ends[..count + last]);
        fields
            .map(|(start, &end)| one_line(&String::from_utf8_lossy(&text[start..end])))
            .collect()
    }
}

/// A cell without single quotes around it, with those that are doubled or escaped within.
fn unquoted(field: &str) -> String {
    let field = field.trim();
    let inner = field
        .strip_prefix('\'')
        .and_then(|field| field.strip_suffix('\''));
    inner.unwrap_or(field).replace("''", "'").replace("\\'", "'")
}

/// A field with one blank between its words.
fn one_line(field: &str) -> String {
    let is_blank = |byte: u8| byte == b' ';
    // Most fields are so already.
    let bytes = field.as_bytes();
    let is_plain = bytes
        .iter()
        .all(|byte| byte.is_ascii_graphic() || is_blank(*byte))
        && !bytes.first().copied().is_some_and(is_blank)
        && !bytes.last().copied().is_some_and(is_blank)
        && !bytes.windows(2).any(|pair| pair == b"  ");
    match is_plain {
        true => field.to_owned(),
        false => field.split_whitespace().collect::<Vec<_>>().join(" "),
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
        index_of(text).captions()
    }

    fn index_of(text: &str) -> CaptionIndex {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("captions.csv");
        std::fs::write(&file, text).unwrap();
        let mut index = CaptionIndex::default();
        read(&file, &mut index).unwrap();
        index
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
    fn columns_under_unknown_names_are_found_by_their_content() {
        let found = captions("uri,alt2,type\na.jpg,a dog runs,train\nb.jpg,a cat sits,val\n");
        assert_eq!(
            found,
            [
                ("a.jpg".to_owned(), vec!["a dog runs".to_owned()]),
                ("b.jpg".to_owned(), vec!["a cat sits".to_owned()])
            ]
        );
        let found = index_of("image,caption,data_split\na.jpg,a dog runs,train\nb.jpg,a cat sits,val\n");
        assert!(found.has_splits());
        let languages = "file_of_it,english,spanish\na.jpg,a dog runs,un perro\nb.jpg,a cat sits,un gato\n";
        let files = ImageFiles::default();
        assert!(Table::of(languages, &ColumnNames::default(), &files).is_none());
        let found = captions("uri|ref1|ref2\na.jpg|a dog runs|the dog\nb.jpg|a cat sits|the cat\n");
        assert_eq!(found[0].1, ["a dog runs", "the dog"]);
    }

    #[test]
    fn columns_without_header_are_separate_if_no_blank_follows() {
        let found = captions("a.jpg,a dog runs,the dog\nb.jpg,a cat sits,the cat\n");
        assert_eq!(found[0].1, ["a dog runs", "the dog"]);
        let found = captions("a.jpg\ta dog runs\ttrain\nb.jpg\ta cat sits\tval\n");
        assert_eq!(found[0].1, ["a dog runs"]);
        let found = captions("a.jpg,a dog, running\nb.jpg,a cat, sitting\n");
        assert_eq!(found[0].1, ["a dog, running"]);
    }

    #[test]
    fn lines_before_a_table_and_single_quotes_are_read() {
        let dogs = [one("a.jpg", &["A dog, running"]), one("b.jpg", &["A dog's ball"])];
        for text in [
            "sep=;\nimage;caption\na.jpg;A dog, running\nb.jpg;A dog's ball\n",
            "\"sep=\t\"\r\nimage\tcaption\r\na.jpg\tA dog, running\r\nb.jpg\tA dog's ball\r\n",
            "\n# exported, today\n\n#image,caption\na.jpg,\"A dog, running\"\nb.jpg,A dog's ball\n",
            "# of \"mine, yours\n# two\na.jpg,A dog, running\nb.jpg,A dog's ball\n",
            "'image','caption'\n'a.jpg','A dog, running'\n'b.jpg','A dog''s ball'\n",
            "caption,image\n'A dog, running','a.jpg'\n'A dog\\'s ball','b.jpg'\n",
            "image,caption\na.jpg, 'A dog, running'\nb.jpg, 'A dog's ball'\n",
            "'a.jpg','A dog, running'\n'b.jpg','A dog's ball'\n",
            "sep=^\nimage^caption\na.jpg^A dog, running\nb.jpg^A dog's ball\n",
            "A dog, running\ta.jpg\nA dog's ball\tb.jpg\n",
        ] {
            assert_eq!(captions(text), dogs, "{text}");
        }
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
            for start in ["", "image,caption\n", "image|caption\n", "sep=|\n#\nimage|caption\n'a'|''\n"] {
                std::fs::write(&file, [start.as_bytes(), &bytes].concat()).unwrap();
                recognizes(&file, &ImageFiles::default());
                let _ = read(&file, &mut CaptionIndex::default());
            }
        }
    }
}
