//! Whether two reports are of the same images, so that they can be compared image by image.

use super::report::{CaptionedImage, Report};
use crate::metrics::UnpairedError;
use serde::Serialize;
use std::collections::HashMap;

/// A report and what it is called beside others, such as `flickr8k-merge-001/dev-best`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedReport {
    /// What it is called.
    pub name: String,
    /// The report.
    pub report: Report,
}

impl NamedReport {
    /// Its name, and in brackets what it is of.
    fn told(&self) -> String {
        let subject = &self.report.subject;
        format!(
            "`{}` ({} split of {})",
            self.name, subject.split, subject.data_set
        )
    }
}

/// Two reports that cannot be compared image by image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{ours} cannot be paired with {theirs}: {why}; evaluate both on the same split of the same data set")]
pub struct Unpaired {
    /// One report and what it is of.
    pub ours: String,
    /// The other one and what it is of.
    pub theirs: String,
    /// What differs.
    pub why: Mismatch,
}

/// What keeps two reports from being paired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "differs", rename_all = "snake_case")]
pub enum Mismatch {
    /// Images that only one of them has captions of.
    #[error("{only_ours} images are in the first only, {only_theirs} in the second only")]
    Images {
        /// How many only the first one has.
        only_ours: usize,
        /// How many only the second one has.
        only_theirs: usize,
    },
    /// An image that was scored against other captions.
    #[error("image `{image}` and {others} more have other references")]
    References {
        /// The first such image's key.
        image: String,
        /// How many more there are.
        others: usize,
    },
}

impl Unpaired {
    pub(super) fn new(ours: &NamedReport, theirs: &NamedReport, why: Mismatch) -> Self {
        Self {
            ours: ours.told(),
            theirs: theirs.told(),
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
/// Where the two are not the same images with the same references.
pub(super) fn pair_images<'a>(
    ours: &'a [CaptionedImage],
    theirs: &[CaptionedImage],
) -> Result<Vec<&'a CaptionedImage>, Mismatch> {
    let mut by_key: HashMap<&str, &CaptionedImage> =
        ours.iter().map(|image| (image.image.as_str(), image)).collect();
    // Taken out, so that a key that comes twice finds no second partner.
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
