//! Reading `events.jsonl`, at once or as it grows.
//!
//! The file's length is polled: a network file system does not notify of writes by another machine.

use super::event::Record;
use crate::files::ConfinedPath;
use rayon::prelude::*;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes read at a time, and the longest line parsed. Events are far shorter; another file may be one long line.
const MAX_LINE_BYTES: usize = 4 << 20;
/// Longer lines in all of a log; such a file is no log.
const MAX_SKIPPED_BYTES: u64 = 16 * MAX_LINE_BYTES as u64;
/// Fewer lines are parsed on one thread.
const LINES_PER_TASK: usize = 256;

/// Events read from a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogBatch {
    /// The events, in order.
    pub records: Vec<Record>,
    /// Number of lines that are not events.
    pub damaged: usize,
}

/// Reads a whole log. A last line without a newline is left out: it is being written, or was torn by a crash.
///
/// # Errors
/// If the file cannot be read; a missing file is an empty log.
pub fn read_events(path: &ConfinedPath) -> io::Result<LogBatch> {
    let mut reader = LogReader::new(path);
    let mut events = LogBatch::default();
    loop {
        let mut more = reader.poll()?;
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
    path: ConfinedPath,
    /// End of the complete lines read so far. What follows is read again at each poll: a torn line may be cut, and
    /// another one written in its place.
    offset: u64,
    /// Bytes after the offset at the last poll.
    unread: u64,
    line: LineStart,
    /// Bytes of lines that are too long for an event.
    skipped: u64,
}

/// The line at the offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LineStart {
    /// It begins at the offset.
    #[default]
    AtOffset,
    /// It began before the offset, and is too long for an event.
    Skipped,
}

impl LogReader {
    /// Reads from the beginning of a log, which need not exist yet.
    pub fn new(path: impl Into<ConfinedPath>) -> Self {
        Self {
            path: path.into(),
            offset: 0,
            unread: 0,
            line: LineStart::AtOffset,
            skipped: 0,
        }
    }

    /// Reads only the last `bytes` of a log, without the line that begins before them.
    ///
    /// # Errors
    /// If the file cannot be read; a missing file is an empty log.
    pub(crate) fn near_end(path: &ConfinedPath, bytes: u64) -> io::Result<Self> {
        let length = match path.modified_and_length() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            found => found?.1,
        };
        let mut reader = Self::new(path);
        if length > bytes {
            reader.offset = length - bytes;
            reader.line = LineStart::Skipped;
        }
        Ok(reader)
    }

    /// The percentage of the log that was read at the last poll. A last line without a newline does not count.
    pub(crate) fn percent_read(&self) -> u8 {
        match self.unread < MAX_LINE_BYTES as u64 {
            true => 100,
            false => (self.offset * 100 / (self.offset + self.unread)) as u8,
        }
    }

    /// The events since the last call, a few megabytes at most; none once all are read.
    ///
    /// # Errors
    /// If the file cannot be read; a missing file is an empty log.
    pub fn poll(&mut self) -> io::Result<LogBatch> {
        Ok(self.poll_lines()?.events())
    }

    /// The same as [`LogReader::poll`], as lines of the log.
    ///
    /// # Errors
    /// If the file cannot be read; a missing file is an empty log.
    pub fn poll_lines(&mut self) -> io::Result<LogLines> {
        let mut file = match self.path.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LogLines::default()),
            file => file?,
        };
        let length = file.metadata()?.len();
        if length < self.offset {
            // Complete lines are never cut: the file was replaced by another log.
            *self = Self::new(&self.path);
        }
        self.unread = length - self.offset;
        if self.unread == 0 {
            return Ok(LogLines::default());
        }
        loop {
            let mut chunk = Vec::new();
            file.seek(SeekFrom::Start(self.offset))?;
            (&mut file).take(MAX_LINE_BYTES as u64).read_to_end(&mut chunk)?;
            if let Some(newline) = chunk.iter().rposition(|&byte| byte == b'\n') {
                self.offset += newline as u64 + 1;
                self.unread = length.saturating_sub(self.offset);
                chunk.truncate(newline + 1);
                return Ok(LogLines {
                    text: chunk,
                    first: std::mem::replace(&mut self.line, LineStart::AtOffset),
                });
            }
            if chunk.len() < MAX_LINE_BYTES {
                return Ok(LogLines::default());
            }
            self.offset += chunk.len() as u64;
            self.line = LineStart::Skipped;
            self.skipped += chunk.len() as u64;
            check_skipped(self.skipped)?;
        }
    }
}

/// A file that is all one line, such as a sparse one of a terabyte, would be read for hours.
///
/// # Errors
/// If more bytes are without a line ending than in any log.
pub(super) fn check_skipped(bytes: u64) -> io::Result<()> {
    match bytes > MAX_SKIPPED_BYTES {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "it has more than {MAX_SKIPPED_BYTES} bytes in lines that are too long for an event, so it is no event log"
            ),
        )),
        false => Ok(()),
    }
}

/// Complete lines of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogLines {
    text: Vec<u8>,
    first: LineStart,
}

impl LogLines {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Each event with its line, newline included.
    pub fn with_events(&self) -> impl Iterator<Item = (&[u8], Record)> {
        let with_event = |line| Some((line, Record::parse(line).ok()?));
        self.lines().into_iter().filter_map(with_event)
    }

    fn events(&self) -> LogBatch {
        let lines = self.lines();
        let records: Vec<Record> = lines
            .par_iter()
            .with_min_len(LINES_PER_TASK)
            .filter_map(|line| Record::parse(line).ok())
            .collect();
        let skipped = usize::from(self.first == LineStart::Skipped);
        LogBatch {
            damaged: skipped + lines.len() - records.len(),
            records,
        }
    }

    /// All lines short enough for an event.
    fn lines(&self) -> Vec<&[u8]> {
        let skipped = usize::from(self.first == LineStart::Skipped);
        let lines = self.text.split_inclusive(|&byte| byte == b'\n');
        lines.skip(skipped).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Event, EventLog};
    use proptest::prelude::*;
    use std::fs::{self, File};
    use std::io::Write;

    fn message(text: &str) -> Event {
        Event::message(text)
    }

    #[test]
    fn reader_returns_each_event_once_for_any_write_sizes() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("events.jsonl"));
        let source = ConfinedPath::from(directory.path().join("source.jsonl"));
        let mut log = EventLog::open(&source).unwrap();
        for n in 0..50 {
            log.append(message(&"x".repeat(n))).unwrap();
        }
        let bytes = fs::read(source).unwrap();
        let mut reader = LogReader::new(&path);
        assert!(reader.poll().unwrap().records.is_empty());
        let mut out = File::create(&path).unwrap();
        let mut seen = Vec::new();
        for chunk in bytes.chunks(7) {
            out.write_all(chunk).unwrap();
            seen.extend(
                reader
                    .poll()
                    .unwrap()
                    .records
                    .into_iter()
                    .map(|record| record.seq),
            );
        }
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn lines_are_returned_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("events.jsonl"));
        let later = b"{\"seq\":0, \"time\":1.10,\"event\":\"tea\",\"leaves\":3}\n";
        let torn = b"no event\n{\"seq\":1,";
        fs::write(&path, [&later[..], torn].concat()).unwrap();
        let lines = LogReader::new(&path).poll_lines().unwrap();
        let lines: Vec<(&[u8], Record)> = lines.with_events().collect();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].0, later);
    }

    #[test]
    fn cut_torn_line_does_not_disturb_the_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("events.jsonl"));
        EventLog::open(&path).unwrap().append(message("one")).unwrap();
        let mut reader = LogReader::new(&path);
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"seq\":1,\"time\":1,\"event\":\"mess");
        fs::write(&path, torn).unwrap();
        assert_eq!(reader.poll().unwrap().records.len(), 1);
        EventLog::open(&path).unwrap().append(message("two")).unwrap();
        let events = reader.poll().unwrap();
        assert_eq!((events.records.len(), events.damaged), (1, 0));
        assert_eq!(events.records[0].event, message("two"));
    }

    #[test]
    fn reader_near_the_end_returns_only_whole_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("events.jsonl"));
        let seqs = |bytes| {
            let batch = LogReader::near_end(&path, bytes).unwrap().poll().unwrap();
            batch
                .records
                .into_iter()
                .map(|record| record.seq)
                .collect::<Vec<_>>()
        };
        assert!(seqs(100).is_empty());
        let mut log = EventLog::open(&path).unwrap();
        for _ in 0..9 {
            log.append(message("twelve bytes")).unwrap();
        }
        let line = fs::metadata(&path).unwrap().len() / 9;
        assert_eq!(seqs(2 * line + line / 2), [7, 8]);
        assert_eq!(seqs(u64::MAX), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn overlong_line_is_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("events.jsonl"));
        let mut bytes = vec![b'x'; 3 * MAX_LINE_BYTES];
        bytes.extend_from_slice(b"\n{\"seq\":0,\"time\":1,\"event\":\"message\",\"text\":\"after\"}\n");
        fs::write(&path, bytes).unwrap();
        let mut reader = LogReader::new(&path);
        let events = reader.poll().unwrap();
        assert_eq!((events.records.len(), events.damaged), (1, 1));
    }

    #[test]
    fn log_of_one_endless_line_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("events.jsonl"));
        fs::File::create(path.as_path())
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        let is_no_log = |error: io::Error| error.to_string().contains("no event log");
        assert!(is_no_log(LogReader::new(&path).poll().unwrap_err()));
        assert!(is_no_log(EventLog::open(&path).unwrap_err()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_fail_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let directory = tempfile::tempdir().unwrap();
            let path = ConfinedPath::from(directory.path().join("events.jsonl"));
            fs::write(&path, &bytes).unwrap();
            let events = read_events(&path).unwrap();
            let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
            prop_assert_eq!(events.records.len() + events.damaged, lines);
            // And it can be appended to.
            EventLog::open(&path).unwrap().append(message("after")).unwrap();
            let last = read_events(&path).unwrap().records.pop().unwrap();
            prop_assert_eq!(last.event, message("after"));
        }
    }
}
