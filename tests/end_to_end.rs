//! The whole way with the real binary, on few images and with a small network: what one step writes the next
//! one reads, and a training that was stopped ends as if it had not been.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::PathBuf;

use cutline::data::Dataset;
use cutline::evaluation::Report;
use serde_json::Value;
use support::{DATA_SET, Place, err, step_losses, temporary_files, text};

/// The captions of images as `cutline caption --json` tells them.
fn captions(place: &Place, run: &str, images: &[PathBuf]) -> Vec<Value> {
    let images = images.iter().map(|image| text(image));
    let arguments: Vec<&str> = ["caption", run, "--json"].into_iter().chain(images).collect();
    let lines = place.succeeds(&arguments);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn scenes_are_prepared_learned_scored_and_captioned() {
    let place = Place::with_scenes();
    place.train("first", 2);

    let report = place.succeeds(&["evaluate", "first", "--json"]);
    let report: Report = serde_json::from_str(&report).unwrap();
    assert_eq!(report.subject.data_set, DATA_SET);
    assert_eq!(report.figures.images, 6);

    let data = place.root().find_dataset(DATA_SET).unwrap();
    let images: Vec<PathBuf> = report
        .captions
        .iter()
        .map(|row| data.as_path().join("images").join(format!("{}.png", row.image)))
        .collect();
    let found = captions(&place, "first", &images);
    for (object, row) in found.iter().zip(&report.captions) {
        assert_eq!(object["caption"], row.caption.as_str());
        assert_eq!(object["references"].as_array().unwrap().len(), 5);
    }

    // A run that was copied elsewhere needs neither its data set nor its name.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("a copy");
    fs::create_dir(&copy).unwrap();
    let run = place.run_directory("first");
    for file in [run.config(), run.best(), run.vocabulary(), run.ngrams()] {
        fs::copy(&file, copy.join(file.file_name())).unwrap();
    }
    let image = elsewhere.path().join("image.png");
    fs::copy(&images[0], &image).unwrap();
    drop(place);
    let elsewhere = Place::new();
    let line = elsewhere.succeeds(&["caption", text(&copy), text(&image)]);
    assert_eq!(
        line,
        format!("{}\t{}\n", text(&image), report.captions[0].caption)
    );
    elsewhere.succeeds(&["caption", text(&copy), text(&image), "--mbr-weight", "0.5"]);
}

#[cfg(unix)]
#[test]
fn a_training_that_was_stopped_goes_on_to_the_same_bytes() {
    const EPOCHS: usize = 8;
    const STEPS: u64 = 48 * EPOCHS as u64;
    let place = Place::with_scenes();
    place.train("whole", EPOCHS);

    // In the middle of an epoch.
    let output = place.train_until("cut", EPOCHS, 60).interrupt();
    let said = err(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("Resume with: cutline train --resume cut"), "{said}");
    let (whole, cut) = (place.run_directory("whole"), place.run_directory("cut"));
    let before = step_losses(&cut);
    assert!((60..STEPS as usize).contains(&before.len()), "{}", before.len());
    place.succeeds(&["train", DATA_SET, "--run", "cut", "--resume"]);

    let losses = step_losses(&cut);
    assert_eq!(losses.len() as u64, STEPS);
    assert_eq!(losses, step_losses(&whole), "bit for bit, each step once");
    for file in [cut.latest(), cut.best()] {
        let same = whole.path().join(file.file_name());
        assert!(fs::read(&file).unwrap() == fs::read(same).unwrap(), "{}", file);
    }
    assert_eq!(temporary_files(place.path()), Vec::<PathBuf>::new());

    // There is nothing left to do.
    place.succeeds(&["train", DATA_SET, "--run", "cut", "--resume"]);
    assert_eq!(step_losses(&cut).len() as u64, STEPS);
}

#[cfg(unix)]
#[test]
fn a_run_has_one_trainer() {
    let place = Place::with_scenes();
    let training = place.train_until("busy", 100_000, 1);
    let error = place.fails(&["train", DATA_SET, "--run", "busy", "--resume"]);
    assert!(
        error.contains("run `busy` is being trained by another process"),
        "{error}"
    );
    let error = place.fails(&["train", DATA_SET, "--run", "busy"]);
    assert!(error.contains("busy exists already"), "{error}");
    let output = training.interrupt();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn a_data_set_that_changed_is_not_gone_on_with() {
    let place = Place::with_scenes();
    place.train("first", 1);
    let hash = |place: &Place| {
        Dataset::load(&place.root().find_dataset(DATA_SET).unwrap())
            .unwrap()
            .hash
    };
    let before = hash(&place);
    place.succeeds(&[
        "prepare",
        "scenes",
        "--name",
        DATA_SET,
        "--num-images",
        "50",
        "--force",
    ]);
    assert_ne!(hash(&place), before);
    let error = place.fails(&["train", DATA_SET, "--run", "first", "--resume"]);
    assert!(
        error.contains("the data set has changed since run `first` was started on it"),
        "{error}"
    );
}
