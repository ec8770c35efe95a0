//! Ends of a training, and their states in `cutline runs`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cutline::jobs::RunDirectory;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::Value;

use super::log::Log;
use super::process::{Running, wait_until};
use super::support::{Workspace, held_by_permissions, temporary_files, text, train, words};
use super::{ENDLESS, listed, state};

#[test]
fn termination_signal_saves_and_stops() {
    let workspace = Workspace::with_scenes();
    for (signal, run) in [(Signal::TERM, "terminated"), (Signal::INT, "interrupted")] {
        let (mut training, mut log) = Running::train_until(&workspace, run, 60, &[]);
        training.signal(signal);
        let said = training.ends_with(0);
        assert!(
            said.contains(&format!("Resume with: cutline train --resume {run}")),
            "{said}"
        );
        log.assert_ended("stopped");
        log.assert_whole();
        let saved = log.read().iter().rfind(|event| event["event"] == "checkpoint");
        let saved = saved.unwrap()["step"].as_u64().unwrap();
        assert_eq!(saved, log.last_step(), "nothing that was done is lost");
        assert_eq!(state(&workspace, run), "stopped");
    }
}

#[test]
fn second_ctrl_c_exits_at_once() {
    let workspace = Workspace::with_scenes();
    let (mut training, mut log) = Running::train_until(&workspace, "first", 60, &[]);
    workspace.succeeds(&["control", "first", "pause"]);
    // A pipe: saving the checkpoint blocks until it is read.
    let latest = workspace.run_directory("first").latest();
    fs::remove_file(&latest).unwrap();
    mknodat(CWD, latest.as_path(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    training.signal(Signal::INT);
    let asked = "saving and stopping";
    wait_until("no word of stopping", || training.said().contains(asked));
    assert!(training.is_alive());
    training.signal(Signal::INT);
    training.ends_with(130);
    assert_ne!(log.read().last().unwrap()["event"], "end");
    assert_eq!(state(&workspace, "first"), "crashed");
}

/// Deletes a run while its training may write to it.
fn delete(run: &RunDirectory) {
    wait_until("not to be deleted", || match fs::remove_dir_all(run.path()) {
        Err(error) => error.kind() == ErrorKind::NotFound,
        Ok(()) => true,
    });
}

#[test]
fn run_deleted_while_training_is_named_and_not_recreated() {
    let workspace = Workspace::with_scenes();
    let run = workspace.run_directory("first");
    let (mut training, _) = Running::train_until(&workspace, "first", 60, &[]);
    workspace.succeeds(&["control", "first", "pause"]);
    delete(&run);
    let said = training.ends_with(1);
    let expected = format!(
        "error: {} was deleted while the job was running",
        run.path().display()
    );
    assert!(said.contains(&expected), "{said}");
    assert!(!run.path().exists());

    // With constant saves: a file may be deleted shortly before its directory.
    for number in 0..10 {
        let name = format!("busy-{number}");
        let run = workspace.run_directory(&name);
        let (mut training, _) = Running::train_until(&workspace, &name, 60, &["training.checkpoint_steps=2"]);
        delete(&run);
        let said = training.ends_with(1);
        let error = said.lines().find(|line| line.starts_with("error: "));
        assert!(error.unwrap().contains(text(run.path())), "{said}");
        assert!(!run.path().exists());
    }
}

#[test]
fn read_only_run_keeps_its_last_checkpoint() {
    let Some(mut command) = held_by_permissions() else {
        println!("skipped: root writes wherever it likes, and there is no setpriv to hold it back");
        return;
    };
    let workspace = Workspace::with_scenes();
    let run = workspace.run_directory("first");
    let mut log = Log::new(run.job().events());
    workspace.set_env(&mut command);
    command
        .args(words(&train("first", ENDLESS)))
        .stdout(Stdio::null());
    let mut training = Running::start(command);
    wait_until("too few steps", || log.last_step() >= 60);
    workspace.succeeds(&["control", "first", "pause"]);
    let saved = fs::read(run.latest()).unwrap();
    let mode = |mode| fs::set_permissions(run.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    workspace.succeeds(&["control", "first", "resume"]);
    let said = training.ends_with(1);
    mode(0o755);
    // The first of the two to be written depends on whether the next epoch is the best so far.
    let named = ["latest", "best"].map(|name| format!("{name}.safetensors: Permission denied"));
    assert!(named.iter().any(|error| said.contains(error)), "{said}");
    assert!(fs::read(run.latest()).unwrap() == saved);
    assert_eq!(temporary_files(run.path()), Vec::<std::path::PathBuf>::new());
    log.assert_ended("failed");
    log.assert_whole();
    workspace.succeeds(&["evaluate", "first", "--checkpoint", "latest"]);
}

#[test]
fn runs_list_has_states_and_rm_rejects_live_runs() {
    let workspace = Workspace::with_scenes();
    workspace.train("done", 1);
    assert_eq!(state(&workspace, "done"), "complete");

    let (mut training, mut log) = Running::train_until(&workspace, "live", 20, &[]);
    assert_eq!(state(&workspace, "live"), "running");
    let row = listed(&workspace, "live");
    assert_eq!(
        (&row["pid"], &row["dataset"]),
        (&training.pid().into(), &"scenes".into())
    );
    let error = workspace.fails(&["runs", "rm", "done", "live", "--yes"]);
    assert!(
        error.contains("live is running; stop it first: cutline control live stop"),
        "{error}"
    );
    assert_eq!(state(&workspace, "done"), "complete", "all or none");
    workspace.succeeds(&["control", "live", "pause"]);
    assert_eq!(state(&workspace, "live"), "paused");
    let error = workspace.fails(&["runs", "rm", "live", "--yes"]);
    assert!(error.contains("live is paused; stop it first"), "{error}");
    assert!(training.kill());
    assert_eq!(state(&workspace, "live"), "crashed");
    assert_eq!(listed(&workspace, "live")["pid"], Value::Null);
    let error = workspace.fails(&["attach", "live"]);
    assert!(
        error.contains("exited without an `end` event; resume it with: cutline train --resume live"),
        "{error}"
    );

    let mut resumed = Running::run(&workspace, &["train", "--resume", "live"]);
    log.wait_for_steps(5);
    assert_eq!(
        state(&workspace, "live"),
        "running",
        "a pause ends with who was asked"
    );
    workspace.succeeds(&["control", "live", "stop"]);
    resumed.ends_with(0);
    assert_eq!(state(&workspace, "live"), "stopped");

    let mut hot = train("hot", 2);
    hot.extend(["--set", "training.learning_rate=1e38"].map(str::to_owned));
    let error = workspace.fails(&words(&hot));
    assert!(error.contains("became infinite or not a number"), "{error}");
    assert_eq!(state(&workspace, "hot"), "failed");
    assert!(
        listed(&workspace, "hot")["error"]
            .as_str()
            .unwrap()
            .contains("became infinite")
    );
    let error = workspace.fails(&["attach", "hot"]);
    assert!(error.contains("hot failed, see above"), "{error}");

    let error = workspace.fails(&["runs", "rm", "hot"]);
    assert!(error.contains("give --yes"), "{error}");
    workspace.succeeds(&["runs", "rm", "hot", "live", "--yes"]);
    assert!(!workspace.run_directory("hot").path().exists());
    assert_eq!(workspace.root().runs().unwrap(), ["done".parse().unwrap()]);
}

/// Copies a run, as if its process ran on `host` and wrote its log and its lock `silence` seconds ago.
fn copy_as_of(workspace: &Workspace, run: &str, copy: &str, host: Option<&str>, silence: f64) {
    let [from, to] = [run, copy].map(|name| workspace.run_directory(name));
    fs::create_dir(to.path()).unwrap();
    for file in [from.config(), from.vocabulary(), from.job().lock()] {
        fs::copy(&file, to.path().join(file.file_name())).unwrap();
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let logged = fs::read_to_string(from.job().events()).unwrap();
    let mut events: Vec<Value> = logged
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let later = now - silence - events.last().unwrap()["time"].as_f64().unwrap();
    let mut text = String::new();
    for event in &mut events {
        event["time"] = (event["time"].as_f64().unwrap() + later).into();
        if let Some(host) = host.filter(|_| event["event"] == "start") {
            event["host"] = host.into();
        }
        text += &format!("{event}\n");
    }
    fs::write(to.job().events(), text).unwrap();
    if let Some(host) = host {
        let note = format!("{{\"pid\":1,\"host\":\"{host}\",\"since\":0,\"token\":\"1\"}}");
        fs::write(to.job().lock(), note).unwrap();
    }
    let written = SystemTime::now() - Duration::from_secs_f64(silence.max(0.0));
    for file in [to.job().events(), to.job().lock()] {
        let file = fs::File::options().append(true).open(file).unwrap();
        file.set_modified(written).unwrap();
    }
}

/// A lock held on another host may seem free here, so the age of its files decides.
#[test]
fn run_of_another_host_is_stalled_after_silence() {
    const ELSEWHERE: Option<&str> = Some("elsewhere.example");
    let workspace = Workspace::with_scenes();
    let (mut training, _) = Running::train_until(&workspace, "first", 60, &[]);
    assert!(training.kill());
    // In the future, so that a slow machine does not find it stalled.
    copy_as_of(&workspace, "first", "here", None, -600.0);
    copy_as_of(&workspace, "first", "fresh", ELSEWHERE, -600.0);
    copy_as_of(&workspace, "first", "silent", ELSEWHERE, 3600.0);
    for (run, expected) in [("here", "crashed"), ("fresh", "running"), ("silent", "crashed")] {
        assert_eq!(state(&workspace, run), expected, "{run}");
    }
    assert_eq!(listed(&workspace, "fresh")["host"], "elsewhere.example");
    let error = workspace.fails(&["runs", "rm", "fresh", "--yes"]);
    assert!(error.contains("fresh is running; stop it first"), "{error}");
    workspace.succeeds(&["runs", "rm", "silent", "here", "--yes"]);
    // No process there acknowledges: the command stays for the next session.
    let error = workspace.fails(&["control", "fresh", "pause", "--wait", "1"]);
    assert!(error.contains("no answer from fresh in 1 seconds"), "{error}");
    let control_directory = workspace.run_directory("fresh").job().control();
    assert_eq!(entries(control_directory.as_path()), 1, "{control_directory}");
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}
