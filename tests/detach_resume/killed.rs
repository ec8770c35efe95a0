//! Processes killed at random moments and resumed: the result equals that of an uninterrupted run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::log::Log;
use super::process::{Running, wait_until};
use super::support::{Workspace, temporary_files, text, train, words};
use super::{state, weights};

const SEED: u64 = 7;
const EPOCHS: usize = 40;
/// Images of the dataset.
const IMAGES: usize = 40;

/// When a process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// At its start.
    Start,
    /// At this amount of progress, or less.
    Events(usize),
    /// While it evaluates the dev split and saves.
    EpochEnd,
}

/// Kills processes, and counts those that were still running.
struct Killer {
    chance: ChaCha8Rng,
    survived: usize,
    /// The moments of the kills.
    moments: BTreeMap<String, usize>,
}

impl Killer {
    fn new() -> Self {
        println!("seed {SEED}");
        Self {
            chance: ChaCha8Rng::seed_from_u64(SEED),
            survived: 0,
            moments: BTreeMap::new(),
        }
    }

    /// Starts a command and kills it up to `pause` after the moment. Returns whether it was still running.
    fn kill(&mut self, command: Command, directory: &Path, moment: Moment, pause: Duration) -> bool {
        let mut log = Log::new(directory.join("events.jsonl"));
        let before = log.read().len();
        let more = match moment {
            Moment::Start => 0,
            Moment::Events(most) => self.chance.random_range(1..=most),
            Moment::EpochEnd => 1,
        };
        let is_come = |log: &mut Log| {
            let events = &log.read()[before..];
            let has_come = |kind| events.iter().any(|event| event["event"] == kind);
            events.len() >= more && (!matches!(moment, Moment::EpochEnd) || has_come("progress"))
        };
        let pause = pause.mul_f64(self.chance.random());
        let mut process = Running::start(command);
        wait_until("too few events", || is_come(&mut log) || !process.is_alive());
        // Spins: a sleep is longer than the write of a file.
        let since = Instant::now();
        while since.elapsed() < pause {
            thread::yield_now();
        }
        if !process.kill() {
            let said = process.ends_with(0);
            assert_eq!(said, "", "it is quiet unless something is wrong");
            return false;
        }
        self.survived += 1;
        let last = log.read().last();
        let moment = match directory.is_dir() && !temporary_files(directory).is_empty() {
            true => "writing a file".into(),
            false => last.map_or("the start".into(), |event| format!("after {}", event["event"])),
        };
        *self.moments.entry(moment).or_default() += 1;
        true
    }

    /// Prints the kills.
    fn report(&self, what: &str) {
        println!("{what}: survived {} kills: {:?}", self.survived, self.moments);
    }
}

#[test]
fn killed_training_resumes_to_the_same_bytes() {
    let workspace = Workspace::with_scenes();
    let often = ["--set", "training.checkpoint_steps=2", "--quiet"];
    let arguments = |run| {
        [words(&train(run, EPOCHS)).as_slice(), &often]
            .concat()
            .join("\n")
    };
    let command = |arguments: &str| {
        let mut command = workspace.command(&arguments.split('\n').collect::<Vec<_>>());
        command.stdout(Stdio::null());
        command
    };
    Running::start(command(&arguments("whole"))).ends_with(0);

    let mut killer = Killer::new();
    let cut = workspace.run_directory("cut");
    loop {
        let mut command = match cut.config().exists() {
            true => workspace.command(&["train", "--resume", "cut", "--quiet"]),
            // Killed before the run was created.
            false => command(&arguments("cut")),
        };
        command.stdout(Stdio::null());
        let (moment, pause) = match killer.chance.random_range(0..5) {
            0 => (Moment::Start, 20_000),
            1 => (Moment::Events(3), 2_000),
            2 => (Moment::Events(80), 2_000),
            3 => (Moment::Events(160), 2_000),
            _ => (Moment::EpochEnd, 4_000),
        };
        if !killer.kill(command, cut.path(), moment, Duration::from_micros(pause)) {
            break;
        }
    }
    killer.report("training");

    let whole = workspace.run_directory("whole");
    for file in [cut.latest(), cut.best()] {
        let same = whole.path().join(file.file_name());
        assert!(fs::read(&file).unwrap() == fs::read(same).unwrap(), "{}", file);
    }
    let [mut log, mut same] = [&cut, &whole].map(|run| Log::new(run.job().events()));
    let losses = log.losses();
    assert_eq!(losses.len(), 48 * EPOCHS);
    assert!(losses == same.losses(), "bit for bit");
    log.assert_whole();
    log.assert_ended("complete");
    assert_eq!(state(&workspace, "cut"), "complete");
    assert_eq!(temporary_files(workspace.path()), Vec::<PathBuf>::new());
    assert!(killer.survived >= 50, "only {} kills", killer.survived);
    assert!(
        killer.moments.contains_key("writing a file"),
        "{:?}",
        killer.moments
    );
}

#[test]
fn killed_prepare_resumes_to_the_same_bytes() {
    let workspace = Workspace::new();
    let weights = workspace.path().join("random.safetensors");
    weights::write_random(&weights, 1);
    let images = IMAGES.to_string();
    let prepare = |name: &str| {
        let mut command =
            workspace.command(&["prepare", "scenes", "--name", name, "--size", "32", "--quiet"]);
        command
            .args(["--num-images", &images, "--batch-size", "1", "--min-count", "1"])
            .args(["--backbone", "mobilenet_v2", "--weights", text(&weights)])
            .stdout(Stdio::null());
        command
    };
    let dataset = |name: &str| workspace.path().join("datasets").join(name);
    Running::start(prepare("whole")).ends_with(0);

    let mut killer = Killer::new();
    let job = dataset("cut").join("prepare");
    // Progress events are too rare, so the moments are times, which grow until the command completes.
    let mut pause = Duration::from_millis(100);
    while killer.kill(prepare("cut"), &job, Moment::Start, pause) {
        pause = pause.mul_f64(1.15);
    }
    killer.report("preparing");

    let mut files = all_files(&dataset("whole"));
    files.retain(|path| !path.starts_with("prepare"));
    assert!(files.len() > IMAGES, "{files:?}");
    for file in files {
        let [whole, cut] = ["whole", "cut"].map(|name| dataset(name).join(&file));
        // Only the name of the dataset may differ.
        let named = |path: &Path, name: &str| {
            let bytes = fs::read(path).unwrap();
            match String::from_utf8(bytes) {
                Ok(text) => text.replace(&format!("\"{name}\""), "").into_bytes(),
                Err(error) => error.into_bytes(),
            }
        };
        assert!(named(&whole, "whole") == named(&cut, "cut"), "{}", file.display());
    }
    let mut log = Log::new(job.join("events.jsonl"));
    log.read();
    log.assert_whole();
    log.assert_ended("complete");
    assert_eq!(temporary_files(workspace.path()), Vec::<PathBuf>::new());
    assert!(killer.survived >= 5, "only {} kills", killer.survived);
}

/// All files below a directory, by relative path.
fn all_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        match path.is_dir() {
            true => found.extend(all_files(&path).into_iter().map(|below| name.join(below))),
            false => found.push(name),
        }
    }
    found
}
