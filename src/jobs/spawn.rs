//! Starting a job in a session of its own, which survives its terminal.

use super::error::FileError;
use super::event::Event;
use super::{JobDirectory, LogReader};
use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A job without a `start` event after this time is left to itself.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// At most this much of the output of a failed process is reported.
const MAX_OUTPUT_BYTES: u64 = 4096;

/// Why a job was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A file of the job cannot be used, or the program cannot be started.
    #[error(transparent)]
    File(#[from] FileError),
    /// The process ended before its `start` event.
    #[error("it ended at once ({status}):\n{output}")]
    Ended {
        /// Its exit status.
        status: ExitStatus,
        /// The end of its output.
        output: String,
    },
}

/// Starts this program with `arguments` as a detached job: in a new session, without input, with its output in
/// [`JobDirectory::output`]. Waits for its `start` event. Returns its process id.
///
/// # Errors
/// If it cannot be started, or ends before its `start` event.
pub fn spawn_detached(job: &JobDirectory, arguments: &[OsString]) -> Result<u32, SpawnError> {
    job.directory()
        .create_dir_all()
        .map_err(FileError::at(job.path()))?;
    let output = job.output().append().map_err(FileError::at(job.output()))?;
    let output_before = output.metadata().map_err(FileError::at(job.output()))?.len();
    let errors = output.try_clone().map_err(FileError::at(job.output()))?;
    let mut events = LogReader::new(job.events());
    while !events
        .poll()
        .map_err(FileError::at(job.events()))?
        .records
        .is_empty()
    {}

    let program = std::env::current_exe().map_err(FileError::at("cutline"))?;
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
    let mut child = command.spawn().map_err(FileError::at(program))?;
    wait_for_start(&mut child, &mut events, job, output_before)?;
    Ok(child.id())
}

fn wait_for_start(
    child: &mut Child,
    events: &mut LogReader,
    job: &JobDirectory,
    output_before: u64,
) -> Result<(), SpawnError> {
    let since = Instant::now();
    while since.elapsed() < START_TIMEOUT {
        // The exit status first, then the log: otherwise the last events of a process that ends in between are missed.
        let ended = child.try_wait().map_err(FileError::at(job.events()))?;
        let records = events.poll().map_err(FileError::at(job.events()))?.records;
        if records
            .iter()
            .any(|record| matches!(record.event, Event::Start(_)))
        {
            return Ok(());
        }
        if let Some(status) = ended {
            return Err(SpawnError::Ended {
                status,
                output: output_since(job, output_before).unwrap_or_default(),
            });
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// The output written since, or the end of it.
fn output_since(job: &JobDirectory, output_before: u64) -> io::Result<String> {
    let mut file = job.output().open()?;
    let length = file.metadata()?.len();
    let start = output_before.max(length.saturating_sub(MAX_OUTPUT_BYTES));
    file.seek(SeekFrom::Start(start))?;
    let mut output = Vec::new();
    file.take(MAX_OUTPUT_BYTES).read_to_end(&mut output)?;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}
