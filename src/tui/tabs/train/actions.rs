//! What keys do in the Train tab.

use crate::jobs::{ControlCommand, JobState};
use crate::tui::forms::prompts::Prompt;
use crate::tui::forms::{settings, train};
use crate::tui::popups::chooser::{Chooser, ChooserItem, ChooserPurpose};
use crate::tui::{
    Action, App, Effect, FormPurpose, ListMove, Popup, RunView, charts, cycle, pause_or_resume,
};

impl App {
    /// The runs in the chart: the open one, then the marked ones.
    pub fn charted(&self) -> Vec<&RunView> {
        let open = self.runs.open();
        let name = open.map(|view| view.name.as_str());
        let marked = self
            .runs
            .marked
            .iter()
            .filter(|marked| Some(marked.as_str()) != name);
        open.into_iter()
            .chain(marked.filter_map(|marked| self.runs.named(marked)))
            .collect()
    }

    pub fn chart_whole(&self) -> Option<(f64, f64)> {
        let unit = self.train.chart.unit;
        let ranges = self.charted().into_iter().filter_map(|view| view.range(unit));
        let (first, last) = ranges.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))?;
        Some((first, last.max(first + f64::EPSILON.max(first.abs() * 1e-9))))
    }

    pub fn act_on_train(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = ListMove::of(action) {
            self.open_another(direction);
            return Vec::new();
        }
        match action {
            Action::NewRun => self.open_train_form(None),
            Action::PauseOrResume => {
                let state = self.target().map_or(JobState::New, |(_, state)| state);
                return self.control(pause_or_resume(state));
            }
            Action::Checkpoint => return self.control(ControlCommand::Checkpoint),
            Action::EvaluateNow => return self.control(ControlCommand::Evaluate),
            Action::Sample => return self.control(ControlCommand::Predict),
            Action::LearningRate => self.open_learning_rate_form(),
            Action::Stop => return self.confirm_stop(),
            Action::Resume => return self.resume(),
            Action::Diagnostics => return self.show_diagnostics(),
            Action::Overlay => return self.choose_overlay(),
            Action::Open => self.train.sample += 1,
            _ => self.act_on_chart(action),
        }
        Vec::new()
    }

    /// Requests the image files once there are sample captions.
    pub fn request_images(&mut self) -> Option<Effect> {
        let view = self.runs.open().filter(|view| !view.samples.is_empty())?;
        let run = view.name.clone();
        self.train.files.ask(Some(run)).map(Effect::FindImages)
    }

    fn act_on_chart(&mut self, action: Action) {
        let whole = self.chart_whole();
        let charts = charts(&self.charted());
        let chart = &mut self.train.chart;
        match (action, whole) {
            (Action::NextChart, _) => chart.turn(&charts, 1),
            (Action::PreviousChart, _) => chart.turn(&charts, -1),
            (Action::LogScale, _) => chart.scale = cycle(chart.scale, 1),
            (Action::XAxis, _) => chart.count(cycle(chart.unit, 1)),
            (Action::ResetZoom, _) => chart.range = None,
            (Action::ZoomIn, Some(whole)) => chart.zoom_in(whole),
            (Action::ZoomOut, Some(whole)) => chart.zoom_out(whole),
            (Action::Left, Some(whole)) => chart.go(whole, -1.0),
            (Action::Right, Some(whole)) => chart.go(whole, 1.0),
            (Action::Cursor, Some(whole)) => chart.toggle_cursor(whole),
            (Action::Back, _) => chart.cursor = None,
            _ => {}
        }
    }

    fn open_another(&mut self, direction: ListMove) {
        if let Some(open) = self.runs.open().map(|view| view.name.clone()) {
            self.runs.open_run(&open);
        }
        self.runs.listing.go(direction, 0);
        if let Some(name) = self.runs.listing.selected().map(|view| view.name.clone()) {
            self.runs.open_run(&name);
            self.train.chart.range = None;
            self.train.chart.cursor = None;
        }
    }

    /// Opens the form that starts a run, with this dataset or that of the open run.
    pub fn open_train_form(&mut self, dataset: Option<&str>) {
        let mut presets = train::StartingPoint::built_in();
        let runs = self
            .runs
            .listing
            .all()
            .iter()
            .filter(|view| view.summary.settings.is_object());
        presets.extend(runs.map(|view| train::StartingPoint::of_run(&view.name, &view.summary.settings)));
        let datasets = self.data.prepared().map(|listing| listing.name.as_str());
        let of_run = || self.runs.open().and_then(|view| view.summary.dataset.as_deref());
        let chosen = dataset.or_else(of_run).unwrap_or_default();
        let form = train::form(datasets, chosen, &presets);
        self.open_form(FormPurpose::Train(presets), form);
    }

    fn open_learning_rate_form(&mut self) {
        if let Some(run) = self.live_target() {
            let settings = self.runs.open().map(|view| &view.summary.settings);
            let now = settings.and_then(|settings| settings::text_in(settings, "training.learning_rate"));
            self.prompt(Prompt::LearningRate { run }, &now.unwrap_or_default());
        }
    }

    fn show_diagnostics(&mut self) -> Vec<Effect> {
        let Some(view) = self.runs.open() else {
            return Vec::new();
        };
        let past = view.past_symptoms();
        let mut lines = match view.symptoms().as_slice() {
            [] if past.is_empty() => vec!["No problems found.".to_owned()],
            [] => vec!["No problems at the end of its log.".to_owned(), String::new()],
            symptoms => symptoms
                .iter()
                .flat_map(|symptom| {
                    let advice = format!("  try: {}", symptom.advice());
                    [symptom.to_string(), advice, String::new()]
                })
                .collect(),
        };
        lines.extend(
            past.iter()
                .map(|(epoch, symptom)| format!("until epoch {epoch}: {symptom}")),
        );
        let title = format!("diagnostics of {}", view.name);
        self.show_text(title, lines)
    }

    fn choose_overlay(&mut self) -> Vec<Effect> {
        let open = self.runs.open().map(|view| view.name.clone());
        let others = self
            .runs
            .listing
            .all()
            .iter()
            .filter(|view| Some(&view.name) != open.as_ref());
        let items: Vec<ChooserItem> = others
            .map(|view| ChooserItem {
                label: view.name.clone(),
                is_chosen: self.runs.marked.contains(&view.name),
            })
            .collect();
        if items.is_empty() {
            return self.reject("no other runs");
        }
        self.popups.push(Popup::Choose(Chooser {
            purpose: ChooserPurpose::Overlay,
            title: "overlay",
            items,
            selected: 0,
        }));
        Vec::new()
    }

    pub fn chosen(&mut self, chooser: &Chooser) -> Vec<Effect> {
        match chooser.purpose {
            ChooserPurpose::Overlay => {
                for item in &chooser.items {
                    if item.is_chosen {
                        self.runs.marked.insert(item.label.clone());
                    } else {
                        self.runs.marked.remove(&item.label);
                    }
                }
                Vec::new()
            }
            ChooserPurpose::Gallery | ChooserPurpose::Comparison => self.show_chosen_evaluation(chooser),
        }
    }
}
