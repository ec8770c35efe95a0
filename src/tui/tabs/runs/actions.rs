//! What keys do in the Runs tab.

use crate::metrics::{DisplayLevel, Metric};
use crate::training::SETTINGS;
use crate::tui::forms::prompts::Prompt;
use crate::tui::forms::settings;
use crate::tui::{Action, App, Effect, ListMove, Popup, RunListing, RunView, Tab};

impl App {
    pub fn set_runs(&mut self, listing: Vec<RunListing>) {
        let is_first = self.runs.listing.items.is_none();
        let open = self.runs.open().map(|view| view.name.clone());
        self.runs.list(listing);
        if let Some(name) = open.filter(|name| self.runs.named(name).is_none()) {
            self.reject(format!("{name} was deleted"));
        }
        // A user who comes back wants the run that is running, or ran last.
        if self.runs.open().is_none() {
            self.runs.guess();
            // Without any run, the first step is a dataset.
            if is_first && self.runs.open.is_none() && self.tab == Tab::Train {
                self.tab = Tab::Data;
            }
        }
    }

    pub fn act_on_runs(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = ListMove::of(action) {
            self.runs.listing.go(direction, 0);
            return Vec::new();
        }
        let Some(name) = self.runs.listing.selected().map(|view| view.name.clone()) else {
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
                let note = self.runs.listing.selected().and_then(|view| view.note.clone());
                self.prompt(Prompt::Note { run: name }, &note.unwrap_or_default());
            }
            Action::Resume => return self.resume(),
            Action::Stop => return self.confirm_stop(),
            Action::Rename | Action::Delete => return self.rename_or_delete(name, action),
            _ => {}
        }
        Vec::new()
    }

    fn rename_or_delete(&mut self, run: String, action: Action) -> Vec<Effect> {
        match self.target() {
            Some((_, state)) if state.is_live() => {
                self.reject(format!("{run} is {}: stop it first", state.name()))
            }
            _ if action == Action::Delete => self.confirm(
                format!("Delete {run} with all its checkpoints and evaluations?"),
                Effect::DeleteRun(run),
            ),
            _ => {
                self.prompt(Prompt::Rename { run: run.clone() }, &run);
                Vec::new()
            }
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
            return self.reject(format!("mark at least two runs with {key} first"));
        }
        let lines = comparison(&views);
        self.show_text("comparison of runs".into(), lines)
    }
}

const PAGE: usize = 20;

/// Best scores and differing settings of runs, a column each.
fn comparison(views: &[&RunView]) -> Vec<String> {
    let mut rows = vec![
        row("", views, |view| view.name.clone()),
        row("state", views, |view| {
            view.state
                .map_or("", |state| view.summary.state_name(state))
                .to_owned()
        }),
        row("dataset", views, |view| {
            view.summary.dataset.clone().unwrap_or_else(|| "-".into())
        }),
        row("best epoch", views, |view| {
            let best = view.summary.best.as_ref();
            best.map_or("-".into(), |best| (best.epoch + 1).to_string())
        }),
    ];
    rows.extend(Metric::shown(DisplayLevel::Headline).map(|metric| {
        row(metric.label(), views, |view| {
            let best = view.summary.best.as_ref();
            best.map_or("-".into(), |best| best.scores.cell(metric, 4))
        })
    }));
    let differing = SETTINGS.iter().map(|setting| setting.key).filter(|key| {
        let text = |view: &&&RunView| settings::text_in(&view.summary.settings, key);
        views.iter().any(|view| text(&view) != text(&&views[0]))
    });
    for key in differing {
        rows.push(row(key, views, |view| {
            settings::text_in(&view.summary.settings, key).unwrap_or_else(|| "-".into())
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
