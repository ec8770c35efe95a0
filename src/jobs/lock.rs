//! The lock of a job: one process works on it at a time.
//!
//! `flock` is exact on one machine, and the kernel releases it when a process dies. On shared file systems it may be
//! missing (Lustre mounted without `flock`) or not reach other machines (GPFS, NFS with `local_lock`). The lock file
//! therefore holds a note with a token. The holder reads it again before everything that a second holder would
//! damage, and works on only while the token is its own. A thread touches the file, so that others see the process
//! alive through a long step. Ages are differences of the file system's own times: the clocks of two machines may
//! differ by minutes.

use super::error::FileError;
use super::event_log::now;
use crate::files::ConfinedPath;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// [`LockState::read`] holds a shared lock for a moment; taking the lock retries for this long.
const RETRY_TIMEOUT: Duration = Duration::from_millis(500);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// Longer lock files are not read.
const MAX_LOCK_BYTES: u64 = 4096;
/// The holder touches its lock file this often.
const TOUCH_INTERVAL: Duration = Duration::from_secs(10);
/// A holder that only its note shows is alive while its lock file or its log is at most this old.
pub(super) const MAX_ALIVE_AGE: Duration = Duration::from_secs(30);
/// A note written by another machine at the same moment is visible after this time; NFS caches attributes for 3 s.
const SETTLE_TIME: Duration = Duration::from_secs(4);

/// The process that holds a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Its process id.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// Since when, in seconds since 1970.
    pub since: f64,
    /// Differs between any two holders.
    #[serde(default)]
    pub token: String,
}

impl LockHolder {
    fn new() -> Self {
        let (pid, since) = (std::process::id(), now());
        Self {
            host: host_name(),
            // Unlike the number, the text survives JSON exactly.
            token: format!("{}-{pid}-{:x}", host_name(), since.to_bits()),
            pid,
            since,
        }
    }

    fn is_here(&self) -> bool {
        self.host == host_name()
    }

    /// Whether a process of this machine is alive. After a reboot its id may belong to another process.
    fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // A process of another user counts: it cannot be sent a signal, but it is there.
        pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
    }
}

/// A lock, released when this is dropped or when the process ends for whatever reason.
#[derive(Debug)]
pub struct Lock {
    path: ConfinedPath,
    token: String,
    // The kernel releases the lock when the file is closed, also on SIGKILL.
    file: File,
    // The thread that touches the file ends when this is dropped. Without a thread, events of the log show that the
    // process is alive.
    _heartbeat: Option<Sender<()>>,
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
    let Some(holder) = holder else {
        return String::new();
    };
    let expiry = match holder.is_here() {
        true => "",
        false => "; if that machine has died, try again in half a minute",
    };
    format!(": process {} on {}{expiry}", holder.pid, holder.host)
}

/// Whether a lock is held.
#[derive(Clone, Debug, PartialEq)]
pub enum LockState {
    /// By a process; `None` if the lock file cannot be read.
    Held(Option<LockHolder>),
    /// By no process.
    Free,
    /// There is a note, but this machine cannot tell whether its process lives.
    Unknown(LockHolder),
}

impl Lock {
    /// Takes the lock and writes this process into the lock file. On a file system that other machines may share it
    /// waits a few seconds, to see whether one of them has taken it at the same moment.
    ///
    /// # Errors
    /// [`LockError::Held`] if another process holds it.
    pub fn take(path: &ConfinedPath) -> Result<Self, LockError> {
        let failed = FileError::at(path);
        let take = || -> io::Result<Result<Self, LockError>> {
            // Not truncated: the holder's note may only be replaced once the lock is held.
            let mut file = path.open_in_place()?;
            let is_exact = match try_flock(&file)? {
                Flock::Taken => true,
                Flock::Unsupported => false,
                Flock::Held => return Ok(Err(LockError::Held(read_holder(path)))),
            };
            if let LockState::Unknown(holder) = state_of(path, is_exact) {
                if age(path, &[path])? < MAX_ALIVE_AGE {
                    return Ok(Err(LockError::Held(Some(holder))));
                }
                // It is dead or cut off. Should it come back, it finds a file that is not its own.
                path.replace(b"")?;
                file = path.open_in_place()?;
                if try_flock(&file)? == Flock::Held {
                    return Ok(Err(LockError::Held(read_holder(path))));
                }
            }
            let holder = LockHolder::new();
            write_holder(&file, &holder)?;
            let lock = Self {
                path: path.clone(),
                token: holder.token,
                _heartbeat: start_heartbeat(&file).ok(),
                file,
            };
            if !is_exact || path.is_on_shared_file_system()? {
                thread::sleep(SETTLE_TIME);
                if !lock.is_ours() {
                    return Ok(Err(LockError::Held(read_holder(path))));
                }
            }
            Ok(Ok(lock))
        };
        take().map_err(failed)?
    }

    /// Whether the lock file still holds this process's note. An unreadable file counts as ours: a network file system
    /// may fail for a moment.
    pub fn is_ours(&self) -> bool {
        match self.path.read(MAX_LOCK_BYTES) {
            Ok(note) => serde_json::from_slice(&note).is_ok_and(|note: LockHolder| note.token == self.token),
            Err(_) => true,
        }
    }
}

/// Touches the lock file every [`TOUCH_INTERVAL`], until the sender is dropped.
fn start_heartbeat(file: &File) -> io::Result<Sender<()>> {
    let file = file.try_clone()?;
    let (heartbeat, dropped) = channel();
    let is_held = move || dropped.recv_timeout(TOUCH_INTERVAL) == Err(RecvTimeoutError::Timeout);
    thread::Builder::new().name("heartbeat".into()).spawn(move || {
        while is_held() {
            touch(&file);
        }
    })?;
    Ok(heartbeat)
}

/// Sets the times of the file to those of its file system, not of this machine.
fn touch(file: &File) {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    // On failure the log's events still show that the process is alive.
    let _ = rustix::fs::futimens(file, &times);
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An empty file is free for every machine. If this fails, the note looks like that of a dead process.
        if self.is_ours() {
            let _ = self.file.set_len(0);
        }
        // The thread may close its copy of the file a moment later.
        let _ = self.file.unlock();
    }
}

impl LockState {
    /// Reads whether a lock is held, without taking it.
    ///
    /// # Errors
    /// If the file is not a plain file or cannot be opened; a missing file is a free lock.
    pub fn read(path: &ConfinedPath) -> io::Result<Self> {
        let file = match path.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Free),
            file => file?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(state_of(path, true)),
            Err(TryLockError::WouldBlock) => Ok(Self::Held(read_holder(path))),
            Err(TryLockError::Error(error)) if is_unsupported(&error) => Ok(state_of(path, false)),
            Err(TryLockError::Error(source)) => Err(source),
        }
    }
}

/// The state by the note, where `flock` is free (`is_exact`) or unsupported.
fn state_of(path: &ConfinedPath, is_exact: bool) -> LockState {
    match read_holder(path) {
        Some(holder) if holder.is_here() && (is_exact || !holder.is_alive()) => LockState::Free,
        Some(holder) => LockState::Unknown(holder),
        None => LockState::Free,
    }
}

/// How long ago the newest of these files was written, by the clock of the file system that they are on.
pub(super) fn age(path: &ConfinedPath, files: &[&ConfinedPath]) -> io::Result<Duration> {
    let modified = files
        .iter()
        .filter_map(|file| Some(file.modified_and_length().ok()?.0));
    let Some(newest) = modified.max() else {
        return Ok(Duration::MAX);
    };
    // Where nothing can be written, this machine's clock must do.
    let now = path.file_system_time().unwrap_or_else(|_| SystemTime::now());
    Ok(now.duration_since(newest).unwrap_or(Duration::ZERO))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flock {
    Taken,
    Held,
    Unsupported,
}

fn try_flock(file: &File) -> io::Result<Flock> {
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Flock::Taken),
            Err(TryLockError::WouldBlock) if since.elapsed() < RETRY_TIMEOUT => thread::sleep(RETRY_INTERVAL),
            Err(TryLockError::WouldBlock) => return Ok(Flock::Held),
            Err(TryLockError::Error(error)) if is_unsupported(&error) => return Ok(Flock::Unsupported),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let error = Errno::from_io_error(error);
    [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK, Errno::INVAL]
        .map(Some)
        .contains(&error)
}

fn write_holder(mut file: &File, holder: &LockHolder) -> io::Result<()> {
    let note = serde_json::to_vec(holder)?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&note)?;
    // Another machine reads it from the server.
    file.sync_data()
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

    fn lock_file() -> (tempfile::TempDir, ConfinedPath) {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path()).join("lock");
        (directory, path)
    }

    fn note_of(host: &str, pid: u32) -> LockHolder {
        LockHolder {
            pid,
            host: host.into(),
            since: 0.0,
            token: "0123".into(),
        }
    }

    #[test]
    fn held_lock_names_its_holder() {
        let (_directory, path) = lock_file();
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
        let (_directory, path) = lock_file();
        let lock = Lock::take(&path).unwrap();
        for content in ["", "{", "[1]", "{\"pid\":-1}", &"x".repeat(10_000)] {
            fs::write(&path, content).unwrap();
            assert_eq!(LockState::read(&path).unwrap(), LockState::Held(None));
        }
        drop(lock);
    }

    #[test]
    fn fresh_note_of_another_host_holds_the_lock() {
        let (_directory, path) = lock_file();
        let holder = note_of("elsewhere.invalid", 1);
        fs::write(&path, serde_json::to_vec(&holder).unwrap()).unwrap();
        assert_eq!(
            LockState::read(&path).unwrap(),
            LockState::Unknown(holder.clone())
        );
        assert!(matches!(Lock::take(&path), Err(LockError::Held(Some(other))) if other == holder));
    }

    #[test]
    fn stale_note_of_another_host_is_replaced_and_its_holder_loses_the_lock() {
        let (_directory, path) = lock_file();
        let other = Lock::take(&path).unwrap();
        let mut note = note_of("elsewhere.invalid", 1);
        note.token.clone_from(&other.token);
        write_holder(&other.file, &note).unwrap();
        // As another machine sees it: not locked.
        other.file.unlock().unwrap();
        let long_ago = SystemTime::now() - 2 * MAX_ALIVE_AGE;
        other.file.set_modified(long_ago).unwrap();
        assert!(other.is_ours());
        let lock = Lock::take(&path).unwrap();
        assert!(lock.is_ours() && !other.is_ours());
        drop(other);
        assert!(lock.is_ours(), "its former holder does not release it");
        drop(lock);
        assert_eq!(LockState::read(&path).unwrap(), LockState::Free);
    }

    #[test]
    fn note_of_a_dead_process_on_this_host_is_free() {
        let (_directory, path) = lock_file();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        fs::write(
            &path,
            serde_json::to_vec(&note_of(&host_name(), child.id())).unwrap(),
        )
        .unwrap();
        assert_eq!(state_of(&path, false), LockState::Free);
        fs::write(
            &path,
            serde_json::to_vec(&note_of(&host_name(), std::process::id())).unwrap(),
        )
        .unwrap();
        assert!(matches!(state_of(&path, false), LockState::Unknown(_)));
        assert_eq!(state_of(&path, true), LockState::Free);
    }
}
