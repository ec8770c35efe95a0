//! All runs: which there are, which is looked at, and what keys do in their tab.

use crate::jobs::{JobState, Record};
use crate::training::RunSettings;
use crate::tui::app::{App, Move, Tab};
use crate::tui::forms::{Purpose, prompts, train};
use crate::tui::keys::Action;
use crate::tui::message::{Effect, RunListing};
use crate::tui::popup::Popup;
use crate::tui::run_view::RunView;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is done with the next run that is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// It is looked at.
    LookedAt,
    /// It is one more.
    #[default]
    Listed,
}

/// Who chose the run that is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Choice {
    /// The user.
    #[default]
    Made,
    /// Nobody, and not all logs have been read from which one could be guessed well.
    Guessed,
}

/// The runs there are.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    views: Vec<RunView>,
    is_listed: bool,
    selected: usize,
    open: Option<String>,
    choice: Choice,
    /// Whether the next run that is found is to be looked at.
    next: Next,
    /// Those that are laid over each other and compared.
    pub marked: BTreeSet<String>,
    /// In the order in which they were first seen: where a run's color stands.
    seen: Vec<String>,
}

impl Runs {
    /// All of them, sorted by name.
    pub fn all(&self) -> &[RunView] {
        &self.views
    }

    /// Whether they have been looked for.
    pub fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// The run of a name.
    pub fn named(&self, name: &str) -> Option<&RunView> {
        self.views.iter().find(|view| view.name == name)
    }

    /// The one that is looked at.
    pub fn open(&self) -> Option<&RunView> {
        self.named(self.open.as_deref()?)
    }

    /// The one that is selected in the list.
    pub fn selected(&self) -> Option<&RunView> {
        self.views.get(self.selected)
    }

    /// Where the selected one stands.
    pub fn selected_at(&self) -> usize {
        self.selected
    }

    /// A number that is a run's own, and stays so.
    pub fn number(&self, name: &str) -> usize {
        self.seen.iter().position(|seen| seen == name).unwrap_or(0)
    }

    /// Looks at the run of that name, which may not have been found yet.
    pub fn look_at(&mut self, name: &str) {
        self.choice = Choice::Made;
        self.open = Some(name.to_owned());
        if let Some(at) = self.views.iter().position(|view| view.name == name) {
            self.selected = at;
        }
    }

    /// Looks at the next run that is found.
    pub fn look_at_next(&mut self) {
        self.next = Next::LookedAt;
    }

    /// Looks at the next run only where somebody asks for it: there will be none.
    pub fn look_at_no_next(&mut self) {
        self.next = Next::Listed;
    }

    /// Marks a run, or no longer.
    fn mark(&mut self, name: String) {
        if !self.marked.remove(&name) {
            self.marked.insert(name);
        }
    }

    /// Selects another one.
    pub fn select(&mut self, direction: Move) {
        self.selected = direction.from(self.selected, self.views.len());
    }

    /// Selects the one in that place.
    pub fn select_at(&mut self, at: usize) {
        self.selected = at.min(self.views.len().saturating_sub(1));
    }

    /// Takes what a run's log tells into account.
    pub fn take(&mut self, run: &str, records: &[Record]) {
        if let Some(view) = self.views.iter_mut().find(|view| view.name == run) {
            records.iter().for_each(|record| view.take(record));
        }
        if self.choice == Choice::Guessed {
            self.guess();
        }
    }

    /// Stays with the run that is looked at, now that somebody does.
    pub(in crate::tui) fn stay(&mut self) {
        self.choice = Choice::Made;
    }

    /// Looks at the run that is worth it most, as far as that is known: only its log tells when a run was worked on.
    fn guess(&mut self) {
        if let Some(name) = self.most_interesting().map(|view| view.name.clone()) {
            self.look_at(&name);
        }
        if self.views.iter().any(|view| view.summary.last_time.is_none()) {
            self.choice = Choice::Guessed;
        }
    }

    /// Takes over which there are; what is known of a run that stays is kept.
    fn list(&mut self, listing: Vec<RunListing>) {
        let selected = self.selected().map(|view| view.name.clone());
        let mut known = std::mem::take(&mut self.views);
        for found in listing {
            if !self.seen.contains(&found.name) {
                self.seen.push(found.name.clone());
            }
            let at = known.iter().position(|view| view.name == found.name);
            if at.is_none() && self.is_listed && std::mem::take(&mut self.next) == Next::LookedAt {
                self.open = Some(found.name.clone());
            }
            let mut view = match at {
                Some(at) => known.swap_remove(at),
                None => RunView::new(&found.name),
            };
            view.state = Some(found.state);
            view.note = found.note;
            self.views.push(view);
        }
        self.is_listed = true;
        let is_there = |name: &String| self.views.iter().any(|view| view.name == *name);
        self.marked.retain(is_there);
        let at = |name: &String| self.views.iter().position(|view| view.name == *name);
        let last = self.views.len().saturating_sub(1);
        self.selected = selected.as_ref().and_then(at).unwrap_or(self.selected.min(last));
    }

    /// The run that somebody wants to see first: one that is being trained, or else the one last worked on.
    fn most_interesting(&self) -> Option<&RunView> {
        let rank = |view: &RunView| {
            let is_live = view.state.is_some_and(JobState::is_live);
            (is_live, view.summary.last_time.unwrap_or(0.0))
        };
        self.views.iter().max_by(|one, other| {
            let (one, other) = (rank(one), rank(other));
            one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
        })
    }
}

impl App {
    pub(in crate::tui) fn list_runs(&mut self, listing: Vec<RunListing>) {
        let is_first = !self.runs.is_listed;
        let open = self.runs.open().map(|view| view.name.clone());
        self.runs.list(listing);
        if let Some(name) = open.filter(|name| self.runs.named(name).is_none()) {
            self.refuse(format!("{name} is no longer there"));
        }
        // What somebody comes back for is what is being trained, or was last.
        if self.runs.open().is_none() {
            self.runs.guess();
            // Without any run, the way begins at the data.
            if is_first && self.runs.open.is_none() && self.tab == Tab::Train {
                self.tab = Tab::Data;
            }
        }
    }

    pub(in crate::tui) fn act_on_runs(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = Move::of(action) {
            self.runs.select(direction);
            return Vec::new();
        }
        let Some(name) = self.runs.selected().map(|view| view.name.clone()) else {
            return Vec::new();
        };
        match action {
            Action::Open => {
                self.runs.look_at(&name);
                self.tab = Tab::Train;
            }
            Action::Mark => self.runs.mark(name),
            Action::Compare => return self.compare_runs(),
            Action::Log => return vec![Effect::LoadLog(name)],
            Action::Note => {
                let note = self.runs.selected().and_then(|view| view.note.clone());
                let form = prompts::note_form(&name, note.as_deref().unwrap_or_default());
                self.open_form(Purpose::Note { run: name }, form);
            }
            Action::Rename => return self.ask_to_rename(&name),
            Action::TakeUp => return self.take_up(),
            Action::Stop => return self.ask_to_stop(),
            Action::Remove => return self.ask_to_remove(),
            _ => {}
        }
        Vec::new()
    }

    fn ask_to_rename(&mut self, name: &str) -> Vec<Effect> {
        match self.target() {
            Some((run, state)) if state.is_live() => {
                self.refuse(format!("{run} is {}: stop it first", state.name()))
            }
            _ => {
                let run = name.to_owned();
                self.open_form(Purpose::Rename { run }, prompts::rename_form(name));
                Vec::new()
            }
        }
    }

    fn ask_to_remove(&mut self) -> Vec<Effect> {
        match self.target() {
            Some((run, state)) if state.is_live() => {
                self.refuse(format!("{run} is {}: stop it first", state.name()))
            }
            Some((run, _)) => self.confirm(
                format!("Remove {run} with all its checkpoints and evaluations?"),
                Effect::Remove(run),
            ),
            None => Vec::new(),
        }
    }

    pub(in crate::tui) fn show_log(&mut self, run: &str, lines: Vec<String>) {
        let scroll = lines.len().saturating_sub(PAGE);
        self.popups.push(Popup::Text {
            title: format!("what the process of {run} has printed"),
            lines,
            scroll,
        });
    }

    fn compare_runs(&mut self) -> Vec<Effect> {
        let marked = self.runs.marked.iter().filter_map(|name| self.runs.named(name));
        let views: Vec<&RunView> = marked.collect();
        if views.len() < 2 {
            let key = self.keymap.key_of(self.tab.context(), Action::Mark);
            return self.refuse(format!("mark two runs or more first, with {key}"));
        }
        let lines = comparison(&views);
        self.popups.push(Popup::Text {
            title: "runs beside each other".into(),
            lines,
            scroll: 0,
        });
        Vec::new()
    }
}

/// Lines that are read at once.
const PAGE: usize = 20;

/// What runs came to and in which settings they differ, a column each.
fn comparison(views: &[&RunView]) -> Vec<String> {
    let best = |view: &RunView, figure: fn(&crate::metrics::Scores) -> f64| {
        let best = view.summary.best.as_ref();
        best.map_or("-".into(), |best| format!("{:.4}", figure(&best.scores)))
    };
    let mut rows = vec![
        row("", views, |view| view.name.clone()),
        row("state", views, |view| {
            view.state.map_or("", JobState::name).to_owned()
        }),
        row("data set", views, |view| {
            view.summary.data_set.clone().unwrap_or_else(|| "-".into())
        }),
        row("best epoch", views, |view| {
            let best = view.summary.best.as_ref();
            best.map_or("-".into(), |best| (best.epoch + 1).to_string())
        }),
        row("BLEU-4", views, |view| best(view, |scores| scores.bleu[3])),
        row("CIDEr-D", views, |view| best(view, |scores| scores.cider_d)),
    ];
    let differing: BTreeSet<String> = views
        .iter()
        .flat_map(|view| train::differences(&view.settings, &views[0].settings))
        .map(|(key, _)| key)
        .collect();
    for key in differing {
        let pointer = format!("/{}", key.replace('.', "/"));
        rows.push(row(&key, views, |view| match view.settings.pointer(&pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "-".into(),
        }));
    }
    aligned(&rows)
}

fn row(label: &str, views: &[&RunView], cell: impl Fn(&RunView) -> String) -> Vec<String> {
    let cells = views.iter().map(|view| cell(view));
    [label.to_owned()].into_iter().chain(cells).collect()
}

fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
            line.join("  ").trim_end().to_owned()
        })
        .collect()
}

/// What a run has otherwise than the defaults, as `key=value`.
pub(in crate::tui) fn own_settings(view: &RunView) -> Vec<String> {
    let defaults = serde_json::to_value(RunSettings::default()).unwrap_or(Value::Null);
    train::differences(&view.settings, &defaults)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}
