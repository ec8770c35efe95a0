//! A file or directory to pick.

use crate::tui::forms::prompts::expanded;
use crate::tui::{DirectoryEntry, EntryKind, KeyOutcome, ListMove};
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use std::path::{Path, PathBuf};

/// The entry that stands for the directory itself.
pub const HERE: &str = ".";

#[derive(Clone, Debug)]
pub struct FilePicker {
    pub directory: PathBuf,
    /// `None` until it is read.
    pub entries: Option<Result<Vec<DirectoryEntry>, String>>,
    pub selected: usize,
    /// Letters typed so far to find an entry by its prefix.
    pub typed: String,
}

impl FilePicker {
    pub fn open(typed: &str) -> Self {
        let path = expanded(typed);
        let directory = match std::path::absolute(&path) {
            Ok(path) if typed.ends_with('/') => path,
            Ok(path) if !typed.is_empty() => path.parent().map_or(path.clone(), Path::to_path_buf),
            _ => std::env::current_dir().unwrap_or_else(|_| "/".into()),
        };
        Self::in_directory(directory)
    }

    fn in_directory(directory: PathBuf) -> Self {
        Self {
            directory,
            entries: None,
            selected: 0,
            typed: String::new(),
        }
    }

    pub fn known(&self) -> &[DirectoryEntry] {
        match &self.entries {
            Some(Ok(entries)) => entries,
            _ => &[],
        }
    }

    /// The selected entry, or the directory itself.
    pub fn picked(&self) -> PathBuf {
        match self.known().get(self.selected) {
            Some(entry) if entry.name != HERE => self.directory.join(&entry.name),
            _ => self.directory.clone(),
        }
    }

    /// Right enters a directory, left goes up, Enter picks the selected entry.
    pub fn press(&mut self, key: KeyEvent) -> KeyOutcome {
        let keep_typing = matches!(key.code, KeyCode::Char(_));
        match key.code {
            KeyCode::Esc => return KeyOutcome::Cancelled,
            KeyCode::Enter => return KeyOutcome::Submitted,
            KeyCode::Left | KeyCode::Backspace => {
                if let Some(parent) = self.directory.parent() {
                    *self = Self::in_directory(parent.to_owned());
                }
            }
            KeyCode::Right => {
                let is_directory = |entry: &&DirectoryEntry| entry.kind == EntryKind::Directory;
                if self.known().get(self.selected).filter(is_directory).is_some() {
                    *self = Self::in_directory(self.picked());
                }
            }
            KeyCode::Char(letter) => self.find(letter),
            code => {
                if let Some(direction) = ListMove::of_key(code) {
                    self.selected = direction.from(self.selected, self.known().len());
                }
            }
        }
        if !keep_typing {
            self.typed.clear();
        }
        KeyOutcome::Handled
    }

    /// Selects the first entry with the typed prefix.
    fn find(&mut self, letter: char) {
        self.typed.extend(letter.to_lowercase());
        let begins = |entry: &DirectoryEntry| entry.name.to_lowercase().starts_with(&self.typed);
        if let Some(index) = self.known().iter().position(begins) {
            self.selected = index;
        }
    }
}
