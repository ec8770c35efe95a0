//! Writing `events.jsonl`: one JSON object a line, only ever appended to.

use super::event::{Event, Record};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes read at a time while looking for the ends of lines.
const PIECE: usize = 1 << 20;

/// Appends events to a log.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    /// Bytes of the file that are whole lines.
    length: u64,
    next: u64,
    /// Lines that the disk had no room for yet.
    pending: VecDeque<Vec<u8>>,
}

impl EventLog {
    /// Opens a log to append to; a line that was torn when an earlier writer died is cut off.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)?;
        let (lines, length) = whole_lines(&mut file)?;
        file.set_len(length)?;
        Ok(Self {
            file,
            length,
            next: lines,
            pending: VecDeque::new(),
        })
    }

    /// Numbers an event and keeps it, to be written by [`EventLog::flush`].
    ///
    /// # Errors
    /// Where it cannot be put into JSON.
    pub fn keep(&mut self, event: Event) -> serde_json::Result<Record> {
        let record = Record {
            seq: self.next,
            time: now(),
            event,
        };
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        self.next += 1;
        self.pending.push_back(line);
        Ok(record)
    }

    /// Keeps an event and writes all that is kept.
    ///
    /// # Errors
    /// Those of the system; what was not written is kept.
    pub fn append(&mut self, event: Event) -> io::Result<Record> {
        let record = self.keep(event)?;
        self.flush()?;
        Ok(record)
    }

    /// Whether the file was removed from its directory.
    pub fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|file| file.nlink() == 0)
    }

    /// Writes what is kept.
    ///
    /// # Errors
    /// Those of the system.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(line) = self.pending.front() {
            if let Err(error) = self.file.write_all(line) {
                // A part of a line would spoil the next one; if it cannot be cut now, opening the log cuts it.
                let _ = self.file.set_len(self.length);
                return Err(error);
            }
            self.length += line.len() as u64;
            self.pending.pop_front();
        }
        Ok(())
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

/// How many lines are ended, and how many bytes they have together.
fn whole_lines(file: &mut File) -> io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut piece = vec![0; PIECE];
    let (mut lines, mut whole, mut at) = (0, 0, 0);
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => return Ok((lines, whole)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for (offset, _) in piece[..read]
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
        {
            lines += 1;
            whole = at + offset as u64 + 1;
        }
        at += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::CheckpointSaved;
    use std::fs;

    fn event(step: u64) -> Event {
        Event::Checkpoint(CheckpointSaved {
            name: "latest".into(),
            step,
        })
    }

    #[test]
    fn a_torn_line_is_cut_and_numbers_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let mut log = EventLog::open(&path).unwrap();
        log.append(event(7)).unwrap();
        log.append(event(8)).unwrap();
        drop(log);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"seq\":2,\"ti")).unwrap();
        EventLog::open(&path).unwrap().append(event(9)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let sequence: Vec<u64> = text
            .lines()
            .map(|line| Record::parse(line.as_bytes()).unwrap().seq)
            .collect();
        assert_eq!(sequence, [0, 1, 2]);
        assert!(text.starts_with(&whole));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_full_disk_had_no_room_for_is_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let mut log = EventLog::open(&path).unwrap();
        log.append(event(1)).unwrap();
        let roomy = std::mem::replace(
            &mut log.file,
            OpenOptions::new().write(true).open("/dev/full").unwrap(),
        );
        let error = log.append(event(2)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(log.append(event(3)).is_err());
        log.file = roomy;
        log.append(event(4)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let sequence: Vec<u64> = text
            .lines()
            .map(|line| Record::parse(line.as_bytes()).unwrap().seq)
            .collect();
        assert_eq!(sequence, [0, 1, 2, 3]);
    }
}
