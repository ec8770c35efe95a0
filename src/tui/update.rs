//! Handles messages: changes the state and returns effects. No input or output here.

use super::popups::palette::Palette;
use super::tabs::page;
use super::{Action, App, DirectoryEntry, Effect, FormError, Lifecycle, Message, Popup, Tab, cycle};
use super::{mouse, view};
use crate::text::display_safe;
use ratatui::crossterm::event::KeyEvent;
use ratatui::layout::Rect;
use std::path::PathBuf;
use std::sync::Arc;

impl App {
    pub fn update(&mut self, message: Message) -> Vec<Effect> {
        let mut effects = self.handle(message);
        effects.extend(self.load_missing());
        effects
    }

    fn handle(&mut self, message: Message) -> Vec<Effect> {
        match message {
            Message::Key(key) => return self.press_key(key),
            Message::Mouse(event) => return mouse::handle(self, event),
            Message::Paste(text) => self.paste(&text),
            Message::Resized(columns, rows) => self.size = Rect::new(0, 0, columns, rows),
            Message::Runs(listing) => self.set_runs(listing),
            Message::Records {
                run,
                records,
                percent_read,
            } => self.runs.add_records(&run, &records, percent_read),
            Message::Datasets(listing) => self.data.list(listing),
            Message::Evaluations(listing) => self.evaluate.list(listing),
            Message::Machine(load) => self.machine = load,
            Message::Dataset { name, detail } => self.data.loaded(&name, detail),
            Message::Log { run, lines } => self.show_log(&run, lines),
            Message::Entries { directory, entries } => self.list_entries(directory, entries),
            // Answers may arrive out of order: a large directory takes longer, and the user types on.
            Message::Recognized { source, outcome } if self.is_form_source(&source) => {
                self.data.recognized = Some((source, outcome));
            }
            Message::Recognized { .. } => {}
            Message::Images { run, files } => self.train.files.answered(&run, files),
            Message::GalleryImages { request, images } => self.gallery.loaded(&request, images),
            Message::Comparison { of, outcome } => self.evaluate.outcome = Some((of, outcome)),
            Message::Hypotheses { request, captions } => self.gallery.hypotheses.answered(&request, captions),
            Message::AttentionWeights { request, attention } => {
                let attention = attention.map(Arc::new);
                self.gallery.attention.weights.answered(&request, attention);
                if let Some(why) = self.gallery.attention.refusal() {
                    self.gallery.attention.toggle();
                    return self.reject(display_safe(&why).into_owned());
                }
            }
            Message::ImageReady { key, image } => self.images.insert(key, image),
            Message::Done(result) => self.notice = Some(result),
            Message::Submitted(result) => self.show_outcome(result),
            Message::Suspend => return vec![Effect::Suspend],
            Message::Quit => self.lifecycle = Lifecycle::Exiting,
        }
        Vec::new()
    }

    fn load_missing(&mut self) -> Vec<Effect> {
        let mut effects = (page(self.tab).load)(self);
        let shown = view::images(self);
        effects.extend(self.images.request(shown).map(Effect::Draw));
        effects
    }

    pub fn press_key(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.notice = None;
        match self.popups.pop() {
            None => match self.keymap.action(self.tab.context(), key) {
                Some(action) => self.act(action),
                None => Vec::new(),
            },
            Some(popup) => self.press_in_popup(popup, key),
        }
    }

    pub fn act(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::Quit => self.lifecycle = Lifecycle::Exiting,
            Action::Suspend => return vec![Effect::Suspend],
            Action::Help => self.popups.push(Popup::Help { scroll: 0 }),
            Action::Palette => self
                .popups
                .push(Popup::Palette(Palette::new(&self.keymap, self.tab))),
            Action::NextTab => self.tab = cycle(self.tab, 1),
            Action::PreviousTab => self.tab = cycle(self.tab, -1),
            Action::ShowData => self.tab = Tab::Data,
            Action::ShowTrain => self.tab = Tab::Train,
            Action::ShowEvaluate => self.tab = Tab::Evaluate,
            Action::ShowGallery => self.tab = Tab::Gallery,
            Action::ShowRuns => self.tab = Tab::Runs,
            _ => return (page(self.tab).act)(self, action),
        }
        Vec::new()
    }

    /// Whether the open prepare form names this source.
    fn is_form_source(&self, source: &str) -> bool {
        matches!(self.popups.last(), Some(Popup::Form(open)) if open.source() == Some(source))
    }

    /// Shows the outcome of a submitted form; on failure the form reopens with the error.
    fn show_outcome(&mut self, result: Result<String, String>) {
        match (result, self.submitted.take()) {
            (Err(message), Some(mut open)) if self.popups.is_empty() => {
                // The next run that appears is another one.
                self.runs.opens_next = false;
                open.form.outcome = Err(FormError { field: None, message });
                self.popups.push(Popup::Form(open));
            }
            (result, _) => self.notice = Some(result),
        }
    }

    fn list_entries(&mut self, directory: PathBuf, entries: Result<Vec<DirectoryEntry>, String>) {
        if let Some(Popup::Picker(picker)) = self.popups.last_mut()
            && picker.directory == directory
        {
            picker.entries = Some(entries);
        }
    }

    fn paste(&mut self, text: &str) {
        if let Some(Popup::Form(open)) = self.popups.last_mut() {
            open.form.paste(text);
            open.check();
        }
    }
}
