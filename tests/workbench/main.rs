//! The workbench on a pseudo-terminal, with a recorded demo.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod demo;
mod keyboard;
mod tabs;
mod terminal;
