//! The Evaluate tab: evaluations, how they compare, and their best and worst images.

mod actions;
pub mod state;
mod view;

use super::TabPage;
use crate::tui::App;

pub const PAGE: TabPage = TabPage {
    act: App::act_on_evaluate,
    load: |app| app.evaluate.request().into_iter().collect(),
    draw: view::draw,
    images: |_, _| Vec::new(),
    click: view::click,
};
