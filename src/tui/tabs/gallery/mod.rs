//! The Gallery tab: an image beside its captions.

mod actions;
pub mod attention;
pub mod state;
mod view;

use super::TabPage;
use crate::tui::App;

pub const PAGE: TabPage = TabPage {
    act: App::act_on_gallery,
    load: App::load_gallery,
    draw: view::draw,
    images: view::images,
    click: |_, _, _| {},
};
