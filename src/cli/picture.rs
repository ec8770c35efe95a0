//! Photos drawn into the scrolling terminal, by the protocol it speaks, and never by one it keeps silent on.
//!
//! viuer asks a terminal whether it speaks kitty's protocol and waits for ever where no answer comes. So the
//! environment decides what is tried at all, and kitty's protocol is tried only once the terminal has answered
//! a question that comes with a time limit.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use image::{DynamicImage, RgbImage};

use super::terminal::Terminal;

/// How photos are drawn.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How photos are drawn")]
pub(super) struct PictureArgs {
    /// What the terminal is drawn with
    #[arg(long, value_enum, default_value_t)]
    pub(super) protocol: Protocol,
    /// The most columns a photo takes; never more than the terminal has
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) width: Option<u16>,
}

/// How pixels reach the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    /// kitty's or iTerm's protocol where the environment names such a terminal, else half-blocks
    #[default]
    Auto,
    /// kitty's protocol, if the terminal answers
    Kitty,
    /// iTerm2's protocol, if the environment names a terminal that speaks it
    Iterm,
    /// Two pixels to a character cell, anywhere
    Blocks,
}

/// Draws `photo` at the cursor, within the terminal's width and height, and leaves the cursor below it.
pub(super) fn draw(photo: RgbImage, args: &PictureArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let protocol = match args.protocol {
        Protocol::Auto => named_by_environment(|name| std::env::var(name).ok()),
        asked => asked,
    };
    let (columns, rows) = terminal.size();
    let columns = args.width.unwrap_or(columns).min(columns);
    // A row for the prompt and one for the caption.
    let (width, height) = cells(
        (photo.width(), photo.height()),
        (columns, rows.saturating_sub(2).max(1)),
    );
    let config = viuer::Config {
        absolute_offset: false,
        width: Some(width),
        height: Some(height),
        use_kitty: protocol == Protocol::Kitty && answers_questions(),
        use_iterm: protocol == Protocol::Iterm,
        ..viuer::Config::default()
    };
    viuer::print(&DynamicImage::ImageRgb8(photo), &config)
        .context("cannot draw the photo; into a pipe, `| cat`, text alone is printed")?;
    Ok(())
}

fn named_by_environment(variable: impl Fn(&str) -> Option<String>) -> Protocol {
    let is =
        |name: &str, values: &[&str]| variable(name).is_some_and(|value| values.contains(&value.as_str()));
    if variable("KITTY_WINDOW_ID").is_some() || is("TERM", &["xterm-kitty"]) {
        Protocol::Kitty
    } else if is("TERM_PROGRAM", &["iTerm.app", "WezTerm"]) {
        Protocol::Iterm
    } else {
        Protocol::Blocks
    }
}

/// Whether the terminal answers within two seconds when asked what it is; asked once.
///
/// crossterm asks for the keyboard protocol and, as viuer will, for the primary device attributes. The answer
/// arrives on standard input; where that is no terminal nothing may be asked.
fn answers_questions() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    let ask = || io::stdin().is_terminal() && crossterm::terminal::supports_keyboard_enhancement().is_ok();
    *ANSWERS.get_or_init(ask)
}

/// The columns and rows that a photo of `pixels` fills within `available`; a cell is two pixels high.
fn cells(pixels: (u32, u32), available: (u16, u16)) -> (u32, u32) {
    let (width, height) = (f64::from(pixels.0.max(1)), f64::from(pixels.1.max(1)));
    let (columns, rows) = (f64::from(available.0), f64::from(available.1));
    let scale = (columns / width).min(2.0 * rows / height).min(1.0);
    let whole = |length: f64| (length.round() as u32).max(1);
    (whole(width * scale), whole(height * scale / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_keep_their_shape_within_the_terminal() {
        assert_eq!(cells((640, 480), (80, 100)), (80, 30), "as wide as the terminal");
        assert_eq!(cells((480, 640), (80, 24)), (36, 24), "as high as the terminal");
        assert_eq!(cells((20, 10), (80, 24)), (20, 5), "no larger than itself");
        assert_eq!(cells((10_000, 1), (80, 24)), (80, 1), "never nothing");
        assert_eq!(cells((1, 10_000), (1, 1)), (1, 1));
    }

    #[test]
    fn only_terminals_that_say_so_are_spoken_to_in_protocols() {
        let named = |variables: &[(&str, &str)]| {
            named_by_environment(|name| {
                variables
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(named(&[]), Protocol::Blocks);
        assert_eq!(
            named(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "tmux")]),
            Protocol::Blocks
        );
        assert_eq!(named(&[("KITTY_WINDOW_ID", "1")]), Protocol::Kitty);
        assert_eq!(named(&[("TERM", "xterm-kitty")]), Protocol::Kitty);
        assert_eq!(named(&[("TERM_PROGRAM", "iTerm.app")]), Protocol::Iterm);
        assert_eq!(named(&[("TERM_PROGRAM", "WezTerm")]), Protocol::Iterm);
    }
}
