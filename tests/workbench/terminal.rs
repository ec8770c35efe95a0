//! The terminal: any size is drawn on, and its state is restored.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::fixture::RUNS;
use super::support::screen::{IMAGE, Manners, Screen, USUAL, rows};
use super::support::{CUTLINE, Workspace};

/// Text on every screen of the workbench.
const TITLE: &str = "Cutline";
/// The open run.
const RUN: &str = RUNS[0].0;
/// Time to respond to keys even if the terminal answers no query.
const SOON: Duration = Duration::from_secs(5);

/// Waits until the Runs tab shows figures of all runs.
#[track_caller]
pub(crate) fn shows_all_runs(screen: &Screen) {
    screen.waits_until("the logs of all runs to be read", |shown| {
        let is_read = |run: &str| {
            rows(shown)
                .iter()
                .any(|row| row.contains(run) && !row.contains(" - "))
        };
        RUNS.iter().all(|(run, _)| is_read(run))
    });
}

fn open(workspace: &Workspace) -> Screen {
    let screen = Screen::open(&workspace.command(&["attach", RUN]), USUAL);
    screen.shows(TITLE);
    screen.shows(RUN);
    screen
}

#[test]
fn terminal_restored_on_quit() {
    let workspace = Workspace::with_demo();
    for key in ["q", "<Ctrl-C>"] {
        let mut screen = open(&workspace);
        screen.press(key);
        screen.ends_with(0);
        screen.assert_restored();
        assert!(!screen.text().concat().contains(TITLE));
    }
}

#[test]
fn terminal_restored_on_signal() {
    let workspace = Workspace::with_demo();
    for signal in [
        Signal::TERM,
        Signal::INT,
        Signal::QUIT,
        Signal::USR1,
        Signal::USR2,
    ] {
        let mut screen = open(&workspace);
        screen.signal(signal);
        screen.ends_with(0);
        screen.assert_restored();
    }
}

/// The first frame is drawn before the terminal is queried, which takes up to two seconds.
#[test]
fn terminal_restored_on_signal_before_it_answers_queries() {
    let workspace = Workspace::with_demo();
    let command = workspace.command(&["attach", RUN]);
    let mut screen = Screen::open_at(&command, USUAL, Manners::IsSilent);
    screen.shows(TITLE);
    screen.signal(Signal::TERM);
    screen.ends_with(0);
    screen.assert_restored();
}

/// Under a shell that ignores SIGHUP, and in a container, no signal says that the terminal is closed.
#[test]
fn workbench_ends_when_its_terminal_is_closed_without_a_signal() {
    let workspace = Workspace::with_demo();
    let mut shell = Command::new("sh");
    workspace.set_env(&mut shell);
    shell.args([
        "-c",
        "trap '' HUP; \"$0\" attach \"$1\"; exit $(($? + 40))",
        CUTLINE,
        RUN,
    ]);
    let mut screen = Screen::open(&shell, USUAL);
    screen.shows(TITLE);
    screen.shows(RUN);
    screen.hang_up();
    screen.ends_with(40);
}

#[test]
fn screen_filled_after_resize() {
    let workspace = Workspace::with_demo();
    let screen = open(&workspace);
    for size in [(100, 40), (200, 60)] {
        screen.resize(size);
        screen.waits_until("the last row to be drawn on", |shown| {
            let rows = shown.rows(0, size.0);
            rows.last().is_some_and(|row| !row.is_empty())
        });
        screen.shows(TITLE);
    }
}

#[test]
fn small_terminal_shows_notice() {
    let workspace = Workspace::with_demo();
    let mut screen = open(&workspace);
    screen.resize((10, 3));
    screen.shows("too small");
    screen.resize(USUAL);
    screen.shows(RUN);
    screen.press("q");
    screen.ends_with(0);
    screen.assert_restored();
}

#[test]
fn terminal_restored_on_suspend() {
    let workspace = Workspace::with_demo();
    let mut screen = open(&workspace);
    screen.press("<Ctrl-Z>");
    screen.sleeps();
    screen.signal(Signal::CONT);
    screen.shows(TITLE);
    screen.press("5");
    screen.shows("CIDEr-D");
    // As `kill -TSTP` in a shell does.
    screen.signal(Signal::TSTP);
    screen.sleeps();
    screen.signal(Signal::CONT);
    screen.shows("CIDEr-D");
    screen.press("q");
    screen.ends_with(0);
    screen.assert_restored();
}

#[test]
fn silent_terminal_still_works() {
    let workspace = Workspace::with_demo();
    let since = Instant::now();
    let mut screen = Screen::open_at(&workspace.command(&["attach", RUN]), USUAL, Manners::IsSilent);
    screen.shows(TITLE);
    screen.press("5");
    screen.shows(RUNS[2].0);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    screen.press("q");
    screen.ends_with(0);
    screen.assert_restored();
}

#[test]
fn gallery_image_cleared_on_tab_change() {
    let workspace = Workspace::with_demo();
    let runs_after = |keys: &str, shown: &str| {
        let screen = open(&workspace);
        screen.press(keys);
        screen.shows(shown);
        screen.press("5");
        shows_all_runs(&screen);
        screen.rests();
        screen.cells()
    };
    let without_image = runs_after("1", "frequent:");
    let after_image = runs_after("4", IMAGE);
    assert!(after_image.iter().all(|(text, ..)| text != IMAGE));
    assert_eq!(after_image, without_image);
}

/// The character that kitty's protocol puts into the cells of an image.
const PLACEHOLDER: char = '\u{10EEEE}';

#[test]
fn images_use_protocol_of_terminal() {
    let workspace = Workspace::with_demo();
    for (manners, picture) in [
        (Manners::DrawsAsKitty, &b"\x1b_Gq=2"[..]),
        (Manners::DrawsSixels, &b"\x1bP"[..]),
    ] {
        let screen = Screen::open_at(&workspace.command(&["attach", RUN]), USUAL, manners);
        screen.shows(RUN);
        screen.press("4");
        screen.shows("log-probability");
        screen.is_sent(picture);
        screen.press("5");
        shows_all_runs(&screen);
        let left = screen.rests().concat();
        assert!(!left.contains(PLACEHOLDER) && !left.contains(IMAGE), "{left}");
    }
}
