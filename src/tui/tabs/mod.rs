//! The pages: each draws the state it is given, and changes nothing. Beside what it draws, a page says where its
//! images are, so that they can be made ready, and what is under the mouse.

mod data;
mod evaluate;
mod gallery;
mod runs;
mod train;

use super::app::{App, Tab};
use super::message::Effect;
use super::pictures::PictureKey;
use super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};

/// Draws the page that is shown.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    match app.tab {
        Tab::Data => data::draw(frame, area, app, theme),
        Tab::Train => train::draw(frame, area, app, theme),
        Tab::Evaluate => evaluate::draw(frame, area, app, theme),
        Tab::Gallery => gallery::draw(frame, area, app, theme),
        Tab::Runs => runs::draw(frame, area, app, theme),
    }
}

/// The images of the page that is shown.
pub(super) fn images(app: &App, area: Rect) -> Vec<PictureKey> {
    match app.tab {
        Tab::Data => data::images(app, area),
        Tab::Train => train::images(app, area),
        Tab::Gallery => gallery::images(app, area),
        Tab::Evaluate | Tab::Runs => Vec::new(),
    }
}

/// Takes a click on the page that is shown.
pub(super) fn click(app: &mut App, area: Rect, at: Position) -> Vec<Effect> {
    match app.tab {
        Tab::Data => data::click(app, area, at),
        Tab::Train => train::click(app, area, at),
        Tab::Evaluate => evaluate::click(app, area, at),
        Tab::Runs => runs::click(app, area, at),
        Tab::Gallery => {}
    }
    Vec::new()
}
