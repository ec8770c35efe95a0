//! Draws images in the terminal, with a graphics protocol or half blocks.
//!
//! viuer asks a terminal whether it supports kitty's protocol, and blocks forever if there is no answer. So the
//! environment decides which protocol to try, and kitty's is tried only after the terminal has answered a query with a
//! timeout.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage, Rgba, RgbaImage};

use super::terminal::Terminal;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Images")]
pub(super) struct InlineImageArgs {
    /// Graphics protocol
    #[arg(long, value_enum, default_value_t)]
    pub(super) protocol: Protocol,
    /// Maximum width of an image in columns [default: that of the terminal]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) width: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    /// kitty's or iTerm2's protocol if the environment names such a terminal, else half blocks
    #[default]
    Auto,
    /// kitty's protocol, if the terminal answers
    Kitty,
    /// iTerm2's protocol, if the environment names a terminal that supports it
    Iterm,
    /// Half blocks: two pixels per character cell, on any terminal
    Blocks,
}

/// Draws `image` at the cursor, within the terminal's width and height, and leaves the cursor below it.
pub(super) fn draw(image: RgbImage, args: &InlineImageArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let columns = args.width.unwrap_or(u16::MAX);
    let size = cells(image.dimensions(), max_size(columns, terminal));
    print(&DynamicImage::ImageRgb8(image), size, args.protocol.resolve())
}

/// Columns between images in a row.
const GAP: u32 = 2;

/// Images of one size, side by side in rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    /// Columns and rows of an image.
    size: (u32, u32),
    pub(super) per_row: usize,
}

impl Tiles {
    /// For images of `pixels`, at most `columns` wide.
    pub(super) fn new(pixels: (u32, u32), columns: u16, terminal: &Terminal) -> Self {
        let size = cells(pixels, max_size(columns, terminal));
        let available = u32::from(terminal.size().0);
        Self {
            size,
            per_row: ((available + GAP) / (size.0 + GAP)).max(1) as usize,
        }
    }

    pub(super) fn columns(&self) -> usize {
        self.size.0 as usize
    }

    /// The first column of an image in its row.
    pub(super) fn column_of(&self, index: usize) -> usize {
        index * (self.size.0 + GAP) as usize
    }

    /// The images of a row in one image, with transparent gaps, at the resolution that it is drawn with.
    fn side_by_side<'a>(
        &self,
        images: impl ExactSizeIterator<Item = &'a RgbImage>,
        protocol: Protocol,
    ) -> RgbaImage {
        let (columns, rows) = self.size;
        let scale = protocol.pixels_per_column();
        let (width, height) = (columns * scale, rows * 2 * scale);
        let start = |index: usize| self.column_of(index) as u32 * scale;
        let total = start(images.len()).saturating_sub(GAP * scale);
        let mut row = RgbaImage::from_pixel(total, height, Rgba([0; 4]));
        for (i, image) in images.enumerate() {
            let image = imageops::resize(image, width, height, FilterType::Triangle);
            let image = DynamicImage::ImageRgb8(image).into_rgba8();
            imageops::replace(&mut row, &image, start(i).into(), 0);
        }
        row
    }
}

/// Draws images side by side at the cursor, and leaves the cursor below them.
pub(super) fn draw_row<'a>(
    images: impl ExactSizeIterator<Item = &'a RgbImage>,
    tiles: &Tiles,
    args: &InlineImageArgs,
) -> anyhow::Result<()> {
    let protocol = args.protocol.resolve();
    let size = (
        (tiles.column_of(images.len()) as u32).saturating_sub(GAP),
        tiles.size.1,
    );
    let row = tiles.side_by_side(images, protocol);
    print(&DynamicImage::ImageRgba8(row), size, protocol)
}

/// The maximum columns and rows of an image.
fn max_size(columns: u16, terminal: &Terminal) -> (u16, u16) {
    let (available, rows) = terminal.size();
    // A row for the prompt and one for the caption.
    (columns.min(available), rows.saturating_sub(2).max(1))
}

fn print(image: &DynamicImage, (width, height): (u32, u32), protocol: Protocol) -> anyhow::Result<()> {
    let config = viuer::Config {
        absolute_offset: false,
        transparent: true,
        width: Some(width),
        height: Some(height),
        use_kitty: protocol == Protocol::Kitty && answers_queries(),
        use_iterm: protocol == Protocol::Iterm,
        ..viuer::Config::default()
    };
    viuer::print(image, &config)
        .context("cannot draw the image; pipe the output (`| cat`) to print only text")?;
    Ok(())
}

impl Protocol {
    /// The protocol to use: `Auto` takes the one of the environment.
    fn resolve(self) -> Self {
        match self {
            Self::Auto => from_environment(|name| std::env::var(name).ok()),
            protocol => protocol,
        }
    }

    fn pixels_per_column(self) -> u32 {
        match self {
            Self::Blocks => 1,
            Self::Auto | Self::Kitty | Self::Iterm => 8,
        }
    }
}

fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Protocol {
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

/// Whether the terminal answers a query within two seconds; asked once.
///
/// crossterm queries the keyboard protocol and, like viuer, the primary device attributes. The answer comes on standard
/// input, so that must be a terminal.
fn answers_queries() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    let ask = || io::stdin().is_terminal() && crossterm::terminal::supports_keyboard_enhancement().is_ok();
    *ANSWERS.get_or_init(ask)
}

/// The columns and rows of an image of `pixels` within `available`; a cell is two pixels high.
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
    fn image_fits_terminal_and_keeps_its_aspect_ratio() {
        assert_eq!(cells((640, 480), (80, 100)), (80, 30), "as wide as the terminal");
        assert_eq!(cells((480, 640), (80, 24)), (36, 24), "as high as the terminal");
        assert_eq!(cells((20, 10), (80, 24)), (20, 5), "no larger than itself");
        assert_eq!(cells((10_000, 1), (80, 24)), (80, 1), "never nothing");
        assert_eq!(cells((1, 10_000), (1, 1)), (1, 1));
    }

    #[test]
    fn row_has_gaps_between_images() {
        let tiles = Tiles::new((400, 300), 24, &Terminal::plain());
        assert_eq!((tiles.size, tiles.per_row), ((24, 9), 3), "in 80 columns");
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
    fn protocol_follows_the_environment() {
        let named = |variables: &[(&str, &str)]| {
            from_environment(|name| {
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
