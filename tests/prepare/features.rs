//! Features: weights that do not fit, and photos to tensors for other programs.

use super::{Place, text, weights};
use cutline::vision::store::{FeatureStore, weights_file};
use safetensors::SafeTensors;
use std::fs;

#[test]
fn weights_of_another_network_are_refused_before_anything_is_written() {
    let place = Place::new();
    let other = place.path("other.safetensors");
    weights::write(
        &other,
        &[("stem.conv.weight".to_owned(), vec![4, 3, 3, 3], vec![0.5; 108])],
    );
    let prepare = ["prepare", "scenes", "--name", "mine", "--photos", "10"];
    let error = place.fails(
        &[
            &prepare[..],
            &["--backbone", "mobilenet_v2", "--weights", text(&other)],
        ]
        .concat(),
    );
    assert!(error.contains("other.safetensors"), "{error}");
    assert!(
        error.contains("check that these are the weights of this very network"),
        "{error}"
    );
    assert_eq!(fs::read_dir(place.root()).unwrap().count(), 0);
}

#[test]
fn the_command_and_the_store_agree() {
    let place = Place::new();
    let weights = place.path("random.safetensors");
    weights::write_random(&weights, 1);
    let eye = ["--backbone", "mobilenet_v2", "--weights", text(&weights)];
    let prepare = [
        "prepare", "scenes", "--name", "mine", "--photos", "10", "--size", "32",
    ];
    place.prints(&[&prepare[..], &eye].concat());
    let features = place.data_set("mine/features");
    let store = fs::read_dir(&features).unwrap().next().unwrap().unwrap().path();
    assert_eq!(weights_file(&store), Some(fs::canonicalize(&weights).unwrap()));
    let stored = FeatureStore::open(&store).unwrap();
    assert_eq!((stored.rows(), stored.shape()), (10, (1, 1280)));

    let photo = place.data_set("mine/photos/scene_00003.png");
    let other = place.data_set("mine/photos/scene_00004.png");
    for (form, shape) in [("pooled", vec![1280]), ("grid", vec![7, 7, 1280])] {
        let out = place.path("out.safetensors");
        let command = [
            "features",
            text(&photo),
            text(&other),
            "--form",
            form,
            "--out",
            text(&out),
        ];
        place.prints(&[&command[..], &eye].concat());
        let bytes = fs::read(&out).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.len(), 2);
        let tensor = tensors.tensor("scene_00003.png").unwrap();
        assert_eq!(tensor.shape(), shape, "{form}");
        let channels = 1280;
        let mut mean = vec![0.0; channels];
        let values = tensor.data().as_chunks().0;
        for (place, value) in values.iter().enumerate() {
            mean[place % channels] += f32::from_le_bytes(*value) * channels as f32 / values.len() as f32;
        }
        let expected = stored.get("scene_00003").unwrap();
        for (mean, expected) in mean.iter().zip(&expected) {
            assert!(
                (mean - expected).abs() <= 1e-4 * (1.0 + expected.abs()),
                "{mean} {expected}"
            );
        }
        assert!(
            expected.iter().any(|value| value.abs() > 1e-3),
            "the network is not dead"
        );
    }

    let elsewhere = place.path("scene_00003.png");
    fs::copy(&photo, &elsewhere).unwrap();
    let out = place.path("twice.safetensors");
    let command = ["features", text(&photo), text(&elsewhere), "--out", text(&out)];
    let error = place.fails(&[&command[..], &eye].concat());
    assert!(error.contains("have the same file name"), "{error}");
    assert!(!out.exists());
}

#[test]
fn photos_are_looked_at_in_as_many_ways_as_asked_for_and_trained_on() {
    let place = Place::new();
    let weights = place.path("random.safetensors");
    weights::write_random(&weights, 1);
    let prepare = [
        "prepare", "scenes", "--name", "mine", "--photos", "20", "--size", "32",
    ];
    let eye = ["--backbone", "mobilenet_v2", "--weights", text(&weights)];
    place.prints(&[&prepare[..], &eye, &["--show", "whole", "--windows", "1"]].concat());
    let store = |name| place.data_set(&format!("mine/features/mobilenet_v2-features-pooled-{name}"));
    let rows = |name| FeatureStore::open(store(name)).unwrap().rows();
    assert_eq!(rows("whole"), 20);
    assert_eq!(rows("whole-window-1"), 16, "of the training photos only");

    let train = [
        "train",
        "mine",
        "--run",
        "first",
        "--decoder",
        "merge",
        "--set",
        "decoder.hidden=8",
        "--set",
        "decoder.embedding=8",
        "--set",
        "training.epochs=1",
        "--set",
    ];
    let error = place.fails(&[&train[..], &["training.windows=2"]].concat());
    assert!(error.contains("of the photos' window 2"), "{error}");
    assert!(error.contains("--windows 2"), "{error}");
    assert!(!place.root().join("checkpoints/first").exists());
    place.prints(&[&train[..], &["training.windows=1"]].concat());
    // A new photo is shown to the network as the stored ones were.
    let photo = place.data_set("mine/photos/scene_00003.png");
    place.prints(&["caption", "first", text(&photo)]);
}
