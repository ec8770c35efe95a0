//! A scrolling list with a selected line.

use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{List, ListState};

/// Draws the part of the list around the selected line; `style` highlights it.
pub fn draw<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    lines: impl IntoIterator<Item = Line<'a>>,
    selected: usize,
    style: Style,
) {
    let list = List::new(lines).highlight_style(style);
    let mut state = ListState::default()
        .with_offset(first_shown(selected, usize::from(area.height)))
        .with_selected(Some(selected));
    frame.render_stateful_widget(list, area, &mut state);
}

/// The first visible line of `rows`, so that the selected one is visible.
pub fn first_shown(selected: usize, rows: usize) -> usize {
    (selected + 1).saturating_sub(rows.max(1))
}

/// The style of the selected line in a pane with or without focus.
pub fn selection(is_focused: bool, theme: &Theme) -> Style {
    if is_focused { theme.selected } else { theme.heading }
}
