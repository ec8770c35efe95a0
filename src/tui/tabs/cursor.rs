//! The selection in a tab with a list and a detail pane.

use crate::tui::navigation::ListMove;

/// The part of a tab that receives the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaneFocus {
    #[default]
    List,
    Detail,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListCursor {
    pub selected: usize,
    pub focus: PaneFocus,
    /// The selected line of the detail pane.
    pub detail: usize,
}

impl ListCursor {
    pub fn select(&mut self, line: usize, count: usize) {
        *self = Self {
            selected: line.min(count.saturating_sub(1)),
            ..Self::default()
        };
    }

    /// Moves in the focused pane; the list has `lines`, the detail pane `details` lines.
    pub fn go(&mut self, direction: ListMove, lines: usize, details: usize) {
        match self.focus {
            PaneFocus::List => self.select(direction.from(self.selected, lines), lines),
            PaneFocus::Detail => self.detail = direction.from(self.detail, details),
        }
    }

    /// Keeps the selected line after the list has changed to `count` lines; `index` is its new index.
    pub fn keep(&mut self, index: Option<usize>, count: usize) {
        self.selected = index.unwrap_or(self.selected.min(count.saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_moves_in_focused_pane() {
        let mut cursor = ListCursor::default();
        cursor.go(ListMove::Last, 3, 9);
        assert_eq!(cursor.selected, 2);
        cursor.focus = PaneFocus::Detail;
        cursor.go(ListMove::Down, 3, 9);
        assert_eq!((cursor.selected, cursor.detail), (2, 1));
        cursor.keep(None, 1);
        assert_eq!((cursor.selected, cursor.detail), (0, 1));
        cursor.select(7, 3);
        assert_eq!(
            (cursor.selected, cursor.focus, cursor.detail),
            (2, PaneFocus::List, 0)
        );
    }
}
