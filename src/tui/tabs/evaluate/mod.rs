//! The Evaluate tab: evaluations, how they compare, and their best and worst images.

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

pub struct EvaluateTab;

impl TabPage for EvaluateTab {
    fn act(&self, app: &mut App, action: Action) -> Vec<Effect> {
        app.act_on_scores(action)
    }

    fn load(&self, app: &mut App) -> Vec<Effect> {
        app.evaluate.ask().into_iter().collect()
    }

    fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
        view::draw(frame, area, app, theme);
    }

    fn click(&self, app: &mut App, area: Rect, position: Position) {
        view::click(app, area, position);
    }
}
