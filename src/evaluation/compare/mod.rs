//! Evaluations beside a baseline: whose scores are higher, and whether that is more than noise.

mod export;
#[cfg(test)]
mod tests;

use super::pairing::{NamedReport, Unpaired, pair_images};
use super::report::{CaptionedImage, Subject, TokenizedCaptions};
use crate::metrics::{self, Bootstrap, Difference, Interval, Scores, Statistics};
use crate::search::SearchSettings;
use crate::text::display_safe;
use serde::Serialize;

pub use export::{ExportError, ExportFormat};

/// Evaluations beside one of them, the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The evaluations; the baseline is the first.
    pub evaluations: Vec<Compared>,
}

/// An evaluation beside the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What it is called, such as `flickr8k-merge-001/dev-best`.
    pub name: String,
    /// What was evaluated.
    #[serde(flatten)]
    pub subject: Subject,
    /// How captions were searched for.
    pub search: SearchSettings,
    /// Images captioned.
    pub images: usize,
    /// The scores of all images, as fractions.
    #[serde(flatten)]
    pub scores: Scores,
    /// The 95 % bootstrap interval of each.
    pub intervals_95: Scores<Interval>,
    /// How it does against the baseline.
    pub against: Against,
}

/// How an evaluation does against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Against {
    /// It is the baseline.
    Baseline,
    /// Its scores minus the baseline's, by a paired bootstrap over the images.
    Difference(Scores<Difference>),
    /// It is not of the same images and references: nothing can be said.
    Unpaired(Unpaired),
}

impl Comparison {
    /// Scores `baseline` and `others` anew, from their captions and references, and compares each with the baseline.
    pub fn new<'a>(baseline: &NamedReport, others: impl IntoIterator<Item = &'a NamedReport>) -> Self {
        let theirs = statistics(&baseline.report.captions);
        let mut evaluations = vec![Compared::new(baseline, &theirs, Against::Baseline)];
        for other in others {
            let ours = statistics(&other.report.captions);
            evaluations.push(Compared::new(other, &ours, against(other, baseline, &theirs)));
        }
        Self { evaluations }
    }

    /// What was evaluated, in words: one line where that is the same for all, otherwise a line for each.
    pub fn subjects(&self) -> Vec<String> {
        let all: Vec<String> = self.evaluations.iter().map(Compared::told).collect();
        match all.first() {
            Some(first) if all.iter().all(|told| told == first) => vec![first.clone()],
            _ => {
                let named = self.evaluations.iter().zip(all);
                named
                    .map(|(one, told)| format!("{}: {told}", one.safe_name()))
                    .collect()
            }
        }
    }

    /// What the mark at a score means, where a score has one.
    pub fn meaning_of_mark(&self) -> Option<String> {
        let baseline = self.evaluations.first()?;
        let is_marked = |one: &Compared| {
            let differences = one.differences();
            differences.is_some_and(|all| all.iter().any(|(_, difference)| difference.is_more_than_noise()))
        };
        self.evaluations.iter().any(is_marked).then(|| {
            format!(
                "differs from {} by more than noise (paired bootstrap over the images, p < {})",
                baseline.safe_name(),
                metrics::bootstrap::SIGNIFICANCE
            )
        })
    }

    /// Why evaluations were not compared with the baseline, one sentence each.
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
            subject: named.report.subject.clone(),
            search: named.report.search.clone(),
            images: statistics.len(),
            scores: statistics.iter().copied().sum::<Statistics>().scores(),
            intervals_95: Bootstrap::default().intervals(statistics),
            against,
        }
    }

    /// How its scores differ from the baseline's, where that can be said.
    pub fn differences(&self) -> Option<Scores<Difference>> {
        match &self.against {
            Against::Difference(differences) => Some(*differences),
            Against::Baseline | Against::Unpaired(_) => None,
        }
    }

    /// Its name as text that steers no terminal.
    pub fn safe_name(&self) -> String {
        display_safe(&self.name).into_owned()
    }

    fn told(&self) -> String {
        let Subject { data_set, split, .. } = &self.subject;
        let (images, model, search) = (self.images, self.subject.told_model(), &self.search);
        let told = format!("{images} images of {data_set}, {split} split; {model}; {search}");
        display_safe(&told).into_owned()
    }
}

fn against(ours: &NamedReport, baseline: &NamedReport, theirs: &[Statistics]) -> Against {
    let differences = pair_images(&ours.report.captions, &baseline.report.captions)
        .and_then(|paired| Ok(Bootstrap::default().compare(&statistics(paired), theirs)?));
    match differences {
        Ok(differences) => Against::Difference(differences),
        Err(why) => Against::Unpaired(Unpaired::new(ours, baseline, why)),
    }
}

/// The statistics of each image, with document frequencies from the references of all of them.
fn statistics<'a>(images: impl IntoIterator<Item = &'a CaptionedImage>) -> Vec<Statistics> {
    metrics::statistics(&TokenizedCaptions::new(images).examples())
}
