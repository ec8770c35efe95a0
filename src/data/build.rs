//! Building a dataset from a source: tokens, splits, validation, vocabulary and report.

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
use crate::text::{Cleaning, Vocabulary, counted};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// The settings of [`build`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrepareSettings {
    /// Use the source's own tokens (Karpathy's). Captions without tokens are cleaned.
    pub use_source_tokens: bool,
    /// The minimum count in the training split of a word in the vocabulary.
    pub minimum_count: u64,
    /// The seed of random splits.
    pub seed: u64,
    /// Whether to use the source's splits or random ones.
    pub splits: SplitsFrom,
    /// The relative sizes of random splits.
    pub shares: SplitShares,
    /// The cleaning of captions.
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

/// Reads a source, builds a dataset, and writes it with its report into `directory`. The dataset is named after the
/// directory.
///
/// `decode` and `progress` are called on rayon's threads.
///
/// # Errors
/// Those of [`DataSource::read`]; if no training image is left; if a file cannot be written.
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

/// [`prepare`] for images that are already read; `source` is only recorded.
///
/// # Errors
/// If no training image is left, or a file cannot be written.
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
    let (dataset, report) = build(settings, source, reading, &name, decode, progress)?;
    dataset.save(&directory)?;
    report.save(&directory)?;
    Ok((dataset, report))
}

/// [`build_and_save`] without writing: the dataset `name` and its report.
///
/// # Errors
/// If no training image is left.
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
        notes: _,
    } = reading;
    let named = images.len();
    let mut captioned = tokenize(images, settings, &mut problems);
    let has_splits = captioned.iter().any(|image| image.split.is_some());
    let splits_from = match settings.splits {
        SplitsFrom::Source if has_splits => SplitsFrom::Source,
        _ => SplitsFrom::Drawn,
    };
    if splits_from == SplitsFrom::Source {
        remove_unsplit(&mut captioned, &mut problems);
    }
    let mut decodable = validate::decodable(captioned, decode, progress, &mut problems);
    // Drawn after images are left out, so that each split has its share of those that remain.
    if splits_from == SplitsFrom::Drawn {
        draw_splits(&mut decodable, settings);
    }
    let (images, hashes): (Vec<Image>, Vec<_>) = decodable
        .into_iter()
        .map(|(image, hash)| (image.into(), hash))
        .unzip();
    validate::list_duplicates(&images, &hashes, &mut problems);
    if !images.iter().any(|image| image.split == Split::Train) {
        let summary = summary(named, images.len(), &problems);
        return Err(match images.is_empty() {
            true => DatasetError::NothingToTrainOn(summary),
            false => DatasetError::NoTrainingSplit(summary),
        });
    }

    progress(PrepareProgress {
        stage: PrepareStage::Writing,
        done: images.len(),
        total: images.len(),
    });
    let vocabulary = Vocabulary::build(training_captions(&images), settings.minimum_count);
    if vocabulary.words().next().is_none() {
        return Err(DatasetError::NoWords {
            minimum_count: settings.minimum_count,
        });
    }
    let report = PrepareReport::new((format, also_found), splits_from, &images, &vocabulary, problems);
    let manifest = DatasetManifest {
        name: name.to_owned(),
        source: record(source, format, files),
        settings: settings.clone(),
    };
    Ok((Dataset::new(images, vocabulary, manifest), report))
}

/// A tokenized image before its split is assigned.
pub(super) struct TokenizedImage {
    pub(super) key: String,
    pub(super) path: PathBuf,
    split: Option<Split>,
    captions: Vec<Caption>,
}

impl From<TokenizedImage> for Image {
    /// An image without split would be one to train on; there is none.
    fn from(image: TokenizedImage) -> Self {
        Self {
            key: image.key,
            path: image.path,
            split: image.split.unwrap_or(Split::Train),
            captions: image.captions,
        }
    }
}

/// Tokenizes captions. Lists and removes empty captions, and images without other captions.
fn tokenize(
    images: Vec<SourceImage>,
    settings: &PrepareSettings,
    problems: &mut Problems,
) -> Vec<TokenizedImage> {
    let mut tokenized = Vec::with_capacity(images.len());
    for image in images {
        let is_captioned = !image.captions.is_empty();
        let captions = tokenize_captions(&image.key, image.captions, settings, problems);
        if !captions.is_empty() {
            tokenized.push(TokenizedImage {
                key: image.key,
                path: image.path,
                split: image.split,
                captions,
            });
            continue;
        }
        let detail = if is_captioned {
            "all its captions are empty after cleaning"
        } else {
            "the source has no caption for it"
        };
        problems.add(ProblemKind::ImageWithoutCaption, image.key, detail);
    }
    tokenized
}

fn tokenize_captions(
    key: &str,
    captions: Vec<SourceCaption>,
    settings: &PrepareSettings,
    problems: &mut Problems,
) -> Vec<Caption> {
    let mut kept: Vec<Caption> = Vec::with_capacity(captions.len());
    for SourceCaption { raw, tokens } in captions {
        let tokens = match tokens {
            Some(tokens) if settings.use_source_tokens => single_words(&tokens),
            _ => settings.cleaning.tokens(&raw),
        };
        if tokens.is_empty() {
            problems.add(ProblemKind::EmptyCaption, key, raw);
            continue;
        }
        if kept.iter().any(|caption| caption.tokens == tokens) {
            problems.add(ProblemKind::DuplicateCaption, key, raw.as_str());
        }
        kept.push(Caption { raw, tokens });
    }
    kept
}

/// The source's tokens, split at whitespace: a token is one word of the vocabulary.
fn single_words(tokens: &[String]) -> Vec<String> {
    tokens
        .iter()
        .flat_map(|token| token.split_whitespace())
        .map(str::to_owned)
        .collect()
}

/// Lists and removes images in none of the source's splits.
fn remove_unsplit(images: &mut Vec<TokenizedImage>, problems: &mut Problems) {
    for image in images.extract_if(.., |image| image.split.is_none()) {
        let detail = "the source puts it in no split";
        problems.add(ProblemKind::ImageWithoutSplit, image.key, detail);
    }
}

fn draw_splits<T>(images: &mut [(TokenizedImage, T)], settings: &PrepareSettings) {
    let keys: Vec<&str> = images.iter().map(|(image, _)| image.key.as_str()).collect();
    let splits = split::draw(&keys, settings.shares, settings.seed);
    for ((image, _), split) in images.iter_mut().zip(splits) {
        image.split = Some(split);
    }
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

/// The images that were read, those left in other splits than the training split, and the problems.
fn summary(named: usize, elsewhere: usize, problems: &Problems) -> String {
    let count = |(kind, problems): (ProblemKind, &[_])| format!(", {}", kind.counted(problems.len()));
    let counts: String = problems.iter().map(count).collect();
    let named = counted(named as u64, "images");
    match elsewhere {
        0 => format!("{named} found{counts}"),
        _ => format!("{named} found, {elsewhere} of them good, in the dev or test split{counts}"),
    }
}
