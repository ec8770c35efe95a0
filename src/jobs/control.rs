//! Control files: how anyone steers a job.
//!
//! A file is written under a name that starts with a dot and renamed to `<time>-<pid>-<n>.json` in `control/`, so it
//! is taken whole or not at all. It holds one JSON object, `{"command":"pause"}`. Files are taken in the order of
//! their names, between batches, and each is acknowledged in the event log under its name.

use super::JobDirectory;
use super::event::{Acknowledgement, Event};
use super::event_log::now;
use super::reader::LogReader;
use super::state::{JobState, JobStatus, LogSummary};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// More than any command takes.
const LONGEST_FILE: u64 = 64 * 1024;
/// Files that are taken at a time; what is more waits.
const MOST_AT_ONCE: usize = 64;
/// How often the log is looked at for an answer.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// What a file of commands ends in.
const EXTENSION: &str = "json";

/// What may be asked of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlCommand {
    /// Do nothing until told to resume.
    Pause,
    /// Go on.
    Resume,
    /// Save and end.
    Stop,
    /// Save a checkpoint now.
    Checkpoint,
    /// Caption and score the dev split now.
    Evaluate,
    /// Caption a few dev images now.
    Predict,
    /// Change settings.
    Set {
        /// Keys and values, as `--set` takes them.
        settings: BTreeMap<String, String>,
    },
}

impl ControlCommand {
    /// The name by which control files call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Checkpoint => "checkpoint",
            Self::Evaluate => "evaluate",
            Self::Predict => "predict",
            Self::Set { .. } => "set",
        }
    }
}

impl std::fmt::Display for ControlCommand {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())?;
        if let Self::Set { settings } = self {
            for (key, value) in settings {
                write!(out, " {key}={value}")?;
            }
        }
        Ok(())
    }
}

/// Leaves a command for a job. Returns the name under which it will be acknowledged.
///
/// # Errors
/// Those of the system.
pub fn send(job: &JobDirectory, command: &ControlCommand) -> io::Result<String> {
    static SENT: AtomicU32 = AtomicU32::new(0);
    let inbox = job.control();
    fs::create_dir_all(&inbox)?;
    let number = SENT.fetch_add(1, Ordering::Relaxed);
    let microseconds = (now() * 1e6) as u64;
    let name = format!(
        "{microseconds:017}-{}-{number:04}.{EXTENSION}",
        std::process::id()
    );
    let hidden = inbox.join(format!(".{name}.tmp"));
    fs::write(&hidden, serde_json::to_vec(command)?)?;
    fs::rename(&hidden, inbox.join(&name))?;
    Ok(name)
}

/// Why a job did not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody works on it.
    #[error("nobody works on {job}: it is {}; nothing was asked", state.name())]
    NotLive {
        /// The job's name.
        job: String,
        /// Its state.
        state: JobState,
    },
    /// It refused.
    #[error("refused to {command}: {why}")]
    Refused {
        /// The command.
        command: String,
        /// Why.
        why: String,
    },
    /// It has not answered yet.
    #[error(
        "no answer from {job} in {} seconds; it may be busy between two batches, and will take it then",
        patience.as_secs()
    )]
    NoAnswer {
        /// The job's name.
        job: String,
        /// How long was waited for it.
        patience: Duration,
    },
    /// The operating system refused.
    #[error("{}: {source}; check permissions and free space", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Leaves a command for a job and waits for what it says.
///
/// # Errors
/// Where nobody works on the job, it refuses, or does not answer within `patience`.
pub fn ask(
    job: &JobDirectory,
    command: &ControlCommand,
    patience: Duration,
) -> Result<Acknowledgement, ControlError> {
    let failed = |source| ControlError::Io {
        path: job.path().to_owned(),
        source,
    };
    // The log is read once: to its end for the state, and on from there for the answer.
    let mut tail = LogReader::new(job.events());
    let summary = summary_so_far(&mut tail).map_err(failed)?;
    let state = JobStatus::of(job, summary).map_err(failed)?.state;
    if !state.is_live() {
        return Err(ControlError::NotLive {
            job: job.name(),
            state,
        });
    }
    let id = send(job, command).map_err(failed)?;
    match wait_for_answer(&mut tail, &id, patience).map_err(failed)? {
        Some(Acknowledgement { error: Some(why), .. }) => Err(ControlError::Refused {
            command: command.to_string(),
            why,
        }),
        Some(answer) => Ok(answer),
        None => Err(ControlError::NoAnswer {
            job: job.name(),
            patience,
        }),
    }
}

/// What a log comes to up to its end.
fn summary_so_far(tail: &mut LogReader) -> io::Result<LogSummary> {
    let mut summary = LogSummary::default();
    loop {
        let records = tail.poll()?.records;
        if records.is_empty() {
            return Ok(summary);
        }
        records.iter().for_each(|record| summary.count(record));
    }
}

/// What the log says to the command of this name, if it says it in time.
fn wait_for_answer(
    tail: &mut LogReader,
    id: &str,
    patience: Duration,
) -> io::Result<Option<Acknowledgement>> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        let records = tail.poll()?.records;
        if records.is_empty() {
            thread::sleep(BETWEEN_LOOKS);
        }
        let answer = records.into_iter().find_map(|record| match record.event {
            Event::Control(answer) if answer.id == id => Some(answer),
            _ => None,
        });
        if answer.is_some() {
            return Ok(answer);
        }
    }
    Ok(None)
}

/// Something found in the inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedCommand {
    /// The file's name.
    pub id: String,
    /// What it asks for, or why that cannot be understood.
    pub content: Result<ControlCommand, String>,
}

/// The inbox of a job, as the process that works on it sees it.
#[derive(Debug)]
pub struct Inbox {
    directory: PathBuf,
    /// What cannot be taken away, and is not to be refused again and again.
    stuck: HashSet<OsString>,
}

impl Inbox {
    /// The inbox of `job`, made if it is not there. What was left for an earlier process is taken as well.
    ///
    /// # Errors
    /// Those of the system; `NotFound` where the job's directory is not there: one that was deleted stays so.
    pub fn open(job: &JobDirectory) -> io::Result<Self> {
        let directory = job.control();
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Ok(Self {
            directory,
            stuck: HashSet::new(),
        })
    }

    /// Takes what has come, in the order of the names.
    ///
    /// # Errors
    /// Those of the system; `NotFound` where the inbox is gone.
    pub fn take(&mut self) -> io::Result<Vec<ReceivedCommand>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if !hidden && !self.stuck.contains(&name) {
                found.push(entry);
            }
        }
        found.sort_by_key(DirEntry::file_name);
        found.truncate(MOST_AT_ONCE);
        Ok(found.into_iter().map(|entry| self.open_letter(&entry)).collect())
    }

    fn open_letter(&mut self, entry: &DirEntry) -> ReceivedCommand {
        let path = entry.path();
        let content = read_command(&path);
        let gone = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
        if gone.is_err() {
            self.stuck.insert(entry.file_name());
        }
        ReceivedCommand {
            id: entry.file_name().to_string_lossy().into_owned(),
            content,
        }
    }
}

fn read_command(path: &Path) -> Result<ControlCommand, String> {
    let told = |error: io::Error| format!("it cannot be read: {error}");
    // A link might lead anywhere, and a pipe might never be written to.
    if !fs::symlink_metadata(path).map_err(told)?.is_file() {
        return Err("it is not a plain file".into());
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(told)?;
    file.take(LONGEST_FILE + 1).read_to_end(&mut text).map_err(told)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(format!("it is longer than {LONGEST_FILE} bytes"));
    }
    serde_json::from_slice(&text).map_err(|error| format!("it is not a command: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job() -> (tempfile::TempDir, JobDirectory) {
        let place = tempfile::tempdir().unwrap();
        let job = JobDirectory::new(place.path());
        (place, job)
    }

    #[test]
    fn commands_are_taken_once_in_the_order_they_were_sent() {
        let (_place, job) = job();
        let mut inbox = Inbox::open(&job).unwrap();
        let commands = [
            ControlCommand::Pause,
            ControlCommand::Set {
                settings: BTreeMap::from([("lr".into(), "1e-4".into())]),
            },
            ControlCommand::Resume,
        ];
        let sent: Vec<ReceivedCommand> = commands
            .map(|command| ReceivedCommand {
                id: send(&job, &command).unwrap(),
                content: Ok(command),
            })
            .into();
        assert_eq!(inbox.take().unwrap(), sent);
        assert_eq!(inbox.take().unwrap(), []);
        assert_eq!(fs::read_dir(job.control()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_plain_file_is_refused_and_taken_away() {
        let (place, job) = job();
        let mut inbox = Inbox::open(&job).unwrap();
        let precious = place.path().join("precious");
        fs::write(&precious, "{\"command\":\"stop\"}").unwrap();
        let at = |name: &str| job.control().join(name);
        std::os::unix::fs::symlink(&precious, at("a.json")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("b.json")).unwrap();
        fs::create_dir_all(at("c.json").join("deep")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("d.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        fs::write(at("e.json"), vec![b' '; LONGEST_FILE as usize + 1]).unwrap();
        fs::write(at(".half.json.tmp"), "{").unwrap();
        let letters = inbox.take().unwrap();
        assert_eq!(letters.len(), 5);
        assert!(
            letters.iter().all(|letter| letter.content.is_err()),
            "{letters:?}"
        );
        assert!(precious.exists());
        let left: Vec<OsString> = fs::read_dir(job.control())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, [".half.json.tmp"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_letter_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), deep in 0..2000_usize) {
            let (_place, job) = job();
            let mut inbox = Inbox::open(&job).unwrap();
            fs::write(job.control().join("a"), &bytes).unwrap();
            fs::write(job.control().join("b"), "{\"command\":".repeat(deep)).unwrap();
            prop_assert_eq!(inbox.take().unwrap().len(), 2);
            prop_assert_eq!(inbox.take().unwrap().len(), 0);
        }
    }
}
