//! Reading captions line by line, so that a bad line costs a line in the report and nothing else.

use crate::data::error::DatasetError;
use crate::data::index::CaptionIndex;
use crate::data::problems::ProblemKind;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::iter;
use std::path::Path;

/// Hands every line that is not blank to `take`, without its line end (LF or CR LF) and byte order mark.
///
/// A line that is not UTF-8, or that `take` refuses with a reason, is listed as malformed, or as torn where
/// it is the last and has no line end. Returns the number of the last line where it was taken although it
/// has no line end.
///
/// # Errors
/// Where the file cannot be read, or not one line could be used.
pub(super) fn read(
    file: &Path,
    index: &mut CaptionIndex,
    mut take: impl FnMut(&mut CaptionIndex, &str) -> Result<(), String>,
) -> Result<Option<usize>, DatasetError> {
    let bytes = fs::read(file).map_err(DatasetError::reading(file))?;
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let mut any_used = false;
    let mut unended = None;
    let mut first_problem = None;

    for (line, number) in iter::zip(bytes.split_inclusive(|&byte| byte == b'\n'), 1..) {
        let ended = line.ends_with(b"\n");
        let taken = match str::from_utf8(line) {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => take(index, text.trim_end_matches(['\n', '\r'])),
            Err(_) => Err(format!("not UTF-8: {}", String::from_utf8_lossy(line).trim_end())),
        };
        match taken {
            Ok(()) => {
                any_used = true;
                unended = (!ended).then_some(number);
            }
            Err(reason) => {
                let kind = if ended {
                    ProblemKind::MalformedLine
                } else {
                    ProblemKind::TornLine
                };
                first_problem.get_or_insert_with(|| format!("line {number}: {reason}"));
                index.problems.add(kind, place(file, number), reason);
            }
        }
    }
    if any_used {
        Ok(unended)
    } else {
        let first_problem = first_problem.unwrap_or_else(|| "it is empty".to_owned());
        Err(DatasetError::NoUsableLine {
            file: file.to_owned(),
            first_problem,
        })
    }
}

/// Reads a file of captions whose lines do not show where they end: a last line without a line end may be
/// half a caption, so it is listed.
pub(super) fn read_open_ended(
    file: &Path,
    index: &mut CaptionIndex,
    take: impl FnMut(&mut CaptionIndex, &str) -> Result<(), String>,
) -> Result<(), DatasetError> {
    if let Some(number) = read(file, index, take)? {
        let detail =
            "the file does not end with a line end: if this caption is cut short, copy the file again";
        index
            .problems
            .add(ProblemKind::UnendedLine, place(file, number), detail);
    }
    Ok(())
}

/// The first line of a file without its end and byte order mark; `None` where it has none that is text.
pub(super) fn first(file: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(File::open(file).ok()?).read_line(&mut line).ok()?;
    Some(line.trim_start_matches('\u{feff}').trim_end().to_owned())
}

/// A line as the report names it.
pub(super) fn place(file: &Path, line: usize) -> String {
    format!("{}, line {line}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(content: &[u8]) -> (Result<Option<usize>, DatasetError>, Vec<String>, CaptionIndex) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("captions.txt");
        fs::write(&file, content).unwrap();
        let mut index = CaptionIndex::default();
        let mut taken = Vec::new();
        let result = read(&file, &mut index, |_, line| {
            if line.contains("bad") {
                return Err("bad line".to_owned());
            }
            taken.push(line.to_owned());
            Ok(())
        });
        (result, taken, index)
    }

    #[test]
    fn bad_lines_are_listed_with_their_number() {
        let (result, taken, index) = read_bytes(b"\xef\xbb\xbfone\r\n\nbad\nt\xe9o\nthree\nbad");
        assert_eq!(result.unwrap(), None);
        assert_eq!(taken, ["one", "three"]);
        let places = |kind| -> Vec<_> {
            index
                .problems
                .of(kind)
                .iter()
                .map(|p| p.location.rsplit_once(", ").unwrap().1.to_owned())
                .collect()
        };
        assert_eq!(places(ProblemKind::MalformedLine), ["line 3", "line 4"]);
        assert_eq!(places(ProblemKind::TornLine), ["line 6"]);
    }

    #[test]
    fn last_line_without_line_end_is_returned() {
        assert_eq!(read_bytes(b"one\ntwo").0.unwrap(), Some(2));
        assert_eq!(read_bytes(b"one\ntwo\n").0.unwrap(), None);
    }

    #[test]
    fn file_without_usable_lines_is_an_error() {
        assert!(read_bytes(b"").0.unwrap_err().to_string().contains("it is empty"));
        assert!(
            read_bytes(b"\nbad\n")
                .0
                .unwrap_err()
                .to_string()
                .contains("line 2: bad line")
        );
    }
}
