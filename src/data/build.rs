//! From a source to a data set ready for training: tokens, splits, check, vocabulary, report.

use super::dataset::{Dataset, DatasetManifest, SourceRecord};
use super::error::DatasetError;
use super::formats::Format;
use super::image::{Caption, Image, SourceCaption, SourceImage};
use super::problems::{ProblemKind, Problems};
use super::report::{PrepareReport, SplitsFrom};
use super::source::{DataSource, RawDataset};
use super::split::{self, Split, SplitShares};
use super::validate::{self, Decode, OnProgress, PrepareProgress, PrepareStage};
use crate::files::ConfinedPath;
use crate::text::{Cleaning, Vocabulary};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

/// How a source becomes a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrepareSettings {
    /// Use the tokens that the source brings (Karpathy's) as they are; captions without any are cleaned.
    pub use_source_tokens: bool,
    /// How often a word must occur in the training split to enter the vocabulary.
    pub minimum_count: u64,
    /// Draws the splits.
    pub seed: u64,
    /// Whether to keep the source's splits or draw new ones.
    pub splits: SplitsFrom,
    /// The sizes of drawn splits.
    pub shares: SplitShares,
    /// How a caption becomes tokens.
    pub cleaning: Cleaning,
}

impl Default for PrepareSettings {
    fn default() -> Self {
        Self {
            use_source_tokens: true,
            minimum_count: 5,
            seed: 0,
            splits: SplitsFrom::Source,
            shares: SplitShares::default(),
            cleaning: Cleaning::default(),
        }
    }
}

/// Reads a source, checks it, and writes the data set and its report into `directory`, whose name becomes
/// the data set's.
///
/// `decode` tells whether an image can be decoded; it runs on rayon's threads, as does `progress`.
///
/// # Errors
/// Those of [`DataSource::read`]; where no image is left to train on; where a file cannot be written.
pub fn prepare(
    settings: &PrepareSettings,
    source: &DataSource,
    directory: impl Into<ConfinedPath>,
    decode: Decode<'_>,
    progress: OnProgress<'_>,
) -> Result<(Dataset, PrepareReport), DatasetError> {
    progress(PrepareProgress {
        stage: PrepareStage::Reading,
        done: 0,
        total: 0,
    });
    let reading = source.read()?;
    build_and_save(settings, source, reading, directory, decode, progress)
}

/// As [`prepare`], for images that are read, or drawn, already; `source` is only recorded.
///
/// # Errors
/// Where no image is left to train on, or a file cannot be written.
pub fn build_and_save(
    settings: &PrepareSettings,
    source: &DataSource,
    reading: RawDataset,
    directory: impl Into<ConfinedPath>,
    decode: Decode<'_>,
    progress: OnProgress<'_>,
) -> Result<(Dataset, PrepareReport), DatasetError> {
    let directory = directory.into();
    let name = directory.file_name().to_string_lossy();
    let (data_set, report) = build(settings, source, reading, &name, decode, progress)?;
    data_set.save(&directory)?;
    report.save(&directory)?;
    Ok((data_set, report))
}

/// As [`build_and_save`], but writes nothing: the data set called `name` and its report as they would be.
///
/// # Errors
/// Where no image is left to train on.
pub fn build(
    settings: &PrepareSettings,
    source: &DataSource,
    reading: RawDataset,
    name: &str,
    decode: Decode<'_>,
    progress: OnProgress<'_>,
) -> Result<(Dataset, PrepareReport), DatasetError> {
    let RawDataset {
        images,
        format,
        files,
        also_found,
        mut problems,
    } = reading;
    let named = images.len();
    let captioned = tokenize(images, settings, &mut problems);
    let (split, splits_from) = assign_splits(captioned, settings, &mut problems);
    let images = validate::validate(split, decode, progress, &mut problems);
    if !images.iter().any(|image| image.split == Split::Train) {
        return Err(DatasetError::NothingToTrainOn(summary(named, &problems)));
    }

    progress(PrepareProgress {
        stage: PrepareStage::Writing,
        done: images.len(),
        total: images.len(),
    });
    let vocabulary = Vocabulary::build(training_captions(&images), settings.minimum_count);
    let report = PrepareReport::new((format, also_found), splits_from, &images, &vocabulary, problems);
    let manifest = DatasetManifest {
        name: name.to_owned(),
        source: record(source, format, files),
        settings: settings.clone(),
    };
    Ok((Dataset::new(images, vocabulary, manifest), report))
}

/// An image with its tokens, before its split is settled.
struct TokenizedImage {
    key: String,
    path: PathBuf,
    split: Option<Split>,
    captions: Vec<Caption>,
}

/// Turns captions into tokens; lists and leaves out empty captions and images without any other.
fn tokenize(
    images: Vec<SourceImage>,
    settings: &PrepareSettings,
    problems: &mut Problems,
) -> Vec<TokenizedImage> {
    let mut captioned = Vec::with_capacity(images.len());
    for SourceImage {
        key,
        path,
        split,
        captions,
    } in images
    {
        if captions.is_empty() {
            problems.add(
                ProblemKind::ImageWithoutCaption,
                key,
                "the source has no caption for it",
            );
            continue;
        }
        let captions = tokenize_captions(&key, captions, settings, problems);
        if captions.is_empty() {
            problems.add(
                ProblemKind::ImageWithoutCaption,
                key,
                "all its captions are empty after cleaning",
            );
        } else {
            captioned.push(TokenizedImage {
                key,
                path,
                split,
                captions,
            });
        }
    }
    captioned
}

fn tokenize_captions(
    key: &str,
    captions: Vec<SourceCaption>,
    settings: &PrepareSettings,
    problems: &mut Problems,
) -> Vec<Caption> {
    let mut kept: Vec<Caption> = Vec::with_capacity(captions.len());
    let mut seen = HashSet::new();
    for SourceCaption { raw, tokens } in captions {
        let tokens = match tokens {
            Some(tokens) if settings.use_source_tokens => single_words(&tokens),
            _ => settings.cleaning.tokens(&raw),
        };
        if tokens.is_empty() {
            problems.add(ProblemKind::EmptyCaption, key, raw);
            continue;
        }
        if !seen.insert(tokens.clone()) {
            problems.add(ProblemKind::DuplicateCaption, key, raw.as_str());
        }
        kept.push(Caption { raw, tokens });
    }
    kept
}

/// A source's tokens, those with whitespace in them taken apart: a token is one word of the vocabulary.
fn single_words(tokens: &[String]) -> Vec<String> {
    tokens
        .iter()
        .flat_map(|token| token.split_whitespace())
        .map(str::to_owned)
        .collect()
}

/// Keeps the source's splits where it names any, and lists and leaves out images in none; else draws them.
fn assign_splits(
    images: Vec<TokenizedImage>,
    settings: &PrepareSettings,
    problems: &mut Problems,
) -> (Vec<Image>, SplitsFrom) {
    let from_source =
        settings.splits == SplitsFrom::Source && images.iter().any(|image| image.split.is_some());
    let (splits, splits_from) = if from_source {
        (
            images.iter().map(|image| image.split).collect(),
            SplitsFrom::Source,
        )
    } else {
        let keys: Vec<&str> = images.iter().map(|image| image.key.as_str()).collect();
        let drawn = split::draw(&keys, settings.shares, settings.seed);
        (drawn.into_iter().map(Some).collect::<Vec<_>>(), SplitsFrom::Drawn)
    };
    let mut assigned = Vec::with_capacity(images.len());
    for (
        TokenizedImage {
            key, path, captions, ..
        },
        split,
    ) in images.into_iter().zip(splits)
    {
        match split {
            Some(split) => assigned.push(Image {
                key,
                path,
                split,
                captions,
            }),
            None => problems.add(
                ProblemKind::ImageWithoutSplit,
                key,
                "the source puts it in no split",
            ),
        }
    }
    (assigned, splits_from)
}

fn training_captions(images: &[Image]) -> impl Iterator<Item = &[String]> {
    images
        .iter()
        .filter(|image| image.split == Split::Train)
        .flat_map(|image| &image.captions)
        .map(|caption| caption.tokens.as_slice())
}

fn record(source: &DataSource, format: Format, files: Vec<PathBuf>) -> SourceRecord {
    let absolute = |path: PathBuf| fs::canonicalize(&path).unwrap_or(path);
    let path = match format {
        Format::Scenes => PathBuf::from(Format::SCENES),
        _ => absolute(source.path.clone()),
    };
    SourceRecord {
        path,
        format,
        files: files.into_iter().map(absolute).collect(),
    }
}

fn summary(named: usize, problems: &Problems) -> String {
    let counts = problems
        .iter()
        .map(|(kind, problems)| format!("{} {}", problems.len(), kind.describe()));
    let counts: Vec<_> = std::iter::once(format!("{named} images read"))
        .chain(counts)
        .collect();
    counts.join(", ")
}
