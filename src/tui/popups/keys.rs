//! What keys do while a popup is open.

use super::Popup;
use super::file_picker::FilePicker;
use crate::tui::app::App;
use crate::tui::form::{Form, FormError, KeyOutcome};
use crate::tui::forms::prepare::SOURCE;
use crate::tui::forms::{FormPurpose, FormSubmission};
use crate::tui::keys::KeyContext;
use crate::tui::message::Effect;
use crate::tui::navigation::{ListMove, Tab};
use ratatui::crossterm::event::{KeyCode, KeyEvent};

impl App {
    pub fn press_in_popup(&mut self, popup: Popup, key: KeyEvent) -> Vec<Effect> {
        match popup {
            Popup::Confirm { effect, .. } => match key.code {
                KeyCode::Char('y' | 'Y') => vec![*effect],
                _ => Vec::new(),
            },
            Popup::Form { purpose, form } => self.press_in_form(purpose, form, key),
            Popup::Picker(picker) => self.press_in_picker(picker, key),
            Popup::Palette(mut palette) => match palette.press(key) {
                KeyOutcome::Submitted => match palette.chosen() {
                    Some((context, action)) => {
                        self.tab = Tab::of(context).unwrap_or(self.tab);
                        self.act(action)
                    }
                    None => Vec::new(),
                },
                KeyOutcome::Cancelled => Vec::new(),
                KeyOutcome::Handled | KeyOutcome::PickFile => self.keep(Popup::Palette(palette)),
            },
            Popup::Choose(mut chooser) => match chooser.press(key) {
                KeyOutcome::Submitted => self.chosen(&chooser),
                KeyOutcome::Cancelled => Vec::new(),
                KeyOutcome::Handled | KeyOutcome::PickFile => self.keep(Popup::Choose(chooser)),
            },
            Popup::Help { scroll } => self.scroll(key, scroll, |scroll| Popup::Help { scroll }),
            Popup::Text { title, lines, scroll } => {
                self.scroll(key, scroll, |scroll| Popup::Text { title, lines, scroll })
            }
            Popup::Image { .. } => Vec::new(),
        }
    }

    fn keep(&mut self, popup: Popup) -> Vec<Effect> {
        self.popups.push(popup);
        Vec::new()
    }

    /// Scrolls by keys that move; any other key closes the popup.
    fn scroll(&mut self, key: KeyEvent, scroll: usize, with: impl FnOnce(usize) -> Popup) -> Vec<Effect> {
        let action = self.keymap.action(KeyContext::Everywhere, key);
        match action.and_then(ListMove::of) {
            Some(direction) => {
                let to = direction.from(scroll, usize::MAX);
                self.keep(with(to))
            }
            None => Vec::new(),
        }
    }

    fn press_in_form(
        &mut self,
        purpose: Box<FormPurpose>,
        mut form: Box<Form>,
        key: KeyEvent,
    ) -> Vec<Effect> {
        let field = form
            .fields
            .get(form.focused)
            .map(|field| (field.name, field.value().to_owned()));
        match form.press(key) {
            KeyOutcome::Cancelled => return Vec::new(),
            KeyOutcome::Submitted => match purpose.submit(&form) {
                Ok(submission) => {
                    if let Err(fault) = self.check_source(&purpose, &form) {
                        form.outcome = Err(fault);
                        return self.keep(Popup::Form { purpose, form });
                    }
                    if matches!(submission, FormSubmission::Effect(Effect::Start(_))) {
                        self.starting = Some(Popup::Form { purpose, form });
                    }
                    return self.apply(submission);
                }
                Err(fault) => {
                    let field = form
                        .fields
                        .iter()
                        .position(|field| Some(field.name) == fault.field);
                    form.focused = field.unwrap_or(form.focused);
                    form.outcome = Err(fault);
                    return self.keep(Popup::Form { purpose, form });
                }
            },
            KeyOutcome::PickFile => {
                let start = form.current().map_or("", |field| field.value()).to_owned();
                self.popups.push(Popup::Form { purpose, form });
                return self.open_picker(&start);
            }
            KeyOutcome::Handled => {}
        }
        if let Some((name, before)) = field
            && form.value(name) != before
        {
            purpose.follow(&mut form, name);
        }
        form.outcome = purpose.describe(&form);
        let effects = recognition(&purpose, &form);
        self.popups.push(Popup::Form { purpose, form });
        effects
    }

    /// Refuses a source that was not recognized.
    fn check_source(&self, purpose: &FormPurpose, form: &Form) -> Result<(), FormError> {
        let source = form.value(SOURCE);
        match (purpose, &self.data.recognized) {
            (FormPurpose::Prepare, Some((recognized, Err(why)))) if recognized == source => {
                Err(FormError::of(SOURCE, why.clone()))
            }
            _ => Ok(()),
        }
    }

    fn apply(&mut self, submission: FormSubmission) -> Vec<Effect> {
        match submission {
            FormSubmission::Effect(effect) => {
                self.show_progress_of(&effect);
                return vec![effect];
            }
            FormSubmission::Search(search) => return self.set_search(search),
            FormSubmission::Image(path) => return self.open_image(path),
            FormSubmission::Filter(words) => self.gallery.filter(&words),
            FormSubmission::Jump(image) => {
                if let Err(why) = self.gallery.jump(&image) {
                    return self.refuse(why);
                }
            }
            FormSubmission::Export(path) => {
                return match self.evaluate.compared_evaluations() {
                    Some(compared) => vec![Effect::Export { path, compared }],
                    None => self.refuse("no evaluations to compare yet"),
                };
            }
        }
        Vec::new()
    }

    /// Switches to the tab that shows the progress of a started command.
    fn show_progress_of(&mut self, effect: &Effect) {
        let Effect::Start(arguments) = effect else {
            return;
        };
        match arguments.first().map(String::as_str) {
            Some("prepare") => {
                self.tab = Tab::Data;
                let name = arguments.iter().skip_while(|word| *word != "--name").nth(1);
                self.data.select_next(name.cloned());
            }
            Some("train") => {
                self.tab = Tab::Train;
                self.runs.open_next();
            }
            Some("evaluate") => {
                self.tab = Tab::Evaluate;
                self.evaluate.select_next();
            }
            _ => {}
        }
    }

    fn open_picker(&mut self, start: &str) -> Vec<Effect> {
        let picker = FilePicker::open(start);
        let directory = picker.directory.clone();
        self.popups.push(Popup::Picker(picker));
        vec![Effect::List(directory)]
    }

    fn press_in_picker(&mut self, mut picker: FilePicker, key: KeyEvent) -> Vec<Effect> {
        let directory = picker.directory.clone();
        match picker.press(key) {
            KeyOutcome::Cancelled => return Vec::new(),
            KeyOutcome::Submitted => {
                let picked = picker.picked();
                let mut effects = Vec::new();
                if let Some(Popup::Form { purpose, form }) = self.popups.last_mut() {
                    if let Some(field) = form.current() {
                        field.set(&picked.display().to_string());
                    }
                    form.outcome = purpose.describe(form);
                    effects = recognition(purpose, form);
                }
                return effects;
            }
            KeyOutcome::Handled | KeyOutcome::PickFile => {}
        }
        let effects = if picker.directory == directory {
            Vec::new()
        } else {
            vec![Effect::List(picker.directory.clone())]
        };
        self.popups.push(Popup::Picker(picker));
        effects
    }
}

fn recognition(purpose: &FormPurpose, form: &Form) -> Vec<Effect> {
    match purpose {
        FormPurpose::Prepare => vec![Effect::Recognize(form.value(SOURCE).to_owned())],
        _ => Vec::new(),
    }
}
