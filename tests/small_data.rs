//! A few images: the first data that most users try.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use image::{Rgb, RgbImage};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use support::{Workspace, err, out};

const TRAINING_IMAGES: usize = 10;

/// A folder with a few images of one color and their captions: all but two for training, one each for dev and test.
fn folder(workspace: &Workspace, caption: impl Fn(usize) -> String) -> String {
    let folder = workspace.file("data");
    fs::create_dir(&folder).unwrap();
    let mut captions = String::from("image,caption,split\n");
    for number in 0..TRAINING_IMAGES + 2 {
        let name = format!("{number}.png");
        let color = Rgb([20 * number as u8, 255 - 20 * number as u8, 90]);
        RgbImage::from_pixel(24, 24, color)
            .save(folder.join(&name))
            .unwrap();
        let split = ["dev", "test", "train"][number.min(2)];
        let _ = writeln!(captions, "{name},{},{split}", caption(number));
    }
    fs::write(folder.join("captions.csv"), captions).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// What `prepare` prints.
fn prepare(workspace: &Workspace, folder: &str, min_count: &str) -> String {
    let output = workspace.run(&["prepare", folder, "--name", "few", "--min-count", min_count]);
    out(&output) + &err(&output)
}

/// The arguments that train a small network for some epochs.
fn train<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    let small = [
        "encoder.small_cnn.size=16",
        "encoder.small_cnn.widths=[8,8]",
        "decoder.hidden_size=16",
        "decoder.embedding_size=8",
        "decoder.dropout=0",
    ];
    let sets = small
        .iter()
        .chain(settings)
        .flat_map(|setting| ["--set", setting]);
    ["train", "few", "--run", "run"].into_iter().chain(sets).collect()
}

fn events(workspace: &Workspace, kind: &str) -> Vec<Value> {
    let log = fs::read_to_string(workspace.file("checkpoints/run/events.jsonl")).unwrap();
    let all = log.lines().map(|line| serde_json::from_str(line).unwrap());
    all.filter(|event: &Value| event["event"] == kind).collect()
}

#[test]
fn lowest_dev_loss_is_best_while_the_metric_cannot_rise() {
    let workspace = Workspace::new();
    // The words of the dev caption are in no other, so every score of it is 0.
    let folder = folder(&workspace, |number| match number {
        0 => "nothing known".to_owned(),
        _ => format!("a square of color {}", ["red", "green", "blue"][number % 3]),
    });
    prepare(&workspace, &folder, "1");
    workspace.succeeds(&train(&[
        "training.epochs=12",
        "training.early_stopping_patience=2",
    ]));

    let evaluations = events(&workspace, "evaluation");
    let loss = |evaluation: &Value| evaluation["dev_loss"].as_f64().unwrap();
    let mut lowest = f64::INFINITY;
    for evaluation in &evaluations {
        assert_eq!(evaluation["best"], loss(evaluation) < lowest, "{evaluation}");
        lowest = lowest.min(loss(evaluation));
    }
    assert!(
        evaluations.len() > 3,
        "stopped after {} epochs",
        evaluations.len()
    );
    let messages = events(&workspace, "message");
    let notices = messages
        .iter()
        .filter(|message| message.to_string().contains("lowest dev loss"));
    assert_eq!(notices.count(), 1, "{messages:?}");
}

#[test]
fn long_captions_raise_the_maximum_length() {
    let workspace = Workspace::new();
    let folder = folder(&workspace, |number| vec!["word"; 30 + number].join(" "));
    let report = prepare(&workspace, &folder, "1");
    assert!(
        report.contains("12 captions have more than 20 words: runs on this dataset write up to 41"),
        "{report}"
    );
    workspace.succeeds(&train(&["training.epochs=1"]));
    let config: toml::Table =
        toml::from_str(&fs::read_to_string(workspace.file("checkpoints/run/config.toml")).unwrap()).unwrap();
    let settings = &config["settings"];
    assert_eq!(settings["search"]["max_length"].as_integer(), Some(41));
    assert_eq!(settings["training"]["max_caption_length"].as_integer(), Some(41));
}

#[test]
fn vocabulary_without_words_is_rejected() {
    let workspace = Workspace::new();
    let folder = folder(&workspace, |number| {
        ["one", "two", "three", "four"][number % 4].repeat(number + 1)
    });
    let error = prepare(&workspace, &folder, "2");
    assert!(
        error.contains("the vocabulary has no words") && error.contains("--min-count"),
        "{error}"
    );
}

#[test]
fn learning_rate_that_is_far_too_high_is_named() {
    let workspace = Workspace::new();
    let folder = folder(&workspace, |number| format!("a square of color number {number}"));
    prepare(&workspace, &folder, "1");
    let output = workspace.run(&train(&["training.epochs=6", "training.learning_rate=30"]));
    let printed = err(&output);
    assert!(
        printed.contains("learning rate is far too high") || printed.contains("lower training.learning_rate"),
        "{printed}"
    );
}
