//! What keys do in the Evaluate tab.

use crate::jobs::JobState;
use crate::tui::app::App;
use crate::tui::forms::{FormPurpose, evaluate, prompts};
use crate::tui::keys::Action;
use crate::tui::message::Effect;
use crate::tui::navigation::{ListMove, Tab, cycle};
use crate::tui::tabs::cursor::PaneFocus;

impl App {
    pub fn act_on_evaluate(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = ListMove::of(action) {
            self.evaluate.go(direction);
            return Vec::new();
        }
        match action {
            Action::NewEvaluation => return self.open_evaluate_form(),
            Action::Baseline => {
                self.evaluate.baseline = self.evaluate.selected().map(|selected| selected.key.clone());
            }
            Action::NextMetric => self.evaluate.metric = self.evaluate.metric.next(),
            Action::NextOrder => {
                self.evaluate.order = cycle(self.evaluate.order, 1);
                self.evaluate.cursor.detail = 0;
            }
            Action::Export => match self.evaluate.compared_evaluations() {
                Some(_) => self.open_form(FormPurpose::Export, prompts::export_form()),
                None => return self.refuse("no evaluations to export yet"),
            },
            Action::Open => return self.open_selected_evaluation(),
            Action::Back => self.evaluate.cursor.focus = PaneFocus::List,
            Action::Stop => return self.confirm_stop_evaluation(),
            _ => {}
        }
        Vec::new()
    }

    pub fn open_evaluate_form(&mut self) -> Vec<Effect> {
        let open = self.runs.open().map(|view| view.name.clone());
        let Some(open) = open else {
            return self.refuse("no run yet: start one in the Train tab");
        };
        let names = self.runs.all().iter().map(|view| view.name.as_str());
        let form = evaluate::form(names, &open);
        self.open_form(FormPurpose::Evaluate, form);
        Vec::new()
    }

    /// From the list to the images, and from an image to the gallery.
    fn open_selected_evaluation(&mut self) -> Vec<Effect> {
        let Some(key) = self.evaluate.selected().map(|selected| selected.key.clone()) else {
            return self.open_evaluate_form();
        };
        let images = self.evaluate.images();
        match (
            self.evaluate.cursor.focus,
            images.get(self.evaluate.cursor.detail),
        ) {
            (_, None) => return self.refuse("no images in this order; try another order"),
            (PaneFocus::List, Some(_)) => {
                self.evaluate.cursor.focus = PaneFocus::Detail;
            }
            (PaneFocus::Detail, Some(listed)) => {
                let image = listed.image.image.clone();
                self.gallery.open_at(key, &image);
                self.tab = Tab::Gallery;
            }
        }
        Vec::new()
    }

    fn confirm_stop_evaluation(&mut self) -> Vec<Effect> {
        let Some(selected) = self.evaluate.selected() else {
            return Vec::new();
        };
        match &selected.job {
            Some((state, _)) if state.is_live() => {
                let job = selected.job_path.clone();
                self.confirm("Stop this evaluation? It cannot be resumed.", Effect::stop(job))
            }
            Some((JobState::Complete, _)) | None => self.refuse("the evaluation is already complete"),
            Some((state, _)) => {
                let why = format!("the evaluation is already {}", state.name());
                self.refuse(why)
            }
        }
    }
}
