//! Features: foreign weights, and the `features` command.

use super::{Workspace, text, weights};
use cutline::vision::features::extractor::FeatureExtractor;
use cutline::vision::features::store::{FeatureStore, read_weights_path};
use cutline::vision::weights::WeightFile;
use dfdx::prelude::Cpu;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use std::fs;
use std::path::PathBuf;

/// The arguments that prepare a few drawn images as `mine`.
const SCENES: [&str; 8] = [
    "prepare",
    "scenes",
    "--name",
    "mine",
    "--num-images",
    "10",
    "--size",
    "32",
];

#[test]
fn foreign_weights_are_rejected_before_writing() {
    let workspace = Workspace::new();
    let other = workspace.file("other.safetensors");
    weights::write(
        &other,
        &[("stem.conv.weight".to_owned(), vec![4, 3, 3, 3], vec![0.5; 108])],
    );
    let prepare = ["prepare", "scenes", "--name", "mine", "--num-images", "10"];
    let error = workspace.fails(
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
    assert!(!workspace.file("datasets").exists());
}

#[test]
fn output_is_checked_before_weights_are_read() {
    let workspace = Workspace::new();
    let (out, image) = (workspace.file("taken"), workspace.file("photo.png"));
    fs::create_dir(&out).unwrap();
    let weights = workspace.file("no-such.pth");
    let command = [
        "features",
        text(&image),
        "--backbone",
        "vgg16",
        "--weights",
        text(&weights),
    ];
    let error = workspace.fails(&[&command[..], &["--out", text(&out)]].concat());
    assert!(
        error.contains("it is a directory; give the path of a file in it"),
        "{error}"
    );
}

#[test]
fn chosen_preprocessing_is_kept_in_the_store_and_used_for_new_images() {
    let workspace = Workspace::new();
    let weights = workspace.file("random.safetensors");
    weights::write_random(&weights, 1);
    let backbone = ["--backbone", "mobilenet_v2", "--weights", text(&weights)];
    let caffe = ["--preprocessing", "caffe"];
    workspace.succeeds(&[&SCENES[..], &backbone, &caffe].concat());
    let store = workspace.dataset("mine/features/mobilenet_v2-features-pooled-caffe");
    let store = FeatureStore::open(&store).unwrap();
    assert_eq!(
        store.spec().preprocessing.as_ref().unwrap().normalization.mean,
        [103.939, 116.779, 123.68]
    );

    let (image, out) = (
        workspace.dataset("mine/images/scene_00003.png"),
        workspace.file("out.safetensors"),
    );
    let command = ["features", text(&image), "--out", text(&out)];
    let extracted = |more: &[&str]| {
        workspace.succeeds(&[&command[..], &backbone, more].concat());
        let bytes = fs::read(&out).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        mean(&tensors.tensor("scene_00003.png").unwrap())
    };
    assert_alike(&extracted(&caffe), &store.get("scene_00003").unwrap());
    assert_ne!(extracted(&[]), extracted(&caffe));

    let file = WeightFile::open(&weights).unwrap();
    let extractor = FeatureExtractor::from_spec(store.spec(), &file, &Cpu::default()).unwrap();
    assert_eq!(
        Some(extractor.preprocessing()),
        store.spec().preprocessing.as_ref()
    );
}

#[test]
fn features_command_equals_feature_store() {
    let workspace = Workspace::new();
    let weights = workspace.file("random.safetensors");
    weights::write_random(&weights, 1);
    let backbone = ["--backbone", "mobilenet_v2", "--weights", text(&weights)];
    workspace.succeeds(&[&SCENES[..], &backbone].concat());
    let features = workspace.dataset("mine/features");
    let store = fs::read_dir(&features).unwrap().next().unwrap().unwrap().path();
    assert_eq!(
        read_weights_path(&store),
        Some(fs::canonicalize(&weights).unwrap())
    );
    let stored = FeatureStore::open(&store).unwrap();
    assert_eq!((stored.rows(), stored.shape()), (10, (1, 1280)));

    // More than a batch.
    let images: Vec<PathBuf> = (1..=10)
        .map(|at| workspace.dataset(&format!("mine/images/scene_{at:05}.png")))
        .collect();
    let texts: Vec<&str> = images.iter().map(|image| text(image)).collect();
    for (form, shape) in [("pooled", vec![1280]), ("grid", vec![7, 7, 1280])] {
        let out = workspace.file("out.safetensors");
        let command = ["features", "--features", form, "--out", text(&out)];
        workspace.succeeds(&[&command[..], &texts, &backbone].concat());
        let bytes = fs::read(&out).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.len(), 10);
        for key in ["scene_00003", "scene_00009"] {
            let tensor = tensors.tensor(&format!("{key}.png")).unwrap();
            assert_eq!(tensor.shape(), shape, "{form}");
            assert_alike(&mean(&tensor), &stored.get(key).unwrap());
        }
    }

    let elsewhere = workspace.file("scene_00003.png");
    fs::copy(&images[2], &elsewhere).unwrap();
    let out = workspace.file("twice.safetensors");
    let command = [
        "features",
        text(&images[2]),
        text(&elsewhere),
        "--out",
        text(&out),
    ];
    let error = workspace.fails(&[&command[..], &backbone].concat());
    assert!(error.contains("have the same file name"), "{error}");
    assert!(!out.exists());
}

/// The mean of each channel, which is the last dimension.
fn mean(tensor: &TensorView<'_>) -> Vec<f32> {
    let channels = *tensor.shape().last().unwrap();
    let values = tensor.data().as_chunks().0;
    let mut mean = vec![0.0; channels];
    for (i, value) in values.iter().enumerate() {
        mean[i % channels] += f32::from_le_bytes(*value) * channels as f32 / values.len() as f32;
    }
    mean
}

fn assert_alike(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-4 * (1.0 + expected.abs()),
            "{found} {expected}"
        );
    }
    assert!(
        expected.iter().any(|value| value.abs() > 1e-3),
        "the network is not dead"
    );
}

#[test]
fn training_requires_stored_augmentations() {
    let workspace = Workspace::new();
    let weights = workspace.file("random.safetensors");
    weights::write_random(&weights, 1);
    let prepare = [
        "prepare",
        "scenes",
        "--name",
        "mine",
        "--num-images",
        "20",
        "--size",
        "32",
    ];
    let backbone = ["--backbone", "mobilenet_v2", "--weights", text(&weights)];
    workspace.succeeds(
        &[
            &prepare[..],
            &backbone,
            &["--crop-mode", "squash", "--random-crops", "1"],
        ]
        .concat(),
    );
    let store = |name| workspace.dataset(&format!("mine/features/mobilenet_v2-features-pooled-{name}"));
    let rows = |name| FeatureStore::open(store(name)).unwrap().rows();
    assert_eq!(rows("squash"), 20);
    assert_eq!(rows("squash-crop-1"), 16, "of the training images only");

    let (image, out) = (
        workspace.dataset("mine/images/scene_00003.png"),
        workspace.file("out.safetensors"),
    );
    let command = [
        "features",
        text(&image),
        "--crop-mode",
        "squash",
        "--out",
        text(&out),
    ];
    workspace.succeeds(&[&command[..], &backbone].concat());
    let bytes = fs::read(&out).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let stored = FeatureStore::open(store("squash")).unwrap();
    assert_alike(
        &mean(&tensors.tensor("scene_00003.png").unwrap()),
        &stored.get("scene_00003").unwrap(),
    );

    let train = [
        "train",
        "mine",
        "--run",
        "first",
        "--decoder",
        "merge",
        "--set",
        "decoder.hidden_size=8",
        "--set",
        "decoder.embedding_size=8",
        "--set",
        "training.epochs=1",
        "--set",
    ];
    let error = workspace.fails(&[&train[..], &["augment.random_crops=2"]].concat());
    assert!(error.contains("of random crop 2"), "{error}");
    assert!(error.contains("--random-crops 2"), "{error}");
    assert!(!workspace.path().join("checkpoints/first").exists());
    let error = workspace.fails(&[
        "train",
        "mine",
        "--run",
        "attending",
        "--decoder",
        "soft-attention",
    ]);
    assert!(error.contains("have one vector per image"), "{error}");
    assert!(error.contains("--features grid"), "{error}");
    assert!(!workspace.path().join("checkpoints/attending").exists());
    workspace.succeeds(&[&train[..], &["augment.random_crops=1"]].concat());
    // A new image is preprocessed like the stored ones.
    let image = workspace.dataset("mine/images/scene_00003.png");
    workspace.succeeds(&["caption", "first", text(&image)]);
}
