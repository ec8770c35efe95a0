//! The evaluations there are, how they compare, and what keys do in their tab.

use super::cursor::{Cursor, Focus};
use crate::evaluation::{CaptionedImage, Report, most_changed};
use crate::jobs::{ControlCommand, JobState};
use crate::metrics::Score;
use crate::tui::app::{App, Move, Tab};
use crate::tui::forms::{Purpose, evaluate, prompts};
use crate::tui::keys::Action;
use crate::tui::message::{Effect, EvaluationKey, EvaluationListing, SideBySide};
use std::sync::Arc;

/// Images that are listed of an evaluation, at most.
const IMAGES: usize = 200;

/// In which order the images of an evaluation are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The best captions first.
    #[default]
    Best,
    /// The worst captions first.
    Worst,
    /// Those first whose score differs most from the baseline's.
    MostChanged,
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Best => Self::Worst,
            Self::Worst => Self::MostChanged,
            Self::MostChanged => Self::Best,
        }
    }

    /// What comes first.
    pub fn title(self) -> &'static str {
        match self {
            Self::Best => "the best",
            Self::Worst => "the worst",
            Self::MostChanged => "the most changed",
        }
    }
}

/// An image in the list of an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct ListedImage<'a> {
    /// The image with its caption.
    pub image: &'a CaptionedImage,
    /// By how much its score is above the baseline's, and the caption there; where the list is about that.
    pub change: Option<(f64, &'a str)>,
}

/// What was asked to be compared: evaluations with their reports' heads, to know them from later ones.
type Asked = Vec<(EvaluationKey, Arc<Report>)>;

/// What was compared, and how it compares.
type Outcome = (Vec<EvaluationKey>, Result<Arc<SideBySide>, String>);

/// What is done with the next evaluation that is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// It is selected.
    Selected,
    /// It is one more.
    #[default]
    Listed,
}

/// The page of scores.
#[derive(Clone, Debug, Default)]
pub struct EvaluatePage {
    listing: Option<Vec<EvaluationListing>>,
    /// Where keys are: the evaluation, and beside it the image.
    pub cursor: Cursor,
    baseline: Option<EvaluationKey>,
    next: Next,
    asked: Asked,
    outcome: Option<Outcome>,
    /// By which score images are judged.
    pub score: Score,
    /// In which order images are listed.
    pub order: Order,
}

impl EvaluatePage {
    /// The evaluations, once they have been looked for.
    pub fn all(&self) -> Option<&[EvaluationListing]> {
        self.listing.as_deref()
    }

    /// Those that are done.
    pub fn finished(&self) -> impl Iterator<Item = &EvaluationListing> {
        self.listing.iter().flatten().filter(|known| known.head.is_some())
    }

    /// The selected one.
    pub fn selected(&self) -> Option<&EvaluationListing> {
        self.listing.as_ref()?.get(self.cursor.selected)
    }

    /// The one that the others are compared with: the chosen one, or else the first.
    pub fn baseline(&self) -> Option<&EvaluationKey> {
        let is_chosen = |known: &&EvaluationListing| Some(&known.key) == self.baseline.as_ref();
        let chosen = self.finished().find(is_chosen).or_else(|| self.finished().next());
        chosen.map(|known| &known.key)
    }

    /// The last comparison, and why there is none.
    pub fn outcome(&self) -> Option<&Result<Arc<SideBySide>, String>> {
        self.outcome.as_ref().map(|(_, outcome)| outcome)
    }

    /// The last comparison.
    pub fn side_by_side(&self) -> Option<Arc<SideBySide>> {
        self.outcome()?.as_ref().ok().cloned()
    }

    /// Where an evaluation stands in the last comparison.
    pub fn place(&self, key: &EvaluationKey) -> Option<usize> {
        let (of, outcome) = self.outcome.as_ref()?;
        outcome.as_ref().ok()?;
        of.iter().position(|compared| compared == key)
    }

    /// The report of an evaluation with all captions, once it has been compared.
    pub fn report(&self, key: &EvaluationKey) -> Option<&Report> {
        let outcome = self.outcome()?.as_ref().ok()?;
        Some(&outcome.reports.get(self.place(key)?)?.report)
    }

    /// The images of the selected evaluation, in the order that is asked for.
    pub fn images(&self) -> Vec<ListedImage<'_>> {
        let Some(report) = self.selected().and_then(|selected| self.report(&selected.key)) else {
            return Vec::new();
        };
        let plain = |image| ListedImage { image, change: None };
        match self.order {
            Order::Best => report
                .best_images(self.score, IMAGES)
                .into_iter()
                .map(plain)
                .collect(),
            Order::Worst => report
                .worst_images(self.score, IMAGES)
                .into_iter()
                .map(plain)
                .collect(),
            Order::MostChanged => self.most_changed(),
        }
    }

    fn most_changed(&self) -> Vec<ListedImage<'_>> {
        let named = || {
            let outcome = self.outcome()?.as_ref().ok()?;
            let ours = outcome.reports.get(self.place(&self.selected()?.key)?)?;
            most_changed(ours, outcome.reports.first()?, self.score, IMAGES).ok()
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

    pub(in crate::tui) fn list(&mut self, listing: Vec<EvaluationListing>) {
        let selected = self.selected().map(|known| known.key.clone());
        let at = |key: &EvaluationKey| listing.iter().position(|known| known.key == *key);
        self.cursor.stay(selected.as_ref().and_then(at), listing.len());
        if self.next == Next::Selected
            && let Some(before) = &self.listing
        {
            let is_new = |known: &EvaluationListing| !before.iter().any(|other| other.key == known.key);
            if let Some(at) = listing.iter().position(is_new) {
                self.cursor.select(at, listing.len());
                self.next = Next::Listed;
            }
        }
        self.listing = Some(listing);
        // It stays, whatever comes to stand before it.
        self.baseline = self.baseline().cloned();
    }

    /// Selects the next evaluation that is found.
    pub(in crate::tui) fn select_next(&mut self) {
        self.next = Next::Selected;
    }

    pub(in crate::tui) fn compared(
        &mut self,
        of: Vec<EvaluationKey>,
        outcome: Result<Arc<SideBySide>, String>,
    ) {
        self.outcome = Some((of, outcome));
    }

    /// Asks for a comparison of all that is done, where the last one was of something else.
    pub(in crate::tui) fn ask(&mut self) -> Option<Effect> {
        let baseline = self.baseline()?.clone();
        let mut wanted: Asked = self
            .finished()
            .filter_map(|known| Some((known.key.clone(), known.head.clone()?)))
            .collect();
        wanted.sort_by_key(|(key, _)| *key != baseline);
        let mut pairs = wanted.iter().zip(&self.asked);
        let is_same = pairs.all(|((one, head), (other, asked))| one == other && Arc::ptr_eq(head, asked));
        if wanted.len() == self.asked.len() && is_same {
            return None;
        }
        let keys = wanted.iter().map(|(key, _)| key.clone()).collect();
        self.asked = wanted;
        Some(Effect::Compare(keys))
    }

    /// Selects the evaluation in that place.
    pub(in crate::tui) fn select_at(&mut self, at: usize) {
        self.cursor.select(at, self.listing.as_ref().map_or(0, Vec::len));
    }

    fn go(&mut self, direction: Move) {
        let count = self.listing.as_ref().map_or(0, Vec::len);
        self.cursor.go(direction, count, self.images().len());
    }
}

impl App {
    pub(in crate::tui) fn act_on_scores(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = Move::of(action) {
            self.evaluate.go(direction);
            return Vec::new();
        }
        match action {
            Action::NewEvaluation => return self.ask_for_evaluation(),
            Action::Baseline => {
                self.evaluate.baseline = self.evaluate.selected().map(|selected| selected.key.clone());
            }
            Action::NextScore => self.evaluate.score = self.evaluate.score.next(),
            Action::NextOrder => {
                self.evaluate.order = self.evaluate.order.next();
                self.evaluate.cursor.at = 0;
            }
            Action::Export => match self.evaluate.side_by_side() {
                Some(_) => self.open_form(Purpose::Export, prompts::export_form()),
                None => return self.refuse("there is nothing to export yet"),
            },
            Action::Open => return self.open_in_scores(),
            Action::Back => self.evaluate.cursor.focus = Focus::List,
            Action::Stop => return self.ask_to_stop_evaluation(),
            _ => {}
        }
        Vec::new()
    }

    /// Asks what to score.
    pub(in crate::tui) fn ask_for_evaluation(&mut self) -> Vec<Effect> {
        let open = self.runs.open().map(|view| view.name.clone());
        let Some(open) = open else {
            return self.refuse("there is no run yet: start one in the tab Train");
        };
        let names = self.runs.all().iter().map(|view| view.name.as_str());
        let form = evaluate::form(names, &open);
        self.open_form(Purpose::Evaluate, form);
        Vec::new()
    }

    /// From the list to the images, from there to the gallery.
    fn open_in_scores(&mut self) -> Vec<Effect> {
        let Some(key) = self.evaluate.selected().map(|selected| selected.key.clone()) else {
            return self.ask_for_evaluation();
        };
        let images = self.evaluate.images();
        match (self.evaluate.cursor.focus, images.get(self.evaluate.cursor.at)) {
            (_, None) => return self.refuse("no image is listed here; another order may list some"),
            (Focus::List, Some(_)) => {
                self.evaluate.cursor.focus = Focus::Detail;
            }
            (Focus::Detail, Some(listed)) => {
                let image = listed.image.image.clone();
                self.gallery.open_at(key, &image);
                self.tab = Tab::Gallery;
            }
        }
        Vec::new()
    }

    fn ask_to_stop_evaluation(&mut self) -> Vec<Effect> {
        let Some(selected) = self.evaluate.selected() else {
            return Vec::new();
        };
        match &selected.job {
            Some((state, _)) if state.is_live() => {
                let job = selected.job_path.clone();
                self.confirm(
                    "Stop this evaluation? It has to be begun anew.",
                    Effect::Control {
                        job,
                        command: ControlCommand::Stop,
                    },
                )
            }
            Some((JobState::Complete, _)) | None => self.refuse("it is done already"),
            Some((state, _)) => {
                let why = format!("it is {} already", state.name());
                self.refuse(why)
            }
        }
    }
}
