//! `cutline completions`: shell completion scripts.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Context};

/// Print the completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline completions bash
  mkdir -p ~/.local/share/bash-completion/completions
  cutline completions bash > ~/.local/share/bash-completion/completions/cutline
  cutline completions zsh > ~/.zfunc/_cutline
  cutline completions fish > ~/.config/fish/completions/cutline.fish")]
pub(super) struct Completions {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        // In memory first: clap_complete panics if its writer fails, as a closed pipe does.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "cutline", &mut script);
        context.print(&String::from_utf8(script)?)?;
        Ok(())
    }
}
