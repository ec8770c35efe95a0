//! Problems of a source. Everything that is dropped is listed here.

use crate::text::{counted, display_safe};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A kind of problem; see [`describe`](Self::describe). In the order in which they are shown.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`describe` describes the variants")]
pub enum ProblemKind {
    MalformedLine,
    /// A last line without line ending that is not valid: the file is truncated.
    TruncatedLine,
    /// A last line without line ending that is valid, but may be truncated.
    UnendedLine,
    CaptionWithoutImage,
    ImageWithoutCaption,
    EmptyCaption,
    DuplicateCaption,
    ImageWithoutSplit,
    SplitConflict,
    UndecodableImage,
    ImageWithoutFeatures,
    DuplicateImage,
    /// Scores on dev or test are too high if the image is also in the training split.
    DuplicateAcrossSplits,
}

impl ProblemKind {
    /// The plural, for counts, and how such problems are handled.
    pub fn describe(self) -> &'static str {
        match self {
            Self::MalformedLine => "malformed lines (left out)",
            Self::TruncatedLine => "truncated last lines (left out)",
            Self::UnendedLine => "last lines without a line ending (kept; check whether they are complete)",
            Self::CaptionWithoutImage => "captions without an image (left out)",
            Self::ImageWithoutCaption => "images without a caption (left out)",
            Self::EmptyCaption => "captions empty after cleaning (left out)",
            Self::DuplicateCaption => "duplicate captions of an image (kept)",
            Self::ImageWithoutSplit => "images in no split (left out)",
            Self::SplitConflict => "images in two splits (kept in the first)",
            Self::UndecodableImage => "images that do not decode (left out)",
            Self::ImageWithoutFeatures => "images without features (left out)",
            Self::DuplicateImage => "duplicate images (kept)",
            Self::DuplicateAcrossSplits => {
                "images with a duplicate in another split (kept; scores are inflated)"
            }
        }
    }
}

impl ProblemKind {
    /// A number of problems in words: `1 image without a caption (left out)`.
    pub fn counted(self, count: usize) -> String {
        let words = self.describe();
        let noun = words.find("s ").map_or(words.len(), |end| end + 1);
        let about = match count {
            1 => words[noun..].replace(" do not ", " does not "),
            _ => words[noun..].to_owned(),
        };
        format!("{}{about}", counted(count as u64, &words[..noun]))
    }
}

/// A problem and its location.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The key of an image, or a file and line.
    pub location: String,
    /// The problem.
    pub detail: String,
    /// The file of the image, if the problem is about an existing one.
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
    /// Adds a problem.
    pub fn add(&mut self, kind: ProblemKind, location: impl Into<String>, detail: impl Into<String>) {
        self.push(kind, location.into(), detail.into(), None);
    }

    /// Adds a problem with an existing image.
    pub fn add_image(&mut self, kind: ProblemKind, key: &str, file: &Path, detail: impl Into<String>) {
        self.push(kind, key.to_owned(), detail.into(), Some(file.to_owned()));
    }

    fn push(&mut self, kind: ProblemKind, location: String, detail: String, file: Option<PathBuf>) {
        let problems = self.0.entry(kind).or_default();
        problems.push(Problem {
            location,
            detail,
            file,
        });
    }

    /// The problems of a kind, in the order in which they were added.
    pub fn of_kind(&self, kind: ProblemKind) -> &[Problem] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// The number of problems of a kind.
    pub fn count(&self, kind: ProblemKind) -> usize {
        self.of_kind(kind).len()
    }

    /// The kinds that have problems, each with its problems.
    pub fn iter(&self) -> impl Iterator<Item = (ProblemKind, &[Problem])> + '_ {
        self.0.iter().map(|(&kind, problems)| (kind, problems.as_slice()))
    }

    /// Whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::VariantArray as _;

    #[test]
    fn one_problem_is_in_the_singular() {
        assert_eq!(
            ProblemKind::MalformedLine.counted(1),
            "1 malformed line (left out)"
        );
        assert_eq!(
            ProblemKind::DuplicateCaption.counted(1),
            "1 duplicate caption of an image (kept)"
        );
        for &kind in ProblemKind::VARIANTS {
            assert_eq!(kind.counted(2000), format!("2,000 {}", kind.describe()));
        }
    }
}
