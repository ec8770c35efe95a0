//! What `prepare` found: counts, statistics, and every problem.

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

/// Longer reports are not read.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// What a source held and what became of it; `report.json` in the data set's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareReport {
    /// The form in which the source was read.
    pub format: Format,
    /// Other forms the source holds too.
    pub also_found: Vec<Format>,
    /// Whether the splits are the source's or drawn.
    pub splits_from: SplitsFrom,
    /// Images, captions and unknown words of each split.
    pub splits: BTreeMap<Split, SplitStatistics>,
    /// Tokens per caption, over all splits.
    pub caption_lengths: LengthHistogram,
    /// The number of words of the vocabulary, its markers not counted.
    pub vocabulary: usize,
    /// The most frequent words of the training split and how often they occur.
    pub frequent_words: Vec<(String, u64)>,
    /// How many problems of each kind there are, also where there are none.
    pub counts: BTreeMap<ProblemKind, usize>,
    /// Every problem.
    pub problems: Problems,
}

/// Where the splits of a data set come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitsFrom {
    /// The source names them; drawn only where it names none.
    #[default]
    Source,
    /// Drawn with a seed.
    Drawn,
}

/// What there is to count about one split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitStatistics {
    /// How many images it has.
    pub images: usize,
    /// How many captions they have together.
    pub captions: usize,
    /// Its tokens, and how many of them the vocabulary does not hold.
    pub words: UnknownRate,
}

impl PrepareReport {
    /// The file's name within a data set's directory.
    pub const FILE: &str = "report.json";
    /// How many of the most frequent words are listed.
    const FREQUENT_WORDS: usize = 50;

    pub(super) fn new(
        (format, also_found): (Format, Vec<Format>),
        splits_from: SplitsFrom,
        images: &[Image],
        vocabulary: &Vocabulary,
        problems: Problems,
    ) -> Self {
        let tokens = |image: &Image| {
            image
                .captions
                .iter()
                .map(|caption| caption.tokens.len())
                .collect::<Vec<_>>()
        };
        let frequent = vocabulary.counts().take(Self::FREQUENT_WORDS);
        Self {
            format,
            also_found,
            splits_from,
            splits: Split::ALL
                .map(|split| (split, statistics(images, split, vocabulary)))
                .into(),
            caption_lengths: images.iter().flat_map(tokens).collect(),
            vocabulary: vocabulary.words().count(),
            frequent_words: frequent.map(|(word, count)| (word.to_owned(), count)).collect(),
            counts: ProblemKind::ALL.map(|kind| (kind, problems.count(kind))).into(),
            problems,
        }
    }

    /// Writes `report.json` into a data set's directory.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&self, directory: impl Into<ConfinedPath>) -> Result<(), DatasetError> {
        let file = directory.into().join(Self::FILE);
        file.write_atomically(|out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            out.write_all(b"\n")
        })
        .map_err(DatasetError::writing(&file))
    }

    /// Reads `report.json` from a data set's directory.
    ///
    /// # Errors
    /// Where the file is not there or is not a report.
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
        words: UnknownRate::of(captions().map(|caption| caption.tokens.as_slice()), vocabulary),
    }
}
