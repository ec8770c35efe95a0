//! What keys do in the Data tab.

use crate::data::Format;
use crate::jobs::JobState;
use crate::tui::forms::prepare;
use crate::tui::forms::prompts::Prompt;
use crate::tui::tabs::listing::PaneFocus;
use crate::tui::{Action, App, Effect, FormPurpose, ListMove, Popup, pause_or_resume};

impl App {
    pub fn act_on_data(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = ListMove::of(action) {
            self.data.listing.go(direction, self.data.rows());
            return Vec::new();
        }
        match action {
            Action::Prepare => {
                let source = match self.data.prepared().next() {
                    None => Format::SCENES,
                    Some(_) => "",
                };
                self.open_form(FormPurpose::Prepare, prepare::form(source));
            }
            Action::Fetch => self.prompt(Prompt::Fetch, ""),
            Action::TrainOnDataset => {
                let name = self.data.listing.selected().map(|selected| selected.name.clone());
                self.open_train_form(name.as_deref());
            }
            Action::NextView | Action::Right => self.data.turn(1),
            Action::Left => self.data.turn(-1),
            Action::Open => return self.open_selected(),
            Action::Back => self.data.listing.focus = PaneFocus::List,
            Action::PauseOrResume => return self.pause_preparing(),
            Action::Stop => return self.confirm_stop_preparation(),
            _ => {}
        }
        Vec::new()
    }

    fn open_selected(&mut self) -> Vec<Effect> {
        if self.data.listing.selected().is_none() {
            return self.act_on_data(Action::Prepare);
        }
        match self.data.listing.focus {
            PaneFocus::List if self.data.rows() > 0 => self.data.listing.focus = PaneFocus::Detail,
            PaneFocus::List => {}
            PaneFocus::Detail => match self.data.image() {
                Some(path) => self.popups.push(Popup::Image(path)),
                None => return self.reject("no image to show"),
            },
        }
        Vec::new()
    }

    /// The running job that prepares the selected dataset; otherwise shows why not.
    fn preparing(&mut self) -> Option<(String, JobState)> {
        let selected = self.data.listing.selected()?;
        match &selected.job {
            Some((state, _)) if state.is_live() => Some((selected.job_path.clone(), *state)),
            _ => {
                let why = format!("{} is not being prepared", selected.name);
                self.reject(why);
                None
            }
        }
    }

    fn pause_preparing(&mut self) -> Vec<Effect> {
        let preparing = self.preparing().map(|(job, state)| Effect::Control {
            job,
            command: pause_or_resume(state),
        });
        preparing.into_iter().collect()
    }

    fn confirm_stop_preparation(&mut self) -> Vec<Effect> {
        match self.preparing() {
            Some((job, _)) => self.confirm(
                "Stop preparation? Preparing it again resumes it.",
                Effect::stop(job),
            ),
            None => Vec::new(),
        }
    }
}
