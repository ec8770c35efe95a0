//! Tests of the store: what goes in comes out, whatever was torn in between.

use super::*;
use proptest::prelude::*;
use std::fs::{self, OpenOptions};
use std::path::Path;

fn spec(dtype: FeatureDtype) -> FeatureSpec {
    FeatureSpec {
        backbone: "toy".to_owned(),
        layer: "map".to_owned(),
        weights: "0123".to_owned(),
        preprocessing: Some(Preprocessing::symmetric(8)),
        regions: 2,
        variable_regions: false,
        channels: 3,
        dtype,
    }
}

/// Keys that need escaping, and rows that tell them apart; every number is exact in half precision.
fn images() -> Vec<(String, Vec<f32>)> {
    [
        "a.jpg",
        "b \"quoted\".jpg",
        "c\nnewline.jpg",
        "d \u{fc}.jpg",
        "e.jpg",
    ]
    .iter()
    .enumerate()
    .map(|(i, key)| {
        (
            (*key).to_owned(),
            (0..6).map(|j| i as f32 - j as f32 * 0.5).collect(),
        )
    })
    .collect()
}

fn append_missing(writer: &mut FeatureWriter) {
    for (at, (key, row)) in images().into_iter().enumerate() {
        if !writer.contains(&key) {
            writer.append(&key, &row).unwrap();
        }
        if at == 2 {
            writer.flush().unwrap();
        }
    }
}

fn written(dir: &Path) {
    let mut writer = FeatureWriter::open_or_resume(dir, spec(FeatureDtype::F16)).unwrap();
    append_missing(&mut writer);
    assert_eq!(writer.finish().unwrap(), images().len());
}

fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

fn truncate(path: &Path, len: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(len).unwrap();
}

#[test]
fn what_is_appended_is_read_in_both_precisions() {
    for dtype in [FeatureDtype::F16, FeatureDtype::F32] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = FeatureWriter::open_or_resume(dir.path(), spec(dtype)).unwrap();
        append_missing(&mut writer);
        writer.finish().unwrap();
        let store = FeatureStore::open(dir.path()).unwrap();
        assert_eq!((store.rows(), store.shape()), (5, (2, 3)));
        assert_eq!(store.spec(), &spec(dtype));
        for (row, (key, features)) in images().into_iter().enumerate() {
            assert_eq!(store.get(&key), Some(features));
            assert_eq!(store.row_of(&key), Some(row));
        }
        assert_eq!(store.get("none.jpg"), None);
        assert!(store.keys().eq(images().iter().map(|(key, _)| key.as_str())));
    }
}

#[test]
fn an_empty_store_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let writer = FeatureWriter::open_or_resume(dir.path(), spec(FeatureDtype::F32)).unwrap();
    assert!(writer.is_empty());
    writer.finish().unwrap();
    assert_eq!(FeatureStore::open(dir.path()).unwrap().rows(), 0);
}

#[test]
fn every_single_cut_of_either_file_is_mended() {
    let whole = tempfile::tempdir().unwrap();
    written(whole.path());
    for name in ["rows.bin", "index.jsonl"] {
        let len = fs::metadata(whole.path().join(name)).unwrap().len();
        for cut in 0..=len {
            let dir = tempfile::tempdir().unwrap();
            written(dir.path());
            truncate(&dir.path().join(name), cut);
            written(dir.path());
            assert_eq!(
                contents(dir.path()),
                contents(whole.path()),
                "{name} cut to {cut}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// A power failure may leave both files short, and zeros where data had not arrived.
    #[test]
    fn resumed_stores_equal_uninterrupted_ones(
        rows_cut in 0..=60_u64,
        index_cut in 0..=70_u64,
        zeros in 0..40_u64,
        marked_complete: bool,
    ) {
        let whole = tempfile::tempdir().unwrap();
        written(whole.path());
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        truncate(&dir.path().join("rows.bin"), rows_cut);
        let index = dir.path().join("index.jsonl");
        truncate(&index, index_cut.min(fs::metadata(&index).unwrap().len()));
        truncate(&index, fs::metadata(&index).unwrap().len() + zeros);
        if !marked_complete {
            fs::remove_file(dir.path().join("complete.json")).unwrap();
        }
        written(dir.path());
        prop_assert_eq!(contents(dir.path()), contents(whole.path()));
    }
}

#[test]
fn rows_that_were_not_flushed_are_appended_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = FeatureWriter::open_or_resume(dir.path(), spec(FeatureDtype::F16)).unwrap();
    let (key, row) = &images()[0];
    writer.append(key, row).unwrap();
    drop(writer); // as a kill would
    let writer = FeatureWriter::open_or_resume(dir.path(), spec(FeatureDtype::F16)).unwrap();
    assert!(!writer.contains(key));
    drop(writer);
    let whole = tempfile::tempdir().unwrap();
    written(whole.path());
    written(dir.path());
    assert_eq!(contents(dir.path()), contents(whole.path()));
}

#[test]
fn rows_of_different_numbers_of_regions_come_back_without_padding() {
    for dtype in [FeatureDtype::F16, FeatureDtype::F32] {
        let spec = FeatureSpec {
            regions: MAX_VARIABLE_REGIONS,
            variable_regions: true,
            ..spec(dtype)
        };
        for count in [1, 2, MAX_VARIABLE_REGIONS - 1, MAX_VARIABLE_REGIONS] {
            let features: Vec<f32> = (0..count * 3).map(|n| (n % 100) as f32).collect();
            let row = spec.as_stored(&spec.row(&features));
            assert_eq!(row.len(), spec.row_len());
            assert_eq!(spec.real_regions(&row), features);
        }
        // A number that no writer of ours wrote.
        for number in [f32::NAN, -1.0, 0.0] {
            let row = [&[number][..], &[7.0; MAX_VARIABLE_REGIONS * 3]].concat();
            assert_eq!(spec.real_regions(&row), [7.0; 3]);
        }
    }
    let larger = FeatureSpec {
        regions: MAX_VARIABLE_REGIONS + 1,
        variable_regions: true,
        ..spec(FeatureDtype::F32)
    };
    assert!(larger.check().is_err());
}

#[test]
fn a_store_of_other_features_is_rejected_or_replaced() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let other = FeatureSpec {
        layer: "fc2".to_owned(),
        ..spec(FeatureDtype::F16)
    };
    let rejection = FeatureWriter::open_or_resume(dir.path(), other.clone()).unwrap_err();
    assert!(
        matches!(&rejection, StoreError::Differs { field, .. } if field == "layer"),
        "{rejection}"
    );
    assert!(
        rejection.to_string().contains("layer \"map\" and not \"fc2\""),
        "{rejection}"
    );
    assert_eq!(
        FeatureStore::open(dir.path()).unwrap().rows(),
        5,
        "a rejection changes nothing"
    );

    FeatureWriter::create_new(dir.path(), other)
        .unwrap()
        .finish()
        .unwrap();
    let store = FeatureStore::open(dir.path()).unwrap();
    assert_eq!((store.rows(), store.spec().layer.as_str()), (0, "fc2"));
}

#[test]
fn two_writers_are_one_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let first = FeatureWriter::open_or_resume(dir.path(), spec(FeatureDtype::F16)).unwrap();
    let second = FeatureWriter::open_or_resume(dir.path(), spec(FeatureDtype::F16));
    assert!(matches!(second.unwrap_err(), StoreError::Busy { .. }));
    drop(first);
    assert!(FeatureWriter::open_or_resume(dir.path(), spec(FeatureDtype::F16)).is_ok());
}

#[test]
fn rows_that_cannot_be_kept_are_rejected_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = FeatureWriter::open_or_resume(dir.path(), spec(FeatureDtype::F16)).unwrap();
    writer.append("a", &[0.0; 6]).unwrap();
    let rejection = |writer: &mut FeatureWriter, key, row: &[f32]| writer.append(key, row).unwrap_err();
    assert!(matches!(
        rejection(&mut writer, "a", &[0.0; 6]),
        StoreError::Duplicate { .. }
    ));
    assert!(matches!(
        rejection(&mut writer, "b", &[0.0; 5]),
        StoreError::RowLength {
            expected: 6,
            found: 5,
            ..
        }
    ));
    for value in [f32::NAN, f32::INFINITY, 70_000.0] {
        let mut row = [0.0; 6];
        row[3] = value;
        assert!(matches!(
            rejection(&mut writer, "b", &row),
            StoreError::Unstorable { .. }
        ));
    }
    assert_eq!(writer.finish().unwrap(), 1);
}

#[test]
fn stores_that_cannot_be_read_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let why = || FeatureStore::open(dir.path()).unwrap_err();
    assert!(matches!(why(), StoreError::NotFound { .. }));
    written(dir.path());
    let marker = dir.path().join("complete.json");
    let saved = fs::read(&marker).unwrap();
    fs::remove_file(&marker).unwrap();
    assert!(matches!(why(), StoreError::Incomplete { rows: 5, .. }));
    fs::write(&marker, saved).unwrap();
    truncate(&dir.path().join("rows.bin"), 59);
    assert!(
        why().to_string().contains("59 bytes where 60 are expected"),
        "{}",
        why()
    );
    written(dir.path());
    truncate(&dir.path().join("index.jsonl"), 20);
    assert!(matches!(why(), StoreError::Damaged { .. }));
    fs::write(dir.path().join("store.json"), r#"{"version": 99}"#).unwrap();
    assert!(matches!(why(), StoreError::Version { found: 99, .. }));
}
