//! A disk that is full during a training, and has space again later.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::log::Log;
use super::process::{Running, wait_until};
use super::support::{DATASET, Workspace, temporary_files, text, train, words};

/// Epochs of the run that completes.
const EPOCHS: usize = 60;
/// Bytes left for the log; a checkpoint takes twice as many.
const LEFT: u64 = 40_960;

/// A small disk in memory, accessed through the process that mounted it. That process ends with its input.
struct Disk {
    keeper: Child,
    path: PathBuf,
}

impl Disk {
    /// `None` if the system allows only root to mount.
    fn mount(at: &Path) -> Option<Self> {
        const SCRIPT: &str = "mount -t tmpfs -o size=4m tmpfs \"$0\" && echo mounted && read -r _";
        let keeper = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                SCRIPT,
                text(at),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut keeper = match keeper {
            Ok(keeper) => keeper,
            Err(error) => {
                println!("skipped: there is no unshare: {error}");
                return None;
            }
        };
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        let inside = format!("/proc/{}/root{}", keeper.id(), text(at));
        let disk = Self {
            keeper,
            path: inside.into(),
        };
        if said != "mounted\n" || fs::write(disk.path.join("probe"), "").is_err() {
            println!("skipped: this system gives no namespace to mount a disk in");
            return None;
        }
        assert!(!at.join("probe").exists(), "the disk is visible outside");
        Some(disk)
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Fills it up to `left` bytes.
    fn fill(&self, left: u64) {
        let mut filler = File::options()
            .create(true)
            .append(true)
            .open(self.filler())
            .unwrap();
        let full = loop {
            if let Err(error) = filler.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        filler
            .set_len(filler.metadata().unwrap().len().saturating_sub(left))
            .unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A training on a small disk.
struct Cramped {
    workspace: Workspace,
    disk: Disk,
    training: Running,
    log: Log,
}

impl Cramped {
    fn new(epochs: usize, settings: &[&str]) -> Option<Self> {
        let workspace = Workspace::with_scenes();
        let at = workspace.path().join("disk");
        fs::create_dir(&at).unwrap();
        let disk = Disk::mount(&at)?;
        let data = workspace.root().find_dataset(DATASET).unwrap();
        let mut arguments = train("first", epochs);
        arguments[1] = text(data.as_path()).to_owned();
        let mut command = workspace.command(&words(&arguments));
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.env("CUTLINE_ROOT", &disk.path).stdout(Stdio::null());
        let training = Running::start(command);
        let mut cramped = Self {
            log: Log::new(disk.path.join("checkpoints/first/events.jsonl")),
            workspace,
            disk,
            training,
        };
        cramped.log.wait_for_steps(60);
        Some(cramped)
    }

    fn run(&self) -> PathBuf {
        self.disk.path.join("checkpoints/first")
    }

    /// Waits until no event is logged for a while.
    fn wait_for_silence(&mut self) {
        let (mut since, mut logged) = (Instant::now(), 0);
        wait_until("no silence", || {
            let events = self.log.read().len();
            if events > logged {
                (since, logged) = (Instant::now(), events);
            }
            since.elapsed() > Duration::from_millis(500)
        });
        assert!(self.training.is_alive(), "{}", self.training.said());
    }
}

#[test]
fn training_on_full_disk_waits_and_resumes_to_the_same_bytes() {
    const SETTINGS: [&str; 1] = ["training.checkpoint_steps=20"];
    let Some(mut cramped) = Cramped::new(EPOCHS, &SETTINGS) else {
        return;
    };
    // First there is space for the log, but not for checkpoints.
    cramped.disk.fill(LEFT);
    let warned = |event: &Value| event["event"] == "warning";
    let at = cramped.log.wait_for(0, "no warning", warned);
    let warning = cramped.log.read()[at]["text"].as_str().unwrap().to_owned();
    assert!(warning.contains("latest.safetensors: "), "{warning}");
    assert!(warning.contains("waiting until there is space"), "{warning}");
    cramped.wait_for_silence();
    // Then for neither.
    cramped.disk.fill(0);
    cramped.wait_for_silence();
    let before = cramped.log.last_step();
    cramped.disk.free();
    cramped.log.wait_for_steps(1);

    cramped.training.ends_with(0);
    cramped.log.assert_whole();
    cramped.log.assert_ended("complete");
    assert!(cramped.log.last_step() > before);
    assert_eq!(temporary_files(&cramped.run()), Vec::<PathBuf>::new());
    let workspace = &cramped.workspace;
    let mut whole = train("whole", EPOCHS);
    whole.extend(["--set", SETTINGS[0]].map(str::to_owned));
    workspace.succeeds(&words(&whole));
    let whole = workspace.run_directory("whole");
    assert!(cramped.log.losses() == Log::new(whole.job().events()).losses());
    for file in [whole.latest(), whole.best()] {
        let same = cramped.run().join(file.file_name());
        assert!(fs::read(&file).unwrap() == fs::read(same).unwrap(), "{}", file);
    }
}

#[test]
fn log_on_full_disk_has_no_gap() {
    let Some(mut cramped) = Cramped::new(super::ENDLESS, &[]) else {
        return;
    };
    // Between two checkpoints, one per epoch.
    for _ in 0..3 {
        cramped.disk.fill(0);
        cramped.wait_for_silence();
        cramped.disk.free();
        cramped.log.wait_for_steps(100);
    }
    cramped.training.signal(Signal::TERM);
    cramped.training.ends_with(0);
    cramped.log.assert_whole();
    cramped.log.assert_ended("stopped");
}

#[test]
fn training_on_full_disk_can_be_stopped() {
    let Some(mut cramped) = Cramped::new(super::ENDLESS, &["training.checkpoint_steps=20"]) else {
        return;
    };
    cramped.disk.fill(LEFT);
    let warned = |event: &Value| event["event"] == "warning";
    cramped.log.wait_for(0, "no warning", warned);
    let latest = cramped.run().join("latest.safetensors");
    let saved = fs::read(&latest).unwrap();
    // It retries meanwhile.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(cramped.log.count("warning"), 1, "it says so once");
    cramped.training.signal(Signal::TERM);
    let said = cramped.training.ends_with(1);
    assert!(said.contains("latest.safetensors: "), "{said}");
    cramped.log.assert_ended("failed");
    cramped.log.assert_whole();
    assert!(
        fs::read(&latest).unwrap() == saved,
        "the last one that was saved is whole"
    );
}
