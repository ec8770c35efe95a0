//! What keys do while a popup is open.

use super::Popup;
use super::file_picker::FilePicker;
use crate::tui::forms::FormSubmission;
use crate::tui::forms::prepare::SOURCE;
use crate::tui::{App, Effect, FormError, KeyContext, KeyOutcome, ListMove, OpenForm, Tab};
use ratatui::crossterm::event::{KeyCode, KeyEvent};

impl App {
    pub fn press_in_popup(&mut self, popup: Popup, key: KeyEvent) -> Vec<Effect> {
        match popup {
            Popup::Confirm { effect, .. } => match key.code {
                KeyCode::Char('y' | 'Y') => vec![*effect],
                _ => Vec::new(),
            },
            Popup::Form(open) => self.press_in_form(open, key),
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
            Popup::Image(_) => Vec::new(),
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
            Some(direction) => self.keep(with(direction.from(scroll, usize::MAX))),
            None => Vec::new(),
        }
    }

    fn press_in_form(&mut self, mut open: Box<OpenForm>, key: KeyEvent) -> Vec<Effect> {
        let field = open.form.current();
        let field = field.map(|field| (field.name, field.value().to_owned()));
        match open.form.press(key) {
            KeyOutcome::Cancelled => return Vec::new(),
            KeyOutcome::Submitted => return self.submit(open),
            KeyOutcome::PickFile => {
                let picker = FilePicker::open(&field.map_or_else(String::new, |(_, value)| value));
                let directory = picker.directory.clone();
                self.popups.extend([Popup::Form(open), Popup::Picker(picker)]);
                return vec![Effect::List(directory)];
            }
            KeyOutcome::Handled => {}
        }
        if let Some((name, before)) = field
            && open.form.value(name) != before
        {
            open.follow(name);
        }
        open.check();
        let effects = open.recognize_source().into_iter().collect();
        self.popups.push(Popup::Form(open));
        effects
    }

    fn submit(&mut self, mut open: Box<OpenForm>) -> Vec<Effect> {
        let submission = open.submit();
        match submission.and_then(|submission| self.check_source(&open).map(|()| submission)) {
            Ok(submission) => {
                if submission.may_fail() {
                    self.submitted = Some(open);
                }
                self.apply(submission)
            }
            Err(fault) => {
                let mut fields = open.form.fields.iter();
                let at_fault = fields.position(|field| Some(field.name) == fault.field);
                open.form.focused = at_fault.unwrap_or(open.form.focused);
                open.form.outcome = Err(fault);
                self.keep(Popup::Form(open))
            }
        }
    }

    /// Refuses a source that was not recognized.
    fn check_source(&self, open: &OpenForm) -> Result<(), FormError> {
        match &self.data.recognized {
            Some((source, Err(why))) if open.source() == Some(source) => {
                Err(FormError::in_field(SOURCE, why.clone()))
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
                    return self.reject(why);
                }
            }
            FormSubmission::Export(path) => {
                return match self.evaluate.compared_evaluations() {
                    Some(compared) => vec![Effect::Export { path, compared }],
                    None => self.reject("no evaluations to compare yet"),
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
                self.data.next = name.cloned();
            }
            Some("train") => {
                self.tab = Tab::Train;
                self.runs.opens_next = true;
            }
            Some("evaluate") => {
                self.tab = Tab::Evaluate;
                self.evaluate.selects_next = true;
            }
            _ => {}
        }
    }

    fn press_in_picker(&mut self, mut picker: FilePicker, key: KeyEvent) -> Vec<Effect> {
        let directory = picker.directory.clone();
        match picker.press(key) {
            KeyOutcome::Cancelled => Vec::new(),
            KeyOutcome::Submitted => {
                let Some(Popup::Form(open)) = self.popups.last_mut() else {
                    return Vec::new();
                };
                if let Some(field) = open.form.current() {
                    field.set(&picker.picked().display().to_string());
                }
                open.check();
                open.recognize_source().into_iter().collect()
            }
            KeyOutcome::Handled | KeyOutcome::PickFile => {
                let entered = Some(picker.directory.clone()).filter(|entered| *entered != directory);
                self.popups.push(Popup::Picker(picker));
                entered.map(Effect::List).into_iter().collect()
            }
        }
    }
}
