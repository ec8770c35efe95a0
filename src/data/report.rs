//! The report of `prepare`: counts, statistics and problems.

use super::error::DatasetError;
use super::formats::Format;
use super::image::Image;
use super::problems::{ProblemKind, Problems};
use super::split::Split;
use crate::files::ConfinedPath;
use crate::text::Vocabulary;
use crate::text::statistics::{LengthHistogram, UnknownRate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::VariantArray;

/// Longer reports are not read.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The content of a source and its problems; `report.json` in the dataset's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareReport {
    /// The format of the source.
    pub format: Format,
    /// Other formats that the source also has files of.
    pub also_found: Vec<Format>,
    /// The origin of the splits.
    pub splits_from: SplitsFrom,
    /// The statistics of each split.
    pub splits: BTreeMap<Split, SplitStatistics>,
    /// Tokens per caption, over all splits.
    pub caption_lengths: LengthHistogram,
    /// The number of words in the vocabulary, without special tokens.
    pub vocabulary: usize,
    /// The most frequent words of the training split with their counts.
    pub frequent_words: Vec<(String, u64)>,
    /// The number of problems of every kind, including zeros.
    pub counts: BTreeMap<ProblemKind, usize>,
    /// All problems.
    pub problems: Problems,
}

/// The origin of a dataset's splits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitsFrom {
    /// The source's own splits; random ones if the source has none.
    #[default]
    Source,
    /// Random splits.
    Drawn,
}

/// The statistics of one split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitStatistics {
    /// The number of images.
    pub images: usize,
    /// The number of captions.
    pub captions: usize,
    /// The number of tokens and of unknown tokens.
    pub words: UnknownRate,
}

impl PrepareReport {
    /// The name of the file in a dataset's directory.
    pub const FILE: &str = "report.json";
    /// The number of words in `frequent_words`.
    const FREQUENT_WORDS: usize = 50;

    pub(super) fn new(
        (format, also_found): (Format, Vec<Format>),
        splits_from: SplitsFrom,
        images: &[Image],
        vocabulary: &Vocabulary,
        problems: Problems,
    ) -> Self {
        let captions = images.iter().flat_map(|image| &image.captions);
        let frequent = vocabulary.counts().take(Self::FREQUENT_WORDS);
        Self {
            format,
            also_found,
            splits_from,
            splits: Split::ALL
                .map(|split| (split, statistics(images, split, vocabulary)))
                .into(),
            caption_lengths: captions.map(|caption| caption.tokens.len()).collect(),
            vocabulary: vocabulary.words().count(),
            frequent_words: frequent.map(|(word, count)| (word.to_owned(), count)).collect(),
            counts: ProblemKind::VARIANTS
                .iter()
                .map(|&kind| (kind, problems.count(kind)))
                .collect(),
            problems,
        }
    }

    /// Writes `report.json` into a dataset's directory.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, directory: impl Into<ConfinedPath>) -> Result<(), DatasetError> {
        let file = directory.into().join(Self::FILE);
        file.write_atomically(|out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            out.write_all(b"\n")
        })
        .map_err(DatasetError::writing(&file))
    }

    /// Reads `report.json` from a dataset's directory.
    ///
    /// # Errors
    /// If the file does not exist or is not a report.
    pub fn load(directory: impl Into<ConfinedPath>) -> Result<Self, DatasetError> {
        let file = directory.into().join(Self::FILE);
        let text = file.read(MAX_FILE_BYTES).map_err(DatasetError::reading(&file))?;
        serde_json::from_slice(&text).map_err(|error| DatasetError::Unreadable {
            file: (&file).into(),
            detail: error.to_string(),
        })
    }
}

fn statistics(images: &[Image], split: Split, vocabulary: &Vocabulary) -> SplitStatistics {
    let images: Vec<_> = images.iter().filter(|image| image.split == split).collect();
    let captions = || images.iter().flat_map(|image| &image.captions);
    SplitStatistics {
        images: images.len(),
        captions: captions().count(),
        words: UnknownRate::measure(captions().map(|caption| caption.tokens.as_slice()), vocabulary),
    }
}
