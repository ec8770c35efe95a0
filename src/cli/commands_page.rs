//! `docs/commands.md`, generated from the help of every command.

use clap::{Command, CommandFactory};

use super::Cli;

/// The options of every command, which the page lists once.
const GLOBAL: [&str; 7] = ["root", "color", "ascii", "quiet", "device", "tf32", "bf16"];

/// The page: the help of the program, then that of every command without the global options.
fn page() -> String {
    let mut program = Cli::command();
    program.build();
    let mut page = String::from(
        "# Commands\n\n<!-- Generated from the program's help by `cargo test`. Do not edit. -->\n\nThe help of every command, as `cutline COMMAND --help` prints it.\n",
    );
    page.push_str(&section("cutline", &program));
    for command in program
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        let command = GLOBAL.iter().fold(command.clone(), |command, option| {
            command.mut_arg(option, |option| option.hide(true))
        });
        page.push_str(&section(&format!("cutline {}", command.get_name()), &command));
    }
    page
}

fn section(title: &str, command: &Command) -> String {
    // Values of the environment would differ from machine to machine.
    let command = command
        .clone()
        .mut_args(|argument| argument.hide_env_values(true));
    let help = command.max_term_width(100).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    format!("\n## {title}\n\n```text\n{}\n```\n", lines.join("\n").trim_end())
}

#[test]
fn commands_page_matches_help() {
    crate::testing::assert_page("docs/commands.md", &page());
}
