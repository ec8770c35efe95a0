//! The tabs, and moves within a list.

use super::keys::{Action, KeyContext};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    Data,
    #[default]
    Train,
    Evaluate,
    Gallery,
    Runs,
}

impl Tab {
    pub const ALL: [Self; 5] = [Self::Data, Self::Train, Self::Evaluate, Self::Gallery, Self::Runs];

    pub fn title(self) -> &'static str {
        match self {
            Self::Data => "Data",
            Self::Train => "Train",
            Self::Evaluate => "Evaluate",
            Self::Gallery => "Gallery",
            Self::Runs => "Runs",
        }
    }

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
        Self::ALL.into_iter().find(|tab| tab.context() == context)
    }

    pub fn after(self, by: usize) -> Self {
        let index = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        Self::ALL[(index + by) % Self::ALL.len()]
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

/// Lines per page in a list.
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
