//! What `train --resume` accepts, and that a refused resume changes nothing.

use super::support::{Workspace, err, text, train, words};
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
    let error = workspace.fails(&resume("lost", &LONGER));
    for part in [
        "it is empty (0 bytes)",
        "the best checkpoint of run `lost` is whole",
        "train on from the best one: cp ",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(state(&workspace, "lost"), "complete");

    fs::remove_file(run.best().as_path()).unwrap();
    let error = workspace.fails(&resume("lost", &LONGER));
    assert!(!error.contains("cp "), "{error}");
    fs::write(run.best().as_path(), &best).unwrap();

    // As the message says; the same decoder is no change.
    fs::copy(run.best().as_path(), run.latest().as_path()).unwrap();
    let error = workspace.fails(&resume("lost", &["--decoder", "inject"]));
    assert!(error.contains("decoder.kind"), "{error}");
    workspace.succeeds(&resume("lost", &[&LONGER[..], &["--decoder", "merge"]].concat()));
    assert_eq!(state(&workspace, "lost"), "complete");
    let log = fs::read_to_string(run.job().events().as_path()).unwrap();
    let last_start = log.lines().rfind(|line| line.contains("\"start\"")).unwrap();
    let steps = |line: &str| line.split("\"step\":").nth(1).map(|rest| rest.starts_with('0'));
    assert_eq!(steps(last_start), Some(false), "{last_start}");
}

#[test]
fn latest_of_another_network_is_named() {
    let workspace = Workspace::with_scenes();
    workspace.train("own", 1);
    let run = workspace.run_directory("own");
    let whole = fs::read(run.latest().as_path()).unwrap();
    let cut = &whole[..whole.len() - 100];
    let mut other = whole.clone();
    let name = whole.windows(9).position(|name| name == b"exp_avg_s").unwrap();
    other[name] = b'X';
    for damaged in [cut, &other] {
        fs::write(run.latest().as_path(), damaged).unwrap();
        let error = workspace.fails(&resume("own", &LONGER));
        assert!(
            error.contains("the best checkpoint of run `own` is whole"),
            "{error}"
        );
    }
    fs::write(run.latest().as_path(), whole).unwrap();
    workspace.succeeds(&resume("own", &LONGER));
}

#[test]
fn heading_has_the_changed_settings() {
    let workspace = Workspace::with_scenes();
    workspace.train("longer", 1);
    for (more, epochs) in [(&LONGER[..], "2 epochs"), (&[], "2 epochs")] {
        let output = workspace.run(&resume("longer", more));
        let heading = err(&output);
        assert!(heading.contains(epochs), "{heading}");
    }
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
