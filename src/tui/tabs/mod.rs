//! The tabs. Each has a folder: `state` holds what it shows, `actions` what its keys do, `view` draws it.

pub mod data;
pub mod evaluate;
pub mod gallery;
pub mod listing;
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

/// What a tab does with the state of the workbench.
pub struct TabPage {
    pub act: fn(&mut App, Action) -> Vec<Effect>,
    /// Requests data that the tab shows and the state lacks.
    pub load: fn(&mut App) -> Vec<Effect>,
    /// Draws the tab; changes nothing.
    pub draw: fn(&mut Frame<'_>, Rect, &App, &Theme),
    /// The visible images, so that a worker prepares them.
    pub images: fn(&App, Rect) -> Vec<ImageKey>,
    pub click: fn(&mut App, Rect, Position),
}

pub fn page(tab: Tab) -> &'static TabPage {
    match tab {
        Tab::Data => &data::PAGE,
        Tab::Train => &train::PAGE,
        Tab::Evaluate => &evaluate::PAGE,
        Tab::Gallery => &gallery::PAGE,
        Tab::Runs => &runs::PAGE,
    }
}
