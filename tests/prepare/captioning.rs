//! A run on stored features captions any image with the recorded weights.

use super::{Workspace, text, weights};
use cutline::data::Dataset;
use cutline::jobs::Root;
use cutline::training::RunConfig;
use std::fs;

#[test]
fn run_finds_weights_of_its_features() {
    let workspace = Workspace::new();
    let file = workspace.file("random.safetensors");
    weights::write_random(&file, 1);
    workspace.succeeds(&[
        "prepare",
        "scenes",
        "--name",
        "mine",
        "--size",
        "32",
        "--num-images",
        "24",
        "--min-count",
        "1",
        "--backbone",
        "mobilenet_v2",
        "--weights",
        text(&file),
    ]);
    workspace.succeeds(&[
        "train",
        "mine",
        "--run",
        "mine-001",
        "--set",
        "training.epochs=1",
        "--set",
        "decoder.hidden_size=8",
        "--set",
        "decoder.embedding_size=8",
    ]);
    let run = Root::new(workspace.path()).find_run("mine-001").unwrap();
    let record = RunConfig::load(run.config()).unwrap();
    assert_eq!(record.data.weights, Some(fs::canonicalize(&file).unwrap()));

    let images: Vec<_> = Dataset::load(workspace.dataset("mine"))
        .unwrap()
        .images
        .into_iter()
        .take(2)
        .collect();
    let caption = [
        "caption",
        "mine-001",
        text(&images[0].path),
        text(&images[1].path),
    ];
    assert_eq!(workspace.succeeds(&caption).lines().count(), 2);

    let other = workspace.file("other.safetensors");
    weights::write_random(&other, 2);
    let error = workspace.fails(&[&caption[..], &["--weights", text(&other)]].concat());
    assert!(
        error.contains("not the file that the features were extracted with"),
        "{error}"
    );
    fs::rename(&file, workspace.file("moved.safetensors")).unwrap();
    let error = workspace.fails(&caption);
    assert!(
        error.contains("where the file has moved, give it with --weights"),
        "{error}"
    );
    let moved = workspace.file("moved.safetensors");
    workspace.succeeds(&[&caption[..], &["--weights", text(&moved)]].concat());
}
