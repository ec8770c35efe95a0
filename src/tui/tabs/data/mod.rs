//! The Data tab: datasets, and the report, the problems and samples of the selected one.

mod actions;
pub mod state;
mod view;

use super::TabPage;
use crate::tui::App;

pub const PAGE: TabPage = TabPage {
    act: App::act_on_data,
    load: |app| app.data.request().into_iter().collect(),
    draw: view::draw,
    images: view::images,
    click: view::click,
};
