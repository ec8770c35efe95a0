//! Standard output and standard error: terminal or pipe, colors and size.

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::ColorChoice;
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter};

pub(super) use crate::text::{display_path, display_safe};

/// Columns and rows without a terminal.
const DEFAULT_SIZE: (u16, u16) = (80, 24);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorMode {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also in a pipe
    Always,
    /// No escape sequences at all: images are described, not drawn
    Never,
}

impl ColorMode {
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

/// The `--color` among raw arguments: clap's help and errors need it before parsing.
pub(super) fn color_flag(arguments: &[OsString]) -> ColorMode {
    let texts: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.to_str().unwrap_or_default())
        .take_while(|text| *text != "--")
        .collect();
    let with_equals = texts.iter().filter_map(|text| text.strip_prefix("--color="));
    let separate = texts
        .windows(2)
        .filter(|pair| pair[0] == "--color")
        .map(|pair| pair[1]);
    with_equals
        .chain(separate)
        .find_map(|text| ColorMode::from_str(text, false).ok())
        .unwrap_or_default()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Colored,
    Plain,
}

/// The role of a text, which decides its style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Heading,
    Quiet,
    Success,
    Warning,
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

/// Standard output and standard error at the start of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) is_terminal: bool,
    pub(super) paint: Paint,
    /// Whether the cursor can be moved and images drawn.
    pub(super) draws: bool,
}

impl Terminal {
    /// Reads the environment. Sends no query to the terminal, so it cannot hang.
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

    pub(super) fn stderr_only(&self) -> Self {
        Self {
            stdout: self.stderr,
            stderr: self.stderr,
        }
    }

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

    /// Whether a user sees the output and can type.
    pub(super) fn is_interactive(&self) -> bool {
        self.stdout.is_terminal && io::stdin().is_terminal()
    }

    /// Text as lines that fit this stream's terminal; elsewhere unchanged.
    pub(super) fn wrap_for<'a>(&self, stream: Stream, text: &'a str) -> Cow<'a, str> {
        match stream.is_terminal {
            true => Cow::Owned(wrapped(text, usize::from(self.size().0))),
            false => Cow::Borrowed(text),
        }
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (u16, u16) {
        if !self.stdout.is_terminal && !self.stderr.is_terminal {
            return DEFAULT_SIZE;
        }
        match crossterm::terminal::size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
            _ => DEFAULT_SIZE,
        }
    }
}

/// Text in lines of at most this many columns, broken at blanks only; further lines begin as the first does.
fn wrapped(text: &str, columns: usize) -> String {
    let wrap = |line: &str| {
        let indent = " ".repeat(line.len() - line.trim_start_matches(' ').len());
        let options = Options::new(columns)
            .break_words(false)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .subsequent_indent(&indent);
        textwrap::wrap(line, options).join("\n")
    };
    text.split('\n').map(wrap).collect::<Vec<_>>().join("\n")
}

/// Writes a line to standard error. A closed stream is no reason to stop.
pub(super) fn print_to_stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_flag_precedes_environment_and_stream() {
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
    fn color_flag_is_found_before_parsing() {
        let found = |texts: &[&str]| color_flag(&texts.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(found(&["cutline", "--color", "never", "show"]), ColorMode::Never);
        assert_eq!(found(&["cutline", "show", "--color=always"]), ColorMode::Always);
        assert_eq!(found(&["cutline", "--color"]), ColorMode::Auto);
        assert_eq!(found(&["cutline", "--", "--color=always"]), ColorMode::Auto);
    }

    #[test]
    fn lines_are_broken_at_blanks_only() {
        let text = "  try more steps (training.epochs) or /a/long/path-with-hyphens.jpg";
        assert_eq!(
            wrapped(text, 24),
            "  try more steps\n  (training.epochs) or\n  /a/long/path-with-hyphens.jpg"
        );
        assert_eq!(wrapped("one\n\ntwo ", 24), "one\n\ntwo");
    }

    #[test]
    fn plain_text_has_no_escapes() {
        assert_eq!(Paint::Plain.text(Role::Failure, "error:"), "error:");
        let colored = Paint::Colored.text(Role::Failure, "error:");
        assert!(
            colored.starts_with('\u{1b}') && colored.ends_with("\u{1b}[0m"),
            "{colored:?}"
        );
    }
}
