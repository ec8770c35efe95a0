//! The state of the Data tab.

use crate::data::{Problem, ProblemKind};
use crate::tui::tabs::listing::{Listing, PaneFocus};
use crate::tui::{DatasetDetail, DatasetListing, Effect, cycle};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum DetailView {
    #[default]
    Report,
    Problems,
    Samples,
}

#[derive(Clone, Debug)]
pub struct LoadedDataset {
    name: String,
    pub written: u64,
    detail: Option<Result<Arc<DatasetDetail>, String>>,
}

#[derive(Clone, Debug, Default)]
pub struct DataPage {
    pub listing: Listing<DatasetListing>,
    /// The dataset to select as soon as it is listed.
    pub next: Option<String>,
    pub loaded: Option<LoadedDataset>,
    pub view: DetailView,
    /// Source in the form, and the format recognized there.
    pub recognized: Option<(String, Result<String, String>)>,
}

impl DataPage {
    pub fn prepared(&self) -> impl Iterator<Item = &DatasetListing> {
        self.listing.all().iter().filter(|listing| listing.is_whole)
    }

    pub fn detail(&self) -> Option<&Result<Arc<DatasetDetail>, String>> {
        let loaded = self.loaded.as_ref()?;
        let selected = self.listing.selected()?;
        (loaded.name == selected.name).then_some(loaded.detail.as_ref())?
    }

    pub fn known(&self) -> Option<&DatasetDetail> {
        Some(self.detail()?.as_ref().ok()?.as_ref())
    }

    pub fn problems(&self) -> Vec<(ProblemKind, &Problem)> {
        let of_kind = |(kind, problems): (ProblemKind, _)| std::iter::repeat(kind).zip(problems);
        let known = self.known().into_iter();
        known
            .flat_map(|detail| detail.report.problems.iter())
            .flat_map(of_kind)
            .collect()
    }

    pub fn list(&mut self, listing: Vec<DatasetListing>) {
        let selected = self.listing.selected().map(|known| known.name.clone());
        self.listing
            .replace(listing, |known| Some(&known.name) == selected.as_ref());
        let mut known = self.listing.all().iter();
        if let Some(index) = known.position(|known| Some(&known.name) == self.next.as_ref()) {
            self.listing.select(index);
            self.next = None;
        }
    }

    pub fn loaded(&mut self, name: &str, detail: Result<Arc<DatasetDetail>, String>) {
        if let Some(loaded) = self.loaded.as_mut().filter(|loaded| loaded.name == name) {
            loaded.detail = Some(detail);
        }
    }

    /// Requests the selected dataset unless the current version is loaded.
    pub fn request(&mut self) -> Option<Effect> {
        let selected = self.listing.selected().filter(|selected| selected.is_whole)?;
        let (name, written) = (selected.name.clone(), selected.written);
        let is_known = |loaded: &&LoadedDataset| loaded.name == name && loaded.written == written;
        if self.loaded.as_ref().filter(is_known).is_some() {
            return None;
        }
        let before = self.loaded.take().filter(|loaded| loaded.name == name);
        self.loaded = Some(LoadedDataset {
            name: name.clone(),
            written,
            detail: before.and_then(|loaded| loaded.detail),
        });
        Some(Effect::LoadDataset(name))
    }

    pub fn rows(&self) -> usize {
        match self.view {
            DetailView::Report => 0,
            DetailView::Problems => self.problems().len(),
            DetailView::Samples => self.known().map_or(0, |detail| detail.samples.len()),
        }
    }

    pub fn turn(&mut self, by: isize) {
        self.view = cycle(self.view, by);
        self.listing.detail = 0;
        if self.rows() == 0 {
            self.listing.focus = PaneFocus::List;
        }
    }

    /// The image of the selected problem or sample, if it has one.
    pub fn image(&self) -> Option<PathBuf> {
        match self.view {
            DetailView::Report => None,
            DetailView::Samples => Some(self.known()?.samples.get(self.listing.detail)?.path.clone()),
            DetailView::Problems => self.problems().get(self.listing.detail)?.1.file.clone(),
        }
    }
}
