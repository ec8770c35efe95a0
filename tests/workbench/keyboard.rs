//! The whole pipeline by keyboard, and the files that keys change.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::support::fixture::RUNS;
use super::support::screen::{IMAGE, Screen, USUAL, rows};
use super::support::{Workspace, step_losses};
use super::terminal::shows_all_runs;

/// The name of the first run on the built-in dataset.
const FIRST: &str = "scenes-merge-001";
/// Its default evaluation.
const SCORED: &str = "scenes-merge-001/dev-best";

/// Far longer than a step takes.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

fn open(workspace: &Workspace) -> Screen {
    Screen::open(&workspace.command(&[]), USUAL)
}

/// The workbench on the recorded demo, once its logs are read.
fn open_demo(workspace: &Workspace) -> Screen {
    let screen = open(workspace);
    screen.shows("of 4, batch");
    screen
}

/// Moves down to a field of a form and replaces its text.
fn fill(screen: &Screen, down: usize, value: &str) {
    screen.press(&"<Down>".repeat(down));
    screen.press("<Ctrl-U>");
    screen.press(value);
}

#[test]
fn keys_lead_from_empty_root_to_captions() {
    let workspace = Workspace::new();
    let mut screen = open(&workspace);
    prepare_scenes(&screen);
    start_training(&screen);
    screen.resize((200, 60));
    screen.shows("tokens/s");
    screen.waits_until("the large window to be filled", |shown| {
        rows(shown)[59].contains("quit")
    });
    screen.resize(USUAL);
    screen.waits_until("the small window to be filled", |shown| {
        rows(shown)[23].contains("quit")
    });
    screen.kill();
    assert_training_continues(&workspace);

    let mut screen = open(&workspace);
    train_to_the_end(&screen);
    evaluate(&screen);
    browse_captions(&workspace, &screen);
    screen.press("q");
    screen.ends_with(0);
    screen.assert_restored();
}

fn prepare_scenes(screen: &Screen) {
    screen.shows("Welcome to Cutline");
    screen.press("n");
    screen.shows("prepare a dataset");
    fill(screen, 8, "60");
    screen.shows("--num-images 60");
    screen.press("<Enter>");
    screen.shows("frequent:");
    screen.shows("train        48");
}

fn start_training(screen: &Screen) {
    screen.press("t");
    screen.shows("the demo's settings");
    fill(screen, 7, "150");
    screen.shows("training.epochs=150");
    // A smaller network than the demo's, without early stopping.
    fill(
        screen,
        4,
        "encoder.small_cnn.size=16 encoder.small_cnn.widths=[8,8] training.early_stopping_patience=0",
    );
    screen.shows("training.early_stopping_patience=0");
    screen.press("<Enter>");
    screen.shows(FIRST);
    screen.shows("of 150, batch");
    screen.shows("running");
}

/// Training continues after the workbench was killed.
fn assert_training_continues(workspace: &Workspace) {
    let run = workspace.run_directory(FIRST);
    let steps = step_losses(&run).len();
    let since = Instant::now();
    while step_losses(&run).len() <= steps {
        assert!(since.elapsed() < PATIENCE, "no more steps in a minute");
        thread::sleep(POLL_INTERVAL);
    }
}

fn train_to_the_end(screen: &Screen) {
    screen.shows(FIRST);
    screen.shows("running");
    screen.press("p");
    screen.shows("paused");
    screen.press("p");
    screen.shows("running");
    screen.shows("complete");
    screen.shows("100 %");
}

fn evaluate(screen: &Screen) {
    screen.press("3");
    screen.shows("No evaluations yet");
    screen.press("n");
    screen.shows("evaluate a checkpoint");
    screen.shows(&format!("evaluate {FIRST}"));
    screen.press("<Enter>");
    screen.shows(SCORED);
    screen.shows("6 images of scenes, dev split");
    screen.shows("best by");
}

fn browse_captions(workspace: &Workspace, screen: &Screen) {
    screen.press("<Enter><Enter>");
    screen.shows(SCORED);
    screen.shows("of 6, dataset order");
    screen.shows(IMAGE);
    let captioned = captioned(workspace, screen);
    let score = captioned["cider_d"].as_f64().unwrap();
    screen.waits_until("its scores", |shown| {
        let text = rows(shown)
            .join(" ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        text.contains("CIDEr-D") && text.contains(&format!("{score:.3}"))
    });
    for reference in captioned["references"].as_array().unwrap() {
        screen.shows(&format!("- {}", beginning(reference.as_str().unwrap())));
    }
    screen.shows(&beginning(captioned["caption"].as_str().unwrap()));

    let most_probable = captioned["log_probability"].as_f64().unwrap();
    screen.press("a");
    screen.shows("beam 3:");
    screen.shows(&format!("{most_probable:7.2}  "));
    screen.waits_until("three captions with log-probabilities", |shown| {
        rows(shown).iter().filter(|row| is_alternative(row)).count() >= 2
    });
}

/// The report's entry for the current image.
fn captioned(workspace: &Workspace, screen: &Screen) -> serde_json::Value {
    let report = workspace
        .path()
        .join(format!("checkpoints/{FIRST}/evaluations/dev-best/report.json"));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    let shown = screen.text().join("\n");
    let captions = report["captions"].as_array().unwrap();
    let mut known = captions
        .iter()
        .filter(|captioned| shown.contains(captioned["image"].as_str().unwrap()));
    known.next().unwrap().clone()
}

/// The start of a sentence, short enough not to wrap.
fn beginning(sentence: &str) -> String {
    sentence
        .chars()
        .take(20)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// A line with a log-probability and words beside the image.
fn is_alternative(row: &str) -> bool {
    let beside: String = row.chars().skip(USUAL.0 as usize / 2).collect();
    let mut words = beside.split_whitespace();
    let figure = words.next().and_then(|word| word.parse::<f64>().ok());
    figure.is_some_and(|figure| figure < 0.0) && words.next().is_some()
}

#[test]
fn comparison_exports_as_markdown() {
    let workspace = Workspace::with_demo();
    let file = workspace.path().join("table.md");
    let screen = open_demo(&workspace);
    screen.press("3");
    screen.shows("best by");
    screen.press("E");
    screen.shows("export the table");
    fill(&screen, 0, file.to_str().unwrap());
    screen.press("<Enter>");
    screen.shows("wrote ");
    let table = fs::read_to_string(file).unwrap();
    assert!(table.starts_with('|'), "{table}");
    for evaluation in ["demo-001/dev-best", "demo-001/greedy", "demo-002/dev-best"] {
        assert!(table.contains(evaluation), "{table}");
    }
}

#[test]
fn run_deleted_after_confirmation() {
    let workspace = Workspace::with_demo();
    let (run, _) = RUNS[2];
    let directory = workspace.path().join("checkpoints").join(run);
    let screen = open_demo(&workspace);
    screen.press("5");
    shows_all_runs(&screen);
    screen.press("Gd");
    screen.shows(&format!("Delete {run}"));
    screen.press("n");
    screen.no_longer_shows("Delete");
    assert!(directory.is_dir());
    screen.press("d");
    screen.shows(&format!("Delete {run}"));
    screen.press("y");
    screen.waits_until("the run to go from the list", |shown| {
        !rows(shown)
            .iter()
            .any(|row| row.contains(run) && row.contains("stopped"))
    });
    assert!(!directory.exists());
    assert!(workspace.path().join("checkpoints").join(RUNS[1].0).is_dir());
}

#[test]
fn last_active_run_opens_first() {
    let workspace = Workspace::with_demo();
    let runs = workspace.path().join("checkpoints");
    // The run with the newest log sorts first by name.
    fs::rename(runs.join(RUNS[2].0), runs.join("a-run")).unwrap();
    let screen = open_demo(&workspace);
    screen.shows("a-run");
}

fn settle(workspace: &Workspace, settings: &str) {
    let directory = workspace.path().join("config/cutline");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("config.toml"), settings).unwrap();
}

#[test]
fn user_settings_change_footer() {
    let workspace = Workspace::with_demo();
    settle(&workspace, "[keys.everywhere]\nquit = ['Q', 'Ctrl-X']\n");
    for key in ["Q", "<Ctrl-X>"] {
        let mut screen = open_demo(&workspace);
        screen.shows("Q quit");
        screen.press("q5");
        shows_all_runs(&screen);
        screen.press(key);
        screen.ends_with(0);
        screen.assert_restored();
    }
}

#[test]
fn duplicate_key_rejected() {
    let workspace = Workspace::with_demo();
    settle(&workspace, "[keys.train]\ncheckpoint = ['p']\n");
    let mut screen = open(&workspace);
    screen.ends_with(1);
    screen.assert_restored();
    let said = screen.text().concat();
    for words in ["pause-or-resume", "checkpoint", "config.toml"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn missing_directory_not_prepared() {
    let workspace = Workspace::with_demo();
    let before = names(&workspace, "datasets");
    let screen = open_demo(&workspace);
    screen.press("1");
    screen.shows("frequent:");
    screen.press("n");
    screen.shows("prepare a dataset");
    fill(&screen, 0, "/nowhere/images");
    // Before recognition has answered, Enter would start the command, which fails with a message of its own.
    screen.shows("/nowhere/images does not exist");
    screen.press("<Enter>");
    screen.waits_until("why nothing was started", |shown| {
        let why = "source: /nowhere/images does not exist: name a directory with images";
        rows(shown).iter().any(|row| row.contains(why))
    });
    screen.shows("prepare a dataset");
    assert_eq!(names(&workspace, "datasets"), before);
}

#[test]
fn zero_epochs_rejected() {
    let workspace = Workspace::with_demo();
    let before = names(&workspace, "checkpoints");
    let screen = open_demo(&workspace);
    screen.press("1");
    screen.shows("frequent:");
    screen.press("t");
    screen.shows("$ cutline train scenes");
    fill(&screen, 7, "0");
    screen.shows("epochs: training.epochs");
    screen.press("<Enter>");
    screen.rests();
    screen.shows("epochs: training.epochs");
    assert_eq!(names(&workspace, "checkpoints"), before);
}

/// The entries of a directory of the root.
fn names(workspace: &Workspace, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(workspace.path().join(directory)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
