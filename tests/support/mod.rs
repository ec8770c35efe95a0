//! A working directory for tests that run the real binary.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "no test file uses all; a test fails by panicking"
)]

pub(crate) mod fixture;
#[cfg(unix)]
pub(crate) mod screen;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cutline::jobs::{Root, RunDirectory};
use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const CUTLINE: &str = env!("CARGO_BIN_EXE_cutline");
/// The dataset that [`Workspace::with_scenes`] prepares.
pub(crate) const DATASET: &str = "scenes";
/// The arguments that prepare it: 48 images to train on, 6 for dev, 6 for test.
pub(crate) const PREPARE: [&str; 10] = [
    "prepare",
    "scenes",
    "--name",
    DATASET,
    "--num-images",
    "60",
    "--size",
    "32",
    "--min-count",
    "1",
];
/// Settings of a small network. A batch is one image, so an epoch has 48.
const SMALL: [&str; 7] = [
    "encoder.small_cnn.size=16",
    "encoder.small_cnn.widths=[8,8]",
    "decoder.hidden_size=16",
    "decoder.embedding_size=8",
    "training.sampler=by_image",
    "training.batch_size=5",
    "training.early_stopping_patience=0",
];

/// The binary as a command that permissions of files hold for, root's too; `None` if that is not possible.
pub(crate) fn held_by_permissions() -> Option<Command> {
    unprivileged(&["--bounding-set=-dac_override", "--inh-caps=-dac_override"])
}

/// The binary as a command that limits of processes hold for, root's too; `None` if that is not possible.
pub(crate) fn held_by_limits() -> Option<Command> {
    unprivileged(&["--reuid=65534", "--regid=65534", "--clear-groups"])
}

fn unprivileged(options: &[&str]) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return Some(Command::new(CUTLINE));
    }
    let without = |program| {
        let mut command = Command::new("setpriv");
        command.args(options).arg(program);
        command
    };
    let tried = without(CUTLINE).arg("--version").output();
    tried
        .is_ok_and(|output| output.status.success())
        .then(|| without(CUTLINE))
}

/// A temporary working directory.
pub(crate) struct Workspace(TempDir);

impl Workspace {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With the dataset `scenes`, of 48 training, 6 dev and 6 test images.
    pub(crate) fn with_scenes() -> Self {
        let workspace = Self::new();
        workspace.succeeds(&PREPARE);
        workspace
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn dataset(&self, name: &str) -> PathBuf {
        self.path().join("datasets").join(name)
    }

    pub(crate) fn root(&self) -> Root {
        Root::new(self.path())
    }

    pub(crate) fn run_directory(&self, run: &str) -> RunDirectory {
        self.root().run_dir(&run.parse().unwrap())
    }

    /// The command with these arguments, on one thread, so that tests do not slow each other down.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CUTLINE);
        self.set_env(&mut command);
        command.args(arguments);
        command
    }

    /// Sets the environment of the program, or of a shell that starts it.
    pub(crate) fn set_env(&self, command: &mut Command) {
        command
            .env_remove("NO_COLOR")
            .env_remove("CUTLINE_DEVICE")
            .env_remove("CUTLINE_IMAGE_MEMORY")
            .env_remove("CUTLINE_JPEG")
            .env_remove("CUTLINE_METEOR")
            .env_remove("CUTLINE_CACHE")
            .env("XDG_CACHE_HOME", self.path().join("caches"))
            .env("CUTLINE_ROOT", self.path())
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env("RAYON_NUM_THREADS", "1");
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must exit with 0; returns its standard output.
    #[track_caller]
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        out(&output)
    }

    /// Runs a command that must exit with 1; returns its standard error.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        err(&output)
    }

    /// Trains a small network on `scenes` to the end.
    #[track_caller]
    pub(crate) fn train(&self, run: &str, epochs: usize) {
        let printed = self.succeeds(&words(&train(run, epochs)));
        assert_eq!(printed, format!("{run}\n"));
    }

    /// Starts a training, waits until it has made `steps` steps, and leaves it running.
    pub(crate) fn train_until(&self, run: &str, epochs: usize, steps: u64) -> Training {
        let child = self
            .command(&words(&train(run, epochs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut training = Training(Some(child));
        let start = Instant::now();
        while step_losses(&self.run_directory(run)).len() < steps as usize {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "no {steps} steps in a minute"
            );
            let child = training.0.as_mut().unwrap();
            assert_eq!(child.try_wait().unwrap(), None, "ended before {steps} steps");
            thread::sleep(Duration::from_millis(2));
        }
        training
    }
}

/// A training in a process of its own, killed when dropped.
pub(crate) struct Training(Option<Child>);

impl Training {
    /// Sends what Ctrl-C sends, and waits for the end.
    pub(crate) fn interrupt(mut self) -> Output {
        let child = self.0.take().unwrap();
        interrupt(&child);
        child.wait_with_output().unwrap()
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a process what Ctrl-C sends.
pub(crate) fn interrupt(process: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &process.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// The arguments that train a small network on `scenes`.
pub(crate) fn train(run: &str, epochs: usize) -> Vec<String> {
    let epochs = format!("training.epochs={epochs}");
    let settings = SMALL.iter().copied().chain([epochs.as_str()]);
    ["train", DATASET, "--run", run]
        .into_iter()
        .chain(settings.flat_map(|setting| ["--set", setting]))
        .map(str::to_owned)
        .collect()
}

pub(crate) fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The loss of every step in a run's log, in order of the log, each with its step.
pub(crate) fn step_losses(run: &RunDirectory) -> Vec<(u64, f64)> {
    let log = fs::read_to_string(run.job().events()).unwrap_or_default();
    log.lines()
        // The last line may be half written.
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["event"] == "step")
        .map(|event| (event["step"].as_u64().unwrap(), event["loss"].as_f64().unwrap()))
        .collect()
}

/// Every file below a directory that was made to be renamed, and was not.
pub(crate) fn temporary_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(temporary_files(&path));
        } else if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
            found.push(path);
        }
    }
    found
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
