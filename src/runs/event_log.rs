//! `events.jsonl`: what happened in a run, one JSON object a line, only ever appended to.

use crate::training::TrainingEvent;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends events to a run's log.
#[derive(Debug)]
pub(super) struct EventLog {
    file: File,
    next: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    /// From 0, without gaps.
    seq: u64,
    /// Seconds since 1970.
    time: f64,
    #[serde(flatten)]
    event: &'a TrainingEvent,
}

impl EventLog {
    /// Opens a log to append to; a line that was torn when an earlier writer died is cut off.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)?;
        let (lines, length) = whole_lines(&file)?;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, next: lines })
    }

    pub(super) fn append(&mut self, event: &TrainingEvent) -> io::Result<()> {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |time| time.as_secs_f64());
        let mut line = serde_json::to_vec(&Line {
            seq: self.next,
            time,
            event,
        })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.next += 1;
        Ok(())
    }
}

/// How many lines are ended, and how many bytes they have together.
fn whole_lines(file: &File) -> io::Result<(u64, u64)> {
    let mut reader = BufReader::new(file);
    let (mut lines, mut length) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Ok((lines, length));
        }
        lines += 1;
        length += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_torn_line_is_cut_and_numbers_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let event = TrainingEvent::Checkpoint {
            name: "latest".into(),
            step: 7,
        };
        let mut log = EventLog::open(&path).unwrap();
        log.append(&event).unwrap();
        log.append(&event).unwrap();
        drop(log);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"seq\":2,\"ti")).unwrap();
        EventLog::open(&path).unwrap().append(&event).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let sequence: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert_eq!(sequence, [0, 1, 2]);
        assert!(text.starts_with(&whole));
    }
}
