//! A list to choose one or several items from.

use crate::tui::form::KeyOutcome;
use crate::tui::navigation::ListMove;
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
        let count = self.items.len();
        match key.code {
            KeyCode::Esc | KeyCode::Char('q') => return KeyOutcome::Cancelled,
            KeyCode::Enter => return KeyOutcome::Submitted,
            KeyCode::Up | KeyCode::Char('k') => self.selected = ListMove::Up.from(self.selected, count),
            KeyCode::Down | KeyCode::Char('j') => self.selected = ListMove::Down.from(self.selected, count),
            KeyCode::PageUp => self.selected = ListMove::PageUp.from(self.selected, count),
            KeyCode::PageDown => self.selected = ListMove::PageDown.from(self.selected, count),
            KeyCode::Char(' ') if self.purpose == ChooserPurpose::Overlay => {
                if let Some(item) = self.items.get_mut(self.selected) {
                    item.is_chosen = !item.is_chosen;
                }
            }
            _ => {}
        }
        KeyOutcome::Handled
    }
}
