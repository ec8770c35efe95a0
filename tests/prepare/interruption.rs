//! Extraction that is killed or stopped, and resumed, equals an uninterrupted one.

use super::{Workspace, text, weights};
use cutline::vision::features::store::{FeatureStore, StoreError};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const IMAGES: usize = 24;

/// The command that prepares scenes with features under `name`.
fn prepare(workspace: &Workspace, name: &str, weights: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutline"));
    command
        .arg("--root")
        .arg(workspace.path())
        .args([
            "prepare",
            "scenes",
            "--name",
            name,
            "--size",
            "32",
            "--batch-size",
            "2",
        ])
        .args(["--num-images", &IMAGES.to_string()])
        .args(["--backbone", "mobilenet_v2", "--weights", text(weights)])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn store(workspace: &Workspace, name: &str) -> PathBuf {
    workspace
        .dataset(name)
        .join("features/mobilenet_v2-features-pooled")
}

fn rows_so_far(store: &Path) -> usize {
    let index = fs::read(store.join("index.jsonl")).unwrap_or_default();
    index.iter().filter(|byte| **byte == b'\n').count()
}

/// Waits until the store has `rows` rows.
fn wait_for(child: &mut Child, store: &Path, rows: usize) {
    let start = Instant::now();
    while !store.join("rows.bin").exists() || rows_so_far(store) < rows {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no {rows} rows in a minute"
        );
        assert_eq!(child.try_wait().unwrap(), None, "ended before {rows} rows");
        thread::sleep(Duration::from_millis(2));
    }
}

fn finish(workspace: &Workspace, name: &str, weights: &Path) -> [Vec<u8>; 2] {
    let output = prepare(workspace, name, weights).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(FeatureStore::open(store(workspace, name)).unwrap().rows(), IMAGES);
    ["rows.bin", "index.jsonl"].map(|file| fs::read(store(workspace, name).join(file)).unwrap())
}

#[test]
fn killed_extraction_resumes_to_the_same_bytes() {
    let workspace = Workspace::new();
    let weights = workspace.file("random.safetensors");
    weights::write_random(&weights, 1);
    let whole = finish(&workspace, "whole", &weights);

    // Killed three times, each later than before, first as soon as the store exists.
    for (name, moments) in [("once", &[0][..]), ("often", &[1, 8, 15])] {
        for &rows in moments {
            let mut child = prepare(&workspace, name, &weights).spawn().unwrap();
            wait_for(&mut child, &store(&workspace, name), rows);
            child.kill().unwrap();
            child.wait().unwrap();
            let left = FeatureStore::open(store(&workspace, name));
            assert!(
                matches!(
                    left,
                    Err(StoreError::Incomplete { .. } | StoreError::NotFound { .. })
                ),
                "nobody reads half a store: {left:?}"
            );
        }
        assert!(finish(&workspace, name, &weights) == whole, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn interrupted_extraction_keeps_features_and_names_the_next_command() {
    let workspace = Workspace::new();
    let weights = workspace.file("random.safetensors");
    weights::write_random(&weights, 1);
    let mut child = prepare(&workspace, "mine", &weights).spawn().unwrap();
    wait_for(&mut child, &store(&workspace, "mine"), 2);
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{error}");
    let kept = rows_so_far(&store(&workspace, "mine"));
    assert!((2..IMAGES).contains(&kept), "{kept}");
    assert!(
        error.contains(&format!("the features of {kept} of {IMAGES} images are kept")),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn closed_pipe_does_not_stop_prepare() {
    let workspace = Workspace::new();
    let weights = workspace.file("random.safetensors");
    weights::write_random(&weights, 1);
    let mut child = prepare(&workspace, "mine", &weights)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take()); // as `| head` does
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(
        FeatureStore::open(store(&workspace, "mine")).unwrap().rows(),
        IMAGES
    );
}
