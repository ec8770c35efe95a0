//! Reading `events.jsonl`, at once or as it grows.
//!
//! The length is polled: on a network file system nothing else tells of what another machine has written.

use super::event::Record;
use rayon::prelude::*;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes read at a time, and the longest line that is looked at. Ours are far shorter; a file of something else may be
/// one long line.
const LONGEST_LINE: usize = 4 << 20;
/// Lines that are worth a thread's while.
const LINES_A_TASK: usize = 256;

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogBatch {
    /// The events, in order.
    pub records: Vec<Record>,
    /// Lines that are no event.
    pub damaged: usize,
}

/// Reads a whole log. A last line without an end is left out: it is being written, or was torn.
///
/// # Errors
/// Those of the system.
pub fn read_events(path: &Path) -> io::Result<LogBatch> {
    let mut tail = LogReader::new(path);
    let mut events = LogBatch::default();
    loop {
        let mut more = tail.poll()?;
        if more.records.is_empty() && more.damaged == 0 {
            return Ok(events);
        }
        events.records.append(&mut more.records);
        events.damaged += more.damaged;
    }
}

/// Follows a log as it grows.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    /// Up to where whole lines have been read. What follows without an end is read anew each time: it may yet be cut,
    /// and something else written in its place.
    offset: u64,
    line: Line,
}

/// What the line at the offset is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// Perhaps an event.
    #[default]
    Usual,
    /// Too long to be one of ours; some of it is behind the offset already.
    TooLong,
}

impl LogReader {
    /// From the beginning of the log, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            offset: 0,
            line: Line::Usual,
        }
    }

    /// What has come since the last call, a few megabytes at most; nothing once all has been read.
    ///
    /// # Errors
    /// Those of the system.
    pub fn poll(&mut self) -> io::Result<LogBatch> {
        Ok(self.poll_lines()?.events())
    }

    /// The same as [`LogReader::poll`], as it stands in the log.
    ///
    /// # Errors
    /// Those of the system.
    pub fn poll_lines(&mut self) -> io::Result<LogLines> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LogLines::default()),
            file => file?,
        };
        if file.metadata()?.len() < self.offset {
            // Whole lines are never cut: this is another log.
            *self = Self::new(&self.path);
        }
        loop {
            let mut piece = Vec::new();
            file.seek(SeekFrom::Start(self.offset))?;
            (&mut file).take(LONGEST_LINE as u64).read_to_end(&mut piece)?;
            if let Some(last_end) = piece.iter().rposition(|&byte| byte == b'\n') {
                self.offset += last_end as u64 + 1;
                piece.truncate(last_end + 1);
                return Ok(LogLines {
                    text: piece,
                    first: std::mem::replace(&mut self.line, Line::Usual),
                });
            }
            if piece.len() < LONGEST_LINE {
                return Ok(LogLines::default());
            }
            self.offset += piece.len() as u64;
            self.line = Line::TooLong;
        }
    }
}

/// Whole lines of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogLines {
    text: Vec<u8>,
    first: Line,
}

impl LogLines {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Each event beside its line, end included.
    pub fn with_events(&self) -> impl Iterator<Item = (&[u8], Record)> {
        let with_event = |line| Some((line, Record::parse(line).ok()?));
        self.lines().into_iter().filter_map(with_event)
    }

    /// The events.
    fn events(&self) -> LogBatch {
        let lines = self.lines();
        let records: Vec<Record> = lines
            .par_iter()
            .with_min_len(LINES_A_TASK)
            .filter_map(|line| Record::parse(line).ok())
            .collect();
        let too_long = usize::from(self.first == Line::TooLong);
        LogBatch {
            damaged: too_long + lines.len() - records.len(),
            records,
        }
    }

    /// Those that may be events.
    fn lines(&self) -> Vec<&[u8]> {
        let too_long = usize::from(self.first == Line::TooLong);
        let lines = self.text.split_inclusive(|&byte| byte == b'\n');
        lines.skip(too_long).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Event, EventLog, LogText};
    use proptest::prelude::*;
    use std::fs;
    use std::io::Write;

    fn message(text: &str) -> Event {
        Event::Message(LogText { text: text.into() })
    }

    #[test]
    fn a_tail_sees_every_event_once_whatever_the_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let source = directory.path().join("source.jsonl");
        let mut log = EventLog::open(&source).unwrap();
        for n in 0..50 {
            log.append(message(&"x".repeat(n))).unwrap();
        }
        let bytes = fs::read(source).unwrap();
        let mut tail = LogReader::new(&path);
        assert!(tail.poll().unwrap().records.is_empty());
        let mut out = File::create(&path).unwrap();
        let mut seen = Vec::new();
        for piece in bytes.chunks(7) {
            out.write_all(piece).unwrap();
            seen.extend(tail.poll().unwrap().records.into_iter().map(|record| record.seq));
        }
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn lines_are_given_as_they_stand() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let later = b"{\"seq\":0, \"time\":1.10,\"event\":\"tea\",\"leaves\":3}\n";
        let torn = b"no event\n{\"seq\":1,";
        fs::write(&path, [&later[..], torn].concat()).unwrap();
        let lines = LogReader::new(&path).poll_lines().unwrap();
        let lines: Vec<(&[u8], Record)> = lines.with_events().collect();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].0, later);
    }

    #[test]
    fn a_torn_line_that_is_cut_leaves_the_tail_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        EventLog::open(&path).unwrap().append(message("one")).unwrap();
        let mut tail = LogReader::new(&path);
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"seq\":1,\"time\":1,\"event\":\"mess");
        fs::write(&path, torn).unwrap();
        assert_eq!(tail.poll().unwrap().records.len(), 1);
        EventLog::open(&path).unwrap().append(message("two")).unwrap();
        let events = tail.poll().unwrap();
        assert_eq!((events.records.len(), events.damaged), (1, 0));
        assert_eq!(events.records[0].event, message("two"));
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let mut bytes = vec![b'x'; 3 * LONGEST_LINE];
        bytes.extend_from_slice(b"\n{\"seq\":0,\"time\":1,\"event\":\"message\",\"text\":\"after\"}\n");
        fs::write(&path, bytes).unwrap();
        let mut tail = LogReader::new(&path);
        let events = tail.poll().unwrap();
        assert_eq!((events.records.len(), events.damaged), (1, 1));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("events.jsonl");
            fs::write(&path, &bytes).unwrap();
            let events = read_events(&path).unwrap();
            let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
            prop_assert_eq!(events.records.len() + events.damaged, lines);
            // It can be written to as well.
            EventLog::open(&path).unwrap().append(message("after")).unwrap();
            let last = read_events(&path).unwrap().records.pop().unwrap();
            prop_assert_eq!(last.event, message("after"));
        }
    }
}
