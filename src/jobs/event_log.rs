//! Writing `events.jsonl`: one JSON object per line, append-only.

use super::event::{Event, Record};
use super::reader::check_skipped;
use crate::files::ConfinedPath;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes read at a time while counting lines.
const CHUNK: usize = 1 << 20;

/// Appends events to a log.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    /// Bytes of the file, all complete lines.
    length: u64,
    next_seq: u64,
    /// Lines not yet written: the disk was full.
    pending: VecDeque<Vec<u8>>,
}

impl EventLog {
    /// Opens a log for appending. The caller holds the job's lock.
    ///
    /// # Errors
    /// If the file cannot be opened, read or truncated.
    pub fn open(path: &ConfinedPath) -> io::Result<Self> {
        let mut file = path.append()?;
        let (lines, length) = complete_lines(&mut file)?;
        // A writer that died in the middle of a line left a torn one; appending to it would damage the next event too.
        file.set_len(length)?;
        Ok(Self {
            file,
            length,
            next_seq: lines,
            pending: VecDeque::new(),
        })
    }

    /// Numbers an event and queues it for [`EventLog::flush`].
    ///
    /// # Errors
    /// If it cannot be serialized.
    pub fn queue(&mut self, event: Event) -> serde_json::Result<Record> {
        let record = Record {
            seq: self.next_seq,
            time: now(),
            event,
        };
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        self.next_seq += 1;
        self.pending.push_back(line);
        Ok(record)
    }

    /// Queues an event and writes the queue.
    ///
    /// # Errors
    /// If the file cannot be written; what was not written stays queued.
    pub fn append(&mut self, event: Event) -> io::Result<Record> {
        let record = self.queue(event)?;
        self.flush()?;
        Ok(record)
    }

    /// Whether the file was deleted.
    pub fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|file| file.nlink() == 0)
    }

    /// Makes the written events survive a loss of power, and on a network file system visible to other machines.
    ///
    /// # Errors
    /// If the file cannot be synced.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Writes the queued events.
    ///
    /// # Errors
    /// If the file cannot be written; what was not written stays queued.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(line) = self.pending.front() {
            if let Err(error) = self.file.write_all(line) {
                // Cut a partly written line, or the next one would be appended to it. If that fails too, the next open does it.
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

/// Number and total bytes of the lines that end in a newline.
fn complete_lines(file: &mut File) -> io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut chunk = vec![0; CHUNK];
    let (mut lines, mut complete, mut offset) = (0, 0, 0);
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => return Ok((lines, complete)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for (i, _) in chunk[..read]
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
        {
            lines += 1;
            complete = offset + i as u64 + 1;
        }
        offset += read as u64;
        check_skipped(offset - complete)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::CheckpointSaved;
    use std::fs::{self, OpenOptions};

    fn event(step: u64) -> Event {
        Event::Checkpoint(CheckpointSaved {
            name: "latest".into(),
            step,
        })
    }

    #[test]
    fn torn_last_line_is_cut_and_seq_continues() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("events.jsonl"));
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
    fn events_queued_on_a_full_disk_are_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("events.jsonl"));
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
