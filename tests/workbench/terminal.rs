//! The terminal: it is drawn on at any size, and given back as it was.

use rustix::process::Signal;

use super::support::Place;
use super::support::fixture::RUNS;
use super::support::screen::{Screen, USUAL};

/// What every screen of the workbench shows.
const TITLE: &str = "Cutline";
/// The run that is looked at.
const RUN: &str = RUNS[0].0;

fn open(place: &Place) -> Screen {
    let screen = Screen::open(&place.command(&["attach", RUN]), USUAL);
    screen.shows(TITLE);
    screen.shows(RUN);
    screen
}

#[test]
fn it_is_given_back_when_the_workbench_is_left() {
    let place = Place::with_demo();
    for key in ["q", "<Ctrl-C>"] {
        let mut screen = open(&place);
        screen.press(key);
        screen.ends_with(0);
        screen.assert_restored();
        assert!(!screen.text().concat().contains(TITLE));
    }
}

#[test]
fn it_is_given_back_when_the_workbench_is_told_to_end() {
    let place = Place::with_demo();
    let mut screen = open(&place);
    screen.signal(Signal::TERM);
    screen.ends_with(0);
    screen.assert_restored();
}

#[test]
fn it_is_filled_when_it_has_grown() {
    let place = Place::with_demo();
    let screen = open(&place);
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
fn one_that_is_too_small_is_no_end() {
    let place = Place::with_demo();
    let mut screen = open(&place);
    screen.resize((10, 3));
    screen.no_longer_shows(RUN);
    screen.resize(USUAL);
    screen.shows(RUN);
    screen.press("q");
    screen.ends_with(0);
    screen.assert_restored();
}
