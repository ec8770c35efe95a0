//! A list to choose one or several items from.

use crate::tui::{KeyOutcome, ListMove};
use ratatui::crossterm::event::{KeyCode, KeyEvent};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChooserPurpose {
    Overlay,
    Gallery,
    Comparison,
}

#[derive(Clone, Debug)]
pub struct Chooser {
    pub purpose: ChooserPurpose,
    pub title: &'static str,
    pub items: Vec<ChooserItem>,
    pub selected: usize,
}

#[derive(Clone, Debug)]
pub struct ChooserItem {
    pub label: String,
    pub is_chosen: bool,
}

impl Chooser {
    pub fn press(&mut self, key: KeyEvent) -> KeyOutcome {
        match key.code {
            KeyCode::Esc | KeyCode::Char('q') => return KeyOutcome::Cancelled,
            KeyCode::Enter => return KeyOutcome::Submitted,
            KeyCode::Char('k') => self.go(ListMove::Up),
            KeyCode::Char('j') => self.go(ListMove::Down),
            KeyCode::Char(' ') if self.purpose == ChooserPurpose::Overlay => {
                if let Some(item) = self.items.get_mut(self.selected) {
                    item.is_chosen = !item.is_chosen;
                }
            }
            code => {
                if let Some(direction) = ListMove::of_key(code) {
                    self.go(direction);
                }
            }
        }
        KeyOutcome::Handled
    }

    fn go(&mut self, direction: ListMove) {
        self.selected = direction.from(self.selected, self.items.len());
    }
}
