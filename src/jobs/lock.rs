//! The lock of a job: one process works on it at a time, and says which.

use super::event_log::now;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Whoever only looks holds a shared lock for a moment; so long is waited for that.
const PATIENCE: Duration = Duration::from_millis(500);
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// More than any holder's note takes.
const LONGEST_NOTE: u64 = 4096;

/// The process that holds a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The process.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// Since when, in seconds since 1970.
    pub since: f64,
}

/// A lock that is held until this is dropped, or the process ends, whatever ends it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another process works on it{}", told(.0.as_ref()))]
    Held(Option<LockHolder>),
    /// The operating system refused.
    #[error("{}: {source}; check permissions and free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn told(holder: Option<&LockHolder>) -> String {
    holder.map_or(String::new(), |LockHolder { pid, host, .. }| {
        format!(": process {pid} on {host}")
    })
}

/// Whether a lock is held.
#[derive(Clone, Debug, PartialEq)]
pub enum LockState {
    /// By a process; which, where its note can be read.
    Held(Option<LockHolder>),
    /// By none.
    Free,
}

impl Lock {
    /// Takes the lock and notes who holds it.
    ///
    /// # Errors
    /// Where another process holds it, or the system refuses.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(failed)?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_note(path))),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        note_holder(&file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn note_holder(mut file: &File) -> io::Result<()> {
    let note = serde_json::to_vec(&LockHolder {
        pid: std::process::id(),
        host: host_name(),
        since: now(),
    })?;
    file.set_len(0)?;
    file.write_all(&note)
}

/// Looks whether a lock is held, without taking it.
///
/// # Errors
/// Those of the system.
pub fn look_at_lock(path: &Path) -> io::Result<LockState> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockState::Free),
        file => file?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(LockState::Free),
        Err(TryLockError::WouldBlock) => Ok(LockState::Held(read_note(path))),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

/// Who holds it, by the note; nothing where the note cannot be read.
fn read_note(path: &Path) -> Option<LockHolder> {
    let length = fs::metadata(path).ok()?.len();
    (length <= LONGEST_NOTE)
        .then(|| fs::read(path).ok())
        .flatten()
        .and_then(|note| serde_json::from_slice(&note).ok())
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_others_see_who() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert_eq!(look_at_lock(&path).unwrap(), LockState::Free);
        let lock = Lock::take(&path).unwrap();
        let LockState::Held(Some(holder)) = look_at_lock(&path).unwrap() else {
            panic!("not seen");
        };
        assert_eq!(
            (holder.pid, holder.host.clone()),
            (std::process::id(), host_name())
        );
        assert!(matches!(Lock::take(&path), Err(LockError::Held(Some(other))) if other == holder));
        drop(lock);
        assert_eq!(look_at_lock(&path).unwrap(), LockState::Free);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_note_that_is_no_note_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        for note in ["", "{", "[1]", "{\"pid\":-1}", &"x".repeat(10_000)] {
            fs::write(&path, note).unwrap();
            assert_eq!(look_at_lock(&path).unwrap(), LockState::Held(None));
        }
        drop(lock);
    }
}
