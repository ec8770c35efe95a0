//! How things look: with the sixteen colors that every terminal has, or with none, so that it can be read on a light
//! and on a dark ground.

use super::widgets::chart::PLAIN_MARKER;
use crate::jobs::JobState;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::{self, Marker, border};

/// How things look.
#[derive(Clone, Debug)]
pub struct Theme {
    /// Headings, and what is chosen.
    pub heading: Style,
    /// What is of less weight.
    pub quiet: Style,
    /// Keys in footer and help.
    pub key: Style,
    /// The selected line.
    pub selected: Style,
    /// What went well.
    pub good: Style,
    /// What is to be looked at.
    pub warning: Style,
    /// What went wrong.
    pub bad: Style,
    /// Curves: the line, and the band behind it.
    pub curves: Vec<(Color, Color)>,
    /// The line at which figures are read off.
    pub cursor: Color,
    /// What curves are made of.
    pub marker: Marker,
    /// What images are made of, where no protocol for pictures is spoken.
    pub pixels: Pixels,
    /// Before the name of a curve.
    pub bullet: &'static str,
    /// Around boxes.
    pub border: border::Set<'static>,
    /// The heights of a small curve, lowest first.
    pub heights: [&'static str; 8],
    /// Around what can be chosen.
    pub arrows: (&'static str, &'static str),
    /// A bar: what is done, and what is not.
    pub bar: (&'static str, &'static str),
}

/// What images are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Half-blocks in sixteen million colors.
    TrueColor,
    /// Half-blocks in the 256 colors of a palette.
    Palette,
    /// Characters of different weight.
    Characters,
}

/// Whether colors are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// The sixteen of the terminal.
    Sixteen,
    /// None.
    None,
}

/// What characters are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Characters {
    /// Lines, blocks and braille too.
    All,
    /// Only those of ASCII.
    Ascii,
}

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Theme {
    /// With these means.
    pub fn new(colors: Colors, characters: Characters) -> Self {
        let theme = Self {
            heading: Style::new().add_modifier(Modifier::BOLD),
            quiet: Style::new().add_modifier(Modifier::DIM),
            key: Style::new().add_modifier(Modifier::BOLD),
            selected: Style::new().add_modifier(Modifier::REVERSED),
            good: Style::new(),
            warning: Style::new().add_modifier(Modifier::BOLD),
            bad: Style::new().add_modifier(Modifier::BOLD),
            curves: vec![(Color::Reset, Color::Reset)],
            cursor: Color::Reset,
            marker: Marker::Braille,
            pixels: Pixels::Characters,
            bullet: "▪",
            border: border::ROUNDED,
            heights: [
                symbols::bar::ONE_EIGHTH,
                symbols::bar::ONE_QUARTER,
                symbols::bar::THREE_EIGHTHS,
                symbols::bar::HALF,
                symbols::bar::FIVE_EIGHTHS,
                symbols::bar::THREE_QUARTERS,
                symbols::bar::SEVEN_EIGHTHS,
                symbols::bar::FULL,
            ],
            arrows: ("◂", "▸"),
            bar: ("━", "─"),
        };
        theme.with(colors).within(characters)
    }

    fn with(self, colors: Colors) -> Self {
        match colors {
            Colors::None => self,
            Colors::Sixteen => Self {
                key: Style::new().fg(Color::Cyan),
                good: Style::new().fg(Color::Green),
                warning: Style::new().fg(Color::Yellow),
                bad: Style::new().fg(Color::Red),
                cursor: Color::Yellow,
                pixels: Pixels::Palette,
                curves: vec![
                    (Color::Cyan, Color::DarkGray),
                    (Color::Magenta, Color::DarkGray),
                    (Color::Green, Color::DarkGray),
                    (Color::Yellow, Color::DarkGray),
                    (Color::Blue, Color::DarkGray),
                    (Color::Red, Color::DarkGray),
                ],
                ..self
            },
        }
    }

    fn within(self, characters: Characters) -> Self {
        match characters {
            Characters::All => self,
            Characters::Ascii => Self {
                marker: PLAIN_MARKER,
                pixels: Pixels::Characters,
                bullet: "*",
                border: ASCII_BORDER,
                heights: ["_", ".", ",", "-", "~", "=", "^", "#"],
                arrows: ("<", ">"),
                bar: ("=", "-"),
                ..self
            },
        }
    }

    /// With images in all colors, where images are drawn in colors at all.
    pub fn with_true_color(mut self) -> Self {
        if self.pixels == Pixels::Palette {
            self.pixels = Pixels::TrueColor;
        }
        self
    }

    /// The colors of the curve of that number: of the line, and of the band behind it.
    pub fn curve(&self, number: usize) -> (Color, Color) {
        self.curves[number % self.curves.len()]
    }

    /// How a state looks.
    pub fn state(&self, state: JobState) -> Style {
        match state {
            JobState::Running | JobState::Complete => self.good,
            JobState::Paused | JobState::Starting | JobState::Stopped => self.warning,
            JobState::Stalled | JobState::Failed | JobState::Crashed => self.bad,
            JobState::New => self.quiet,
        }
    }
}
