//! The data sets there are, what is known of the selected one, and what keys do in their tab.

use super::cursor::{Cursor, Focus};
use crate::data::{Problem, ProblemKind};
use crate::jobs::{ControlCommand, JobState};
use crate::tui::app::{App, Move};
use crate::tui::forms::{Purpose, prepare};
use crate::tui::keys::Action;
use crate::tui::message::{DataSetDetail, DataSetListing, Effect};
use crate::tui::popup::Popup;
use std::path::PathBuf;
use std::sync::Arc;

/// What stands beside the list of data sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Counts, lengths and words.
    #[default]
    Report,
    /// What does not fit together.
    Problems,
    /// Images with their captions, before and after cleaning.
    Samples,
}

impl View {
    /// All of them, in the order in which they are gone through.
    pub const ALL: [Self; 3] = [Self::Report, Self::Problems, Self::Samples];

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Problems => "problems",
            Self::Samples => "samples",
        }
    }

    fn after(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|view| *view == self).unwrap_or(0);
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// What has been read of a data set: of which, when that was written, and what.
#[derive(Clone, Debug)]
struct Loaded {
    name: String,
    written: u64,
    detail: Option<Result<Arc<DataSetDetail>, String>>,
}

/// The page of data sets.
#[derive(Clone, Debug, Default)]
pub struct DataPage {
    listing: Option<Vec<DataSetListing>>,
    /// Where keys are: the data set, and beside it the problem or sample.
    pub cursor: Cursor,
    /// The one to be selected once it is there.
    next: Option<String>,
    loaded: Option<Loaded>,
    /// What stands beside the list.
    pub view: View,
    /// What was recognized at the place that is being named in a form.
    pub recognized: Option<(String, Result<String, String>)>,
}

impl DataPage {
    /// The data sets, once they have been looked for.
    pub fn all(&self) -> Option<&[DataSetListing]> {
        self.listing.as_deref()
    }

    /// Those that can be trained on.
    pub fn whole(&self) -> impl Iterator<Item = &DataSetListing> {
        self.listing.iter().flatten().filter(|listing| listing.is_whole)
    }

    /// The selected one.
    pub fn selected(&self) -> Option<&DataSetListing> {
        self.listing.as_ref()?.get(self.cursor.selected)
    }

    /// What is known of the selected one.
    pub fn detail(&self) -> Option<&Result<Arc<DataSetDetail>, String>> {
        let loaded = self.loaded.as_ref()?;
        let selected = self.selected()?;
        (loaded.name == selected.name).then_some(loaded.detail.as_ref())?
    }

    fn known(&self) -> Option<&DataSetDetail> {
        Some(self.detail()?.as_ref().ok()?.as_ref())
    }

    /// Every problem of the selected one, with its kind.
    pub fn problems(&self) -> Vec<(ProblemKind, &Problem)> {
        let problems = self
            .known()
            .into_iter()
            .flat_map(|detail| detail.report.problems.iter());
        problems
            .flat_map(|(kind, problems)| problems.iter().map(move |problem| (kind, problem)))
            .collect()
    }

    pub(in crate::tui) fn list(&mut self, listing: Vec<DataSetListing>) {
        let selected = self.selected().map(|known| known.name.clone());
        let at = |name: &String| listing.iter().position(|known| known.name == *name);
        self.cursor.stay(selected.as_ref().and_then(at), listing.len());
        if let Some(at) = self.next.as_ref().and_then(at) {
            self.cursor.select(at, listing.len());
            self.next = None;
        }
        self.listing = Some(listing);
    }

    /// Selects the data set of that name once it is there.
    pub(in crate::tui) fn select_next(&mut self, name: Option<String>) {
        self.next = name;
    }

    pub(in crate::tui) fn loaded(&mut self, name: &str, detail: Result<Arc<DataSetDetail>, String>) {
        if let Some(loaded) = self.loaded.as_mut().filter(|loaded| loaded.name == name) {
            loaded.detail = Some(detail);
        }
    }

    /// Asks for the selected data set, where what is known is of another, or older.
    pub(in crate::tui) fn ask(&mut self) -> Option<Effect> {
        let selected = self.selected().filter(|selected| selected.is_whole)?;
        let (name, written) = (selected.name.clone(), selected.written);
        let is_known = |loaded: &&Loaded| loaded.name == name && loaded.written == written;
        if self.loaded.as_ref().filter(is_known).is_some() {
            return None;
        }
        let before = self.loaded.take().filter(|loaded| loaded.name == name);
        self.loaded = Some(Loaded {
            name: name.clone(),
            written,
            detail: before.and_then(|loaded| loaded.detail),
        });
        Some(Effect::LoadDataSet(name))
    }

    fn rows(&self) -> usize {
        match self.view {
            View::Report => 0,
            View::Problems => self.problems().len(),
            View::Samples => self.known().map_or(0, |detail| detail.samples.len()),
        }
    }

    /// Shows the view that comes `by` after this one.
    fn turn(&mut self, by: usize) {
        self.view = self.view.after(by);
        self.cursor.at = 0;
        if self.rows() == 0 {
            self.cursor.focus = Focus::List;
        }
    }

    /// Selects the data set in that place.
    pub(in crate::tui) fn select_at(&mut self, at: usize) {
        self.cursor.select(at, self.listing.as_ref().map_or(0, Vec::len));
    }

    fn go(&mut self, direction: Move) {
        let count = self.listing.as_ref().map_or(0, Vec::len);
        self.cursor.go(direction, count, self.rows());
    }

    /// The image that the selected problem or sample is about, where it is one of an image.
    pub fn image(&self) -> Option<PathBuf> {
        match self.view {
            View::Report => None,
            View::Samples => Some(self.known()?.samples.get(self.cursor.at)?.path.clone()),
            View::Problems => self.problems().get(self.cursor.at)?.1.file.clone(),
        }
    }
}

impl App {
    pub(in crate::tui) fn act_on_data(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = Move::of(action) {
            self.data.go(direction);
            return Vec::new();
        }
        match action {
            Action::Prepare => {
                let source = match self.data.whole().next() {
                    None => crate::data::Format::SCENES,
                    Some(_) => "",
                };
                self.open_form(Purpose::Prepare, prepare::form(source));
            }
            Action::TrainOnIt => {
                let name = self.data.selected().map(|selected| selected.name.clone());
                self.open_train_form(name.as_deref());
            }
            Action::NextView | Action::Right => self.data.turn(1),
            Action::Left => self.data.turn(View::ALL.len() - 1),
            Action::Open => return self.open_in_data(),
            Action::Back => self.data.cursor.focus = Focus::List,
            Action::PauseOrResume => return self.pause_preparing(),
            Action::Stop => return self.ask_to_stop_preparing(),
            _ => {}
        }
        Vec::new()
    }

    fn open_in_data(&mut self) -> Vec<Effect> {
        if self.data.selected().is_none() {
            return self.act_on_data(Action::Prepare);
        }
        match self.data.cursor.focus {
            Focus::List if self.data.rows() > 0 => self.data.cursor.focus = Focus::Detail,
            Focus::List => {}
            Focus::Detail => match self.data.image() {
                Some(path) => {
                    let title = path.display().to_string();
                    self.popups.push(Popup::Image { title, path });
                }
                None => return self.refuse("this is not about an image"),
            },
        }
        Vec::new()
    }

    /// The job that prepares the selected data set, if one is at it; otherwise that is said.
    fn preparing(&mut self) -> Option<(String, JobState)> {
        let selected = self.data.selected()?;
        match &selected.job {
            Some((state, _)) if state.is_live() => Some((selected.job_path.clone(), *state)),
            _ => {
                let why = format!("{} is not being prepared", selected.name);
                self.refuse(why);
                None
            }
        }
    }

    fn pause_preparing(&mut self) -> Vec<Effect> {
        let Some((job, state)) = self.preparing() else {
            return Vec::new();
        };
        let command = match state {
            JobState::Paused => ControlCommand::Resume,
            _ => ControlCommand::Pause,
        };
        vec![Effect::Control { job, command }]
    }

    fn ask_to_stop_preparing(&mut self) -> Vec<Effect> {
        match self.preparing() {
            Some((job, _)) => self.confirm(
                "Stop preparing? What is done is kept; preparing it again goes on from there.",
                Effect::Control {
                    job,
                    command: ControlCommand::Stop,
                },
            ),
            None => Vec::new(),
        }
    }
}
