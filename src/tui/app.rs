//! The state of the workbench, and what several tabs do with it.

use super::forms::prompts::Prompt;
use super::tabs::data::state::DataPage;
use super::tabs::evaluate::state::EvaluatePage;
use super::tabs::gallery::state::GalleryPage;
use super::tabs::runs::state::RunList;
use super::tabs::train::state::TrainPage;
use super::{Action, Effect, Form, FormPurpose, ImageCache, Keymap, MachineLoad, OpenForm, Popup, Tab};
use crate::jobs::{ControlCommand, JobState};
use ratatui::layout::Rect;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    #[default]
    Running,
    Exiting,
}

#[derive(Clone, Debug, Default)]
pub struct App {
    pub tab: Tab,
    pub runs: RunList,
    pub data: DataPage,
    pub train: TrainPage,
    pub evaluate: EvaluatePage,
    pub gallery: GalleryPage,
    /// Open popups, the topmost last.
    pub popups: Vec<Popup>,
    /// The form submitted last, until its outcome is known: it reopens on failure.
    pub submitted: Option<Box<OpenForm>>,
    /// The outcome of the last action, shown above the footer.
    pub notice: Option<Result<String, String>>,
    pub keymap: Keymap,
    pub images: ImageCache,
    pub machine: MachineLoad,
    pub size: Rect,
    pub lifecycle: Lifecycle,
}

impl App {
    pub fn new(keymap: Keymap, (columns, rows): (u16, u16)) -> Self {
        Self {
            keymap,
            size: Rect::new(0, 0, columns, rows),
            ..Self::default()
        }
    }

    pub fn open_form(&mut self, purpose: FormPurpose, form: Form) {
        self.popups
            .push(Popup::Form(Box::new(OpenForm::new(purpose, form))));
    }

    /// Opens a form with a single field.
    pub fn prompt(&mut self, prompt: Prompt, value: &str) {
        let form = prompt.form(value);
        self.open_form(FormPurpose::Prompt(prompt), form);
    }

    /// Shows why an action is impossible.
    pub fn reject(&mut self, why: impl Into<String>) -> Vec<Effect> {
        self.notice = Some(Err(why.into()));
        Vec::new()
    }

    pub fn show_text(&mut self, title: String, lines: Vec<String>) -> Vec<Effect> {
        let scroll = 0;
        self.popups.push(Popup::Text { title, lines, scroll });
        Vec::new()
    }

    /// Asks before an effect that stops or deletes something.
    pub fn confirm(&mut self, question: impl Into<String>, effect: Effect) -> Vec<Effect> {
        self.popups.push(Popup::Confirm {
            question: question.into(),
            effect: Box::new(effect),
        });
        Vec::new()
    }

    /// The run that keys act on: the selected one in the Runs tab, the open one elsewhere.
    pub fn target(&self) -> Option<(String, JobState)> {
        let view = match self.tab {
            Tab::Runs => self.runs.listing.selected(),
            _ => self.runs.open(),
        }?;
        Some((view.name.clone(), view.state?))
    }

    /// The run that keys act on if its process is alive; otherwise shows why not.
    pub fn live_target(&mut self) -> Option<String> {
        let Some((name, state)) = self.target() else {
            self.reject("no run yet");
            return None;
        };
        if state.is_live() {
            return Some(name);
        }
        let key = self.keymap.key_of(self.tab.context(), Action::Resume);
        self.reject(match state {
            JobState::Complete => train_longer(&name),
            _ => format!("{name} is {}: press {key} to resume it", state.name()),
        });
        None
    }

    pub fn control(&mut self, command: ControlCommand) -> Vec<Effect> {
        match self.live_target() {
            Some(job) => vec![Effect::Control { job, command }],
            None => Vec::new(),
        }
    }

    pub fn confirm_stop(&mut self) -> Vec<Effect> {
        match self.live_target() {
            Some(job) => self.confirm(
                format!("Save a checkpoint and stop training {job}?"),
                Effect::stop(job),
            ),
            None => Vec::new(),
        }
    }

    pub fn resume(&mut self) -> Vec<Effect> {
        match self.target() {
            Some((run, state)) if state.is_live() => {
                self.reject(format!("{run} is already {}", state.name()))
            }
            Some((run, JobState::Complete)) => self.reject(train_longer(&run)),
            Some((run, _)) => vec![Effect::Resume(run)],
            None => self.reject("no run yet"),
        }
    }
}

fn train_longer(run: &str) -> String {
    format!("{run} is complete; to train longer: cutline train --resume {run} --set training.epochs=N")
}

pub fn pause_or_resume(state: JobState) -> ControlCommand {
    match state {
        JobState::Paused => ControlCommand::Resume,
        _ => ControlCommand::Pause,
    }
}
