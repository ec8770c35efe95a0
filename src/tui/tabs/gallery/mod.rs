//! The Gallery tab: an image beside its captions.

mod actions;
pub mod attention;
pub mod state;
mod view;

use super::TabPage;
use crate::tui::app::App;
use crate::tui::image_cache::ImageKey;
use crate::tui::keys::Action;
use crate::tui::message::Effect;
use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;

pub struct GalleryTab;

impl TabPage for GalleryTab {
    fn act(&self, app: &mut App, action: Action) -> Vec<Effect> {
        app.act_on_gallery(action)
    }

    fn load(&self, app: &mut App) -> Vec<Effect> {
        app.ask_for_album()
    }

    fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
        view::draw(frame, area, app, theme);
    }

    fn images(&self, app: &App, area: Rect) -> Vec<ImageKey> {
        view::images(app, area)
    }
}
