//! The runs, and the state of the Runs tab.

use crate::jobs::JobState;
use crate::jobs::Record;
use crate::tui::tabs::listing::Listing;
use crate::tui::{RunListing, RunView};
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub struct RunList {
    pub listing: Listing<RunView>,
    pub open: Option<String>,
    pub opens_next: bool,
    /// Runs whose charts are overlaid, and which are compared.
    pub marked: BTreeSet<String>,
    /// In the order of appearance: the index determines a run's color.
    pub seen: Vec<String>,
}

impl RunList {
    pub fn named(&self, name: &str) -> Option<&RunView> {
        self.listing.all().iter().find(|view| view.name == name)
    }

    pub fn open(&self) -> Option<&RunView> {
        self.named(self.open.as_deref()?)
    }

    /// A number that identifies a run for the life of the workbench.
    pub fn number(&self, name: &str) -> usize {
        self.seen.iter().position(|seen| seen == name).unwrap_or(0)
    }

    /// Opens a run, which may not be listed yet.
    pub fn open_run(&mut self, name: &str) {
        self.open = Some(name.to_owned());
        if let Some(index) = self.listing.all().iter().position(|view| view.name == name) {
            self.listing.select(index);
        }
    }

    pub fn mark(&mut self, name: String) {
        if !self.marked.remove(&name) {
            self.marked.insert(name);
        }
    }

    pub fn add_records(&mut self, run: &str, records: &[Record], percent_read: u8) {
        let mut views = self.listing.items.iter_mut().flatten();
        if let Some(view) = views.find(|view| view.name == run) {
            records.iter().for_each(|record| view.add(record));
            view.percent_read = Some(percent_read);
        }
    }

    /// Opens the most interesting run.
    pub fn guess(&mut self) {
        if let Some(name) = self.most_interesting().map(|view| view.name.clone()) {
            self.open_run(&name);
        }
    }

    /// Updates the list and keeps what has been read of runs that remain.
    pub fn list(&mut self, listing: Vec<RunListing>) {
        let selected = self.listing.selected().map(|view| view.name.clone());
        let is_first = self.listing.items.is_none();
        let mut known = self.listing.items.take().unwrap_or_default();
        let mut views = Vec::new();
        for listed in listing {
            if !self.seen.contains(&listed.name) {
                self.seen.push(listed.name.clone());
            }
            let index = known.iter().position(|view| view.name == listed.name);
            if index.is_none() && !is_first && std::mem::take(&mut self.opens_next) {
                self.open = Some(listed.name.clone());
            }
            let mut view = match index {
                Some(index) => known.swap_remove(index),
                None => RunView::new(&listed.name),
            };
            view.state = Some(listed.state);
            view.note = listed.note;
            view.last_active = listed.last_active;
            views.push(view);
        }
        self.marked
            .retain(|name| views.iter().any(|view| view.name == *name));
        self.listing
            .replace(views, |view| Some(&view.name) == selected.as_ref());
    }

    /// A running run, otherwise the last active one.
    fn most_interesting(&self) -> Option<&RunView> {
        let rank = |view: &RunView| {
            let is_live = view.state.is_some_and(JobState::is_live);
            (is_live, view.last_active.unwrap_or(0.0))
        };
        self.listing.all().iter().max_by(|one, other| {
            let (one, other) = (rank(one), rank(other));
            one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
        })
    }
}
