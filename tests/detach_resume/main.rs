//! Jobs outlive what happens to them: a lost connection, a death at any moment, whatever lies in their inbox, a full
//! disk. Real processes of the real binary, on few images and with a small network.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../prepare/weights.rs"]
mod weights;

#[cfg(target_os = "linux")]
mod connection;
mod control;
mod ends;
#[cfg(target_os = "linux")]
mod full_disk;
mod killed;
mod log;
mod process;
#[cfg(target_os = "linux")]
mod workbench;

use serde_json::Value;
use support::Workspace;

/// More epochs than any test waits for.
const ENDLESS: usize = 1_000_000;

/// A run as `cutline runs` tells of it.
fn listed(workspace: &Workspace, run: &str) -> Value {
    let rows: Vec<Value> = serde_json::from_str(&workspace.succeeds(&["runs", "--json"])).unwrap();
    rows.into_iter().find(|row| row["run"] == run).unwrap()
}

/// The state of a run as `cutline runs` tells it.
fn state(workspace: &Workspace, run: &str) -> String {
    listed(workspace, run)["state"].as_str().unwrap().to_owned()
}
