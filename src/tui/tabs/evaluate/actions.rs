//! What keys do in the Evaluate tab.

use crate::jobs::JobState;
use crate::tui::forms::evaluate;
use crate::tui::forms::prompts::Prompt;
use crate::tui::tabs::listing::PaneFocus;
use crate::tui::{Action, App, Effect, FormPurpose, ListMove, Tab, cycle};

impl App {
    pub fn act_on_evaluate(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = ListMove::of(action) {
            let images = self.evaluate.images().len();
            self.evaluate.listing.go(direction, images);
            return Vec::new();
        }
        match action {
            Action::NewEvaluation => return self.open_evaluate_form(),
            Action::Baseline => {
                self.evaluate.baseline = self
                    .evaluate
                    .listing
                    .selected()
                    .map(|selected| selected.key.clone());
            }
            Action::NextMetric => self.evaluate.metric = self.evaluate.metric.next(),
            Action::NextOrder => {
                self.evaluate.order = cycle(self.evaluate.order, 1);
                self.evaluate.listing.detail = 0;
            }
            Action::Export => match self.evaluate.compared_evaluations() {
                Some(_) => self.prompt(Prompt::Export, "comparison.md"),
                None => return self.reject("no evaluations to export yet"),
            },
            Action::Open => return self.open_selected_evaluation(),
            Action::Back => self.evaluate.listing.focus = PaneFocus::List,
            Action::Stop => return self.confirm_stop_evaluation(),
            _ => {}
        }
        Vec::new()
    }

    pub fn open_evaluate_form(&mut self) -> Vec<Effect> {
        let open = self.runs.open().map(|view| view.name.clone());
        let Some(open) = open else {
            return self.reject("no run yet: start one in the Train tab");
        };
        let names = self.runs.listing.all().iter().map(|view| view.name.as_str());
        let form = evaluate::form(names, &open);
        self.open_form(FormPurpose::Evaluate, form);
        Vec::new()
    }

    /// From the list to the images, and from an image to the gallery.
    fn open_selected_evaluation(&mut self) -> Vec<Effect> {
        let Some(key) = self
            .evaluate
            .listing
            .selected()
            .map(|selected| selected.key.clone())
        else {
            return self.open_evaluate_form();
        };
        let images = self.evaluate.images();
        let Some(listed) = images.get(self.evaluate.listing.detail) else {
            return self.reject("no images in this order; try another order");
        };
        if self.evaluate.listing.focus == PaneFocus::List {
            self.evaluate.listing.focus = PaneFocus::Detail;
        } else {
            self.gallery.open_at(key, &listed.image.image.clone());
            self.tab = Tab::Gallery;
        }
        Vec::new()
    }

    fn confirm_stop_evaluation(&mut self) -> Vec<Effect> {
        let Some(selected) = self.evaluate.listing.selected() else {
            return Vec::new();
        };
        match &selected.job {
            Some((state, _)) if state.is_live() => {
                let job = selected.job_path.clone();
                self.confirm("Stop this evaluation? It cannot be resumed.", Effect::stop(job))
            }
            job => {
                let state = job.as_ref().map_or(JobState::Complete, |(state, _)| *state);
                self.reject(format!("the evaluation is already {}", state.name()))
            }
        }
    }
}
