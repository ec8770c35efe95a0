//! `pack`, `verify`, and `caption` on packed files, with a small CNN from scratch and with features made elsewhere.

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use cutline::pack::{PackError, PackedFile};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;
use support::{Workspace, err, out, text};

const RUN: &str = "small";

/// A trained and evaluated run on drawn scenes, and the packed file with these flags.
fn packed(flags: &[&str]) -> (Workspace, PathBuf) {
    let workspace = Workspace::with_scenes();
    workspace.train(RUN, 1);
    workspace.succeeds(&["evaluate", RUN, "--max-length", "8"]);
    let file = workspace.file("captioner.cutline");
    workspace.succeeds(&[&["pack", RUN, "--out", text(&file)], flags].concat());
    (workspace, file)
}

fn an_image(workspace: &Workspace) -> PathBuf {
    let dataset = cutline::data::Dataset::load(workspace.dataset(support::DATASET)).unwrap();
    dataset.images[0].path.clone()
}

/// The captions of an image, best first, as JSON.
#[track_caller]
fn captions(workspace: &Workspace, member: &Path, image: &Path) -> Value {
    let line = workspace.succeeds(&["caption", text(member), text(image), "--json"]);
    let mut object: Value = serde_json::from_str(&line).unwrap();
    object.as_object_mut().unwrap().remove("references");
    object
}

#[test]
fn packed_file_alone_gives_the_captions_of_its_run() {
    let (workspace, file) = packed(&[]);
    let elsewhere = Workspace::new();
    let (image, alone) = (elsewhere.file("photo.png"), elsewhere.file("alone.cutline"));
    fs::copy(an_image(&workspace), &image).unwrap();
    fs::copy(&file, &alone).unwrap();
    let of_run = captions(&workspace, Path::new(RUN), &image);
    assert_eq!(captions(&elsewhere, &alone, &image), of_run);
    // A packed file and its run are an ensemble of one model.
    let line = workspace.succeeds(&["caption", text(&file), text(&image), "--json", "--ensemble", RUN]);
    let both: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(both["caption"], of_run["caption"]);
    let written = elsewhere.succeeds(&[
        "caption",
        text(&alone),
        text(&image),
        "--write",
        "txt",
        "--beam-size",
        "1",
    ]);
    let beside = fs::read_to_string(image.with_extension("txt")).unwrap();
    assert!(written.trim_end().ends_with(beside.trim_end()), "{written}");
}

#[test]
fn stated_scores_are_confirmed_in_every_digit_and_changed_weights_are_not() {
    let (workspace, file) = packed(&[]);
    let verify = ["verify", text(&file), "--data", support::DATASET];
    let printed = workspace.succeeds(&verify);
    assert!(
        printed.contains("confirmed") && !printed.contains("differs"),
        "{printed}"
    );
    let report = workspace.succeeds(&["evaluate", RUN, "--max-length", "8", "--json"]);
    let (report, verified): (Value, Value) = (
        serde_json::from_str(&report).unwrap(),
        serde_json::from_str(&workspace.succeeds(&[&verify[..], &["--json"]].concat())).unwrap(),
    );
    let confirmed = &verified["evaluations"][0];
    for metric in ["bleu_4", "rouge_l", "cider_d"] {
        assert_eq!(
            confirmed["computed"]["scores"][metric], report[metric],
            "{metric}"
        );
        assert_eq!(
            confirmed["stated"]["ptb"][metric], report["ptb"][metric],
            "{metric}"
        );
    }
    assert_eq!(confirmed["stated"]["search"]["max_length"], 8);

    let error = workspace.fails(&[&verify[..], &["--split", "test"]].concat());
    assert!(error.contains("states no scores on the test split"), "{error}");
    let mut bytes = fs::read(&file).unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let (start, end) = metadata.info("output.bias").unwrap().data_offsets;
    for number in bytes[8 + header..][start..end].chunks_exact_mut(4).skip(5) {
        number.copy_from_slice(&(-9_f32).to_le_bytes());
    }
    fs::write(&file, bytes).unwrap();
    let output = workspace.run(&verify);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(out(&output).contains("differs"), "{}", out(&output));
}

#[test]
fn packing_again_gives_the_same_bytes_and_replaces_nothing_unasked() {
    let (workspace, file) = packed(&["--dtype", "f16"]);
    let first = fs::read(&file).unwrap();
    let pack = ["pack", RUN, "--out", text(&file), "--dtype", "f16"];
    let error = workspace.fails(&pack);
    assert!(
        error.contains("is there already") && error.contains("--force"),
        "{error}"
    );
    workspace.succeeds(&[&pack[..], &["--force"]].concat());
    assert!(fs::read(&file).unwrap() == first, "the same bytes");
    // What it states was measured with its own weights.
    workspace.succeeds(&["verify", text(&file), "--data", support::DATASET]);
    let whole = workspace.file("whole.cutline");
    workspace.succeeds(&["pack", RUN, "--out", text(&whole)]);
    assert!(
        first.len() * 3 < fs::read(&whole).unwrap().len() * 2,
        "half precision is shorter"
    );
    let card = PackedFile::open(&file).unwrap().info().card.clone();
    for part in [
        "# small",
        "weights: f16",
        "a small CNN on images of 16 pixels",
        "CIDEr-D",
    ] {
        assert!(card.contains(part), "{part}:\n{card}");
    }
    assert!(!card.contains(text(workspace.path())), "no path of this machine");
}

#[test]
fn evaluations_of_an_earlier_checkpoint_are_not_stated() {
    let (workspace, file) = packed(&[]);
    let best = workspace.run_directory(RUN).best();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    let opened = fs::File::options().write(true).open(best).unwrap();
    opened.set_modified(later).unwrap();
    let output = workspace.run(&["pack", RUN, "--out", text(&file), "--force"]);
    assert!(
        err(&output).contains("the checkpoint is newer: the scores of dev-best"),
        "{}",
        err(&output)
    );
    assert!(out(&output).contains("0 evaluations stated"), "{}", out(&output));
}

#[test]
fn other_files_are_rejected_with_advice() {
    let (workspace, file) = packed(&[]);
    let image = an_image(&workspace);
    let rejected = |path: &Path| workspace.fails(&["caption", text(path), text(&image)]);
    let best = workspace.run_directory(RUN).best();
    let error = rejected(best.as_ref());
    assert!(
        error.contains("is the checkpoint of a run") && error.contains("cutline pack"),
        "{error}"
    );
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let error = rejected(&file);
    assert!(
        error.contains("not a whole packed file") && error.contains("copy it again"),
        "{error}"
    );
    let version = b"\\\"version\\\":1}";
    let at = whole
        .windows(version.len())
        .position(|bytes| bytes == version)
        .unwrap();
    let mut later = whole.clone();
    later[at + version.len() - 2] = b'9';
    fs::write(&file, later).unwrap();
    let error = rejected(&file);
    assert!(error.contains("its version is 9"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reader_does_not_panic_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("captioner.cutline");
        fs::write(&path, bytes).unwrap();
        let is_damaged = matches!(PackedFile::open(&path), Err(PackError::Damaged { .. }));
        prop_assert!(is_damaged);
    }
}
