//! `cutline keys`: the workbench's keys, as a file to change them in.

use clap::Args;

use super::Context;
use super::terminal::display_path;
use super::workbench::{keymap, settings_path};
use crate::tui::keymap::Keymap;

/// Print the workbench's keys, ready to be changed
///
/// What is printed is a settings file with the keys as they are now. Keep the lines to be changed; the others may
/// go. A key that would mean two things in one tab is refused when the workbench opens.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline keys
  cutline keys > ~/.config/cutline/config.toml")]
pub(super) struct Keys {}

impl Keys {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let keymap = keymap().unwrap_or_else(|error| {
            context.notice(&format!("warning: {error}\nThese are the usual keys:"));
            Keymap::default()
        });
        if let Some(path) = settings_path() {
            context.notice(&format!("Changes belong into {}", display_path(&path)));
        }
        context.print(&keymap.template())?;
        Ok(())
    }
}
