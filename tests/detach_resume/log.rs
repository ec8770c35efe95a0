//! A growing event log, read without the program's code.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

use super::process::wait_until;

pub(crate) struct Log {
    path: PathBuf,
    /// Bytes of complete lines read so far.
    whole: u64,
    events: Vec<Value>,
}

impl Log {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            whole: 0,
            events: Vec::new(),
        }
    }

    /// All events so far.
    pub(crate) fn read(&mut self) -> &[Value] {
        self.read_to(u64::MAX);
        &self.events
    }

    /// Reads the first bytes of the file.
    fn read_to(&mut self, length: u64) {
        let mut more = Vec::new();
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(self.whole)).unwrap();
            let length = length.saturating_sub(self.whole);
            file.take(length).read_to_end(&mut more).unwrap();
        }
        let whole = more
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        self.whole += whole as u64;
        let lines = more[..whole].split_inclusive(|&byte| byte == b'\n');
        self.events.extend(lines.map(|line| {
            let unreadable = |error| panic!("{error}: {}", String::from_utf8_lossy(line));
            serde_json::from_slice(line).unwrap_or_else(unreadable)
        }));
    }

    /// The number of events of a kind.
    pub(crate) fn count(&mut self, kind: &str) -> usize {
        self.read().iter().filter(|event| event["event"] == kind).count()
    }

    /// The number of the last step; 0 without one.
    pub(crate) fn last_step(&mut self) -> u64 {
        self.last_step_within(u64::MAX)
    }

    /// The same for the first bytes of a log.
    pub(crate) fn last_step_within(&mut self, length: u64) -> u64 {
        self.read_to(length);
        let last = self.events.iter().rfind(|event| event["event"] == "step");
        last.map_or(0, |event| event["step"].as_u64().unwrap())
    }

    /// Waits for `more` steps.
    #[track_caller]
    pub(crate) fn wait_for_steps(&mut self, more: u64) {
        let until = self.last_step() + more;
        wait_until("no more steps", || self.last_step() >= until);
    }

    /// Waits for the first such event from index `from`. Returns its index.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, from: usize, what: &str, is_it: impl Fn(&Value) -> bool) -> usize {
        let mut at = from;
        wait_until(what, || {
            let events = self.read();
            while at < events.len() && !is_it(&events[at]) {
                at += 1;
            }
            at < events.len()
        });
        at
    }

    /// Checks that the last event ends the session for this reason.
    #[track_caller]
    pub(crate) fn assert_ended(&mut self, reason: &str) {
        let last = self.read().last().unwrap();
        assert_eq!(
            (&last["event"], &last["reason"]),
            (&"end".into(), &reason.into()),
            "{last}"
        );
    }

    /// Checks that events are numbered from 0 without gaps, and that all lines are complete.
    #[track_caller]
    pub(crate) fn assert_whole(&mut self) {
        for (seq, event) in (0_u64..).zip(self.read()) {
            assert_eq!(event["seq"], seq, "{event}");
        }
        assert_eq!(self.whole, self.path.metadata().unwrap().len(), "a half line");
    }

    /// The bits of every step's loss. A repeated step must have the same.
    #[track_caller]
    pub(crate) fn losses(&mut self) -> BTreeMap<u64, u64> {
        let mut losses = BTreeMap::new();
        for event in self.read().iter().filter(|event| event["event"] == "step") {
            let (step, loss) = (event["step"].as_u64().unwrap(), event["loss"].as_f64().unwrap());
            let before = losses.insert(step, loss.to_bits());
            assert!(before.is_none_or(|before| before == loss.to_bits()), "{event}");
        }
        losses
    }
}
