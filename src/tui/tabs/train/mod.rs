//! The Train tab: the open run with its charts and sample captions.

mod actions;
pub mod state;
mod view;

use super::TabPage;
use crate::tui::App;

pub const PAGE: TabPage = TabPage {
    act: App::act_on_train,
    load: |app| app.request_images().into_iter().collect(),
    draw: view::draw,
    images: view::images,
    click: view::click,
};
