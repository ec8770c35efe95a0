//! The Runs tab: all runs.

mod actions;
pub mod state;
mod view;

use super::TabPage;
use crate::tui::App;

pub const PAGE: TabPage = TabPage {
    act: App::act_on_runs,
    load: |_| Vec::new(),
    draw: view::draw,
    images: |_, _| Vec::new(),
    click: view::click,
};
