//! Snapshots of every tab with the recorded demo, in a small and a large window.
//!
//! To update them: `INSTA_UPDATE=always cargo test --release --test workbench tabs`.

use insta::assert_snapshot;
use vt100::Color;

use super::support::Workspace;
use super::support::fixture::RUNS;
use super::support::screen::{IMAGE, Screen, Size, USUAL};
use super::terminal::shows_all_runs;

const LARGE: Size = (160, 50);
/// Placeholders of what is still loading.
const TO_COME: [&str; 2] = ["...", "not found"];

/// Keys, and text that appears after them.
type Steps<'a> = &'a [(&'a str, &'a str)];

/// The screen after these keys, once it no longer changes.
#[track_caller]
fn shown(workspace: &Workspace, size: Size, steps: Steps<'_>) -> String {
    at_rest(
        &Screen::open(&workspace.command(&["attach", RUNS[0].0]), size),
        steps,
    )
}

#[track_caller]
fn at_rest(screen: &Screen, steps: Steps<'_>) -> String {
    screen.shows("of 4, batch");
    for (keys, shown) in steps {
        screen.press(keys);
        screen.shows(shown);
    }
    for words in TO_COME {
        screen.no_longer_shows(words);
    }
    let rows = screen.rests();
    for words in TO_COME {
        assert!(!rows.concat().contains(words), "{words} came back");
    }
    rows.join("\n")
}

#[test]
fn data_report() {
    let workspace = Workspace::with_demo();
    let steps = [("1", "frequent:")];
    assert_snapshot!("data_report_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("data_report_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn data_problems() {
    let workspace = Workspace::with_demo();
    let steps = [("1", "frequent:"), ("v", "No problems found")];
    assert_snapshot!("data_problems_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("data_problems_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn data_samples() {
    let workspace = Workspace::with_demo();
    let steps = [("1", "frequent:"), ("vv", IMAGE), ("<Enter>j", IMAGE)];
    assert_snapshot!("data_samples_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("data_samples_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn train_loss() {
    let workspace = Workspace::with_demo();
    let steps = [("", IMAGE)];
    assert_snapshot!("train_loss_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("train_loss_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn train_dev_scores() {
    let workspace = Workspace::with_demo();
    let steps = [("", IMAGE), ("]", "dev scores")];
    assert_snapshot!("train_dev_scores_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("train_dev_scores_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn train_in_ascii() {
    let workspace = Workspace::with_demo();
    assert_snapshot!("train_ascii_80x24", in_ascii(&workspace, &[]));
}

#[test]
fn evaluate_list() {
    let workspace = Workspace::with_demo();
    let steps = [("3", "best by")];
    assert_snapshot!("evaluate_list_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("evaluate_list_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn evaluate_most_changed() {
    let workspace = Workspace::with_demo();
    let steps = [
        ("3", "best by"),
        ("G", "against the baseline"),
        ("oo", "most changed by"),
        ("<Enter>j", "most changed by"),
    ];
    assert_snapshot!("evaluate_most_changed_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("evaluate_most_changed_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn gallery() {
    let workspace = Workspace::with_demo();
    let steps = [("4", IMAGE)];
    assert_snapshot!("gallery_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("gallery_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn gallery_in_ascii() {
    let workspace = Workspace::with_demo();
    assert_snapshot!(
        "gallery_ascii_80x24",
        in_ascii(&workspace, &[("4", "image 1 of")])
    );
}

#[test]
fn runs() {
    let workspace = Workspace::with_demo();
    for (name, size) in [("runs_80x24", USUAL), ("runs_160x50", LARGE)] {
        let screen = Screen::open(&workspace.command(&["attach", RUNS[0].0]), size);
        screen.press("5");
        shows_all_runs(&screen);
        screen.press("jm");
        screen.shows("* demo-002");
        assert_snapshot!(name, screen.rests().join("\n"));
    }
}

#[test]
fn help() {
    let workspace = Workspace::with_demo();
    let steps = [("?", "everywhere")];
    assert_snapshot!("help_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("help_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn palette() {
    let workspace = Workspace::with_demo();
    let steps = [(":", "train:"), ("beam", ": beam")];
    assert_snapshot!("palette_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("palette_160x50", shown(&workspace, LARGE, &steps));
}

#[test]
fn train_form() {
    let workspace = Workspace::with_demo();
    let steps = [("1", "frequent:"), ("t", "$ cutline train")];
    assert_snapshot!("train_form_80x24", shown(&workspace, USUAL, &steps));
    assert_snapshot!("train_form_160x50", shown(&workspace, LARGE, &steps));
}

/// The screen of a terminal without colors and with ASCII only.
#[track_caller]
fn in_ascii(workspace: &Workspace, steps: Steps<'_>) -> String {
    let mut command = workspace.command(&["--ascii", "attach", RUNS[0].0]);
    command.env("NO_COLOR", "1");
    let screen = Screen::open(&command, USUAL);
    let shown = at_rest(&screen, steps);
    assert!(shown.is_ascii(), "{shown}");
    for (text, front, back, _) in screen.cells() {
        assert_eq!((front, back), (Color::Default, Color::Default), "{text}");
    }
    shown
}
