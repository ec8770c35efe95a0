//! Tests of building, saving and loading a dataset.

use super::super::*;
use super::{TOKENS, directory, locations};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// Captions of a plain folder as JSON lines: image, split, captions.
fn lines(images: &[(&str, &str, &[&str])]) -> String {
    images
        .iter()
        .map(|(image, split, captions)| match *split {
            "" => serde_json::json!({"image": image, "captions": captions}),
            split => serde_json::json!({"image": image, "captions": captions, "split": split}),
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

fn prepared(
    source: &TempDir,
    settings: &PrepareSettings,
) -> (Result<(Dataset, PrepareReport), DatasetError>, TempDir) {
    let target = tempfile::tempdir().unwrap();
    let decode = |path: &Path| match fs::read_to_string(path) {
        Ok(content) if content.contains("broken") => Err("not an image".to_owned()),
        _ => Ok(()),
    };
    let result = prepare(
        settings,
        &DataSource::new(source.path()),
        target.path().join("mine"),
        &decode,
        &|_| (),
    );
    (result, target)
}

fn every_word() -> PrepareSettings {
    PrepareSettings {
        minimum_count: 1,
        ..PrepareSettings::default()
    }
}

#[test]
fn validation_lists_all_problems_and_drops_unusable_images() {
    let captions = lines(&[
        ("a.jpg", "train", &["A dog .", "a DOG", "..."]),
        ("b.jpg", "dev", &["A dog and an ocelot"]),
        ("broken.jpg", "train", &["A cat"]),
        ("copy.jpg", "train", &["A dog"]),
        ("leak.jpg", "dev", &["A dog"]),
        ("nowhere.jpg", "", &["A bird"]),
        ("silent.jpg", "train", &["12", "!"]),
    ]);
    let names = "a.jpg b.jpg broken.jpg nowhere.jpg silent.jpg uncaptioned.jpg";
    let names: Vec<&str> = names.split(' ').collect();
    let copies = [
        ("captions.jsonl", captions.as_str()),
        ("copy.jpg", "a.jpg"),
        ("leak.jpg", "a.jpg"),
    ];
    let source = directory(&copies, &names);
    let (dataset, report) = prepared(&source, &every_word()).0.unwrap();

    let keys: Vec<_> = dataset.images.iter().map(|image| image.key.as_str()).collect();
    assert_eq!(keys, ["a.jpg", "b.jpg", "copy.jpg", "leak.jpg"]);
    assert_eq!(dataset.images[0].captions.len(), 2);
    assert_eq!(dataset.vocabulary.words().collect::<Vec<_>>(), ["a", "dog"]);

    let found = |kind| locations(&report.problems, kind);
    assert_eq!(found(ProblemKind::DuplicateCaption), ["a.jpg"]);
    assert_eq!(
        found(ProblemKind::EmptyCaption),
        ["a.jpg", "silent.jpg", "silent.jpg"]
    );
    assert_eq!(found(ProblemKind::UndecodableImage), ["broken.jpg"]);
    assert_eq!(found(ProblemKind::DuplicateImage), ["copy.jpg"]);
    assert_eq!(found(ProblemKind::DuplicateAcrossSplits), ["leak.jpg"]);
    assert_eq!(found(ProblemKind::ImageWithoutSplit), ["nowhere.jpg"]);
    let without_caption = found(ProblemKind::ImageWithoutCaption);
    assert!(without_caption[0].ends_with("uncaptioned.jpg") && without_caption[1] == "silent.jpg");
    assert_eq!(report.counts[&ProblemKind::EmptyCaption], 3);
    assert_eq!(report.counts[&ProblemKind::TruncatedLine], 0);

    let dev = report.splits[&Split::Dev];
    assert_eq!(
        (dev.images, dev.captions, dev.words.tokens, dev.words.unknown),
        (2, 2, 7, 3)
    );
    assert_eq!(report.splits[&Split::Test], SplitStatistics::default());
    assert_eq!(
        report.caption_lengths.iter().collect::<Vec<_>>(),
        [(2, 4), (5, 1)]
    );
    assert_eq!(
        report.frequent_words,
        [("a".to_owned(), 3), ("dog".to_owned(), 3)]
    );
}

#[test]
fn dataset_survives_saving_and_loading() {
    let captions = lines(&[
        ("a.jpg", "train", &["A dog"]),
        ("b.jpg", "test", &["A \u{1b}cat\t№1"]),
    ]);
    let source = directory(&[("captions.jsonl", &captions)], &["a.jpg", "b.jpg"]);
    let settings = PrepareSettings {
        seed: u64::MAX,
        ..every_word()
    };
    let (prepared, target) = prepared(&source, &settings);
    let (dataset, report) = prepared.unwrap();
    let home = target.path().join("mine");
    assert_eq!(Dataset::load(&home).unwrap(), dataset);
    assert_eq!(PrepareReport::load(&home).unwrap(), report);
    assert_eq!(dataset.manifest.name, "mine");
    assert_eq!(dataset.images(Split::Test).count(), 1);

    let images = fs::read_to_string(home.join("images.jsonl")).unwrap();
    fs::write(home.join("images.jsonl"), &images[..images.len() - 9]).unwrap();
    let truncated = Dataset::load(&home).unwrap_err().to_string();
    assert!(
        truncated.contains("images.jsonl, line 2") && truncated.contains("prepare"),
        "{truncated}"
    );
    fs::write(home.join("images.jsonl"), images.replace("dog", "cow")).unwrap();
    assert!(matches!(Dataset::load(&home), Err(DatasetError::HashDiffers(_))));
    let other = Dataset::load(target.path().join("yours"))
        .unwrap_err()
        .to_string();
    assert!(other.contains("there are mine"), "{other}");
}

#[test]
fn images_that_move_with_their_dataset_are_found() {
    let place = tempfile::tempdir().unwrap();
    let project = place.path().join("old");
    let home = project.join("datasets/one");
    fs::create_dir_all(&home).unwrap();
    fs::create_dir_all(project.join("photos")).unwrap();
    let photo = project.join("photos/one.png");
    fs::write(&photo, "one").unwrap();
    let reading = RawDataset::drawn(vec![SourceImage {
        key: "one".to_owned(),
        path: photo.clone(),
        split: Some(Split::Train),
        captions: vec![SourceCaption::new("A red circle")],
    }]);
    let source = DataSource::new("scenes");
    build_and_save(&every_word(), &source, reading, &home, &|_| Ok(()), &|_| ()).unwrap();
    let image = |home: &Path| Dataset::load(home).unwrap().images[0].path.clone();

    let elsewhere = place.path().join("alone");
    fs::rename(&home, &elsewhere).unwrap();
    assert_eq!(
        image(&elsewhere),
        fs::canonicalize(&photo).unwrap(),
        "only the dataset moved"
    );
    fs::rename(&elsewhere, &home).unwrap();
    let moved = place.path().join("new");
    fs::rename(&project, &moved).unwrap();
    assert_eq!(
        image(&moved.join("datasets/one")),
        fs::canonicalize(moved.join("photos/one.png")).unwrap()
    );
}

#[test]
fn images_below_the_dataset_have_relative_paths() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("drawn");
    fs::create_dir_all(home.join("images")).unwrap();
    fs::write(home.join("images/one.png"), "one").unwrap();
    let reading = RawDataset::drawn(vec![SourceImage {
        key: "one".to_owned(),
        path: home.join("images/../images/one.png"),
        split: Some(Split::Train),
        captions: vec![SourceCaption::new("A red circle")],
    }]);
    let source = DataSource::new("scenes");
    assert!(source.is_scenes());
    let (dataset, _) = build_and_save(&every_word(), &source, reading, &home, &|_| Ok(()), &|_| ()).unwrap();
    let moved = place.path().join("moved");
    fs::rename(&home, &moved).unwrap();
    let loaded = Dataset::load(&moved).unwrap();
    assert_eq!(
        loaded.images[0].path,
        fs::canonicalize(moved.join("images/one.png")).unwrap()
    );
    assert_eq!(loaded.hash, dataset.hash);
    assert_eq!(loaded.manifest.source.path, Path::new("scenes"));
}

#[test]
fn splits_are_drawn_if_missing_or_requested() {
    let names: Vec<String> = (0..20).map(|number| format!("{number}.jpg")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let images: Vec<(&str, &str, &[&str])> = names
        .iter()
        .map(|&name| (name, "train", ["A dog"].as_slice()))
        .collect();
    let named = directory(&[("captions.jsonl", &lines(&images))], &names);
    let sizes = |settings: &PrepareSettings| {
        let (dataset, report) = prepared(&named, settings).0.unwrap();
        (
            Split::ALL.map(|split| dataset.images(split).count()),
            report.splits_from,
        )
    };
    assert_eq!(sizes(&every_word()), ([20, 0, 0], SplitsFrom::Source));
    let drawn = PrepareSettings {
        splits: SplitsFrom::Drawn,
        ..every_word()
    };
    assert_eq!(sizes(&drawn), ([16, 2, 2], SplitsFrom::Drawn));
}

#[test]
fn random_splits_are_drawn_from_images_that_decode() {
    let names: Vec<String> = (0..8).map(|number| format!("{number}.jpg")).collect();
    for broken in ["a broken.jpg", "5 broken.jpg", "z broken.jpg"] {
        let names: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .chain([broken, "zz broken.jpg"])
            .collect();
        let images: Vec<(&str, &str, &[&str])> = names
            .iter()
            .map(|&name| (name, "", ["A dog"].as_slice()))
            .collect();
        let source = directory(&[("captions.jsonl", &lines(&images))], &names);
        let (dataset, report) = prepared(&source, &every_word()).0.unwrap();
        assert_eq!(
            Split::ALL.map(|split| dataset.images(split).count()),
            [6, 1, 1],
            "{broken}"
        );
        assert_eq!(report.problems.count(ProblemKind::UndecodableImage), 2);
    }
}

#[test]
fn empty_training_split_is_an_error_with_its_causes() {
    let captions = lines(&[("broken.jpg", "train", &["A dog"]), ("b.jpg", "dev", &["A dog"])]);
    let source = directory(&[("captions.jsonl", &captions)], &["broken.jpg", "b.jpg"]);
    let (result, target) = prepared(&source, &every_word());
    let message = result.unwrap_err().to_string();
    assert!(
        message.contains(
            "2 images found, 1 of them good, in the dev or test split, 1 image that does not decode"
        ),
        "{message}"
    );
    assert!(!target.path().join("mine").exists());
}

#[test]
fn source_tokens_are_used_if_set() {
    let json = r#"{"images": [{"filename": "a.jpg", "split": "train", "sentences":
        [{"raw": "A T-shirt.", "tokens": ["a", "t", "shirt", "2 x"]}, {"raw": "A T-shirt!"}]}]}"#;
    let source = directory(&[("dataset.json", json)], &["a.jpg"]);
    let tokens = |settings: &PrepareSettings| {
        let (dataset, _) = prepared(&source, settings).0.unwrap();
        dataset.images[0]
            .captions
            .iter()
            .map(|caption| caption.tokens.join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(tokens(&every_word()), ["a t shirt 2 x", "a tshirt"]);
    let cleaned = PrepareSettings {
        use_source_tokens: false,
        ..every_word()
    };
    assert_eq!(tokens(&cleaned), ["a tshirt", "a tshirt"]);
}

#[test]
fn settings_reject_unknown_keys_and_have_defaults() {
    let settings: PrepareSettings =
        toml::from_str("minimum_count = 2\n[cleaning]\nremove_digits = false").unwrap();
    assert_eq!(settings.minimum_count, 2);
    assert!(settings.cleaning.lowercase && !settings.cleaning.remove_digits);
    assert!(toml::from_str::<PrepareSettings>("minimum_cuont = 2").is_err());
}

#[test]
fn progress_counts_every_image_once() {
    let source = directory(&[("x.token.txt", TOKENS)], &["a.jpg", "b.jpg"]);
    let (checked, last) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = |progress: PrepareProgress| {
        if progress.stage == PrepareStage::Checking {
            assert_eq!(progress.total, 2);
            checked.fetch_add(1, Ordering::Relaxed);
            last.fetch_max(progress.done, Ordering::Relaxed);
        }
    };
    let target = tempfile::tempdir().unwrap();
    prepare(
        &every_word(),
        &DataSource::new(source.path()),
        target.path(),
        &|_| Ok(()),
        &progress,
    )
    .unwrap();
    assert_eq!((checked.into_inner(), last.into_inner()), (2, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any number of lines in any order: each caption is in the dataset or in the report.
    #[test]
    fn no_caption_is_lost(
        lines in proptest::collection::vec(("[a-f]", prop_oneof!["[A-C .]{1,6}", "[0-9]{1,2}"]), 1..30),
    ) {
        let content: String = lines.iter().map(|(image, caption)| format!("{image}.jpg#0\t{caption}\n")).collect();
        let source = directory(&[("x.token.txt", &content)], &["a.jpg", "b.jpg", "c.jpg", "d.jpg"]);
        let (dataset, report) = match prepared(&source, &every_word()).0 {
            Err(
                DatasetError::NoImages { .. }
                | DatasetError::NothingToTrainOn(_)
                | DatasetError::NoUsableLine { .. },
            ) => return Ok(()),
            other => other.unwrap(),
        };
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        for image in &dataset.images {
            *kept.entry(image.key.clone()).or_default() += image.captions.len();
        }
        let kinds = [ProblemKind::MalformedLine, ProblemKind::EmptyCaption, ProblemKind::CaptionWithoutImage];
        let listed: usize = kinds.iter().map(|kind| report.counts[kind]).sum();
        prop_assert_eq!(kept.values().sum::<usize>() + listed, lines.len());
    }
}
