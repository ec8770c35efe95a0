//! A lost connection: the terminal of a job hangs up, and the job continues.

use std::fs::{self, File};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, getsid, ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::log::Log;
use super::process::{Running, wait_until};
use super::support::{DATASET, PREPARE, Workspace, text, train, words};
use super::{ENDLESS, listed, state, weights};

/// A terminal, and its end that a lost connection closes.
pub(crate) struct Connection {
    near: OwnedFd,
    terminal: OwnedFd,
}

impl Connection {
    pub(crate) fn open() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let near = openpt(flags).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        rustix::io::ioctl_fionbio(&near, true).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        Self { near, terminal }
    }

    pub(crate) fn terminal(&self) -> Stdio {
        self.terminal.try_clone().unwrap().into()
    }

    /// Starts a command like a login: in a new session with this terminal. `output` may be another file.
    pub(crate) fn start(&self, mut command: Command, output: Stdio) -> Running {
        command.stdin(self.terminal()).stdout(output);
        // SAFETY: between fork and exec there are two system calls, which allocate nothing, on a standard input that
        // was opened above.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                Ok(ioctl_tiocsctty(BorrowedFd::borrow_raw(0))?)
            });
        }
        Running::start_with(command, self.terminal())
    }

    /// Reads the output, so that the program never blocks on it.
    pub(crate) fn take_printed(&self) -> Vec<u8> {
        let mut taken = Vec::new();
        let mut printed = [0; 4096];
        while let Ok(read @ 1..) = rustix::io::read(&self.near, &mut printed) {
            taken.extend_from_slice(&printed[..read]);
        }
        taken
    }

    /// Whether this is the controlling terminal of a process.
    fn is_of(&self, pid: u32) -> bool {
        let device = rustix::fs::fstat(&self.terminal).unwrap().st_rdev;
        terminal_of(pid) == device
    }
}

/// The number of a process' controlling terminal; 0 without one.
fn terminal_of(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name before it may contain brackets.
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    after_name.split(' ').nth(4).unwrap().parse().unwrap()
}

/// Waits for steps, and reads the terminal meanwhile.
fn watch(connection: &Connection, log: &mut Log, steps: u64) {
    wait_until("too few steps", || {
        connection.take_printed();
        log.last_step() >= steps
    });
}

/// Reads a run from another process, and stops it.
fn is_seen_and_stopped_from_elsewhere(workspace: &Workspace, run: &str) {
    let mut attach = workspace.command(&["attach", run, "--json"]);
    let seen = workspace.path().join("seen");
    attach.stdout(File::create(&seen).unwrap());
    let mut attached = Running::start(attach);
    wait_until("nothing was seen", || fs::metadata(&seen).unwrap().len() > 10_000);

    let said = workspace.succeeds(&["control", run, "stop"]);
    assert!(said.starts_with("stop at step "), "{said}");
    attached.ends_with(0);
    let mut log = Log::new(workspace.run_directory(run).job().events());
    log.read();
    log.assert_whole();
    log.assert_ended("stopped");
    let logged = fs::read(workspace.run_directory(run).job().events()).unwrap();
    assert!(fs::read(seen).unwrap() == logged, "the same lines");
    assert_eq!(state(workspace, run), "stopped");
}

#[test]
fn training_survives_closed_terminal() {
    let workspace = Workspace::with_scenes();
    let connection = Connection::open();
    let command = workspace.command(&words(&train("far", ENDLESS)));
    let mut training = connection.start(command, connection.terminal());
    let pid = training.pid();
    let mut log = Log::new(workspace.run_directory("far").job().events());
    watch(&connection, &mut log, 100);
    assert!(connection.is_of(pid));

    drop(connection);
    wait_until("it was not hung up", || terminal_of(pid) == 0);
    // Enough steps for the row of a new epoch, written to the closed terminal.
    log.wait_for_steps(200);
    assert!(training.is_alive());
    assert_eq!(state(&workspace, "far"), "running");
    assert_eq!(listed(&workspace, "far")["pid"], pid);
    assert_eq!(log.count("start"), 1);

    is_seen_and_stopped_from_elsewhere(&workspace, "far");
    let status = training.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn prepare_survives_closed_terminal() {
    let workspace = Workspace::new();
    let weights = workspace.path().join("random.safetensors");
    weights::write_random(&weights, 1);
    let connection = Connection::open();
    let eye = ["--backbone", "mobilenet_v2", "--weights", text(&weights)];
    let command = workspace.command(&[&PREPARE[..], &eye].concat());
    let mut preparing = connection.start(command, connection.terminal());
    let prepare = workspace.path().join("datasets").join(DATASET).join("prepare");
    let mut log = Log::new(prepare.join("events.jsonl"));
    wait_until("no start", || {
        connection.take_printed();
        log.count("start") == 1
    });
    // The report is still to be printed.
    drop(connection);
    let status = preparing.wait();
    assert!(status.success(), "{status}");
    log.assert_whole();
    log.assert_ended("complete");
}

#[test]
fn detached_training_has_no_terminal() {
    let workspace = Workspace::with_scenes();
    let connection = Connection::open();
    let mut command = workspace.command(&words(&train("far", ENDLESS)));
    command.arg("--detach");
    let name = workspace.path().join("name");
    let mut starter = connection.start(command, File::create(&name).unwrap().into());
    let status = starter.wait();
    assert!(status.success(), "{status}");
    assert_eq!(fs::read_to_string(name).unwrap(), "far\n");

    let row = listed(&workspace, "far");
    let pid = row["pid"].as_u64().unwrap() as u32;
    let process = Pid::from_raw(pid as i32);
    assert_ne!(pid, starter.pid());
    assert_eq!(
        getsid(process).unwrap(),
        process.unwrap(),
        "it leads its own session"
    );
    assert_eq!(terminal_of(pid), 0);
    let mut log = Log::new(workspace.run_directory("far").job().events());
    watch(&connection, &mut log, 100);
    let output = workspace.run_directory("far").path().join("trainer.log");
    let said = fs::read_to_string(output).unwrap();
    assert!(said.starts_with("Training far on scenes"), "{said}");

    drop(connection);
    log.wait_for_steps(200);
    assert_eq!(listed(&workspace, "far")["pid"], pid);
    is_seen_and_stopped_from_elsewhere(&workspace, "far");
}

#[test]
fn detached_prepare_and_evaluate_complete() {
    let workspace = Workspace::new();
    let weights = workspace.path().join("random.safetensors");
    weights::write_random(&weights, 1);
    let eye = [
        "--backbone",
        "mobilenet_v2",
        "--weights",
        weights.to_str().unwrap(),
    ];
    let printed = workspace.succeeds(&[&PREPARE[..], &eye, &["--detach"]].concat());
    let prepare = workspace.path().join("datasets").join(DATASET).join("prepare");
    assert_eq!(printed.trim_end(), prepare.to_str().unwrap());
    let attach = |job: &str| workspace.succeeds(&["attach", job]);
    // An absolute path: a relative one is resolved against the tests' directory first.
    attach(prepare.to_str().unwrap());
    let mut log = Log::new(prepare.join("events.jsonl"));
    log.read();
    log.assert_whole();
    log.assert_ended("complete");
    assert!(log.count("progress") > 0);

    workspace.succeeds(&words(&train("first", 2)));
    let printed = workspace.succeeds(&["evaluate", "first", "--name", "mine", "--detach"]);
    attach(printed.trim_end());
    let evaluation = workspace.run_directory("first").path().join("evaluations/mine");
    let mut log = Log::new(evaluation.join("events.jsonl"));
    log.read();
    log.assert_whole();
    log.assert_ended("complete");
    let report = fs::read(evaluation.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["run"], "first");
    // `attach` prints what the job could not.
    let said = fs::read_to_string(evaluation.join("job.log")).unwrap();
    assert!(said.contains("BLEU-4"), "{said}");
}
