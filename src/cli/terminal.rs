//! What the program speaks to: terminals or pipes, their colors and width, and text made safe for them.

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::ColorChoice;
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};

pub(super) use crate::text::{display_path, display_safe};

/// The width assumed where there is no terminal to ask.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// When to color what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorMode {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Even into a pipe.
    Always,
    /// Nowhere; no escape sequences at all, so images are described rather than drawn.
    Never,
}

impl ColorMode {
    /// The same choice for clap's own messages.
    pub(super) fn for_clap(self) -> ColorChoice {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
    }

    fn paint(self, is_terminal: bool, no_color: bool) -> Paint {
        match self {
            Self::Always => Paint::Colored,
            Self::Auto if is_terminal && !no_color => Paint::Colored,
            Self::Auto | Self::Never => Paint::Plain,
        }
    }
}

/// The `--color` among raw arguments, which clap's help and errors need before parsing is done.
pub(super) fn color_asked_for(arguments: &[OsString]) -> ColorMode {
    let texts: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.to_str().unwrap_or_default())
        .take_while(|text| *text != "--")
        .collect();
    let joined = texts.iter().filter_map(|text| text.strip_prefix("--color="));
    let apart = texts
        .windows(2)
        .filter(|pair| pair[0] == "--color")
        .map(|pair| pair[1]);
    joined
        .chain(apart)
        .find_map(|text| ColorMode::from_str(text, false).ok())
        .unwrap_or_default()
}

/// Whether text is colored on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// With ANSI escape sequences.
    Colored,
    /// As it is.
    Plain,
}

/// What a piece of text is for, which decides how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A heading or the head of a table.
    Heading,
    /// Something of less weight.
    Quiet,
    /// A good sign.
    Success,
    /// A sign to look at.
    Warning,
    /// A failure.
    Failure,
}

impl Role {
    fn style(self) -> Style {
        match self {
            Self::Heading => Style::new().bold(),
            Self::Quiet => Style::new().dimmed(),
            Self::Success => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default().bold(),
            Self::Failure => AnsiColor::Red.on_default().bold(),
        }
    }
}

impl Paint {
    /// `text` as its role wants it.
    pub(super) fn text<'a>(self, role: Role, text: &'a str) -> Cow<'a, str> {
        match self {
            Self::Plain => Cow::Borrowed(text),
            Self::Colored => {
                let style = role.style();
                Cow::Owned(format!("{style}{text}{style:#}"))
            }
        }
    }
}

/// What standard output and standard error are, asked once at the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    stdout: Stream,
    stderr: Stream,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    is_terminal: bool,
    paint: Paint,
    /// The cursor can be moved and pictures drawn.
    draws: bool,
}

impl Terminal {
    /// Looks at the streams and the environment; asks the terminal nothing, so it cannot hang.
    pub(super) fn detect(choice: ColorMode) -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let stream = |is_terminal: bool| Stream {
            is_terminal,
            paint: choice.paint(is_terminal && !is_dumb, no_color),
            draws: is_terminal && !is_dumb && choice != ColorMode::Never,
        };
        Self {
            stdout: stream(io::stdout().is_terminal()),
            stderr: stream(io::stderr().is_terminal()),
        }
    }

    /// The same with everything on standard error.
    pub(super) fn stderr_only(&self) -> Self {
        Self {
            stdout: self.stderr,
            stderr: self.stderr,
        }
    }

    /// Two pipes without colors.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        let stream = Stream {
            is_terminal: false,
            paint: Paint::Plain,
            draws: false,
        };
        Self {
            stdout: stream,
            stderr: stream,
        }
    }

    /// Whether somebody sees standard output, rather than a program reading it.
    pub(super) fn stdout_is_terminal(&self) -> bool {
        self.stdout.is_terminal
    }

    /// Whether somebody sits at a terminal that can be drawn on and typed at.
    pub(super) fn is_interactive(&self) -> bool {
        self.stdout.is_terminal && io::stdin().is_terminal()
    }

    /// Whether pictures may go to standard output.
    pub(super) fn stdout_draws(&self) -> bool {
        self.stdout.draws
    }

    /// Whether a line on standard error can be redrawn.
    pub(super) fn stderr_draws(&self) -> bool {
        self.stderr.draws
    }

    /// The colors of standard output.
    pub(super) fn stdout_paint(&self) -> Paint {
        self.stdout.paint
    }

    /// The colors of standard error.
    pub(super) fn stderr_paint(&self) -> Paint {
        self.stderr.paint
    }

    /// Columns and rows; 80 and 24 where there is no terminal to ask.
    pub(super) fn size(&self) -> (u16, u16) {
        if !self.stdout.is_terminal && !self.stderr.is_terminal {
            return USUAL_SIZE;
        }
        match crossterm::terminal::size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
            _ => USUAL_SIZE,
        }
    }
}

/// Writes a line to standard error; where nobody reads it any more that is no reason to stop.
pub(super) fn print_to_stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_follow_the_flag_then_the_environment_then_the_stream() {
        let table = [
            (ColorMode::Auto, true, false, Paint::Colored),
            (ColorMode::Auto, true, true, Paint::Plain),
            (ColorMode::Auto, false, false, Paint::Plain),
            (ColorMode::Always, false, true, Paint::Colored),
            (ColorMode::Never, true, false, Paint::Plain),
        ];
        for (choice, is_terminal, no_color, expected) in table {
            assert_eq!(
                choice.paint(is_terminal, no_color),
                expected,
                "{choice:?} {is_terminal} {no_color}"
            );
        }
    }

    #[test]
    fn the_color_flag_is_seen_before_parsing() {
        let asked = |texts: &[&str]| color_asked_for(&texts.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(asked(&["cutline", "--color", "never", "show"]), ColorMode::Never);
        assert_eq!(asked(&["cutline", "show", "--color=always"]), ColorMode::Always);
        assert_eq!(asked(&["cutline", "--color"]), ColorMode::Auto);
        assert_eq!(asked(&["cutline", "--", "--color=always"]), ColorMode::Auto);
    }

    #[test]
    fn plain_text_carries_no_escapes() {
        assert_eq!(Paint::Plain.text(Role::Failure, "error:"), "error:");
        let colored = Paint::Colored.text(Role::Failure, "error:");
        assert!(
            colored.starts_with('\u{1b}') && colored.ends_with("\u{1b}[0m"),
            "{colored:?}"
        );
    }
}
