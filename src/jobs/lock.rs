//! The lock of a job: one process works on it at a time, and its pid and host stand in the lock file.

use super::error::FileError;
use super::event_log::now;
use crate::files::ConfinedPath;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

/// [`LockState::read`] holds a shared lock for a moment; taking the lock retries for this long.
const RETRY_TIMEOUT: Duration = Duration::from_millis(500);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// Longer lock files are not read.
const MAX_LOCK_BYTES: u64 = 4096;

/// The process that holds a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Its process id.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// Since when, in seconds since 1970.
    pub since: f64,
}

/// A lock, released when this is dropped or when the process ends for whatever reason.
#[derive(Debug)]
pub struct Lock {
    // The kernel releases the lock when the file is closed, also on SIGKILL.
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another process works on it{}", describe(.0.as_ref()))]
    Held(Option<LockHolder>),
    /// The lock file cannot be opened or written.
    #[error(transparent)]
    File(#[from] FileError),
}

fn describe(holder: Option<&LockHolder>) -> String {
    holder.map_or(String::new(), |LockHolder { pid, host, .. }| {
        format!(": process {pid} on {host}")
    })
}

/// Whether a lock is held.
#[derive(Clone, Debug, PartialEq)]
pub enum LockState {
    /// By a process; `None` if the lock file cannot be read.
    Held(Option<LockHolder>),
    /// By no process.
    Free,
}

impl Lock {
    /// Takes the lock and writes this process into the lock file.
    ///
    /// # Errors
    /// [`LockError::Held`] if another process holds it.
    pub fn take(path: &ConfinedPath) -> Result<Self, LockError> {
        // Not truncated: the holder's entry may only be replaced once the lock is held.
        let file = path.open_in_place().map_err(FileError::at(path))?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if since.elapsed() < RETRY_TIMEOUT => {
                    thread::sleep(RETRY_INTERVAL);
                }
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_holder(path))),
                Err(TryLockError::Error(source)) => return Err(FileError::at(path)(source).into()),
            }
        }
        write_holder(&file).map_err(FileError::at(path))?;
        Ok(Self { _file: file })
    }
}

impl LockState {
    /// Reads whether a lock is held, without taking it.
    ///
    /// # Errors
    /// If the file cannot be opened or locked; a missing file is a free lock.
    pub fn read(path: &ConfinedPath) -> io::Result<Self> {
        let file = match path.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Free),
            file => file?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Self::Free),
            Err(TryLockError::WouldBlock) => Ok(Self::Held(read_holder(path))),
            Err(TryLockError::Error(source)) => Err(source),
        }
    }
}

fn write_holder(mut file: &File) -> io::Result<()> {
    let holder = serde_json::to_vec(&LockHolder {
        pid: std::process::id(),
        host: host_name(),
        since: now(),
    })?;
    file.set_len(0)?;
    file.write_all(&holder)
}

/// The holder written in a lock file; `None` if it cannot be read or parsed.
fn read_holder(path: &ConfinedPath) -> Option<LockHolder> {
    let content = path.read(MAX_LOCK_BYTES).ok()?;
    serde_json::from_slice(&content).ok()
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn held_lock_names_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("lock"));
        assert_eq!(LockState::read(&path).unwrap(), LockState::Free);
        let lock = Lock::take(&path).unwrap();
        let LockState::Held(Some(holder)) = LockState::read(&path).unwrap() else {
            panic!("not held");
        };
        assert_eq!(
            (holder.pid, holder.host.clone()),
            (std::process::id(), host_name())
        );
        assert!(matches!(Lock::take(&path), Err(LockError::Held(Some(other))) if other == holder));
        drop(lock);
        assert_eq!(LockState::read(&path).unwrap(), LockState::Free);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn damaged_lock_file_is_held_without_a_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path().join("lock"));
        let lock = Lock::take(&path).unwrap();
        for content in ["", "{", "[1]", "{\"pid\":-1}", &"x".repeat(10_000)] {
            fs::write(&path, content).unwrap();
            assert_eq!(LockState::read(&path).unwrap(), LockState::Held(None));
        }
        drop(lock);
    }
}
