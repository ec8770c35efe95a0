//! What keys do in the Runs tab.

use crate::jobs::JobState;
use crate::metrics::{Metric, Prominence};
use crate::training::RunSettings;
use crate::tui::app::App;
use crate::tui::forms::{FormPurpose, prompts, settings};
use crate::tui::keys::Action;
use crate::tui::message::{Effect, RunListing};
use crate::tui::navigation::{ListMove, Tab};
use crate::tui::popups::Popup;
use crate::tui::run_view::RunView;
use serde_json::Value;
use std::collections::BTreeSet;

impl App {
    pub fn set_runs(&mut self, listing: Vec<RunListing>) {
        let is_first = !self.runs.is_listed;
        let open = self.runs.open().map(|view| view.name.clone());
        self.runs.list(listing);
        if let Some(name) = open.filter(|name| self.runs.named(name).is_none()) {
            self.refuse(format!("{name} was deleted"));
        }
        // A user who comes back wants the run that is running, or ran last.
        if self.runs.open().is_none() {
            self.runs.guess();
            // Without any run, the first step is a data set.
            if is_first && self.runs.open.is_none() && self.tab == Tab::Train {
                self.tab = Tab::Data;
            }
        }
    }

    pub fn act_on_runs(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = ListMove::of(action) {
            self.runs.select(direction);
            return Vec::new();
        }
        let Some(name) = self.runs.selected().map(|view| view.name.clone()) else {
            return Vec::new();
        };
        match action {
            Action::Open => {
                self.runs.open_run(&name);
                self.tab = Tab::Train;
            }
            Action::Mark => self.runs.mark(name),
            Action::Compare => return self.compare_runs(),
            Action::Log => return vec![Effect::LoadLog(name)],
            Action::Note => {
                let note = self.runs.selected().and_then(|view| view.note.clone());
                let form = prompts::note_form(&name, note.as_deref().unwrap_or_default());
                self.open_form(FormPurpose::Note { run: name }, form);
            }
            Action::Rename => return self.open_rename_form(&name),
            Action::Resume => return self.resume(),
            Action::Stop => return self.confirm_stop(),
            Action::Delete => return self.confirm_delete(),
            _ => {}
        }
        Vec::new()
    }

    fn open_rename_form(&mut self, name: &str) -> Vec<Effect> {
        match self.target() {
            Some((run, state)) if state.is_live() => {
                self.refuse(format!("{run} is {}: stop it first", state.name()))
            }
            _ => {
                let run = name.to_owned();
                self.open_form(FormPurpose::Rename { run }, prompts::rename_form(name));
                Vec::new()
            }
        }
    }

    fn confirm_delete(&mut self) -> Vec<Effect> {
        match self.target() {
            Some((run, state)) if state.is_live() => {
                self.refuse(format!("{run} is {}: stop it first", state.name()))
            }
            Some((run, _)) => self.confirm(
                format!("Delete {run} with all its checkpoints and evaluations?"),
                Effect::DeleteRun(run),
            ),
            None => Vec::new(),
        }
    }

    pub fn show_log(&mut self, run: &str, lines: Vec<String>) {
        let scroll = lines.len().saturating_sub(PAGE);
        self.popups.push(Popup::Text {
            title: format!("output of {run}"),
            lines,
            scroll,
        });
    }

    fn compare_runs(&mut self) -> Vec<Effect> {
        let marked = self.runs.marked.iter().filter_map(|name| self.runs.named(name));
        let views: Vec<&RunView> = marked.collect();
        if views.len() < 2 {
            let key = self.keymap.key_of(self.tab.context(), Action::Mark);
            return self.refuse(format!("mark at least two runs with {key} first"));
        }
        let lines = comparison(&views);
        self.popups.push(Popup::Text {
            title: "comparison of runs".into(),
            lines,
            scroll: 0,
        });
        Vec::new()
    }
}

const PAGE: usize = 20;

/// Best scores and differing settings of runs, a column each.
fn comparison(views: &[&RunView]) -> Vec<String> {
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
    ];
    rows.extend(Metric::shown(Prominence::Headline).map(|metric| {
        row(metric.label(), views, |view| {
            let best = view.summary.best.as_ref();
            best.map_or("-".into(), |best| best.scores.cell(metric, 4))
        })
    }));
    let differing: BTreeSet<String> = views
        .iter()
        .flat_map(|view| settings::differences(&view.settings, &views[0].settings))
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

/// The settings that differ from the defaults, as `key=value`.
pub fn own_settings(view: &RunView) -> Vec<String> {
    let defaults = serde_json::to_value(RunSettings::default()).unwrap_or(Value::Null);
    settings::differences(&view.settings, &defaults)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}
