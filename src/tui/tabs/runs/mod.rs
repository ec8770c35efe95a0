//! The Runs tab: all runs.

mod actions;
pub mod state;
mod view;

use super::TabPage;
use crate::tui::app::App;
use crate::tui::keys::Action;
use crate::tui::message::Effect;
use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};

pub struct RunsTab;

impl TabPage for RunsTab {
    fn act(&self, app: &mut App, action: Action) -> Vec<Effect> {
        app.act_on_runs(action)
    }

    fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
        view::draw(frame, area, app, theme);
    }

    fn click(&self, app: &mut App, area: Rect, position: Position) {
        view::click(app, area, position);
    }
}
