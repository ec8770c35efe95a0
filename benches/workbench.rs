//! Response times of the workbench binary on a pseudo-terminal, each beside its goal.
//!
//! ```text
//! cargo bench --bench workbench
//! ```
//!
//! A busy machine makes every figure worse; none fails the benchmark. Times of a process include its start, and the
//! time that the terminal takes to interpret the output.

#![allow(
    clippy::unwrap_used,
    reason = "a wait for a screen fails by panicking with that screen"
)]

mod support;
#[path = "../tests/support/mod.rs"]
mod workspace;

use cutline::Headless;
use cutline::jobs::{EndReason, Event, JobInfo, JobKind, Record, SessionEnd, SessionStart, StepEvent};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use support::{DEMO, Failure, load, median};
use workspace::Workspace;
use workspace::screen::{Screen, Size, USUAL};

/// A window over a whole screen.
const LARGE: Size = (200, 60);
/// Text on every screen of the workbench.
const TITLE: &str = "Cutline";
/// Text that only the help shows.
const HELP: &str = "any other key closes";

const STARTS: usize = 20;
const FRAMES: u64 = 100;
const KEYS: usize = 100;
const OPENINGS: usize = 5;
/// Overlaid runs.
const RUNS: [&str; 4] = ["one", "two", "three", "four"];
/// Steps per run.
const STEPS: u64 = 100_000;
/// Events in the log of the opened run.
const EVENTS: u64 = 1_000_000;
/// Runs in a large root, events in the log of one of them, and events in the other logs.
const MANY_RUNS: usize = 200;
const MANY_EVENTS: u64 = 5_000_000;
const USUAL_EVENTS: u64 = 5_000;
/// Duration of the idle measurement.
const IDLE: Duration = Duration::from_secs(10);
/// Time for reading the run, querying the terminal and drawing.
const SETTLING: Duration = Duration::from_secs(2);
/// The processor time of a tick in `/proc`.
const TICK: Duration = Duration::from_millis(10);

fn main() -> Result<(), Failure> {
    println!("load {} before the start", load());
    println!("\n{:<44} {:>44}   goal", "figure", "measured");
    first_frame();
    frame()?;
    opening()?;
    idle()?;
    large_root()?;
    keys()
}

fn tell(figure: &str, measured: &str, goal: &str) {
    println!("{figure:<44} {measured:>44}   {goal}");
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

fn first_frame() {
    let workspace = with_finished_run();
    let starts = (0..STARTS).map(|_| {
        let since = Instant::now();
        let screen = Screen::open(&workspace.command(&[]), USUAL);
        screen.shows(TITLE);
        since.elapsed().as_secs_f64()
    });
    tell(
        &format!("first frame, median of {STARTS} starts"),
        &milliseconds(median(starts.collect())),
        "100 ms",
    );
}

/// The time to add a step and draw a frame with many steps of several runs.
fn frame() -> Result<(), Failure> {
    let (columns, rows) = LARGE;
    let mut workbench = Headless::overlaying(&RUNS, LARGE);
    for run in RUNS {
        let records = (0..=STEPS).map(|number| record(number, event(number)));
        workbench.append(run, records.collect());
    }
    let mut terminal = Terminal::new(TestBackend::new(columns, rows))?;
    let mut seconds = Vec::new();
    for number in STEPS + 1..=STEPS + FRAMES {
        let since = Instant::now();
        workbench.append(RUNS[0], vec![record(number, event(number))]);
        terminal.draw(|frame| workbench.draw(frame))?;
        seconds.push(since.elapsed().as_secs_f64());
    }
    tell(
        &format!(
            "a frame of {columns}x{rows}, {} runs of {STEPS} steps",
            RUNS.len()
        ),
        &milliseconds(median(seconds)),
        "5 ms",
    );
    Ok(())
}

fn opening() -> Result<(), Failure> {
    let workspace = with_finished_run();
    let log = workspace.run_directory("first").job().events();
    let last = write_log(BufWriter::new(File::create(log)?), EVENTS)?;
    let last = [last.to_string(), format!("{},{:03}", last / 1_000, last % 1_000)];
    let openings = (0..OPENINGS).map(|_| {
        let since = Instant::now();
        let screen = Screen::open(&workspace.command(&["attach", "first"]), LARGE);
        screen.waits_until("the last step", |shown| {
            let shown = shown.contents();
            last.iter().any(|last| shown.contains(last))
        });
        since.elapsed().as_secs_f64()
    });
    tell(
        &format!("opening a run of {EVENTS} events"),
        &milliseconds(median(openings.collect())),
        "1 s",
    );
    Ok(())
}

/// Writes the log of a complete run with this many events, and returns its last step.
fn write_log(mut log: impl Write, events: u64) -> Result<u64, Failure> {
    let last = events - 2;
    let end = Event::End(SessionEnd {
        reason: EndReason::Complete,
        error: None,
        continues: false,
    });
    let events = (0..=last).map(event).chain([end]);
    for (number, event) in (0..).zip(events) {
        serde_json::to_writer(&mut log, &record(number, event))?;
        log.write_all(b"\n")?;
    }
    log.flush()?;
    Ok(last)
}

fn record(seq: u64, event: Event) -> Record {
    Record {
        seq,
        time: 1.8e9 + seq as f64,
        event,
    }
}

/// The start of a run, then its steps.
fn event(number: u64) -> Event {
    let Some(done) = number.checked_sub(1) else {
        return start();
    };
    Event::Step(StepEvent {
        epoch: (done / 469) as usize,
        batch: (done % 469) as usize + 1,
        batches: 469,
        step: number,
        loss: 3.0 + 1.0 / number as f32 + (number % 7) as f32 / 10.0,
        reward: None,
        learning_rate: 1e-3,
        grad_norm: 0.7,
        tokens: 756,
        tokens_per_second: 9_876.5,
        memory: Some(123_456_789),
        metrics: std::collections::BTreeMap::new(),
    })
}

fn start() -> Event {
    Event::Start(Box::new(SessionStart {
        format: 1,
        version: "0.1.0".into(),
        host: "elsewhere.invalid".into(),
        pid: 1,
        job: JobInfo {
            kind: JobKind::Train,
            device: "cpu".into(),
            dataset: "scenes".into(),
            data_hash: None,
            settings: serde_json::json!({"training": {"epochs": 2_133}}),
            step: 0,
        },
    }))
}

/// Output and processor time of an idle workbench.
fn idle() -> Result<(), Failure> {
    let workspace = with_finished_run();
    let screen = Screen::open(&workspace.command(&["attach", "first"]), LARGE);
    screen.shows(TITLE);
    tell_idle(&screen)
}

fn tell_idle(screen: &Screen) -> Result<(), Failure> {
    thread::sleep(SETTLING);
    let before = (screen.bytes(), processor_time(screen.pid())?);
    thread::sleep(IDLE);
    let written = screen.bytes() - before.0;
    let busy = processor_time(screen.pid())? - before.1;
    tell(
        &format!("written in {} s without news", IDLE.as_secs()),
        &format!("{written} bytes"),
        "0 bytes",
    );
    tell(
        &format!("processor time in {} s without news", IDLE.as_secs()),
        &milliseconds(busy.as_secs_f64()),
        "0 ms",
    );
    Ok(())
}

/// Many runs, one of them with a very long log.
fn large_root() -> Result<(), Failure> {
    let workspace = Workspace::new();
    for number in 1..=MANY_RUNS {
        let run = workspace.run_directory(&format!("run-{number:03}"));
        fs::create_dir_all(run.path())?;
        fs::write(run.config(), "seed = 0\n")?;
        let events = if number == 1 { MANY_EVENTS } else { USUAL_EVENTS };
        write_log(BufWriter::new(File::create(run.job().events())?), events)?;
    }
    println!("{MANY_RUNS} runs of {USUAL_EVENTS} events, but one of {MANY_EVENTS}:");
    let since = Instant::now();
    // On all threads: a test may not take them all.
    let mut command = workspace.command(&[]);
    command.env_remove("RAYON_NUM_THREADS");
    let screen = Screen::open(&command, LARGE);
    // Keys pressed while the terminal is queried are lost.
    screen.shows("run-001");
    screen.press("5");
    screen.waits_until("the runs", |shown| {
        let shown = shown.contents();
        ["run-001", "run-030"].iter().all(|run| shown.contains(run))
    });
    tell(
        "  all runs listed",
        &milliseconds(since.elapsed().as_secs_f64()),
        "1 s",
    );
    screen.waits_until("the logs", |shown| {
        let shown = shown.contents();
        shown.contains("10661") && !shown.contains("read ")
    });
    tell(
        "  all logs read",
        &milliseconds(since.elapsed().as_secs_f64()),
        "-",
    );
    tell_idle(&screen)?;
    tell("  peak memory", &megabytes(peak_memory(screen.pid())), "150 MB");
    drop(screen);
    let since = Instant::now();
    let mut command = workspace.command(&["runs"]);
    command.env_remove("RAYON_NUM_THREADS").stdout(Stdio::null());
    let mut listing = command.spawn()?;
    let mut peak = None;
    while listing.try_wait()?.is_none() {
        peak = peak_memory(listing.id()).or(peak);
        thread::sleep(Duration::from_millis(1));
    }
    tell(
        "  cutline runs",
        &milliseconds(since.elapsed().as_secs_f64()),
        "-",
    );
    tell("  peak memory of cutline runs", &megabytes(peak), "-");
    Ok(())
}

/// The most memory that a process has had, in kilobytes, from `/proc`.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim_end_matches("kB").trim().parse().ok()
}

fn megabytes(kilobytes: Option<u64>) -> String {
    kilobytes.map_or("-".to_owned(), |kilobytes| format!("{} MB", kilobytes / 1_000))
}

/// The processor time of a process, from `/proc`.
fn processor_time(pid: u32) -> Result<Duration, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before it may contain anything, brackets too.
    let (_, after_name) = stat.rsplit_once(") ").ok_or("no name in the statistics")?;
    let mut ticks = 0;
    for field in after_name.split(' ').skip(11).take(2) {
        ticks += field.parse::<u32>()?;
    }
    Ok(TICK * ticks)
}

/// From a key to the screen while trainings keep all cores busy. A single one does not: it waits for its own threads.
fn keys() -> Result<(), Failure> {
    let workspace = Workspace::new();
    workspace.succeeds(&["prepare", "scenes", "--name", "scenes"]);
    let cores = thread::available_parallelism()?.get();
    let runs: Vec<String> = (1..=cores).map(|core| format!("busy-{core}")).collect();
    let trainings: Vec<Training> = runs
        .iter()
        .map(|run| Training::start(&workspace, run))
        .collect::<Result<_, _>>()?;
    let screen = Screen::open(&workspace.command(&["attach", &runs[0]]), LARGE);
    screen.shows(TITLE);
    thread::sleep(SETTLING);
    let mut seconds = Vec::new();
    for _ in 0..KEYS / 2 {
        seconds.push(timed(|| {
            screen.press("?");
            screen.shows(HELP);
        }));
        seconds.push(timed(|| {
            screen.press("<Esc>");
            screen.no_longer_shows(HELP);
        }));
    }
    drop(trainings);
    seconds.sort_by(f64::total_cmp);
    let nineteen_of_twenty = seconds[seconds.len() * 95 / 100];
    tell(
        &format!("key to screen, {cores} trainings, {KEYS} keys"),
        &format!(
            "median {}, 95 % within {}",
            milliseconds(median(seconds)),
            milliseconds(nineteen_of_twenty)
        ),
        "50 ms",
    );
    Ok(())
}

fn timed(work: impl FnOnce()) -> f64 {
    let since = Instant::now();
    work();
    since.elapsed().as_secs_f64()
}

/// A root with a complete run.
fn with_finished_run() -> Workspace {
    let workspace = Workspace::with_scenes();
    workspace.train("first", 1);
    workspace
}

/// The demo's training on all cores; its process is killed on drop.
struct Training(Child);

impl Training {
    /// Starts it and waits for its first steps.
    fn start(workspace: &Workspace, run: &str) -> Result<Self, Failure> {
        let settings = DEMO.into_iter().flat_map(|setting| ["--set", setting]);
        let child = workspace
            .command(&["train", "scenes", "--run", run])
            .args(settings)
            .args(["--set", "training.epochs=1000"])
            .env_remove("RAYON_NUM_THREADS")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut training = Self(child);
        while workspace::step_losses(&workspace.run_directory(run)).is_empty() {
            if let Some(status) = training.0.try_wait()? {
                return Err(format!("the training ended: {status}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(training)
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
