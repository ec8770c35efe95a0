//! Flickr8k in its three formats; runs if `CUTLINE_FLICKR8K` is its directory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use cutline::data::{
    DataSource, Dataset, Format, PrepareReport, PrepareSettings, ProblemKind, RawDataset, Split, SplitsFrom,
    prepare,
};
use std::path::{Path, PathBuf};

/// The directory of Flickr8k's train and dev splits; prints why the test is skipped.
fn flickr8k() -> Option<PathBuf> {
    let place = std::env::var_os("CUTLINE_FLICKR8K").map(PathBuf::from);
    if place.is_none() {
        eprintln!("skipped: CUTLINE_FLICKR8K does not name a directory with Flickr8k");
    }
    place
}

fn source(place: &Path, format: Format) -> DataSource {
    DataSource {
        format: Some(format),
        ..DataSource::new(place)
    }
}

fn captions(reading: &RawDataset, split: Option<Split>) -> usize {
    reading
        .images
        .iter()
        .filter(|image| image.split == split)
        .map(|image| image.captions.len())
        .sum()
}

fn prepare_with(place: &Path, format: Format, settings: &PrepareSettings) -> (Dataset, PrepareReport) {
    let target = tempfile::tempdir().unwrap();
    let home = target.path().join("flickr8k");
    let decode = |image: &Path| {
        image::ImageReader::open(image)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let prepared = prepare(settings, &source(place, format), &home, &decode, &|_| ()).unwrap();
    assert_eq!(Dataset::load(&home).unwrap(), prepared.0);
    prepared
}

#[test]
fn the_three_forms_hold_the_same_images_and_captions() {
    let Some(place) = flickr8k() else { return };
    let read = |format| source(&place, format).read().unwrap();
    let [karpathy, tokens, kaggle] = [Format::Karpathy, Format::Flickr8k, Format::Kaggle].map(read);

    // The split lists beside the captions are read whatever the format.
    for reading in [&karpathy, &tokens, &kaggle] {
        assert_eq!(captions(reading, Some(Split::Train)), 30_000);
        assert_eq!(captions(reading, Some(Split::Dev)), 5_000);
        let train = reading
            .images
            .iter()
            .filter(|image| image.split == Some(Split::Train));
        assert_eq!((train.count(), reading.images.len()), (6_000, 7_000));
    }
    for reading in [&karpathy, &tokens, &kaggle] {
        assert!(reading.problems.is_empty(), "{:?}", reading.problems);
        assert!(
            reading
                .images
                .iter()
                .map(|image| &image.key)
                .eq(karpathy.images.iter().map(|image| &image.key))
        );
    }
    let recognized = DataSource::new(&place).read().unwrap();
    assert_eq!(recognized.format, Format::Karpathy);
    assert_eq!(recognized.also_found, [Format::Flickr8k, Format::Kaggle]);
}

#[test]
fn prepared_figures_are_those_of_an_independent_count() {
    let Some(place) = flickr8k() else { return };
    let settings = |minimum_count| PrepareSettings {
        minimum_count,
        use_source_tokens: false,
        ..PrepareSettings::default()
    };
    let (tokens, report) = prepare_with(&place, Format::Flickr8k, &settings(5));
    let (karpathy, _) = prepare_with(&place, Format::Karpathy, &settings(5));
    let random = PrepareSettings {
        splits: SplitsFrom::Drawn,
        ..settings(5)
    };
    let (kaggle, drawn) = prepare_with(&place, Format::Kaggle, &random);
    let (everything, _) = prepare_with(&place, Format::Flickr8k, &settings(1));
    let (own_tokens, _) = prepare_with(&place, Format::Karpathy, &PrepareSettings::default());

    // Counted by a script independent of this crate.
    let words = |dataset: &Dataset| dataset.vocabulary.words().count();
    assert_eq!(
        [&tokens, &everything, &own_tokens].map(words),
        [2_531, 7_590, 2_537]
    );
    let unknown = report.splits[&Split::Train].words;
    assert_eq!((unknown.tokens, unknown.unknown), (323_517, 8_341));
    assert_eq!(report.counts[&ProblemKind::DuplicateCaption], 18);
    assert_eq!(report.counts[&ProblemKind::DuplicateImage], 1);

    assert_eq!(karpathy.hash, tokens.hash);
    assert_eq!(drawn.splits_from, SplitsFrom::Drawn);
    assert_eq!(
        Split::ALL.map(|split| kaggle.images(split).count()),
        [5_600, 700, 700]
    );
    assert_eq!(report.splits[&Split::Train].captions, 30_000);
    assert_eq!(report.splits[&Split::Dev].captions, 5_000);
    assert_eq!(report.counts[&ProblemKind::UndecodableImage], 0);
}

#[test]
fn the_oddities_of_the_full_set_are_listed() {
    let Some(place) = flickr8k() else { return };
    let directory = tempfile::tempdir().unwrap();
    let captions = directory.path().join("Flickr8k.token.txt");
    let mut text = std::fs::read_to_string(place.join("Flickr8k.token.txt")).unwrap();
    text.push_str("2258277193_586949ec62.jpg.1#0\tPeople waiting for a train .\n1000268201_693b08c");
    std::fs::write(&captions, text).unwrap();
    let odd = DataSource {
        captions: Some(captions),
        splits: vec![place.join("Flickr_8k.trainImages.txt")],
        ..source(&place, Format::Flickr8k)
    };
    let home = directory.path().join("odd");
    let (dataset, report) = prepare(&PrepareSettings::default(), &odd, &home, &|_| Ok(()), &|_| ()).unwrap();
    assert_eq!(dataset.images.len(), 6_000);
    assert_eq!(report.counts[&ProblemKind::ImageWithoutSplit], 1_000);
    assert_eq!(report.counts[&ProblemKind::TruncatedLine], 1);
    let [lost] = report.problems.of_kind(ProblemKind::CaptionWithoutImage) else {
        panic!("{:?}", report.counts)
    };
    assert_eq!(lost.location, "2258277193_586949ec62.jpg.1");
}
