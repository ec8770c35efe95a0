//! Reading captions line by line. An invalid line is listed as a problem, the others are read.

use super::text_file;
use crate::data::error::DatasetError;
use crate::data::index::CaptionIndex;
use crate::data::problems::ProblemKind;
use std::iter;
use std::path::Path;

/// Calls `take` with every line that is not blank, without line ending (LF or CR LF) and byte order mark.
///
/// A line that is not UTF-8, or for which `take` returns an error, is listed as malformed, or as truncated if it is the
/// last and has no line ending. Returns the number of the last line if it is valid but has no line ending.
///
/// # Errors
/// If the file cannot be read, or has no valid line.
pub(super) fn read(
    file: &Path,
    index: &mut CaptionIndex,
    take: impl FnMut(&mut CaptionIndex, &str) -> Result<(), String>,
) -> Result<Option<usize>, DatasetError> {
    let text = text_file::read(file, index)?;
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    let lines = iter::zip(1.., lines).map(|(number, line)| (number, line, line.ends_with(b"\n")));
    list(file, index, lines, take)
}

/// Calls `take` with every record that is not blank, as [`read`] does with lines. A record has the number of its first
/// line, its bytes, and whether it has a line ending.
///
/// # Errors
/// If no record is valid.
pub(super) fn list<'t>(
    file: &Path,
    index: &mut CaptionIndex,
    records: impl Iterator<Item = (usize, &'t [u8], bool)>,
    mut take: impl FnMut(&mut CaptionIndex, &str) -> Result<(), String>,
) -> Result<Option<usize>, DatasetError> {
    let mut any_used = false;
    let mut unended = None;
    let mut first_problem = None;

    for (number, line, ended) in records {
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
                    ProblemKind::TruncatedLine
                };
                first_problem.get_or_insert_with(|| format!("line {number}: {reason}"));
                index.problems.add(kind, location(file, number), reason);
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

/// Reads a file of captions whose lines have no end mark: a last line without line ending may be truncated, so it is
/// listed.
pub(super) fn read_open_ended(
    file: &Path,
    index: &mut CaptionIndex,
    take: impl FnMut(&mut CaptionIndex, &str) -> Result<(), String>,
) -> Result<(), DatasetError> {
    if let Some(number) = read(file, index, take)? {
        add_unended(file, number, index);
    }
    Ok(())
}

/// Lists a last line without line ending, which may be truncated.
pub(super) fn add_unended(file: &Path, number: usize, index: &mut CaptionIndex) {
    let detail =
        "the file does not end with a line ending: if this caption is truncated, copy the file again";
    index
        .problems
        .add(ProblemKind::UnendedLine, location(file, number), detail);
}

/// The first line of a file without line ending and byte order mark, if it is text.
pub(super) fn first(file: &Path) -> Option<String> {
    const LONGEST: usize = 1 << 16;
    let text = text_file::start(file, LONGEST)?;
    Some(text.lines().next()?.trim_end().to_owned())
}

fn location(file: &Path, line: usize) -> String {
    format!("{}, line {line}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
        let lines = |kind| -> Vec<_> {
            let problems = index.problems.of_kind(kind).iter();
            problems
                .filter_map(|problem| problem.location.split(", ").last())
                .collect()
        };
        assert_eq!(lines(ProblemKind::MalformedLine), ["line 3", "line 4"]);
        assert_eq!(lines(ProblemKind::TruncatedLine), ["line 6"]);
    }

    #[test]
    fn last_line_without_line_end_is_returned() {
        assert_eq!(read_bytes(b"one\ntwo").0.unwrap(), Some(2));
        assert_eq!(read_bytes(b"one\ntwo\n").0.unwrap(), None);
    }

    #[test]
    fn file_without_usable_lines_is_an_error() {
        for (content, fault) in [(&b""[..], "it is empty"), (b"\nbad\n", "line 2: bad line")] {
            let error = read_bytes(content).0.unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
    }
}
