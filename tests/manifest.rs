//! The declarations of `Cargo.toml`.

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

use serde_json::Value;
use std::process::Command;

/// `1.89` as `[1, 89]`, so that versions compare by number.
fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap()).collect()
}

#[test]
fn rust_version_suffices_for_every_dependency() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let declared = version(env!("CARGO_PKG_RUST_VERSION"));
    let packages = metadata["packages"].as_array().unwrap();
    let newer: Vec<String> = packages
        .iter()
        .filter_map(|package| Some((&package["name"], package["rust_version"].as_str()?)))
        .filter(|(_, needed)| version(needed) > declared)
        .map(|(name, needed)| format!("{name} needs {needed}"))
        .collect();
    assert!(packages.len() > 100, "the dependencies are listed");
    assert!(
        newer.is_empty(),
        "rust-version in Cargo.toml is too low: {newer:?}"
    );
}
