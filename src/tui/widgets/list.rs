//! A list of lines of which one is selected.

use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{List, ListState};

/// Draws the part of the list in which the selected line is; `style` is how that one looks.
pub(in crate::tui) fn draw<'a>(
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

/// The first line that is shown where `rows` are, so that the selected one is among them.
pub(in crate::tui) fn first_shown(selected: usize, rows: usize) -> usize {
    (selected + 1).saturating_sub(rows.max(1))
}

/// How the selected line of a list looks, by whether keys are about it.
pub(in crate::tui) fn selection(is_focused: bool, theme: &Theme) -> Style {
    match is_focused {
        true => theme.selected,
        false => theme.heading,
    }
}
