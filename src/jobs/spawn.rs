//! A job in a session of its own, which no closing terminal reaches.

use super::event::Event;
use super::{JobDirectory, LogReader};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a job may take to its first event before its caller goes its own way.
const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// The most that is told of what a process said before it failed.
const LAST_WORDS: u64 = 4096;

/// A process that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetachedProcess {
    /// The process.
    pub pid: u32,
}

/// Why a job was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The operating system refused.
    #[error("{}: {source}; check permissions and free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// It ended before it had begun.
    #[error("it ended at once ({status}):\n{said}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its last words.
        said: String,
    },
}

/// Starts this program with `arguments` as a job of its own: in a new session, without input, its output in
/// `job.log`. Waits until the job has taken over: for the first event of its own.
///
/// # Errors
/// Where it cannot be started, or ends before it has begun.
pub fn spawn_detached(job: &JobDirectory, arguments: &[OsString]) -> Result<DetachedProcess, SpawnError> {
    let at = |path: PathBuf| move |source| SpawnError::Io { path, source };
    fs::create_dir_all(job.path()).map_err(at(job.path().to_owned()))?;
    let output = File::options()
        .create(true)
        .append(true)
        .open(job.output())
        .map_err(at(job.output()))?;
    let said_before = output.metadata().map_err(at(job.output()))?.len();
    let errors = output.try_clone().map_err(at(job.output()))?;
    let mut events = LogReader::new(job.events());
    while !events.poll().map_err(at(job.events()))?.records.is_empty() {}

    let program = std::env::current_exe().map_err(at("cutline".into()))?;
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    // SAFETY: between fork and exec only `setsid` is called, which is async-signal-safe and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?));
    }
    let mut child = command.spawn().map_err(at(program))?;
    wait_for_start(&mut child, &mut events, job, said_before)?;
    Ok(DetachedProcess { pid: child.id() })
}

fn wait_for_start(
    child: &mut Child,
    events: &mut LogReader,
    job: &JobDirectory,
    said_before: u64,
) -> Result<(), SpawnError> {
    let failed = |source| SpawnError::Io {
        path: job.events(),
        source,
    };
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        // First whether it has ended: what it told before that is read after.
        let ended = child.try_wait().map_err(failed)?;
        let mut records = events.poll().map_err(failed)?.records.into_iter();
        if records.any(|record| matches!(record.event, Event::Start(_))) {
            return Ok(());
        }
        if let Some(status) = ended {
            return Err(SpawnError::Ended {
                status,
                said: last_words(job, said_before),
            });
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    Ok(())
}

/// What has been said since, or the end of it.
fn last_words(job: &JobDirectory, said_before: u64) -> String {
    let read = || -> io::Result<String> {
        let mut output = File::open(job.output())?;
        let length = output.metadata()?.len();
        output.seek(SeekFrom::Start(
            said_before.max(length.saturating_sub(LAST_WORDS)),
        ))?;
        let mut said = Vec::new();
        output.take(LAST_WORDS).read_to_end(&mut said)?;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    };
    read().unwrap_or_default()
}
