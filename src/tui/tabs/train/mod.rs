//! The Train tab: the open run with its charts and sample captions.

mod actions;
pub mod state;
mod view;

use super::TabPage;
use crate::tui::app::App;
use crate::tui::image_cache::ImageKey;
use crate::tui::keys::Action;
use crate::tui::message::Effect;
use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};

pub struct TrainTab;

impl TabPage for TrainTab {
    fn act(&self, app: &mut App, action: Action) -> Vec<Effect> {
        app.act_on_training(action)
    }

    fn load(&self, app: &mut App) -> Vec<Effect> {
        app.ask_for_images().into_iter().collect()
    }

    fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
        view::draw(frame, area, app, theme);
    }

    fn images(&self, app: &App, area: Rect) -> Vec<ImageKey> {
        view::images(app, area)
    }

    fn click(&self, app: &mut App, area: Rect, position: Position) {
        view::click(app, area, position);
    }
}
