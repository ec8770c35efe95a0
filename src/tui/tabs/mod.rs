//! The tabs. Each has a folder: `state` holds what it shows, `actions` what its keys do, `view` draws it.

pub mod cursor;
pub mod data;
pub mod evaluate;
pub mod gallery;
pub mod runs;
pub mod train;

use super::app::App;
use super::image_cache::ImageKey;
use super::keys::Action;
use super::message::Effect;
use super::navigation::Tab;
use super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};

/// The operations of a tab on the state of the workbench.
pub trait TabPage {
    /// Handles the action of a key.
    fn act(&self, app: &mut App, action: Action) -> Vec<Effect>;

    /// Requests data that the tab shows and the state lacks.
    fn load(&self, _app: &mut App) -> Vec<Effect> {
        Vec::new()
    }

    /// Draws the tab.
    fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme);

    /// The visible images, so that a worker prepares them.
    fn images(&self, _app: &App, _area: Rect) -> Vec<ImageKey> {
        Vec::new()
    }

    /// Handles a click.
    fn click(&self, _app: &mut App, _area: Rect, _position: Position) {}
}

/// The implementation of a tab.
pub fn page(tab: Tab) -> &'static dyn TabPage {
    match tab {
        Tab::Data => &data::DataTab,
        Tab::Train => &train::TrainTab,
        Tab::Evaluate => &evaluate::EvaluateTab,
        Tab::Gallery => &gallery::GalleryTab,
        Tab::Runs => &runs::RunsTab,
    }
}
