//! The Data tab: data sets, and the report, the problems and samples of the selected one.

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

pub struct DataTab;

impl TabPage for DataTab {
    fn act(&self, app: &mut App, action: Action) -> Vec<Effect> {
        app.act_on_data(action)
    }

    fn load(&self, app: &mut App) -> Vec<Effect> {
        app.data.ask().into_iter().collect()
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
