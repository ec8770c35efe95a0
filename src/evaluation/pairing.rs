//! Pairing two reports image by image.

use super::report::{CaptionedImage, Report};
use crate::metrics::UnpairedError;
use serde::Serialize;
use std::collections::HashMap;

/// A report and its name in a comparison, such as `flickr8k-merge-001/dev-best`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedReport {
    /// The name.
    pub name: String,
    /// The report.
    pub report: Report,
}

impl NamedReport {
    /// Its name with the split and the dataset.
    fn description(&self) -> String {
        let info = &self.report.info;
        format!("`{}` ({} split of {})", self.name, info.split, info.dataset)
    }
}

/// Two reports that cannot be compared image by image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{ours} cannot be paired with {theirs}: {why}; evaluate both on the same split of the same dataset")]
pub struct Unpaired {
    /// The first report.
    pub ours: String,
    /// The second report.
    pub theirs: String,
    /// The difference.
    pub why: Mismatch,
}

/// Why two reports cannot be paired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "differs", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum Mismatch {
    #[error("{only_ours} images are in the first only, {only_theirs} in the second only")]
    Images { only_ours: usize, only_theirs: usize },
    #[error("image `{image}` and {others} more have other references")]
    References { image: String, others: usize },
}

impl Unpaired {
    pub(super) fn new(ours: &NamedReport, theirs: &NamedReport, why: Mismatch) -> Self {
        Self {
            ours: ours.description(),
            theirs: theirs.description(),
            why,
        }
    }
}

impl From<UnpairedError> for Mismatch {
    fn from(UnpairedError { ours, theirs }: UnpairedError) -> Self {
        Self::Images {
            only_ours: ours,
            only_theirs: theirs,
        }
    }
}

/// The images of `ours` in the order of `theirs`.
///
/// # Errors
/// If the images or their references differ.
pub(super) fn pair_images<'a>(
    ours: &'a [CaptionedImage],
    theirs: &[CaptionedImage],
) -> Result<Vec<&'a CaptionedImage>, Mismatch> {
    let mut by_key: HashMap<&str, &CaptionedImage> =
        ours.iter().map(|image| (image.image.as_str(), image)).collect();
    // Removed, so that a duplicate key has no second partner.
    let paired: Vec<&CaptionedImage> = theirs
        .iter()
        .filter_map(|image| by_key.remove(image.image.as_str()))
        .collect();
    if paired.len() < ours.len().max(theirs.len()) {
        return Err(Mismatch::Images {
            only_ours: ours.len() - paired.len(),
            only_theirs: theirs.len() - paired.len(),
        });
    }
    let mut others = paired
        .iter()
        .zip(theirs)
        .filter(|(ours, theirs)| ours.references != theirs.references);
    match others.next() {
        None => Ok(paired),
        Some((image, _)) => Err(Mismatch::References {
            image: image.image.clone(),
            others: others.count(),
        }),
    }
}
