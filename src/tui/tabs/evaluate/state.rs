//! The state of the Evaluate tab.

use crate::evaluation::{CaptionedImage, Compared, Report, most_changed};
use crate::metrics::Metric;
use crate::tui::tabs::listing::Listing;
use crate::tui::{ComparedEvaluations, Effect, EvaluationKey, EvaluationListing};
use std::sync::Arc;

const IMAGES: usize = 200;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
pub enum ImageOrder {
    #[default]
    #[strum(serialize = "best")]
    Best,
    #[strum(serialize = "worst")]
    Worst,
    /// By the absolute difference to the baseline.
    #[strum(serialize = "most changed")]
    MostChanged,
}

#[derive(Clone, Copy, Debug)]
pub struct ListedImage<'a> {
    pub image: &'a CaptionedImage,
    /// Difference to the baseline's score, and the baseline's caption; set in the order `MostChanged`.
    pub change: Option<(f64, &'a str)>,
}

/// The requested comparison. The reports' heads show whether an evaluation has been written again since.
pub type RequestedReports = Vec<(EvaluationKey, Arc<Report>)>;

pub type ComparisonResult = (Vec<EvaluationKey>, Result<Arc<ComparedEvaluations>, String>);

#[derive(Clone, Debug, Default)]
pub struct EvaluatePage {
    pub listing: Listing<EvaluationListing>,
    pub baseline: Option<EvaluationKey>,
    pub selects_next: bool,
    pub last_requested: RequestedReports,
    pub outcome: Option<ComparisonResult>,
    pub metric: Metric,
    pub order: ImageOrder,
}

impl EvaluatePage {
    pub fn finished(&self) -> impl Iterator<Item = &EvaluationListing> {
        self.listing.all().iter().filter(|known| known.head.is_some())
    }

    /// The chosen baseline, otherwise the first evaluation.
    pub fn baseline(&self) -> Option<&EvaluationKey> {
        let is_chosen = |known: &&EvaluationListing| Some(&known.key) == self.baseline.as_ref();
        let chosen = self.finished().find(is_chosen).or_else(|| self.finished().next());
        chosen.map(|known| &known.key)
    }

    pub fn outcome(&self) -> Option<&Result<Arc<ComparedEvaluations>, String>> {
        self.outcome.as_ref().map(|(_, outcome)| outcome)
    }

    pub fn compared_evaluations(&self) -> Option<Arc<ComparedEvaluations>> {
        self.outcome()?.as_ref().ok().cloned()
    }

    /// The index of an evaluation in the last comparison.
    fn index_of(&self, key: &EvaluationKey) -> Option<usize> {
        let (of, outcome) = self.outcome.as_ref()?;
        outcome.as_ref().ok()?;
        of.iter().position(|compared| compared == key)
    }

    pub fn compared_to_baseline(&self, key: &EvaluationKey) -> Option<&Compared> {
        let outcome = self.outcome()?.as_ref().ok()?;
        outcome.comparison.evaluations.get(self.index_of(key)?)
    }

    /// The full report of an evaluation, once it is compared.
    pub fn report(&self, key: &EvaluationKey) -> Option<&Report> {
        let outcome = self.outcome()?.as_ref().ok()?;
        Some(&outcome.reports.get(self.index_of(key)?)?.report)
    }

    pub fn images(&self) -> Vec<ListedImage<'_>> {
        let Some(report) = self
            .listing
            .selected()
            .and_then(|selected| self.report(&selected.key))
        else {
            return Vec::new();
        };
        let images = match self.order {
            ImageOrder::Best => report.best_images(self.metric, IMAGES),
            ImageOrder::Worst => report.worst_images(self.metric, IMAGES),
            ImageOrder::MostChanged => return self.most_changed(),
        };
        let plain = |image| ListedImage { image, change: None };
        images.into_iter().map(plain).collect()
    }

    fn most_changed(&self) -> Vec<ListedImage<'_>> {
        let named = || {
            let outcome = self.outcome()?.as_ref().ok()?;
            let ours = outcome
                .reports
                .get(self.index_of(&self.listing.selected()?.key)?)?;
            most_changed(ours, outcome.reports.first()?, self.metric, IMAGES).ok()
        };
        let changes = named().unwrap_or_default();
        changes
            .into_iter()
            .map(|change| ListedImage {
                image: change.ours,
                change: Some((change.difference, change.theirs.caption.as_str())),
            })
            .collect()
    }

    pub fn list(&mut self, listing: Vec<EvaluationListing>) {
        let selected = self.listing.selected().map(|known| known.key.clone());
        let before = self.listing.items.take();
        self.listing
            .replace(listing, |known| Some(&known.key) == selected.as_ref());
        if let Some(before) = before.filter(|_| self.selects_next) {
            let is_new = |known: &EvaluationListing| !before.iter().any(|other| other.key == known.key);
            if let Some(index) = self.listing.all().iter().position(is_new) {
                self.listing.select(index);
                self.selects_next = false;
            }
        }
        // Fixed from here on, so that an evaluation that sorts before it does not replace it.
        self.baseline = self.baseline().cloned();
    }

    /// Requests a comparison of all finished evaluations, unless the last one is current.
    pub fn request(&mut self) -> Option<Effect> {
        let baseline = self.baseline()?.clone();
        let mut requested: RequestedReports = self
            .finished()
            .filter_map(|known| Some((known.key.clone(), known.head.clone()?)))
            .collect();
        requested.sort_by_key(|(key, _)| *key != baseline);
        let mut pairs = requested.iter().zip(&self.last_requested);
        let is_same = pairs
            .all(|((one, head), (other, last_requested))| one == other && Arc::ptr_eq(head, last_requested));
        if requested.len() == self.last_requested.len() && is_same {
            return None;
        }
        let keys = requested.iter().map(|(key, _)| key.clone()).collect();
        self.last_requested = requested;
        Some(Effect::Compare(keys))
    }
}
