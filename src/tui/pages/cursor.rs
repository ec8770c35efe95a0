//! Where keys are in a page that has a list, and beside it what is known of the selected line.

use crate::tui::app::Move;

/// Which part of a page keys are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    /// The list.
    #[default]
    List,
    /// What stands beside it about the selected line.
    Detail,
}

/// Where keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The selected line of the list.
    pub selected: usize,
    /// Which part keys are about.
    pub focus: Focus,
    /// The selected line of what stands beside the list.
    pub at: usize,
}

impl Cursor {
    /// Selects a line of a list of `count`.
    pub(super) fn select(&mut self, line: usize, count: usize) {
        *self = Self {
            selected: line.min(count.saturating_sub(1)),
            ..Self::default()
        };
    }

    /// Moves in the part that keys are about; the list has `lines`, what stands beside it `details`.
    pub(super) fn go(&mut self, direction: Move, lines: usize, details: usize) {
        match self.focus {
            Focus::List => self.select(direction.from(self.selected, lines), lines),
            Focus::Detail => self.at = direction.from(self.at, details),
        }
    }

    /// Stays with the line that was selected, now that the list has `count` others; `place` is where it is now.
    pub(super) fn stay(&mut self, place: Option<usize>, count: usize) {
        self.selected = place.unwrap_or(self.selected.min(count.saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_in_the_part_that_keys_are_about() {
        let mut cursor = Cursor::default();
        cursor.go(Move::Last, 3, 9);
        assert_eq!(cursor.selected, 2);
        cursor.focus = Focus::Detail;
        cursor.go(Move::Down, 3, 9);
        assert_eq!((cursor.selected, cursor.at), (2, 1));
        cursor.stay(None, 1);
        assert_eq!((cursor.selected, cursor.at), (0, 1));
        cursor.select(7, 3);
        assert_eq!((cursor.selected, cursor.focus, cursor.at), (2, Focus::List, 0));
    }
}
