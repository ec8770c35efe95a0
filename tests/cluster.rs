//! Batch systems and shared file systems: signals before a limit, no `flock`, locks that do not reach the other host,
//! and clocks that differ.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use support::{CUTLINE, Workspace, err, step_losses, train, words};

const EPOCHS: usize = 400;

/// The events of a run.
fn events(directory: &Path) -> Vec<Value> {
    let log = fs::read_to_string(directory.join("events.jsonl")).unwrap_or_default();
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what}: not within a minute"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn spawn(mut command: Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Ends when dropped, whatever the test does.
struct Background(Option<Child>);

impl Background {
    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    fn wait(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn signals_of_batch_systems_save_and_exit_with_75() {
    let workspace = Workspace::with_scenes();
    for (signal_name, slurm, code, continues) in [
        ("USR1", false, 75, true),
        ("XCPU", false, 75, true),
        ("USR2", false, 75, true),
        ("TERM", true, 75, true),
        ("TERM", false, 0, false),
        ("ALRM", false, 0, false),
    ] {
        let name = format!("{}-{slurm}", signal_name.to_lowercase());
        let mut arguments = train(&name, EPOCHS);
        arguments.push("--resume-or-start".into());
        let run = workspace.run_directory(&name);
        for session in 1..=2 {
            let mut command = workspace.command(&words(&arguments));
            command.env_remove("SLURM_JOB_ID");
            if slurm {
                command.env("SLURM_JOB_ID", "4711");
            }
            let training = Background(Some(spawn(command)));
            let before = step_losses(&run).len();
            wait_until("steps", || step_losses(&run).len() > before + 3);
            signal(training.id(), signal_name);
            let output = training.wait();
            assert_eq!(output.status.code(), Some(code), "{name}: {}", err(&output));
            let events = events(run.path());
            let end = events.last().unwrap();
            assert_eq!(
                (&end["event"], &end["reason"]),
                (&"end".into(), &"stopped".into()),
                "{name}"
            );
            assert_eq!(end["continues"].as_bool().unwrap_or(false), continues, "{name}");
            assert_eq!(
                events.iter().filter(|event| event["event"] == "start").count(),
                session,
                "{name}"
            );
            assert!(run.latest().is_file());
        }
    }
}

#[test]
fn complete_run_is_left_alone_by_resume_or_start() {
    let workspace = Workspace::with_scenes();
    let mut arguments = train("r", 1);
    arguments.push("--resume-or-start".into());
    let run = workspace.run_directory("r");
    for _ in 0..2 {
        assert_eq!(workspace.succeeds(&words(&arguments)), "r\n");
        assert_eq!(
            events(run.path())
                .iter()
                .filter(|event| event["event"] == "start")
                .count(),
            1
        );
    }
}

/// A library that replaces functions of libc.
fn preload(workspace: &Workspace, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/preload")
        .join(name)
        .with_extension("c");
    let library = workspace.path().join(name).with_extension("so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    library
}

fn states(output: &Output) -> Vec<(String, String)> {
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", err(output)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["run"]), text(&row["state"])))
        .collect()
}

#[test]
fn without_flock_one_trainer_works_and_a_killed_one_is_resumed() {
    let workspace = Workspace::with_scenes();
    let library = preload(&workspace, "noflock");
    let command = |arguments: &[&str]| {
        let mut command = workspace.command(arguments);
        command.env("LD_PRELOAD", &library);
        command
    };
    let training = Background(Some(spawn(command(&words(&train("r", EPOCHS))))));
    let run = workspace.run_directory("r");
    wait_until("steps", || step_losses(&run).len() > 3);
    let running = [("r".to_owned(), "running".to_owned())];
    assert_eq!(states(&command(&["runs", "--json"]).output().unwrap()), running);
    let second = command(&["train", "--resume", "r"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        err(&second).contains("another process works on it"),
        "{}",
        err(&second)
    );
    let stopped = command(&["control", "r", "pause"]).output().unwrap();
    assert!(stopped.status.success(), "{}", err(&stopped));
    signal(training.id(), "KILL");
    training.wait();
    let crashed = [("r".to_owned(), "crashed".to_owned())];
    assert_eq!(states(&command(&["runs", "--json"]).output().unwrap()), crashed);
    let resumed = Background(Some(spawn(command(&["train", "--resume", "r"]))));
    let before = step_losses(&run).len();
    wait_until("steps after resuming", || step_losses(&run).len() > before);
    signal(resumed.id(), "INT");
    assert!(resumed.wait().status.success());
}

#[test]
fn ten_resumes_at_once_have_one_winner_and_nine_say_why() {
    let workspace = Workspace::with_scenes();
    workspace.train("r", 1);
    let run = workspace.run_directory("r");
    let before = step_losses(&run).len();
    let epochs = format!("training.epochs={EPOCHS}");
    let mut resumes: Vec<Background> = (0..10)
        .map(|_| {
            Background(Some(spawn(
                workspace.command(&["train", "--resume", "r", "--set", &epochs]),
            )))
        })
        .collect();
    let mut losers = Vec::new();
    wait_until("nine of ten to end", || {
        for index in (0..resumes.len()).rev() {
            let process = resumes[index].0.as_mut().unwrap();
            if process.try_wait().unwrap().is_some() {
                losers.push(resumes.swap_remove(index).wait());
            }
        }
        losers.len() >= 9
    });
    for loser in &losers {
        assert_eq!(loser.status.code(), Some(1));
        assert!(
            err(loser).contains("another process works on it"),
            "{}",
            err(loser)
        );
    }
    let winner = resumes.pop().unwrap();
    wait_until("steps of the winner", || step_losses(&run).len() > before);
    signal(winner.id(), "INT");
    let winner = winner.wait();
    assert_eq!(winner.status.code(), Some(0), "{}", err(&winner));
    let seqs = events(run.path())
        .into_iter()
        .map(|event| event["seq"].as_u64().unwrap());
    assert!(seqs.eq(0..events(run.path()).len() as u64), "one history");
}

/// The observer's clock is a minute ahead, then the trainer's.
#[test]
fn clock_that_is_ahead_does_not_make_a_run_crashed_or_stalled() {
    let workspace = Workspace::with_scenes();
    let library = preload(&workspace, "skew");
    let with_clock = |is_ahead: bool, arguments: &[&str]| {
        let mut command = workspace.command(arguments);
        if is_ahead {
            command.env("LD_PRELOAD", &library);
        }
        command
    };
    for (name, trainer_is_ahead) in [("here", false), ("ahead", true)] {
        let training = Background(Some(spawn(with_clock(
            trainer_is_ahead,
            &words(&train(name, EPOCHS)),
        ))));
        let run = workspace.run_directory(name);
        wait_until("steps", || step_losses(&run).len() > 3);
        let output = with_clock(!trainer_is_ahead, &["runs", "--json"])
            .output()
            .unwrap();
        assert!(
            states(&output).contains(&(name.to_owned(), "running".to_owned())),
            "{:?}",
            states(&output)
        );
        let paused = with_clock(!trainer_is_ahead, &["control", name, "pause"])
            .output()
            .unwrap();
        assert!(paused.status.success(), "{}", err(&paused));
        drop(training);
    }
}

/// Two views of one directory that do not see each other's locks, as GPFS or NFS with `local_lock` give them, and a name
/// for each host. Needs root, bindfs and /dev/fuse.
struct TwoHosts(Workspace);

impl TwoHosts {
    fn mount() -> Option<Self> {
        let workspace = Workspace::new();
        for name in ["server", "h1", "h2"] {
            fs::create_dir(workspace.path().join(name)).unwrap();
        }
        let hosts = Self(workspace);
        let is_mounted = ["h1", "h2"].iter().all(|host| {
            let mounted = Command::new("bindfs")
                .args([hosts.view("server"), hosts.view(host)])
                .output();
            mounted.is_ok_and(|output| output.status.success())
        });
        is_mounted.then_some(hosts)
    }

    fn view(&self, host: &str) -> PathBuf {
        self.0.path().join(host)
    }

    fn command(&self, host: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        self.0.set_env(&mut command);
        command
            .env("CUTLINE_ROOT", self.view(host))
            .args([
                "--uts",
                "sh",
                "-c",
                "hostname \"$1\" && shift && exec \"$@\"",
                "sh",
                host,
                CUTLINE,
            ])
            .args(arguments);
        command
    }

    fn run(&self) -> PathBuf {
        self.view("server").join("checkpoints/r")
    }

    /// Makes the files that show a process alive a minute old.
    fn age(&self) {
        let then = SystemTime::now() - Duration::from_secs(60);
        for name in ["lock", "events.jsonl"] {
            let file = fs::File::options()
                .append(true)
                .open(self.run().join(name))
                .unwrap();
            file.set_modified(then).unwrap();
        }
    }

    fn steps(&self) -> usize {
        events(&self.run())
            .iter()
            .filter(|event| event["event"] == "step")
            .count()
    }

    fn state(&self, host: &str) -> String {
        states(&self.command(host, &["runs", "--json"]).output().unwrap())[0]
            .1
            .clone()
    }
}

impl Drop for TwoHosts {
    fn drop(&mut self) {
        for host in ["h1", "h2"] {
            let _ = Command::new("umount")
                .args(["--lazy".as_ref(), self.view(host).as_os_str()])
                .output();
        }
    }
}

/// Whether all threads of a process are stopped by a signal.
fn is_stopped(process: u32) -> bool {
    let mut threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.all(|thread| {
        let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
    })
}

#[test]
fn second_trainer_on_another_host_is_rejected_and_one_without_lock_stops() {
    let Some(hosts) = TwoHosts::mount() else {
        println!("skipped: needs root, bindfs and /dev/fuse");
        return;
    };
    let prepared = hosts.command("h1", &support::PREPARE).output().unwrap();
    assert!(prepared.status.success(), "{}", err(&prepared));
    let first = Background(Some(spawn(hosts.command("h1", &words(&train("r", EPOCHS))))));
    wait_until("steps", || hosts.steps() > 3);

    assert_eq!(hosts.state("h2"), "running");
    let second = hosts.command("h2", &["train", "--resume", "r"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(err(&second).contains("on h1"), "{}", err(&second));

    // The first host hangs for so long that the second one takes the run over; then it comes back.
    signal(first.id(), "STOP");
    // A thread that still runs would touch the lock after it was aged.
    wait_until("all threads to stop", || is_stopped(first.id()));
    hosts.age();
    assert_eq!(hosts.state("h2"), "crashed");
    let second = Background(Some(spawn(hosts.command("h2", &["train", "--resume", "r"]))));
    let before = hosts.steps();
    wait_until("steps of the second", || hosts.steps() > before + 3);
    signal(first.id(), "CONT");
    let first = first.wait();
    assert_eq!(first.status.code(), Some(1));
    assert!(err(&first).contains("taken over"), "{}", err(&first));
    signal(second.id(), "INT");
    assert!(second.wait().status.success());
    assert_eq!(hosts.state("h1"), "stopped");

    let third = Background(Some(spawn(hosts.command("h1", &["train", "--resume", "r"]))));
    let before = hosts.steps();
    wait_until("steps of the third", || hosts.steps() > before);
    signal(third.id(), "INT");
    assert!(third.wait().status.success());
    let log = events(&hosts.run());
    let starts = log
        .iter()
        .filter(|event| event["event"] == "start")
        .map(|event| event["host"].to_string());
    assert_eq!(starts.collect::<Vec<_>>(), ["\"h1\"", "\"h2\"", "\"h1\""]);
}
