//! The workbench on a real terminal: keys control the training, and it survives the workbench.

use super::log::Log;
use super::process::wait_until;
use super::support::screen::{Screen, USUAL};
use super::support::{Workspace, train, words};
use super::{ENDLESS, state};

/// Waits for a number of events of a kind.
#[track_caller]
fn await_events(log: &mut Log, kind: &str, count: usize) {
    wait_until("no such event", || log.count(kind) >= count);
}

#[test]
fn training_is_controlled_from_two_workbenches() {
    let workspace = Workspace::with_scenes();
    let mut detached = train("first", ENDLESS);
    detached.push("--detach".into());
    workspace.succeeds(&words(&detached));
    let mut log = Log::new(workspace.run_directory("first").job().events());

    let mut first = Screen::open(&workspace.command(&[]), USUAL);
    first.shows("first");
    first.press("p");
    await_events(&mut log, "control", 1);
    assert_eq!(state(&workspace, "first"), "paused");
    // The connection is lost; the change remains.
    first.hang_up();
    assert_eq!(state(&workspace, "first"), "paused");

    let mut second = Screen::open(&workspace.command(&["attach", "first"]), USUAL);
    second.shows("paused");
    second.press("p");
    await_events(&mut log, "control", 2);
    log.wait_for_steps(10);
    second.press("w");
    await_events(&mut log, "control", 3);
    second.press("xy");
    await_events(&mut log, "end", 1);
    log.assert_ended("stopped");
    second.press("q");
    second.ends_with(0);
    second.assert_restored();
    let asked: Vec<String> = log
        .read()
        .iter()
        .filter(|event| event["event"] == "control")
        .map(|event| event["command"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(asked, ["pause", "resume", "checkpoint", "stop"]);
}
