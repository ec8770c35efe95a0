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

/// `3 s`, `12 min`, `5.2 h`: about how long that is.
fn about(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
