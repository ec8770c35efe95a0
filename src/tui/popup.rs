//! What lies over a page: questions, forms, lists to choose from, text to read.

use super::app::{Move, Tab};
use super::form::{Form, Pressed, input_request};
use super::forms::Purpose;
use super::keymap::Keymap;
use super::keys::{Action, Context};
use super::message::{DirectoryEntry, Effect, EntryKind};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::path::{Path, PathBuf};
use tui_input::Input;

/// What lies over a page.
#[derive(Clone, Debug)]
pub enum Popup {
    /// The keys.
    Help {
        /// The first line that is shown.
        scroll: usize,
    },
    /// Every command.
    Palette(Palette),
    /// Whether something is to be done that ends or removes something.
    Confirm {
        /// The question.
        question: String,
        /// What is done if so.
        effect: Box<Effect>,
    },
    /// Something to fill in.
    Form {
        /// What for.
        purpose: Box<Purpose>,
        /// As it stands.
        form: Box<Form>,
    },
    /// A file or directory to pick for the form below.
    Picker(FilePicker),
    /// Some of several to choose.
    Choose(Chooser),
    /// Something to read.
    Text {
        /// What it is.
        title: String,
        /// Its lines.
        lines: Vec<String>,
        /// The first line that is shown.
        scroll: usize,
    },
    /// An image to look at.
    Image {
        /// What it is.
        title: String,
        /// Its file.
        path: PathBuf,
    },
}

impl Popup {
    /// Every command, those of this tab first.
    pub fn palette(keymap: &Keymap, tab: Tab) -> Self {
        let contexts = [tab.context()].into_iter().chain(
            Context::ALL
                .into_iter()
                .filter(|context| *context != tab.context()),
        );
        let commands = contexts
            .flat_map(|context| keymap.of(context))
            .map(|bound| Listed {
                context: bound.binding.context,
                action: bound.binding.action,
                keys: bound.keys_text(),
                text: format!("{}: {}", bound.binding.context.name(), bound.binding.help),
            });
        let mut palette = Palette {
            typed: Input::default(),
            commands: commands.collect(),
            found: Vec::new(),
            at: 0,
        };
        palette.find();
        Self::Palette(palette)
    }
}

/// Every command, found by a few letters of it.
#[derive(Clone, Debug)]
pub struct Palette {
    /// What has been typed.
    pub typed: Input,
    /// All of them.
    pub commands: Vec<Listed>,
    /// Where those stand that go with what was typed, the best first.
    pub found: Vec<usize>,
    /// Which of those is selected.
    pub at: usize,
}

/// A command in the palette.
#[derive(Clone, Debug)]
pub struct Listed {
    context: Context,
    action: Action,
    /// Its keys.
    pub keys: String,
    /// What it does.
    pub text: String,
}

impl Palette {
    pub(super) fn press(&mut self, key: KeyEvent) -> Pressed {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Pressed::Left,
            KeyCode::Char('c') if ctrl => return Pressed::Left,
            KeyCode::Enter => return Pressed::Submitted,
            KeyCode::Up => self.at = self.at.saturating_sub(1),
            KeyCode::Down => self.at = (self.at + 1).min(self.found.len().saturating_sub(1)),
            _ => {
                if let Some(request) = input_request(key) {
                    self.typed.handle(request);
                    self.find();
                }
            }
        }
        Pressed::Taken
    }

    pub(super) fn chosen(&self) -> Option<(Context, Action)> {
        let listed = self.commands.get(*self.found.get(self.at)?)?;
        Some((listed.context, listed.action))
    }

    fn find(&mut self) {
        let pattern = Pattern::parse(self.typed.value(), CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut letters = Vec::new();
        let mut scored: Vec<(u32, usize)> = (0..)
            .zip(&self.commands)
            .filter_map(|(at, command)| {
                let text = nucleo_matcher::Utf32Str::new(&command.text, &mut letters);
                Some((pattern.score(text, &mut matcher)?, at))
            })
            .collect();
        // Stable: among equals those of this tab stay first.
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        self.found = scored.into_iter().map(|(_, at)| at).collect();
        self.at = 0;
    }
}

/// What a list is chosen from for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Runs that are laid over the charts; any number.
    Overlay,
    /// The evaluation that the gallery shows; one.
    Album,
    /// The evaluation whose captions stand beside; one.
    Beside,
}

/// Some of several to choose.
#[derive(Clone, Debug)]
pub struct Chooser {
    /// What it is for.
    pub choice: Choice,
    /// What it says.
    pub title: &'static str,
    /// What there is, and whether it is chosen.
    pub items: Vec<(String, Chosen)>,
    /// Which is selected.
    pub at: usize,
}

/// Whether something is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl Chosen {
    /// As a condition says.
    pub fn when(is_chosen: bool) -> Self {
        match is_chosen {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

impl Chooser {
    pub(super) fn press(&mut self, key: KeyEvent) -> Pressed {
        let count = self.items.len();
        match key.code {
            KeyCode::Esc | KeyCode::Char('q') => return Pressed::Left,
            KeyCode::Enter => return Pressed::Submitted,
            KeyCode::Up | KeyCode::Char('k') => self.at = Move::Up.from(self.at, count),
            KeyCode::Down | KeyCode::Char('j') => self.at = Move::Down.from(self.at, count),
            KeyCode::PageUp => self.at = Move::PageUp.from(self.at, count),
            KeyCode::PageDown => self.at = Move::PageDown.from(self.at, count),
            KeyCode::Char(' ') if self.choice == Choice::Overlay => {
                if let Some((_, chosen)) = self.items.get_mut(self.at) {
                    *chosen = Chosen::when(*chosen == Chosen::No);
                }
            }
            _ => {}
        }
        Pressed::Taken
    }
}

/// How a directory calls itself.
pub(super) const HERE: &str = ".";

/// A file or directory to pick.
#[derive(Clone, Debug)]
pub struct FilePicker {
    /// The directory that is looked into.
    pub directory: PathBuf,
    /// What is in it, or why it cannot be read; nothing yet at first.
    pub entries: Option<Result<Vec<DirectoryEntry>, String>>,
    /// Which is selected.
    pub at: usize,
    /// Letters that were typed to find an entry by its beginning.
    pub typed: String,
}

impl FilePicker {
    /// In the directory that `typed` is, or lies in.
    pub fn at(typed: &str) -> Self {
        let path = super::forms::prompts::expanded(typed);
        let here = || std::env::current_dir().unwrap_or_else(|_| "/".into());
        let directory = match std::path::absolute(&path) {
            Ok(path) if !typed.is_empty() && typed.ends_with('/') => path,
            Ok(path) if !typed.is_empty() => path.parent().map_or(path.clone(), Path::to_path_buf),
            _ => here(),
        };
        Self::looking_into(directory)
    }

    fn looking_into(directory: PathBuf) -> Self {
        Self {
            directory,
            entries: None,
            at: 0,
            typed: String::new(),
        }
    }

    pub(super) fn list(&mut self, entries: Result<Vec<DirectoryEntry>, String>) {
        self.entries = Some(entries);
    }

    /// What is in the directory, as far as it is known.
    pub fn known(&self) -> &[DirectoryEntry] {
        match &self.entries {
            Some(Ok(entries)) => entries,
            _ => &[],
        }
    }

    /// What is picked: what is selected, or the directory itself where nothing is.
    pub(super) fn picked(&self) -> PathBuf {
        match self.known().get(self.at) {
            Some(entry) if entry.name != HERE => self.directory.join(&entry.name),
            _ => self.directory.clone(),
        }
    }

    /// Right goes into a directory, left out of it; Enter takes what is selected.
    pub(super) fn press(&mut self, key: KeyEvent) -> Pressed {
        let count = self.known().len();
        let keep_typing = matches!(key.code, KeyCode::Char(_));
        match key.code {
            KeyCode::Esc => return Pressed::Left,
            KeyCode::Enter => return Pressed::Submitted,
            KeyCode::Up => self.at = Move::Up.from(self.at, count),
            KeyCode::Down => self.at = Move::Down.from(self.at, count),
            KeyCode::PageUp => self.at = Move::PageUp.from(self.at, count),
            KeyCode::PageDown => self.at = Move::PageDown.from(self.at, count),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = Move::Last.from(self.at, count),
            KeyCode::Left | KeyCode::Backspace => {
                if let Some(parent) = self.directory.parent() {
                    *self = Self::looking_into(parent.to_owned());
                }
            }
            KeyCode::Right => {
                let is_directory = |entry: &&DirectoryEntry| entry.kind == EntryKind::Directory;
                if self.known().get(self.at).filter(is_directory).is_some() {
                    *self = Self::looking_into(self.picked());
                }
            }
            KeyCode::Char(letter) => self.find(letter),
            _ => {}
        }
        if !keep_typing {
            self.typed.clear();
        }
        Pressed::Taken
    }

    /// Selects the first entry that begins with what is typed.
    fn find(&mut self, letter: char) {
        self.typed.extend(letter.to_lowercase());
        let begins = |entry: &DirectoryEntry| entry.name.to_lowercase().starts_with(&self.typed);
        if let Some(at) = self.known().iter().position(begins) {
            self.at = at;
        }
    }
}
