//! What `train --resume` accepts, and that a refused resume changes nothing.

use super::support::{Workspace, text, train, words};
use super::{state, weights};
use std::fs;

/// `train --resume RUN` with more arguments.
fn resume<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--resume", run], more].concat()
}

const LONGER: [&str; 2] = ["--set", "training.epochs=2"];

#[test]
fn moved_root_resumes_on_its_own_dataset() {
    let old = Workspace::with_scenes();
    old.train("moved", 1);
    let new = Workspace::new();
    for name in ["datasets", "checkpoints"] {
        fs::rename(old.file(name), new.file(name)).unwrap();
    }
    new.succeeds(&resume("moved", &LONGER));
    assert_eq!(state(&new, "moved"), "complete");
}

#[test]
fn run_without_latest_keeps_its_best() {
    let workspace = Workspace::with_scenes();
    workspace.train("lost", 1);
    let run = workspace.run_directory("lost");
    fs::remove_file(run.latest().as_path()).unwrap();
    let best = fs::read(run.best().as_path()).unwrap();

    let error = workspace.fails(&resume("lost", &LONGER));
    assert!(
        error.contains("latest.safetensors") && error.contains("start a new run"),
        "{error}"
    );
    assert_eq!(fs::read(run.best().as_path()).unwrap(), best);
    assert_eq!(state(&workspace, "lost"), "complete");

    fs::write(run.latest().as_path(), "").unwrap();
    workspace.fails(&resume("lost", &LONGER));
    assert_eq!(state(&workspace, "lost"), "complete");
}

#[test]
fn another_dataset_is_rejected() {
    let workspace = Workspace::with_scenes();
    workspace.train("own", 1);
    let error = workspace.fails(&["train", "other", "--resume", "own"]);
    assert!(error.contains("trained on scenes, not on other"), "{error}");
    workspace.succeeds(&["train", "scenes", "--resume", "own", "--set", "training.epochs=2"]);
}

#[test]
fn setting_at_its_present_value_is_no_change() {
    let workspace = Workspace::with_scenes();
    workspace.train("same", 1);
    let same = [
        "--set",
        "decoder.hidden_size=16",
        "--set",
        "encoder.small_cnn.widths=[8, 8]",
    ];
    workspace.succeeds(&resume("same", &[same.as_slice(), &LONGER].concat()));
    let error = workspace.fails(&resume("same", &["--set", "decoder.hidden_size=17"]));
    assert!(error.contains("`decoder.hidden_size` cannot change"), "{error}");
    assert_eq!(state(&workspace, "same"), "complete");
}

#[test]
fn missing_features_are_named_with_the_command_that_extracts_them() {
    let workspace = Workspace::new();
    let file = workspace.file("random.safetensors");
    weights::write_random(&file, 1);
    workspace.succeeds(&[
        "prepare",
        "scenes",
        "--name",
        "scenes",
        "--size",
        "32",
        "--num-images",
        "40",
        "--min-count",
        "1",
        "--backbone",
        "mobilenet_v2",
        "--weights",
        text(&file),
    ]);
    workspace.succeeds(
        &words(&train("featured", 1)[..])
            .iter()
            .map(|&word| match word {
                "encoder.small_cnn.size=16" => "encoder.kind=auto",
                word => word,
            })
            .collect::<Vec<_>>(),
    );
    let stores = workspace.dataset("scenes").join("features");
    let store = fs::read_dir(&stores)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    fs::rename(&stores, workspace.file("elsewhere")).unwrap();

    let error = workspace.fails(&resume("featured", &LONGER));
    for part in [
        text(store.as_ref()),
        "cutline prepare",
        "--backbone mobilenet_v2",
        text(&file),
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(state(&workspace, "featured"), "complete");

    fs::rename(workspace.file("elsewhere"), &stores).unwrap();
    workspace.succeeds(&resume("featured", &LONGER));
}
