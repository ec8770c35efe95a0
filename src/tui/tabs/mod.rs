//! The pages: each draws the state it is given, and changes nothing.

mod runs;
mod train;

use super::app::{App, Tab};
use super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;

/// Draws the page that is shown.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    match app.tab {
        Tab::Train => train::draw(frame, area, app, theme),
        Tab::Runs => runs::draw(frame, area, app, theme),
    }
}
