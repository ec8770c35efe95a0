//! The state of the Data tab.

use crate::data::{Problem, ProblemKind};
use crate::tui::message::{DatasetDetail, DatasetListing, Effect};
use crate::tui::navigation::{ListMove, cycle};
use crate::tui::tabs::cursor::{ListCursor, PaneFocus};
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

/// A loaded data set, with the modification time of what was loaded.
#[derive(Clone, Debug)]
pub struct LoadedDataset {
    name: String,
    pub written: u64,
    detail: Option<Result<Arc<DatasetDetail>, String>>,
}

#[derive(Clone, Debug, Default)]
pub struct DataPage {
    pub listing: Option<Vec<DatasetListing>>,
    /// Selected data set, and selected problem or sample.
    pub cursor: ListCursor,
    /// The data set to select as soon as it is listed.
    pub next: Option<String>,
    pub loaded: Option<LoadedDataset>,
    pub view: DetailView,
    /// Source in the form, and the format recognized there.
    pub recognized: Option<(String, Result<String, String>)>,
}

impl DataPage {
    pub fn all(&self) -> Option<&[DatasetListing]> {
        self.listing.as_deref()
    }

    /// The data sets that are fully prepared.
    pub fn prepared(&self) -> impl Iterator<Item = &DatasetListing> {
        self.listing.iter().flatten().filter(|listing| listing.is_whole)
    }

    pub fn selected(&self) -> Option<&DatasetListing> {
        self.listing.as_ref()?.get(self.cursor.selected)
    }

    pub fn detail(&self) -> Option<&Result<Arc<DatasetDetail>, String>> {
        let loaded = self.loaded.as_ref()?;
        let selected = self.selected()?;
        (loaded.name == selected.name).then_some(loaded.detail.as_ref())?
    }

    pub fn known(&self) -> Option<&DatasetDetail> {
        Some(self.detail()?.as_ref().ok()?.as_ref())
    }

    pub fn problems(&self) -> Vec<(ProblemKind, &Problem)> {
        let problems = self
            .known()
            .into_iter()
            .flat_map(|detail| detail.report.problems.iter());
        problems
            .flat_map(|(kind, problems)| problems.iter().map(move |problem| (kind, problem)))
            .collect()
    }

    pub fn list(&mut self, listing: Vec<DatasetListing>) {
        let selected = self.selected().map(|known| known.name.clone());
        let index_of = |name: &String| listing.iter().position(|known| known.name == *name);
        self.cursor
            .keep(selected.as_ref().and_then(index_of), listing.len());
        if let Some(index) = self.next.as_ref().and_then(index_of) {
            self.cursor.select(index, listing.len());
            self.next = None;
        }
        self.listing = Some(listing);
    }

    /// Selects the data set of this name as soon as it is listed.
    pub fn select_next(&mut self, name: Option<String>) {
        self.next = name;
    }

    pub fn loaded(&mut self, name: &str, detail: Result<Arc<DatasetDetail>, String>) {
        if let Some(loaded) = self.loaded.as_mut().filter(|loaded| loaded.name == name) {
            loaded.detail = Some(detail);
        }
    }

    /// Requests the selected data set unless the current version is loaded.
    pub fn request(&mut self) -> Option<Effect> {
        let selected = self.selected().filter(|selected| selected.is_whole)?;
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
        self.cursor.detail = 0;
        if self.rows() == 0 {
            self.cursor.focus = PaneFocus::List;
        }
    }

    pub fn select_at(&mut self, index: usize) {
        self.cursor
            .select(index, self.listing.as_ref().map_or(0, Vec::len));
    }

    pub fn go(&mut self, direction: ListMove) {
        let count = self.listing.as_ref().map_or(0, Vec::len);
        self.cursor.go(direction, count, self.rows());
    }

    /// The image of the selected problem or sample, if it has one.
    pub fn image(&self) -> Option<PathBuf> {
        match self.view {
            DetailView::Report => None,
            DetailView::Samples => Some(self.known()?.samples.get(self.cursor.detail)?.path.clone()),
            DetailView::Problems => self.problems().get(self.cursor.detail)?.1.file.clone(),
        }
    }
}
