//! Commands to a training: read between two batches, acknowledged in the log, carried out or rejected.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use super::log::Log;
use super::process::{Running, wait_until};
use super::support::{Workspace, text};
use super::{listed, state};

/// A training that is controlled by files.
struct Steered {
    workspace: Workspace,
    training: Running,
    log: Log,
    sent: usize,
}

impl Steered {
    fn new() -> Self {
        let workspace = Workspace::with_scenes();
        let (training, log) =
            Running::train_until(&workspace, "first", 20, &["training.lr_schedule.warmup_steps=0"]);
        Self {
            workspace,
            training,
            log,
            sent: 0,
        }
    }

    fn control_directory(&self) -> PathBuf {
        self.workspace.run_directory("first").job().control().into()
    }

    /// Sends a command and waits for the acknowledgement, which must come within two steps. Returns its index in the log.
    #[track_caller]
    fn ask(&mut self, command: &str) -> usize {
        self.sent += 1;
        let id = format!("{:04}.json", self.sent);
        let hidden = self.control_directory().join(format!(".{id}"));
        fs::write(&hidden, command).unwrap();
        let events = self.workspace.run_directory("first").job().events();
        fs::rename(&hidden, self.control_directory().join(&id)).unwrap();
        let logged = fs::metadata(&events).unwrap().len();
        let last = Log::new(events).last_step_within(logged);
        let answer = self.answer_to(&id);
        let step = self.step(answer);
        assert!(
            (last..=last + 2).contains(&step),
            "left at {last}, taken at {step}"
        );
        answer
    }

    #[track_caller]
    fn answer_to(&mut self, id: &str) -> usize {
        let what = format!("no answer to {id:?}");
        self.log
            .wait_for(0, &what, |event| event["event"] == "control" && event["id"] == id)
    }

    /// Sends a command that is accepted. Returns the index of the acknowledgement.
    #[track_caller]
    fn is_obeyed(&mut self, command: &str) -> usize {
        let at = self.ask(command);
        let answer = &self.log.read()[at];
        assert_eq!(answer["error"], Value::Null, "{answer}");
        at
    }

    /// Sends a command that is rejected. Returns the reason.
    #[track_caller]
    fn is_rejected(&mut self, command: &str) -> String {
        let at = self.ask(command);
        self.reason(at)
    }

    #[track_caller]
    fn reason(&mut self, at: usize) -> String {
        let answer = &self.log.read()[at];
        let why = answer["error"].as_str();
        why.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn step(&mut self, at: usize) -> u64 {
        self.log.read()[at]["step"].as_u64().unwrap()
    }

    /// The event at an index, which must be of this kind and of the step of the acknowledgement before.
    #[track_caller]
    fn follows(&mut self, answer: usize, kind: &str) -> Value {
        let at = self
            .log
            .wait_for(answer + 1, kind, |event| event["event"] != "progress");
        let [answer, event] = [answer, at].map(|at| self.log.read()[at].clone());
        assert_eq!(event["event"], kind, "{event}");
        assert_eq!(event["step"], answer["step"]);
        event
    }
}

#[test]
fn command_is_acknowledged_within_two_steps() {
    let mut steered = Steered::new();
    for _ in 0..5 {
        let at = steered.is_obeyed(r#"{"command":"checkpoint"}"#);
        assert_eq!(steered.follows(at, "checkpoint")["name"], "latest");
    }

    let at = steered.is_obeyed(r#"{"command":"evaluate"}"#);
    let evaluation = steered.follows(at, "evaluation");
    assert_eq!(evaluation["trigger"], "manual");
    assert_eq!(evaluation["best"], false);

    let at = steered.is_obeyed(r#"{"command":"predict"}"#);
    assert_eq!(
        steered.follows(at, "predictions")["captions"]
            .as_array()
            .unwrap()
            .len(),
        5
    );

    let at = steered.is_obeyed(r#"{"command":"set","settings":{"lr":"2.5e-4"}}"#);
    steered.follows(at, "checkpoint");
    steered.log.wait_for_steps(100);
    for event in &steered.log.read()[at..] {
        if event["event"] == "step" {
            let rate = event["learning_rate"].as_f64().unwrap();
            assert!((rate - 2.5e-4).abs() < 1e-6, "{event}");
        }
    }

    let paused = steered.is_obeyed(r#"{"command":"pause"}"#);
    assert_eq!(state(&steered.workspace, "first"), "paused");
    let mut attached = Running::printing(&steered.workspace, &["attach", "first"]);
    let shown = "paused; continue it with: cutline control first resume";
    wait_until("the pause was not shown", || attached.said().contains(shown));
    attached.kill();
    // Other commands are carried out while it is paused.
    let at = steered.is_obeyed(r#"{"command":"predict"}"#);
    steered.follows(at, "predictions");
    let at = steered.is_obeyed(r#"{"command":"checkpoint"}"#);
    steered.follows(at, "checkpoint");
    let resumed = steered.is_obeyed(r#"{"command":"resume"}"#);
    let steps = |event: &Value| event["event"] == "step";
    assert!(!steered.log.read()[paused..resumed].iter().any(steps));
    steered.log.wait_for_steps(50);
    assert_eq!(state(&steered.workspace, "first"), "running");

    let at = steered.is_obeyed(r#"{"command":"stop"}"#);
    steered.follows(at, "checkpoint");
    steered.training.ends_with(0);
    steered.log.assert_ended("stopped");
    steered.log.assert_whole();

    // The run keeps the changed learning rate.
    let resumed = ["train", "--resume", "first"];
    let mut training = Running::run(&steered.workspace, &resumed);
    steered.log.wait_for_steps(10);
    let last = steered.log.read().iter().rfind(|event| event["event"] == "step");
    assert!((last.unwrap()["learning_rate"].as_f64().unwrap() - 2.5e-4).abs() < 1e-6);
    steered.workspace.succeeds(&["control", "first", "stop"]);
    training.ends_with(0);
}

#[test]
fn control_command_equals_control_file() {
    let mut steered = Steered::new();
    for arguments in [
        &["pause"][..],
        &["predict"],
        &["resume"],
        &["evaluate"],
        &["checkpoint"],
        &[
            "set",
            "lr=1e-4",
            "training.epochs=777",
            "training.label_smoothing=0",
        ],
        &["stop"],
    ] {
        let said = steered
            .workspace
            .succeeds(&[&["control", "first"], arguments].concat());
        assert!(
            said.starts_with(&format!("{} at step ", arguments.join(" "))),
            "{said}"
        );
    }
    steered.training.ends_with(0);

    let run = listed(&steered.workspace, "first");
    assert_eq!(
        (&run["epochs"], &run["end"]),
        (&Value::from(777), &Value::from("stopped"))
    );

    let error = steered.workspace.fails(&["control", "first", "pause"]);
    assert!(error.contains("first is not running: it is stopped"), "{error}");
    assert_eq!(fs::read_dir(steered.control_directory()).unwrap().count(), 0);
}

#[test]
fn control_of_finished_run_is_rejected() {
    let workspace = Workspace::with_scenes();
    workspace.train("first", 1);
    let error = workspace.fails(&["control", "first", "stop"]);
    assert!(error.contains("first is not running: it is complete"), "{error}");
}

#[test]
fn invalid_command_is_rejected_with_reason() {
    let mut steered = Steered::new();
    for (command, reason) in [
        ("", "it is not a command: EOF"),
        ("{\"comma", "it is not a command: EOF"),
        ("{\"command\":\"pause\"", "it is not a command: EOF"),
        ("[]", "it is not a command"),
        ("null", "it is not a command"),
        ("{}", "missing field `command`"),
        ("{\"command\":\"halt\"}", "unknown variant `halt`"),
        ("{\"command\":\"Pause\"}", "unknown variant `Pause`"),
        (
            "{\"command\":\"pause\"}{\"command\":\"stop\"}",
            "trailing characters",
        ),
        ("{\"command\":\"set\"}", "missing field `settings`"),
        ("{\"command\":\"set\",\"settings\":{\"lr\":1}}", "invalid type"),
        (
            "{\"command\":\"set\",\"settings\":{\"decoder.hidden_size\":\"32\"}}",
            "`decoder.hidden_size` cannot change while a run is trained",
        ),
        (
            "{\"command\":\"set\",\"settings\":{\"lr\":\"fast\"}}",
            "training.learning_rate",
        ),
        (
            "{\"command\":\"set\",\"settings\":{\"lr\":\"-1\"}}",
            "a number above 0",
        ),
        (
            "{\"command\":\"set\",\"settings\":{\"\\u001b[2J\":\"1\"}}",
            "is not a key",
        ),
        (&"[".repeat(50_000), "it is not a command"),
        (
            &format!("{{\"a\":{}", "[".repeat(50_000)),
            "recursion limit exceeded",
        ),
        (&"[".repeat(100_000), "it is longer than"),
        (&" ".repeat(10_000_000), "it is longer than"),
    ] {
        let why = steered.is_rejected(command);
        assert!(why.contains(reason), "{command:.60}: {why}");
    }
    // One invalid setting rejects all.
    steered.is_rejected(r#"{"command":"set","settings":{"lr":"7e-4","seed":"1"}}"#);
    let error = steered.workspace.fails(&["control", "first", "set", "lr=-1"]);
    assert!(error.contains("rejected set lr=-1: "), "{error}");
    goes_on_unmoved(steered);
}

#[test]
fn hostile_control_files_are_rejected_and_their_targets_kept() {
    let mut steered = Steered::new();
    let mut attached = Running::printing(&steered.workspace, &["attach", "first"]);
    wait_until("nothing to be seen", || !attached.said().is_empty());
    let control_directory = steered.control_directory();
    let precious = steered.workspace.path().join("precious");
    fs::create_dir(&precious).unwrap();
    let kept = precious.join("kept");
    fs::write(&kept, "{\"command\":\"stop\"}").unwrap();

    symlink("/dev/zero", control_directory.join("zero.json")).unwrap();
    symlink("/nowhere", control_directory.join("nowhere.json")).unwrap();
    symlink(&kept, control_directory.join("file.json")).unwrap();
    symlink(&precious, control_directory.join("directory.json")).unwrap();
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, control_directory.join("pipe.json"), FileType::Fifo, mode, 0).unwrap();
    let deep = steered.workspace.path().join("deep");
    fs::create_dir_all(deep.join("a/b/c")).unwrap();
    symlink(&precious, deep.join("a/link")).unwrap();
    fs::rename(&deep, control_directory.join("deep.json")).unwrap();
    let linked = ["zero", "nowhere", "file", "directory"].map(|id| (id, "symbolic link"));
    for (id, kind) in linked
        .into_iter()
        .chain([("pipe", "a FIFO"), ("deep", "a directory")])
    {
        let entry = control_directory.join(format!("{id}.json"));
        let at = steered.answer_to(&format!("{id}.json"));
        let why = steered.reason(at);
        assert!(why.contains(kind), "{id}: {why}");
        // Only plain files are removed.
        match fs::symlink_metadata(&entry).unwrap().is_dir() {
            true => fs::remove_dir_all(entry).unwrap(),
            false => fs::remove_file(entry).unwrap(),
        }
    }
    assert!(kept.exists(), "what a link leads to stays");

    // Names that are not UTF-8, or contain escape sequences.
    fs::write(control_directory.join(OsStr::from_bytes(b"\xff\xfe.json")), "x").unwrap();
    steered.answer_to("\u{fffd}\u{fffd}.json");
    let steering = "\u{1b}[2J\u{1b}]0;x\u{7}\n\u{202e}.json";
    fs::write(control_directory.join(steering), "{\"command\":\"\u{1b}[2J\"}").unwrap();
    let at = steered.answer_to(steering);
    assert!(steered.reason(at).contains("it is not a command"));
    let words = "{\"command\":\"\\u001b[2J\"}";
    let why = steered.is_rejected(words);
    assert!(why.contains("unknown variant `\u{1b}[2J`"), "{why:?}");

    // More files than are read at a time.
    for number in 0..500 {
        fs::write(control_directory.join(format!("flood-{number:03}.json")), "{").unwrap();
    }
    steered.answer_to("flood-499.json");

    let raw = fs::read(steered.workspace.run_directory("first").job().events()).unwrap();
    assert!(!raw.contains(&0x1b), "the log itself steers no terminal");
    let workspace = goes_on_unmoved(steered);
    let said = attached.ends_with(0);
    assert!(said.contains("rejected unknown"), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{said:?}");
    drop(workspace);
}

/// Checks that the training still accepts commands and that its control directory is empty.
#[track_caller]
fn goes_on_unmoved(mut steered: Steered) -> Workspace {
    let control_directory = steered.control_directory();
    wait_until("a control directory that is not empty", || {
        fs::read_dir(&control_directory).unwrap().next().is_none()
    });
    steered.log.wait_for_steps(100);
    let last = steered.log.read().iter().rfind(|event| event["event"] == "step");
    let rate = last.unwrap()["learning_rate"].as_f64().unwrap();
    assert!((rate - 1e-3).abs() < 1e-6, "{rate}");
    steered.is_obeyed(r#"{"command":"stop"}"#);
    steered.training.ends_with(0);
    steered.log.assert_whole();
    steered.log.assert_ended("stopped");
    steered.workspace
}

#[test]
fn second_trainer_error_names_the_first() {
    let mut steered = Steered::new();
    let workspace = &steered.workspace;
    let pid = steered.training.pid();
    for detach in [&[][..], &["--detach"]] {
        let error = workspace.fails(&[&["train", "--resume", "first"], detach].concat());
        assert!(
            error.contains("run `first` is being trained by another process"),
            "{error}"
        );
        assert!(error.contains(&format!("process {pid} on ")), "{error}");
    }
    // By its path, it is the same run.
    let run = workspace.run_directory("first");
    let error = workspace.fails(&["train", "--resume", text(run.path())]);
    assert!(error.contains(&format!("process {pid} on ")), "{error}");
    assert_eq!(listed(workspace, "first")["pid"], pid);
    assert_eq!(steered.log.count("start"), 1);
    goes_on_unmoved(steered);
}

#[test]
fn deleted_inbox_is_recreated() {
    let mut steered = Steered::new();
    let control_directory = steered.control_directory();
    fs::remove_dir_all(&control_directory).unwrap();
    wait_until("no control directory", || control_directory.is_dir());
    steered.is_obeyed(r#"{"command":"predict"}"#);
    goes_on_unmoved(steered);
}
