//! The command palette: fuzzy search over all commands.

use crate::tui::form::input_request;
use crate::tui::{Action, KeyContext, KeyOutcome, Keymap, ListMove, Tab};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use strum::VariantArray;
use tui_input::Input;

#[derive(Clone, Debug)]
pub struct Palette {
    pub typed: Input,
    pub commands: Vec<PaletteCommand>,
    /// Indices of the commands that match, best first.
    pub matches: Vec<usize>,
    pub selected: usize,
}

#[derive(Clone, Debug)]
pub struct PaletteCommand {
    context: KeyContext,
    action: Action,
    pub keys: String,
    pub text: String,
}

impl Palette {
    /// All commands, those of `tab` first.
    pub fn new(keymap: &Keymap, tab: Tab) -> Self {
        let mut contexts = KeyContext::VARIANTS.to_vec();
        contexts.sort_by_key(|context| *context != tab.context());
        let commands = contexts
            .into_iter()
            .flat_map(|context| keymap.bindings_in(context))
            .map(|bound| PaletteCommand {
                context: bound.binding.context,
                action: bound.binding.action,
                keys: bound.keys_text(),
                text: format!("{}: {}", bound.binding.context.name(), bound.binding.help),
            });
        let mut palette = Self {
            typed: Input::default(),
            commands: commands.collect(),
            matches: Vec::new(),
            selected: 0,
        };
        palette.search();
        palette
    }

    pub fn press(&mut self, key: KeyEvent) -> KeyOutcome {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return KeyOutcome::Cancelled,
            KeyCode::Char('c') if ctrl => return KeyOutcome::Cancelled,
            KeyCode::Enter => return KeyOutcome::Submitted,
            KeyCode::Up => self.selected = ListMove::Up.from(self.selected, self.matches.len()),
            KeyCode::Down => self.selected = ListMove::Down.from(self.selected, self.matches.len()),
            _ => {
                if let Some(request) = input_request(key) {
                    self.typed.handle(request);
                    self.search();
                }
            }
        }
        KeyOutcome::Handled
    }

    pub fn chosen(&self) -> Option<(KeyContext, Action)> {
        let listed = self.commands.get(*self.matches.get(self.selected)?)?;
        Some((listed.context, listed.action))
    }

    fn search(&mut self) {
        let pattern = Pattern::parse(self.typed.value(), CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut letters = Vec::new();
        let mut scored: Vec<(u32, usize)> = (0..)
            .zip(&self.commands)
            .filter_map(|(index, command)| {
                let text = nucleo_matcher::Utf32Str::new(&command.text, &mut letters);
                Some((pattern.score(text, &mut matcher)?, index))
            })
            .collect();
        // A stable sort: among equal scores, commands of the current tab stay first.
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        self.matches = scored.into_iter().map(|(_, index)| index).collect();
        self.selected = 0;
    }
}
