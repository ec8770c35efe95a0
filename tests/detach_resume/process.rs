//! Processes that end with their test, and waiting for them.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use super::log::Log;
use super::support::{Workspace, train, words};

/// Far longer than any wait.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_micros(500);

#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < TIMEOUT, "{what} in a minute");
        thread::sleep(POLL_INTERVAL);
    }
}

/// A process, killed when dropped.
pub(crate) struct Running {
    child: Child,
    said: Option<NamedTempFile>,
}

impl Running {
    /// Starts a command whose standard error is kept.
    pub(crate) fn start(command: Command) -> Self {
        let said = NamedTempFile::new().unwrap();
        let errors = File::options().append(true).open(said.path()).unwrap();
        Self::spawn(command, errors.into(), Some(said))
    }

    /// Starts a command with another standard error.
    pub(crate) fn start_with(command: Command, errors: Stdio) -> Self {
        Self::spawn(command, errors, None)
    }

    fn spawn(mut command: Command, errors: Stdio, said: Option<NamedTempFile>) -> Self {
        let child = command.stderr(errors).spawn().unwrap();
        Self { child, said }
    }

    /// Starts the program without its standard output.
    pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Self {
        let mut command = workspace.command(arguments);
        command.stdout(Stdio::null());
        Self::start(command)
    }

    /// Starts the program, and keeps both outputs in one file.
    pub(crate) fn printing(workspace: &Workspace, arguments: &[&str]) -> Self {
        let said = NamedTempFile::new().unwrap();
        let output = || File::options().append(true).open(said.path()).unwrap();
        let mut command = workspace.command(arguments);
        command.stdout(output());
        let errors = output().into();
        Self::spawn(command, errors, Some(said))
    }

    /// Starts the training of a small network with more settings.
    pub(crate) fn train(workspace: &Workspace, run: &str, settings: &[&str]) -> Self {
        let endless = train(run, super::ENDLESS);
        let mut command = workspace.command(&words(&endless));
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.stdout(Stdio::null());
        Self::start(command)
    }

    /// The same, and waits for `steps`.
    #[track_caller]
    pub(crate) fn train_until(
        workspace: &Workspace,
        run: &str,
        steps: u64,
        settings: &[&str],
    ) -> (Self, Log) {
        let mut training = Self::train(workspace, run, settings);
        let mut log = Log::new(workspace.run_directory(run).job().events());
        wait_until("too few steps", || {
            assert!(training.is_alive(), "it ended: {}", training.said());
            log.last_step() >= steps
        });
        (training, log)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("no end", || !self.is_alive());
        self.child.wait().unwrap()
    }

    /// Kills it (SIGKILL). Returns whether that ended it.
    pub(crate) fn kill(&mut self) -> bool {
        let _ = self.child.kill();
        self.child.wait().unwrap().signal() == Some(Signal::KILL.as_raw())
    }

    /// Its output so far.
    pub(crate) fn said(&self) -> String {
        let said = self.said.as_ref().map(|said| fs::read_to_string(said.path()));
        said.unwrap_or(Ok(String::new())).unwrap()
    }

    /// Waits for the end, which must have this exit code. Returns the output.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, code: i32) -> String {
        let status = self.wait();
        let said = self.said();
        assert_eq!(status.code(), Some(code), "{status} {said}");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
