//! The tabs, and moves within a list.

use super::keys::{Action, Context};

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

    pub fn context(self) -> Context {
        match self {
            Self::Data => Context::Data,
            Self::Train => Context::Train,
            Self::Evaluate => Context::Evaluate,
            Self::Gallery => Context::Gallery,
            Self::Runs => Context::Runs,
        }
    }

    /// The tab of this context; `None` for `Everywhere`.
    pub fn of(context: Context) -> Option<Self> {
        Self::ALL.into_iter().find(|tab| tab.context() == context)
    }

    pub fn after(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        Self::ALL[(at + by) % Self::ALL.len()]
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
    pub fn from(self, at: usize, count: usize) -> usize {
        let to = match self {
            Self::Up => at.saturating_sub(1),
            Self::Down => at + 1,
            Self::PageUp => at.saturating_sub(PAGE),
            Self::PageDown => at + PAGE,
            Self::First => 0,
            Self::Last => usize::MAX,
        };
        to.min(count.saturating_sub(1))
    }
}
