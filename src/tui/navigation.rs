//! The tabs, and moves within a list.

use super::{Action, KeyContext};
use ratatui::crossterm::event::KeyCode;
use strum::VariantArray;

/// The variant `by` places after `current`, around the end.
pub fn cycle<T: VariantArray + Copy + PartialEq>(current: T, by: isize) -> T {
    let index = T::VARIANTS
        .iter()
        .position(|known| *known == current)
        .unwrap_or(0);
    T::VARIANTS[(index as isize + by).rem_euclid(T::VARIANTS.len() as isize) as usize]
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
pub enum Tab {
    Data,
    #[default]
    Train,
    Evaluate,
    Gallery,
    Runs,
}

impl Tab {
    pub fn context(self) -> KeyContext {
        match self {
            Self::Data => KeyContext::Data,
            Self::Train => KeyContext::Train,
            Self::Evaluate => KeyContext::Evaluate,
            Self::Gallery => KeyContext::Gallery,
            Self::Runs => KeyContext::Runs,
        }
    }

    /// The tab of this context; `None` for `Everywhere`.
    pub fn of(context: KeyContext) -> Option<Self> {
        Self::VARIANTS
            .iter()
            .copied()
            .find(|tab| tab.context() == context)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListMove {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

const PAGE: usize = 10;

impl ListMove {
    pub fn of(action: Action) -> Option<Self> {
        Some(match action {
            Action::Up => Self::Up,
            Action::Down => Self::Down,
            Action::PageUp => Self::PageUp,
            Action::PageDown => Self::PageDown,
            Action::First => Self::First,
            Action::Last => Self::Last,
            _ => return None,
        })
    }

    /// The move of a key that has no other meaning in a popup.
    pub fn of_key(code: KeyCode) -> Option<Self> {
        Some(match code {
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::PageUp => Self::PageUp,
            KeyCode::PageDown => Self::PageDown,
            KeyCode::Home => Self::First,
            KeyCode::End => Self::Last,
            _ => return None,
        })
    }

    /// The index after the move, in a list of `count` items.
    pub fn from(self, index: usize, count: usize) -> usize {
        let to = match self {
            Self::Up => index.saturating_sub(1),
            Self::Down => index + 1,
            Self::PageUp => index.saturating_sub(PAGE),
            Self::PageDown => index + PAGE,
            Self::First => 0,
            Self::Last => usize::MAX,
        };
        to.min(count.saturating_sub(1))
    }
}
