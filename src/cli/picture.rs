//! Images drawn into the scrolling terminal, by the protocol it speaks, and never by one it keeps silent on.
//!
//! viuer asks a terminal whether it speaks kitty's protocol and waits for ever where no answer comes. So the
//! environment decides what is tried at all, and kitty's protocol is tried only once the terminal has answered
//! a question that comes with a time limit.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage, Rgba, RgbaImage};

use super::terminal::Terminal;

/// How images are drawn.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How images are drawn")]
pub(super) struct PictureArgs {
    /// What the terminal is drawn with
    #[arg(long, value_enum, default_value_t)]
    pub(super) protocol: Protocol,
    /// The most columns an image takes; never more than the terminal has
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

/// Draws `image` at the cursor, within the terminal's width and height, and leaves the cursor below it.
pub(super) fn draw(image: RgbImage, args: &PictureArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let columns = args.width.unwrap_or(u16::MAX);
    let size = cells(image.dimensions(), room(columns, terminal));
    print(&DynamicImage::ImageRgb8(image), size, args.protocol.chosen())
}

/// Columns between pictures that stand beside each other.
const GAP: u32 = 2;

/// How pictures of one size stand beside each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    /// Columns and rows of each.
    size: (u32, u32),
    /// How many fit into a row.
    pub(super) in_a_row: usize,
}

impl Tiles {
    /// For images of these pixels, at most so many columns wide.
    pub(super) fn new(pixels: (u32, u32), columns: u16, terminal: &Terminal) -> Self {
        let size = cells(pixels, room(columns, terminal));
        let available = u32::from(terminal.size().0);
        Self {
            size,
            in_a_row: ((available + GAP) / (size.0 + GAP)).max(1) as usize,
        }
    }

    /// Columns of a picture.
    pub(super) fn columns(&self) -> usize {
        self.size.0 as usize
    }

    /// The column in which a picture of a row begins.
    pub(super) fn start_of(&self, place: usize) -> usize {
        place * (self.size.0 + GAP) as usize
    }

    /// The images in one picture, as large in pixels as it is drawn, with nothing between them.
    fn side_by_side<'a>(
        &self,
        images: impl ExactSizeIterator<Item = &'a RgbImage>,
        protocol: Protocol,
    ) -> RgbaImage {
        let (columns, rows) = self.size;
        let scale = protocol.pixels_in_a_column();
        let (width, height) = (columns * scale, rows * 2 * scale);
        let start = |place: usize| self.start_of(place) as u32 * scale;
        let all = start(images.len()).saturating_sub(GAP * scale);
        let mut row = RgbaImage::from_pixel(all, height, Rgba([0; 4]));
        for (place, image) in images.enumerate() {
            let image = imageops::resize(image, width, height, FilterType::Triangle);
            let image = DynamicImage::ImageRgb8(image).into_rgba8();
            imageops::replace(&mut row, &image, start(place).into(), 0);
        }
        row
    }
}

/// Draws images beside each other at the cursor, and leaves it below them.
pub(super) fn draw_row<'a>(
    images: impl ExactSizeIterator<Item = &'a RgbImage>,
    tiles: &Tiles,
    args: &PictureArgs,
) -> anyhow::Result<()> {
    let protocol = args.protocol.chosen();
    let size = (
        (tiles.start_of(images.len()) as u32).saturating_sub(GAP),
        tiles.size.1,
    );
    let row = tiles.side_by_side(images, protocol);
    print(&DynamicImage::ImageRgba8(row), size, protocol)
}

/// The columns and rows that a picture may take.
fn room(columns: u16, terminal: &Terminal) -> (u16, u16) {
    let (available, rows) = terminal.size();
    // A row for the prompt and one for the caption.
    (columns.min(available), rows.saturating_sub(2).max(1))
}

fn print(picture: &DynamicImage, (width, height): (u32, u32), protocol: Protocol) -> anyhow::Result<()> {
    let config = viuer::Config {
        absolute_offset: false,
        transparent: true,
        width: Some(width),
        height: Some(height),
        use_kitty: protocol == Protocol::Kitty && answers_questions(),
        use_iterm: protocol == Protocol::Iterm,
        ..viuer::Config::default()
    };
    viuer::print(picture, &config)
        .context("cannot draw the image; into a pipe, `| cat`, text alone is printed")?;
    Ok(())
}

impl Protocol {
    /// What is drawn with, the environment asked where nothing else was said.
    fn chosen(self) -> Self {
        match self {
            Self::Auto => named_by_environment(|name| std::env::var(name).ok()),
            asked => asked,
        }
    }

    /// Pixels worth having across a column of the terminal.
    fn pixels_in_a_column(self) -> u32 {
        match self {
            Self::Blocks => 1,
            Self::Auto | Self::Kitty | Self::Iterm => 8,
        }
    }
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

/// The columns and rows that an image of `pixels` fills within `available`; a cell is two pixels high.
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
    fn images_keep_their_shape_within_the_terminal() {
        assert_eq!(cells((640, 480), (80, 100)), (80, 30), "as wide as the terminal");
        assert_eq!(cells((480, 640), (80, 24)), (36, 24), "as high as the terminal");
        assert_eq!(cells((20, 10), (80, 24)), (20, 5), "no larger than itself");
        assert_eq!(cells((10_000, 1), (80, 24)), (80, 1), "never nothing");
        assert_eq!(cells((1, 10_000), (1, 1)), (1, 1));
    }

    #[test]
    fn pictures_stand_beside_each_other_with_nothing_between() {
        let tiles = Tiles::new((400, 300), 24, &Terminal::plain());
        assert_eq!((tiles.size, tiles.in_a_row), ((24, 9), 3), "in 80 columns");
        let images = [
            RgbImage::from_pixel(400, 300, image::Rgb([9; 3])),
            RgbImage::new(400, 300),
        ];
        let row = tiles.side_by_side(images.iter(), Protocol::Blocks);
        assert_eq!(row.dimensions(), (24 + 2 + 24, 18));
        let seen = [0, 23, 24, 25, 26, 49].map(|x| row.get_pixel(x, 0).0);
        let (first, second, nothing) = ([9, 9, 9, 255], [0, 0, 0, 255], [0; 4]);
        assert_eq!(seen, [first, first, nothing, nothing, second, second]);
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
