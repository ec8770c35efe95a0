//! A run on stored features captions any image, with the weights that preparing has noted.

use super::{Place, text, weights};
use cutline::data::Dataset;
use cutline::jobs::Root;
use cutline::training::RunRecord;
use std::fs;

#[test]
fn a_run_finds_the_weights_that_its_features_were_made_with() {
    let place = Place::new();
    let file = place.path("random.safetensors");
    weights::write_random(&file, 1);
    place.prints(&[
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
    place.prints(&[
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
    let run = Root::new(place.root()).find_run("mine-001").unwrap();
    let record = RunRecord::load(&run.config()).unwrap();
    assert_eq!(record.data.weights, Some(fs::canonicalize(&file).unwrap()));

    let images: Vec<_> = Dataset::load(&place.data_set("mine"))
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
    assert_eq!(place.prints(&caption).lines().count(), 2);

    let other = place.path("other.safetensors");
    weights::write_random(&other, 2);
    let error = place.fails(&[&caption[..], &["--weights", text(&other)]].concat());
    assert!(
        error.contains("not the file that the features were extracted with"),
        "{error}"
    );
    fs::rename(&file, place.path("moved.safetensors")).unwrap();
    let error = place.fails(&caption);
    assert!(
        error.contains("where the file has moved, give it with --weights"),
        "{error}"
    );
    let moved = place.path("moved.safetensors");
    place.prints(&[&caption[..], &["--weights", text(&moved)]].concat());
}
