//! The whole pipeline with the real binary, on few images and with a small network; a stopped training resumes to the
//! same bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use cutline::data::{Dataset, Image};
use cutline::evaluation::{CorpusScores, Report};
use serde_json::Value;
use support::{DATASET, Workspace, err, step_losses, temporary_files, text};

/// The captions of images by `cutline caption --json`.
fn captions(workspace: &Workspace, run: &str, images: &[PathBuf]) -> Vec<Value> {
    let images = images.iter().map(|image| text(image));
    let arguments: Vec<&str> = ["caption", run, "--json"].into_iter().chain(images).collect();
    let lines = workspace.succeeds(&arguments);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The scores of a report's captions by `cutline score`, against the references before cleaning.
fn scored(workspace: &Workspace, report: &Report, dataset: &Dataset) -> CorpusScores {
    let captions = report.captions.iter().map(|row| (&row.image, &row.caption));
    let hypotheses: BTreeMap<_, _> = captions.collect();
    let raw = |image: &Image| {
        image
            .captions
            .iter()
            .map(|caption| caption.raw.clone())
            .collect::<Vec<_>>()
    };
    let images = dataset.images(report.info.split);
    let references: BTreeMap<_, _> = images.map(|image| (&image.key, raw(image))).collect();
    let write = |name: &str, json: String| {
        let path = workspace.path().join(name);
        fs::write(&path, json).unwrap();
        path
    };
    let hypotheses = write("hypotheses.json", serde_json::to_string(&hypotheses).unwrap());
    let references = write("references.json", serde_json::to_string(&references).unwrap());
    let files = [
        "--references",
        text(&references),
        "--hypotheses",
        text(&hypotheses),
    ];
    let printed = workspace.succeeds(&[&["score", "--json"], &files[..]].concat());
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn scenes_pass_through_the_whole_pipeline() {
    let workspace = Workspace::with_scenes();
    workspace.train("first", 2);

    let report = workspace.succeeds(&["evaluate", "first", "--json"]);
    let report: Report = serde_json::from_str(&report).unwrap();
    assert_eq!(report.info.dataset, DATASET);
    assert_eq!(report.summary.images, 6);

    let data = workspace.root().find_dataset(DATASET).unwrap();
    assert_eq!(
        scored(&workspace, &report, &Dataset::load(&data).unwrap()),
        report.summary.ptb.clone().unwrap()
    );
    let images: Vec<PathBuf> = report
        .captions
        .iter()
        .map(|row| data.as_path().join("images").join(format!("{}.png", row.image)))
        .collect();
    let found = captions(&workspace, "first", &images);
    for (object, row) in found.iter().zip(&report.captions) {
        assert_eq!(object["caption"], row.caption.as_str());
        assert_eq!(object["references"].as_array().unwrap().len(), 5);
    }

    // A copied run needs neither its dataset nor its name.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("a copy");
    fs::create_dir(&copy).unwrap();
    let run = workspace.run_directory("first");
    for file in [run.config(), run.best(), run.vocabulary(), run.ngrams()] {
        fs::copy(&file, copy.join(file.file_name())).unwrap();
    }
    let image = elsewhere.path().join("image.png");
    fs::copy(&images[0], &image).unwrap();
    drop(workspace);
    let elsewhere = Workspace::new();
    let line = elsewhere.succeeds(&["caption", text(&copy), text(&image)]);
    assert_eq!(
        line,
        format!("{}\t{}\n", text(&image), report.captions[0].caption)
    );
    elsewhere.succeeds(&["caption", text(&copy), text(&image), "--mbr-weight", "0.5"]);
}

#[test]
fn run_is_scored_on_another_dataset() {
    let workspace = Workspace::with_scenes();
    workspace.train("first", 1);
    let scenes = [
        "prepare",
        "scenes",
        "--name",
        "more",
        "--num-images",
        "40",
        "--size",
        "32",
    ];
    workspace.succeeds(&[&scenes[..], &["--seed", "5", "--min-count", "1"]].concat());
    let evaluate = ["evaluate", "first", "--data", "more", "--split", "test", "--json"];
    let report: Report = serde_json::from_str(&workspace.succeeds(&evaluate)).unwrap();
    let more = Dataset::load(workspace.root().find_dataset("more").unwrap()).unwrap();
    assert_eq!(
        (report.info.dataset.as_str(), &report.info.data_hash),
        ("more", &more.hash)
    );
    let keys: Vec<&str> = report.captions.iter().map(|row| row.image.as_str()).collect();
    let expected: Vec<&str> = more
        .images(cutline::data::Split::Test)
        .map(|image| image.key.as_str())
        .collect();
    assert_eq!(keys, expected);
    let saved = workspace
        .run_directory("first")
        .path()
        .join("evaluations/more-test-best/report.json");
    assert!(saved.exists());
    let error = err(&workspace.run(&["evaluate", "first", "--data", "nothing"]));
    assert!(error.contains("more"), "{error}");
}

#[cfg(unix)]
#[test]
fn stopped_training_resumes_to_the_same_bytes() {
    const EPOCHS: usize = 8;
    const STEPS: u64 = 48 * EPOCHS as u64;
    let workspace = Workspace::with_scenes();
    workspace.train("whole", EPOCHS);

    // Within an epoch.
    let output = workspace.train_until("cut", EPOCHS, 60).interrupt();
    let said = err(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("Resume with: cutline train --resume cut"), "{said}");
    let (whole, cut) = (workspace.run_directory("whole"), workspace.run_directory("cut"));
    let before = step_losses(&cut);
    assert!((60..STEPS as usize).contains(&before.len()), "{}", before.len());
    workspace.succeeds(&["train", DATASET, "--run", "cut", "--resume"]);

    let losses = step_losses(&cut);
    assert_eq!(losses.len() as u64, STEPS);
    assert_eq!(losses, step_losses(&whole), "bit for bit, each step once");
    for file in [cut.latest(), cut.best()] {
        let same = whole.path().join(file.file_name());
        assert!(fs::read(&file).unwrap() == fs::read(same).unwrap(), "{}", file);
    }
    assert_eq!(temporary_files(workspace.path()), Vec::<PathBuf>::new());

    // Already complete.
    workspace.succeeds(&["train", DATASET, "--run", "cut", "--resume"]);
    assert_eq!(step_losses(&cut).len() as u64, STEPS);
}

#[cfg(unix)]
#[test]
fn second_trainer_of_a_run_is_rejected() {
    let workspace = Workspace::with_scenes();
    let training = workspace.train_until("busy", 100_000, 1);
    let error = workspace.fails(&["train", DATASET, "--run", "busy", "--resume"]);
    assert!(
        error.contains("run `busy` is being trained by another process"),
        "{error}"
    );
    let error = workspace.fails(&["train", DATASET, "--run", "busy"]);
    assert!(error.contains("busy exists already"), "{error}");
    let output = training.interrupt();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn resume_on_changed_dataset_is_rejected() {
    let workspace = Workspace::with_scenes();
    workspace.train("first", 1);
    let hash = |workspace: &Workspace| {
        Dataset::load(workspace.root().find_dataset(DATASET).unwrap())
            .unwrap()
            .hash
    };
    let before = hash(&workspace);
    workspace.succeeds(&[
        "prepare",
        "scenes",
        "--name",
        DATASET,
        "--num-images",
        "50",
        "--force",
    ]);
    assert_ne!(hash(&workspace), before);
    let error = workspace.fails(&["train", DATASET, "--run", "first", "--resume"]);
    assert!(
        error.contains("the dataset has changed since run `first` was started on it"),
        "{error}"
    );
}
