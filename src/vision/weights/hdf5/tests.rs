//! Tests of Keras' files as h5py wrote them; `tests/data/make_keras_weights.py` says what is in them.

use super::*;
use crate::vision::weights::{Naming, WeightFile, WeightsError};
use proptest::prelude::*;
use std::path::PathBuf;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/keras")
        .join(name)
}

fn open(name: &str) -> Result<WeightFile, WeightsError> {
    WeightFile::open(sample(name))
}

fn counted(from: u16, count: u16) -> Vec<f32> {
    (from..from + count).map(f32::from).collect()
}

#[test]
fn every_version_of_keras_gives_the_same_names_and_values() {
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
        let get = |tensor: &str, shape: &[usize]| file.get(tensor, shape).unwrap();
        assert_eq!(get("conv/kernel", &[1, 1, 3, 4]), counted(0, 12), "{name}");
        assert_eq!(get("conv/bias", &[4]), counted(100, 4), "{name}");
        assert_eq!(get("conv2d_1/kernel", &[1, 1, 1, 2]), counted(200, 2), "{name}");
        assert_eq!(get("conv2d_2/kernel", &[1, 1, 1, 2]), counted(300, 2), "{name}");
        let variance = get("batch_normalization_1/moving_variance", &[2]);
        assert_eq!(variance, counted(400, 2), "{name}");
    }
}

#[test]
fn what_keras_does_not_write_is_refused() {
    let compressed = open("compressed.h5").unwrap_err();
    assert!(
        matches!(&compressed.fault, WeightsFault::Compressed(name) if name == "conv/conv/kernel:0"),
        "{compressed}"
    );
    let unnamed = open("unnamed.weights.h5").unwrap_err();
    assert!(
        matches!(&unnamed.fault, WeightsFault::UnnamedLayers(_)),
        "{unnamed}"
    );
    assert!(unnamed.to_string().contains("unnamed.weights.h5"));
}

/// Opens what is left of a file and reads every tensor that its index names.
fn read_all(bytes: &[u8]) -> Result<(), WeightsFault> {
    let file = Hdf5File::from_bytes(bytes).map_err(damaged)?;
    for tensor in tensors(&file, bytes.len())?.values() {
        let _ = tensor.values(bytes);
    }
    Ok(())
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_has_all_its_tensors() {
    let whole = std::fs::read(sample("keras_2.h5")).unwrap();
    let all = |bytes: &[u8]| {
        let file = Hdf5File::from_bytes(bytes).map_err(damaged)?;
        tensors(&file, bytes.len()).map(|tensors| tensors.len())
    };
    for len in (0..whole.len()).step_by(7) {
        if let Ok(found) = all(&whole[..len]) {
            assert_eq!(found, 5, "cut to {len} bytes");
        }
    }
}

proptest! {
    /// Whatever is changed in a file, reading it ends in values or an error.
    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(vec!["keras_1.h5", "saved_model.h5"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = std::fs::read(sample(name)).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read_all(&bytes);
    }
}
