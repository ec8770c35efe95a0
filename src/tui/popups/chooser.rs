//! A list to choose one or several items from.

use crate::tui::form::KeyOutcome;
use crate::tui::navigation::ListMove;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChooserPurpose {
    Overlay,
    Gallery,
    Beside,
}

#[derive(Clone, Debug)]
pub struct Chooser {
    pub choice: ChooserPurpose,
    pub title: &'static str,
    pub items: Vec<(String, Chosen)>,
    pub at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    Yes,
    No,
}

impl Chosen {
    pub fn when(is_chosen: bool) -> Self {
        match is_chosen {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

impl Chooser {
    pub fn press(&mut self, key: KeyEvent) -> KeyOutcome {
        let count = self.items.len();
        match key.code {
            KeyCode::Esc | KeyCode::Char('q') => return KeyOutcome::Left,
            KeyCode::Enter => return KeyOutcome::Submitted,
            KeyCode::Up | KeyCode::Char('k') => self.at = ListMove::Up.from(self.at, count),
            KeyCode::Down | KeyCode::Char('j') => self.at = ListMove::Down.from(self.at, count),
            KeyCode::PageUp => self.at = ListMove::PageUp.from(self.at, count),
            KeyCode::PageDown => self.at = ListMove::PageDown.from(self.at, count),
            KeyCode::Char(' ') if self.choice == ChooserPurpose::Overlay => {
                if let Some((_, chosen)) = self.items.get_mut(self.at) {
                    *chosen = Chosen::when(*chosen == Chosen::No);
                }
            }
            _ => {}
        }
        KeyOutcome::Taken
    }
}
