//! Jobs survive lost connections, kills, hostile control files and full disks. Processes of the real binary, on few
//! images and with a small network.

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
mod resumed;
#[cfg(target_os = "linux")]
mod workbench;

use serde_json::Value;
use support::Workspace;

/// More epochs than any test waits for.
const ENDLESS: usize = 1_000_000;

/// A run in `cutline runs`.
fn listed(workspace: &Workspace, run: &str) -> Value {
    let rows: Vec<Value> = serde_json::from_str(&workspace.succeeds(&["runs", "--json"])).unwrap();
    rows.into_iter().find(|row| row["run"] == run).unwrap()
}

fn state(workspace: &Workspace, run: &str) -> String {
    listed(workspace, run)["state"].as_str().unwrap().to_owned()
}
