//! Lists and tables that scroll to the selected line.

use crate::tui::Theme;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{List, ListState, Table, TableState};

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
        .with_offset(first_shown(selected, area.height))
        .with_selected(Some(selected));
    frame.render_stateful_widget(list, area, &mut state);
}

/// The same for a table with a header.
pub fn draw_table(frame: &mut Frame<'_>, area: Rect, table: Table<'_>, selected: usize) {
    let mut state = TableState::new()
        .with_offset(first_shown(selected, area.height.saturating_sub(1)))
        .with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
}

/// The first visible line of `rows`, so that the selected one is visible.
pub fn first_shown(selected: usize, rows: u16) -> usize {
    (selected + 1).saturating_sub(usize::from(rows.max(1)))
}

/// The line at a position, below a header of `header` rows.
pub fn line_at(area: Rect, header: u16, selected: usize, position: Position) -> Option<usize> {
    let row = position.y.checked_sub(area.y + header)?;
    let first = first_shown(selected, area.height.saturating_sub(header));
    area.contains(position).then(|| usize::from(row) + first)
}

/// The style of the selected line in a pane with or without focus.
pub fn selection(is_focused: bool, theme: &Theme) -> Style {
    if is_focused { theme.selected } else { theme.heading }
}
