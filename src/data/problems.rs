//! What is wrong with a source: nothing is dropped that is not listed here.

use crate::text::display_safe;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The kinds of problem, each with its list in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// A line, not the last, that could not be read; left out.
    MalformedLine,
    /// A last line without a line end that could not be read: the file was cut; left out.
    TornLine,
    /// A last line without a line end that reads well but may have lost its tail; kept.
    UnendedLine,
    /// A caption of an image whose file is not there; left out.
    CaptionWithoutImage,
    /// An image that no caption, or no caption with a token, belongs to; left out.
    ImageWithoutCaption,
    /// A caption of which cleaning leaves no token; left out.
    EmptyCaption,
    /// A caption that its image has already; kept.
    DuplicateCaption,
    /// An image that the source puts in no split although it names splits; left out.
    ImageWithoutSplit,
    /// An image that the source puts in two splits; the first is kept.
    SplitConflict,
    /// An image whose file does not decode; left out.
    UndecodableImage,
    /// An image whose file is byte for byte that of another in the same split; kept.
    DuplicateImage,
    /// An image whose file is byte for byte that of another in another split, so that scores on dev or test
    /// are on an image seen in training; kept.
    DuplicateAcrossSplits,
}

impl ProblemKind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::MalformedLine,
        Self::TornLine,
        Self::UnendedLine,
        Self::CaptionWithoutImage,
        Self::ImageWithoutCaption,
        Self::EmptyCaption,
        Self::DuplicateCaption,
        Self::ImageWithoutSplit,
        Self::SplitConflict,
        Self::UndecodableImage,
        Self::DuplicateImage,
        Self::DuplicateAcrossSplits,
    ];

    /// What a count of them is called, and what was done about it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::MalformedLine => "malformed lines (left out)",
            Self::TornLine => "torn last lines (left out)",
            Self::UnendedLine => "last lines without a line end (kept; check whether they are whole)",
            Self::CaptionWithoutImage => "captions without an image (left out)",
            Self::ImageWithoutCaption => "images without a caption (left out)",
            Self::EmptyCaption => "captions empty after cleaning (left out)",
            Self::DuplicateCaption => "captions that their image has twice (kept)",
            Self::ImageWithoutSplit => "images in no split (left out)",
            Self::SplitConflict => "images in two splits (kept in the first)",
            Self::UndecodableImage => "images that do not decode (left out)",
            Self::DuplicateImage => "images that are another's copy (kept)",
            Self::DuplicateAcrossSplits => {
                "images with a copy in another split (kept; they flatter the scores)"
            }
        }
    }
}

/// One problem: where it is and what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The key of an image, or a file and line.
    pub location: String,
    /// What is wrong there.
    pub detail: String,
    /// The image's file, where it is about one that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// As `location: detail`, safe for a terminal.
impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {}",
            display_safe(&self.location),
            display_safe(&self.detail)
        )
    }
}

/// All problems of a source, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problems(BTreeMap<ProblemKind, Vec<Problem>>);

impl Problems {
    /// Lists one more problem.
    pub fn add(&mut self, kind: ProblemKind, location: impl Into<String>, detail: impl Into<String>) {
        let problem = Problem {
            location: location.into(),
            detail: detail.into(),
            file: None,
        };
        self.0.entry(kind).or_default().push(problem);
    }

    /// Lists one more problem, with an image that is there.
    pub fn add_image(&mut self, kind: ProblemKind, key: &str, file: &Path, detail: impl Into<String>) {
        let problem = Problem {
            location: key.to_owned(),
            detail: detail.into(),
            file: Some(file.to_owned()),
        };
        self.0.entry(kind).or_default().push(problem);
    }

    /// The problems of one kind, in the order in which they were found.
    pub fn of(&self, kind: ProblemKind) -> &[Problem] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// How many problems of one kind there are.
    pub fn count(&self, kind: ProblemKind) -> usize {
        self.of(kind).len()
    }

    /// Every kind that has problems, with them.
    pub fn iter(&self) -> impl Iterator<Item = (ProblemKind, &[Problem])> + '_ {
        self.0.iter().map(|(&kind, problems)| (kind, problems.as_slice()))
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
