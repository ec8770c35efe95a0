//! `cutline keys`: the workbench's key bindings as a settings file.

use clap::Args;

use super::Context;
use super::terminal::display_path;
use super::workbench::{keymap, settings_path};
use crate::tui::keymap::Keymap;

/// Print the workbench's key bindings as a settings file
///
/// Write it to the settings file, change lines, and delete the others. A key with two commands in one tab is an error when
/// the workbench opens.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline keys
  mkdir -p ~/.config/cutline
  cutline keys > ~/.config/cutline/config.toml      # replaces the file")]
pub(super) struct Keys {}

impl Keys {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let keymap = keymap().unwrap_or_else(|error| {
            context.notice(&format!("warning: {error}\nThese are the default keys:"));
            Keymap::default()
        });
        if let Some(path) = settings_path() {
            context.notice(&format!("the settings file is {}", display_path(&path)));
        }
        context.print(&keymap.template())?;
        Ok(())
    }
}
