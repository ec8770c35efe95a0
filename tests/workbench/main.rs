//! The workbench at a real terminal, on what a small demo left behind.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod demo;
mod keyboard;
mod tabs;
mod terminal;
