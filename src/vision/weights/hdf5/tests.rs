//! Tests of Keras' files, which `tests/data/make_keras_weights.py` wrote with h5py.

use super::*;
use crate::vision::weights::{Naming, WeightFile, WeightsError};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/keras")
        .join(name)
}

fn open(name: &str) -> Result<WeightFile, WeightsError> {
    WeightFile::open(sample(name))
}

#[test]
fn files_of_all_versions_have_the_same_names_and_values() {
    for name in ["keras_1.h5", "keras_2.h5", "saved_model.h5"] {
        let file = open(name).unwrap();
        let names: Vec<_> = file.names().collect();
        assert_eq!(
            names,
            [
                "batch_normalization_1/moving_variance",
                "conv/bias",
                "conv/kernel",
                "conv2d_1/kernel",
                "conv2d_2/kernel",
            ],
            "{name}"
        );
        assert_eq!(file.naming().unwrap(), Naming::Keras, "{name}");
        for (tensor, shape, first, count) in [
            ("conv/kernel", &[1, 1, 3, 4][..], 0, 12),
            ("conv/bias", &[4], 100, 4),
            ("conv2d_1/kernel", &[1, 1, 1, 2], 200, 2),
            ("conv2d_2/kernel", &[1, 1, 1, 2], 300, 2),
            ("batch_normalization_1/moving_variance", &[2], 400, 2),
        ] {
            let expected: Vec<f32> = (first..first + count).map(|value| value as f32).collect();
            assert_eq!(file.get(tensor, shape).unwrap(), expected, "{name} {tensor}");
        }
    }
}

#[test]
fn layers_with_a_slash_and_depthwise_kernels_have_their_usual_names() {
    let file = open("slashed.h5").unwrap();
    let names: Vec<_> = file.names().collect();
    assert_eq!(names, ["conv1/conv/kernel", "dwconv/depthwise_kernel"]);
    assert_eq!(
        file.get("dwconv/depthwise_kernel", &[1, 1, 3, 1]).unwrap(),
        [0.0, 4.0, 8.0]
    );
}

#[test]
fn weights_of_keras_3_have_the_names_of_layers() {
    let file = open("named.weights.h5").unwrap();
    let names: Vec<_> = file.names().collect();
    assert_eq!(
        names,
        [
            "conv/bias",
            "conv/kernel",
            "functional/batch_normalization_1/beta",
            "functional/batch_normalization_1/moving_mean",
            "functional/batch_normalization_1/moving_variance",
            "functional/conv2d_1/kernel",
            "functional/conv2d_2/kernel",
            "functional/half/kernel",
            "separable/bias",
            "separable/depthwise_kernel",
            "separable/pointwise_kernel",
        ]
    );
    for (tensor, shape, first, count) in [
        ("conv/kernel", &[1, 1, 3, 4][..], 0, 12),
        ("conv/bias", &[4], 100, 4),
        ("functional/conv2d_1/kernel", &[1, 1, 1, 2], 200, 2),
        ("functional/conv2d_2/kernel", &[1, 1, 1, 2], 300, 2),
        ("functional/batch_normalization_1/moving_variance", &[2], 400, 2),
    ] {
        let expected: Vec<f32> = (first..first + count).map(|value| value as f32).collect();
        assert_eq!(file.get(tensor, shape).unwrap(), expected, "{tensor}");
    }
    assert_eq!(
        file.get("functional/half/kernel", &[1, 3]).unwrap(),
        [1.0, -2.0, 0.5]
    );
    assert_eq!(
        file.get("separable/bias", &[4]).unwrap(),
        [100.0, 101.0, 102.0, 103.0]
    );
}

#[test]
fn compressed_and_unnamed_tensors_are_rejected() {
    let compressed = open("compressed.h5").unwrap_err();
    assert!(
        matches!(&compressed.kind, WeightsErrorKind::Compressed(name) if name == "conv/conv/kernel:0"),
        "{compressed}"
    );
    let unnamed = open("unnamed.weights.h5").unwrap_err();
    assert!(
        matches!(&unnamed.kind, WeightsErrorKind::UnnamedLayers(_)),
        "{unnamed}"
    );
    assert!(unnamed.to_string().contains("unnamed.weights.h5"));
}

/// The number of tensors in the file, after reading their values.
fn read_all(bytes: &[u8]) -> Result<usize, WeightsErrorKind> {
    let tensors = index(&Window::new(bytes.to_vec()), &BTreeMap::new())?.tensors;
    for tensor in tensors.values() {
        let _ = tensor.values(bytes);
    }
    Ok(tensors.len())
}

#[test]
fn truncated_file_is_an_error_or_has_all_its_tensors() {
    let whole = std::fs::read(sample("keras_2.h5")).unwrap();
    for len in (0..whole.len()).step_by(7) {
        if let Ok(tensors) = read_all(&whole[..len]) {
            assert_eq!(tensors, 5, "truncated to {len} bytes");
        }
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(vec!["keras_1.h5", "saved_model.h5", "named.weights.h5"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = std::fs::read(sample(name)).unwrap();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let _ = read_all(&bytes);
    }
}
