//! The list of a tab, with its selection.

use crate::tui::ListMove;

/// The part of a tab that receives the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaneFocus {
    #[default]
    List,
    Detail,
}

/// The items that a tab lists, beside a detail pane for the selected one.
#[derive(Clone, Debug, Default)]
pub struct Listing<T> {
    /// `None` until they are loaded.
    pub items: Option<Vec<T>>,
    /// Index of the selected item.
    pub index: usize,
    pub focus: PaneFocus,
    /// The selected line of the detail pane.
    pub detail: usize,
}

impl<T> Listing<T> {
    pub fn all(&self) -> &[T] {
        self.items.as_deref().unwrap_or_default()
    }

    pub fn selected(&self) -> Option<&T> {
        self.all().get(self.index)
    }

    pub fn select(&mut self, index: usize) {
        self.index = index.min(self.all().len().saturating_sub(1));
        self.focus = PaneFocus::List;
        self.detail = 0;
    }

    /// Moves in the focused pane; the detail pane has `details` lines.
    pub fn go(&mut self, direction: ListMove, details: usize) {
        match self.focus {
            PaneFocus::List => self.select(direction.from(self.index, self.all().len())),
            PaneFocus::Detail => self.detail = direction.from(self.detail, details),
        }
    }

    /// Replaces the items. The selected one stays selected, or else its position.
    pub fn replace(&mut self, items: Vec<T>, is_selected: impl Fn(&T) -> bool) {
        let last = items.len().saturating_sub(1);
        self.index = items.iter().position(is_selected).unwrap_or(self.index.min(last));
        self.items = Some(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_moves_in_focused_pane() {
        let mut listing = Listing::default();
        listing.replace(vec!["a", "b", "c"], |_| false);
        listing.go(ListMove::Last, 9);
        assert_eq!(listing.selected(), Some(&"c"));
        listing.focus = PaneFocus::Detail;
        listing.go(ListMove::Down, 9);
        assert_eq!((listing.index, listing.detail), (2, 1));
        listing.replace(vec!["c", "d"], |item| *item == "c");
        assert_eq!((listing.index, listing.detail), (0, 1));
        listing.select(7);
        assert_eq!(
            (listing.index, listing.focus, listing.detail),
            (1, PaneFocus::List, 0)
        );
        listing.replace(vec!["e"], |_| false);
        assert_eq!(listing.index, 0);
    }
}
