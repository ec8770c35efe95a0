//! Comparison of evaluations with a baseline, by a paired bootstrap.

mod export;
#[cfg(test)]
mod tests;

use super::pairing::{NamedReport, Unpaired, pair_images};
use super::report::{CaptionedImage, EvaluationInfo, tokenized};
use crate::metrics::{self, Bootstrap, Interval, ScoreDifference, Scores, Statistics};
use crate::search::SearchSettings;
use crate::text::{counted, display_safe};
use serde::Serialize;

pub use export::{ExportError, ExportFormat};

/// Evaluations compared with the first of them, the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The evaluations; the baseline is the first.
    pub evaluations: Vec<Compared>,
}

/// An evaluation compared with the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Its name, such as `flickr8k-merge-001/dev-best`.
    pub name: String,
    /// What was evaluated.
    #[serde(flatten)]
    pub info: EvaluationInfo,
    /// The search settings.
    pub search: SearchSettings,
    /// Images captioned.
    pub images: usize,
    /// The scores of all images.
    #[serde(flatten)]
    pub scores: Scores,
    /// The 95 % bootstrap interval of each.
    pub intervals_95: Scores<Interval>,
    /// The difference to the baseline.
    pub against: Against,
}

/// The difference of an evaluation to the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Against {
    /// It is the baseline.
    Baseline,
    /// Its scores minus the baseline's, by a paired bootstrap over the images.
    Difference(Box<Scores<ScoreDifference>>),
    /// It has other images or references.
    Unpaired(Unpaired),
}

impl Comparison {
    /// Recomputes the scores from captions and references, and compares each evaluation with the baseline.
    pub fn new<'a>(baseline: &NamedReport, others: impl IntoIterator<Item = &'a NamedReport>) -> Self {
        let theirs = statistics(&baseline.report.captions);
        let mut evaluations = vec![Compared::new(baseline, &theirs, Against::Baseline)];
        for other in others {
            let ours = statistics(&other.report.captions);
            evaluations.push(Compared::new(other, &ours, against(other, baseline, &theirs)));
        }
        Self { evaluations }
    }

    /// Descriptions of the subjects: one line if all are the same, otherwise a line for each evaluation.
    pub fn subjects(&self) -> Vec<String> {
        let all: Vec<String> = self.evaluations.iter().map(Compared::description).collect();
        match all.first() {
            Some(first) if all.iter().all(|description| description == first) => vec![first.clone()],
            _ => {
                let named = self.evaluations.iter().zip(all);
                named
                    .map(|(one, description)| format!("{}: {description}", one.safe_name()))
                    .collect()
            }
        }
    }

    /// The legend of the significance mark, if a score has one.
    pub fn meaning_of_mark(&self) -> Option<String> {
        let baseline = self.evaluations.first()?;
        let is_marked = |one: &Compared| {
            let differences = one.differences();
            differences.is_some_and(|all| all.iter().any(|(_, difference)| difference.is_significant()))
        };
        self.evaluations.iter().any(is_marked).then(|| {
            format!(
                "differs from {} by more than noise (paired bootstrap over the images, p < {})",
                baseline.safe_name(),
                metrics::bootstrap::SIGNIFICANCE
            )
        })
    }

    /// The reasons why evaluations were not compared with the baseline.
    pub fn unpaired(&self) -> Vec<String> {
        let why = |one: &Compared| match &one.against {
            Against::Unpaired(unpaired) => Some(display_safe(&unpaired.to_string()).into_owned()),
            Against::Baseline | Against::Difference(_) => None,
        };
        self.evaluations.iter().filter_map(why).collect()
    }
}

impl Compared {
    fn new(named: &NamedReport, statistics: &[Statistics], against: Against) -> Self {
        Self {
            name: named.name.clone(),
            info: named.report.info.clone(),
            search: named.report.search.clone(),
            images: statistics.len(),
            scores: statistics.iter().copied().sum::<Statistics>().scores(),
            intervals_95: Bootstrap::default().intervals(statistics),
            against,
        }
    }

    /// The differences to the baseline, if the two can be paired.
    pub fn differences(&self) -> Option<Scores<ScoreDifference>> {
        match &self.against {
            Against::Difference(differences) => Some(**differences),
            Against::Baseline | Against::Unpaired(_) => None,
        }
    }

    /// Its name, safe for a terminal.
    pub fn safe_name(&self) -> String {
        display_safe(&self.name).into_owned()
    }

    fn description(&self) -> String {
        let EvaluationInfo { dataset, split, .. } = &self.info;
        let (model, search) = (self.info.model_label(), &self.search);
        let images = counted(self.images as u64, "images");
        let description = format!("{images} of {dataset}, {split} split; {model}; {search}");
        display_safe(&description).into_owned()
    }
}

fn against(ours: &NamedReport, baseline: &NamedReport, theirs: &[Statistics]) -> Against {
    let differences = pair_images(&ours.report.captions, &baseline.report.captions)
        .and_then(|paired| Ok(Bootstrap::default().compare(&statistics(paired), theirs)?));
    match differences {
        Ok(differences) => Against::Difference(Box::new(differences)),
        Err(why) => Against::Unpaired(Unpaired::new(ours, baseline, why)),
    }
}

/// The statistics of each image, with document frequencies from the references of all of them.
fn statistics<'a>(images: impl IntoIterator<Item = &'a CaptionedImage>) -> Vec<Statistics> {
    metrics::statistics(&tokenized(images).examples())
}
