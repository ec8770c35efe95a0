//! The cost of the event log: reading a million events, and logging a step as a fraction of that step. And the memory
//! of a long training.
//!
//! ```text
//! cargo bench --bench runs
//! ```

mod support;
#[path = "../tests/support/mod.rs"]
mod workspace;

use cutline::jobs::{
    Directive, Event, EventLog, JobDirectory, JobInfo, JobKind, Lock, Record, Rejected, Session, StepEvent,
    read_events,
};
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use support::{DEMO, median};
use workspace::Workspace;

const EVENTS: u64 = 1_000_000;
const ROUNDS: usize = 5;
/// Epochs of the long training, and the epochs between two printed figures.
const EPOCHS: usize = 50;
const EPOCHS_PER_LINE: usize = 5;
/// Logged steps per measurement.
const LOGGED_STEPS: u64 = 2_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let place = tempfile::tempdir()?;
    reading(place.path())?;
    overhead(place.path())?;
    memory()
}

/// The resident memory of a training at the end of its epochs, each with a dev evaluation and two checkpoints.
fn memory() -> Result<()> {
    let workspace = Workspace::with_scenes();
    workspace.train("long", EPOCHS);
    let events = read_events(&workspace.run_directory("long").job().events())?;
    let mut by_epoch = vec![0; EPOCHS];
    for record in events.records {
        if let Event::Step(step) = record.event {
            by_epoch[step.epoch] = step.memory.unwrap_or(0);
        }
    }
    for (epoch, bytes) in by_epoch.iter().enumerate().step_by(EPOCHS_PER_LINE) {
        println!("memory after epoch {}: {:.1} MB", epoch + 1, *bytes as f64 / 1e6);
    }
    let last = by_epoch[EPOCHS - 1] as f64;
    println!(
        "memory after epoch {EPOCHS}: {:.1} MB, {:.3} times that after epoch {EPOCHS_PER_LINE}",
        last / 1e6,
        last / by_epoch[EPOCHS_PER_LINE - 1] as f64
    );
    Ok(())
}

fn step(number: u64) -> StepEvent {
    StepEvent {
        epoch: (number / 469) as usize,
        batch: (number % 469) as usize + 1,
        batches: 469,
        step: number + 1,
        loss: 3.0 + 1.0 / (number + 1) as f32,
        reward: None,
        learning_rate: 1e-3,
        grad_norm: 0.7,
        tokens: 756,
        tokens_per_second: 9_876.5,
        memory: Some(123_456_789),
        metrics: std::collections::BTreeMap::new(),
    }
}

fn reading(place: &Path) -> Result<()> {
    let path = place.join("events.jsonl");
    let mut log = EventLog::open(&(&path).into())?;
    for number in 0..EVENTS {
        log.append(Event::Step(step(number)))?;
    }
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        let since = Instant::now();
        let events = read_events(&(&path).into())?;
        seconds.push(since.elapsed().as_secs_f64());
        assert_eq!(events.records.len() as u64, EVENTS);
    }
    println!(
        "reading {EVENTS} events ({} MB): {:.2} s",
        path.metadata()?.len() / 1_000_000,
        median(seconds)
    );
    Ok(())
}

fn overhead(place: &Path) -> Result<()> {
    let step_seconds = demo_step(place)?;
    let mut logged = Vec::new();
    for round in 0..ROUNDS {
        logged.push(log_seconds(&place.join(format!("job-{round}")))?);
    }
    let logged = median(logged);
    println!(
        "logging a step and polling for commands: {:.1} us; a step of the demo's model: {:.1} ms; share {:.4}",
        logged * 1e6,
        step_seconds * 1e3,
        logged / step_seconds
    );
    Ok(())
}

/// Seconds to log a step and to poll for commands.
fn log_seconds(directory: &Path) -> Result<f64> {
    std::fs::create_dir(directory)?;
    let job = JobDirectory::new(directory);
    let lock = Lock::take(&job.lock())?;
    let stop = cutline::jobs::StopFlag::new();
    let mut no_observer = |_: &Record| {};
    let info = JobInfo {
        kind: JobKind::Train,
        device: "cpu".into(),
        dataset: "scenes".into(),
        data_hash: None,
        settings: serde_json::Value::Null,
        step: 0,
    };
    let mut session = Session::start(&job, lock, info, &stop, &mut no_observer)?;
    let since = Instant::now();
    for number in 0..LOGGED_STEPS {
        let directive: Directive<()> =
            session.poll_command(number, |_| Err(Rejected("no command expected".into())));
        assert_eq!(directive, Directive::Continue);
        session.emit(Event::Step(step(number)));
    }
    Ok(since.elapsed().as_secs_f64() / LOGGED_STEPS as f64)
}

/// Median seconds between steps of the demo's model, from the log of a training.
fn demo_step(place: &Path) -> Result<f64> {
    let cutline = |arguments: &[&str]| -> Result<()> {
        let status = Command::new(env!("CARGO_BIN_EXE_cutline"))
            .args(arguments)
            .env("CUTLINE_ROOT", place)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("cutline {arguments:?}: {status}").into()),
        }
    };
    cutline(&["prepare", "scenes", "--name", "scenes"])?;
    let settings = DEMO
        .into_iter()
        .chain(["training.epochs=1"])
        .flat_map(|setting| ["--set", setting]);
    let train: Vec<&str> = ["train", "scenes", "--run", "demo"]
        .into_iter()
        .chain(settings)
        .collect();
    cutline(&train)?;
    let events = read_events(&place.join("checkpoints/demo/events.jsonl").into())?;
    let times: Vec<f64> = events
        .records
        .iter()
        .filter(|record| matches!(record.event, Event::Step(_)))
        .map(|record| record.time)
        .collect();
    Ok(median(times.windows(2).map(|pair| pair[1] - pair[0]).collect()))
}
