//! Control files: commands for a running job.
//!
//! A file is written under a name that starts with a dot and renamed to `<time>-<pid>-<n>.json` in `control/`, so that
//! it is never read half-written. It holds one JSON object, `{"command":"pause"}`. The job takes files in the order of
//! their names, between batches, and acknowledges each under its name in the event log.

use super::JobDirectory;
use super::error::FileError;
use super::event::{Acknowledgement, Event};
use super::event_log::now;
use super::reader::LogReader;
use super::state::{JobState, JobStatus, read_summary};
use crate::files::{ConfinedEntry, ConfinedPath};
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer files are rejected unread.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Files taken per poll; the rest stay for the next one.
const MAX_PER_POLL: usize = 64;
/// How often the log is read for the acknowledgement.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const EXTENSION: &str = "json";

/// A command for a running job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlCommand {
    /// Wait until `resume`.
    Pause,
    /// Continue after `pause`.
    Resume,
    /// Save a checkpoint and end.
    Stop,
    /// Save a checkpoint now.
    Checkpoint,
    /// Caption and score the dev split now.
    Evaluate,
    /// Caption a few dev images now.
    Predict,
    /// Change training settings.
    Set {
        /// Keys and values, as `--set` takes them.
        settings: BTreeMap<String, String>,
    },
}

impl ControlCommand {
    /// Its name in control files.
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

/// The keys and values of a `set` command as displayed in the log; none of another command.
pub(super) fn settings_in(command: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = command.strip_prefix("set ").unwrap_or_default();
    pairs.split_whitespace().filter_map(|pair| pair.split_once('='))
}

/// Sends a command to a job without waiting. Returns the id of its acknowledgement.
///
/// # Errors
/// If the file cannot be written.
pub fn send(job: &JobDirectory, command: &ControlCommand) -> io::Result<String> {
    static SENT: AtomicU32 = AtomicU32::new(0);
    let control_directory = job.control();
    control_directory.create_dir_all()?;
    let number = SENT.fetch_add(1, Ordering::Relaxed);
    let microseconds = (now() * 1e6) as u64;
    let name = format!(
        "{microseconds:017}-{}-{number:04}.{EXTENSION}",
        std::process::id()
    );
    let command = serde_json::to_vec(command)?;
    control_directory
        .join(&name)
        .write_atomically(|out| out.write_all(&command))?;
    Ok(name)
}

/// Why a job did not accept a command.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No process works on it.
    #[error("{job} is not running: it is {}; the command was not sent", state.name())]
    NotLive {
        /// The job's name.
        job: String,
        /// Its state.
        state: JobState,
    },
    /// It rejected the command.
    #[error("rejected {command}: {error}")]
    Rejected {
        /// The command.
        command: String,
        /// The reason.
        error: String,
    },
    /// It has not acknowledged the command yet.
    #[error(
        "no answer from {job} in {} seconds; it may be busy, and takes the command after the current batch",
        timeout.as_secs()
    )]
    NoAnswer {
        /// The job's name.
        job: String,
        /// The time waited.
        timeout: Duration,
    },
    /// The job's directory cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Sends a command to a job and waits for its acknowledgement.
///
/// # Errors
/// If no process works on the job, if it rejects the command, or if it does not answer within `timeout`.
pub fn send_and_wait(
    job: &JobDirectory,
    command: &ControlCommand,
    timeout: Duration,
) -> Result<Acknowledgement, ControlError> {
    let failed = |source| FileError {
        path: job.path().to_owned(),
        source,
    };
    // One reader for both: first to the end of the log for the state, then on from there for the acknowledgement.
    let mut reader = LogReader::new(job.events());
    let summary = read_summary(&mut reader).map_err(failed)?;
    let JobStatus { state, error, .. } = JobStatus::from_summary(job, summary);
    if let Some(error) = error {
        return Err(error.into());
    }
    if !state.is_live() {
        return Err(ControlError::NotLive {
            job: job.name(),
            state,
        });
    }
    let id = send(job, command).map_err(failed)?;
    match wait_for_acknowledgement(&mut reader, &id, timeout).map_err(failed)? {
        Some(Acknowledgement {
            error: Some(error), ..
        }) => Err(ControlError::Rejected {
            command: command.to_string(),
            error,
        }),
        Some(answer) => Ok(answer),
        None => Err(ControlError::NoAnswer {
            job: job.name(),
            timeout,
        }),
    }
}

/// The acknowledgement with this id, or `None` after `timeout`.
fn wait_for_acknowledgement(
    reader: &mut LogReader,
    id: &str,
    timeout: Duration,
) -> io::Result<Option<Acknowledgement>> {
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        let records = reader.poll()?.records;
        if records.is_empty() {
            thread::sleep(POLL_INTERVAL);
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

/// A file taken from the control directory.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedCommand {
    /// The file's name.
    pub id: String,
    /// The command, or why the file cannot be parsed.
    pub command: Result<ControlCommand, String>,
}

/// The control directory of a job, read by its working process.
#[derive(Debug)]
pub struct ControlDirectory {
    directory: ConfinedPath,
    /// Entries that are not plain files or cannot be removed; each is rejected once.
    stuck: HashSet<OsString>,
}

impl ControlDirectory {
    /// Opens the control directory of `job`, and creates it if it is missing. Commands for an earlier process are taken
    /// too.
    ///
    /// # Errors
    /// `NotFound` if the job's directory is missing: a deleted job is not created again.
    pub fn open(job: &JobDirectory) -> io::Result<Self> {
        let directory = job.control();
        match directory.create_dir() {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            // It may be a link or a file; better to fail now than at the first command.
            _ => drop(directory.existing_entries()?),
        }
        Ok(Self {
            directory,
            stuck: HashSet::new(),
        })
    }

    /// Takes the new commands, in the order of their names. Entries that are not plain `.json` files stay where they are:
    /// they may be anyone's.
    ///
    /// # Errors
    /// `NotFound` if the control directory was deleted.
    pub fn take(&mut self) -> io::Result<Vec<ReceivedCommand>> {
        let mut entries = self.directory.existing_entries()?;
        entries.retain(|entry| {
            let name = entry.path.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            let is_command = Path::new(name)
                .extension()
                .is_some_and(|extension| extension == EXTENSION);
            is_command && !hidden && !self.stuck.contains(name)
        });
        entries.truncate(MAX_PER_POLL);
        Ok(entries.iter().map(|entry| self.take_file(entry)).collect())
    }

    fn take_file(&mut self, entry: &ConfinedEntry) -> ReceivedCommand {
        let name = entry.path.file_name().to_owned();
        let command = read_command(&entry.path);
        if entry.kind != FileType::RegularFile || entry.path.remove_file().is_err() {
            self.stuck.insert(name.clone());
        }
        ReceivedCommand {
            id: name.to_string_lossy().into_owned(),
            command,
        }
    }
}

fn read_command(path: &ConfinedPath) -> Result<ControlCommand, String> {
    let text = path
        .read(MAX_FILE_BYTES)
        .map_err(|error| format!("cannot read it: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("it is not a command: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn job() -> (tempfile::TempDir, JobDirectory) {
        let directory = tempfile::tempdir().unwrap();
        let job = JobDirectory::new(directory.path());
        (directory, job)
    }

    #[test]
    fn commands_are_taken_once_in_sending_order() {
        let (_directory, job) = job();
        let mut control_directory = ControlDirectory::open(&job).unwrap();
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
                command: Ok(command),
            })
            .into();
        assert_eq!(control_directory.take().unwrap(), sent);
        assert_eq!(control_directory.take().unwrap(), []);
        assert_eq!(fs::read_dir(job.control()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn entries_that_are_not_plain_files_are_rejected_once_and_kept() {
        let (directory, job) = job();
        let mut control_directory = ControlDirectory::open(&job).unwrap();
        let precious = directory.path().join("precious");
        fs::write(&precious, "{\"command\":\"stop\"}").unwrap();
        let path = |name: &str| job.control().join(name);
        std::os::unix::fs::symlink(&precious, path("a.json")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("b.json")).unwrap();
        fs::create_dir_all(path("c.json").join("deep")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("d.json").as_path(),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        fs::write(path("e.json"), vec![b' '; MAX_FILE_BYTES as usize + 1]).unwrap();
        fs::write(path(".half.json.tmp"), "{").unwrap();
        fs::write(path("letter.txt"), "of the user").unwrap();
        let received = control_directory.take().unwrap();
        assert_eq!(received.len(), 5);
        assert!(
            received.iter().all(|received| received.command.is_err()),
            "{received:?}"
        );
        assert!(precious.exists());
        let left: Vec<ConfinedPath> = job
            .control()
            .entries()
            .unwrap()
            .into_iter()
            .map(|entry| entry.path)
            .collect();
        let kept = [
            ".half.json.tmp",
            "a.json",
            "b.json",
            "c.json",
            "d.json",
            "letter.txt",
        ];
        assert_eq!(left, kept.map(path));
        assert_eq!(control_directory.take().unwrap(), []);
    }

    #[cfg(unix)]
    #[test]
    fn control_directory_that_is_a_link_is_rejected_and_its_target_kept() {
        let (directory, job) = job();
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("thesis.json"), "{\"command\":\"stop\"}").unwrap();
        std::os::unix::fs::symlink(home.path(), directory.path().join("control")).unwrap();
        let error = ControlDirectory::open(&job).unwrap_err().to_string();
        assert!(error.starts_with("it is a symbolic link"), "{error}");
        assert!(send(&job, &ControlCommand::Stop).is_err());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_fail_the_inbox(bytes in prop::collection::vec(any::<u8>(), 0..200), deep in 0..2000_usize) {
            let (_directory, job) = job();
            let mut control_directory = ControlDirectory::open(&job).unwrap();
            fs::write(job.control().join("a.json"), &bytes).unwrap();
            fs::write(job.control().join("b.json"), "{\"command\":".repeat(deep)).unwrap();
            prop_assert_eq!(control_directory.take().unwrap().len(), 2);
            prop_assert_eq!(control_directory.take().unwrap().len(), 0);
        }
    }
}
