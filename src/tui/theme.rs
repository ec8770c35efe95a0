//! Colors and symbols: the terminal's sixteen colors or none, so that any background works.

use crate::jobs::JobState;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::{Marker, border};

#[derive(Clone, Debug)]
pub struct Theme {
    pub heading: Style,
    pub quiet: Style,
    pub key: Style,
    pub selected: Style,
    pub good: Style,
    pub warning: Style,
    pub bad: Style,
    /// Per curve: the line, and the band behind it.
    pub curves: Vec<(Color, Color)>,
    /// How curves are drawn, in turn; without colors they differ.
    pub strokes: &'static [CurveStroke],
    /// Of the bands behind curves.
    pub band: Marker,
    pub cursor: (Color, Marker),
    /// How images are drawn without a graphics protocol.
    pub pixels: Pixels,
    pub border: border::Set<'static>,
    /// Bars of the sparkline, lowest first.
    pub heights: [&'static str; 8],
    pub arrows: (&'static str, &'static str),
    /// Progress bar: done, and remaining.
    pub bar: (&'static str, &'static str),
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurveStroke {
    pub marker: Marker,
    /// Before its name in the legend.
    pub bullet: char,
}

impl CurveStroke {
    const fn of(character: char) -> Self {
        Self {
            marker: Marker::Custom(character),
            bullet: character,
        }
    }
}

const COLORED: &[CurveStroke] = &[CurveStroke {
    marker: Marker::Braille,
    bullet: '▪',
}];

const WITHOUT_COLORS: &[CurveStroke] = &[
    CurveStroke {
        marker: Marker::Braille,
        bullet: '⠶',
    },
    CurveStroke::of('○'),
    CurveStroke::of('◆'),
    CurveStroke::of('×'),
    CurveStroke::of('□'),
    CurveStroke::of('+'),
];

const IN_ASCII: &[CurveStroke] = &[
    CurveStroke::of('*'),
    CurveStroke::of('o'),
    CurveStroke::of('x'),
    CurveStroke::of('#'),
    CurveStroke::of('+'),
    CurveStroke::of('@'),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Half-blocks in 24-bit color.
    TrueColor,
    /// Half-blocks in 256 colors.
    Palette,
    /// Characters of different brightness.
    Characters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    Sixteen,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CharacterSet {
    /// With lines, blocks and braille.
    Unicode,
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

const CURVES: [Color; 6] = [
    Color::Cyan,
    Color::Magenta,
    Color::Green,
    Color::Yellow,
    Color::Blue,
    Color::Red,
];

impl Theme {
    pub fn new(colors: Colors, characters: CharacterSet) -> Self {
        let theme = Self {
            heading: Style::new().add_modifier(Modifier::BOLD),
            quiet: Style::new().add_modifier(Modifier::DIM),
            key: Style::new().add_modifier(Modifier::BOLD),
            selected: Style::new().add_modifier(Modifier::REVERSED),
            good: Style::new(),
            warning: Style::new().add_modifier(Modifier::BOLD),
            bad: Style::new().add_modifier(Modifier::BOLD),
            curves: vec![(Color::Reset, Color::Reset)],
            strokes: WITHOUT_COLORS,
            band: Marker::Custom('·'),
            cursor: (Color::Reset, Marker::Custom('│')),
            pixels: Pixels::Characters,
            border: border::ROUNDED,
            heights: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
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
                strokes: COLORED,
                band: Marker::Braille,
                cursor: (Color::Yellow, Marker::Braille),
                pixels: Pixels::Palette,
                curves: CURVES.map(|line| (line, Color::DarkGray)).to_vec(),
                ..self
            },
        }
    }

    fn within(self, characters: CharacterSet) -> Self {
        match characters {
            CharacterSet::Unicode => self,
            CharacterSet::Ascii => Self {
                strokes: IN_ASCII,
                band: Marker::Custom(':'),
                cursor: (self.cursor.0, Marker::Custom('|')),
                pixels: Pixels::Characters,
                border: ASCII_BORDER,
                heights: ["_", ".", ",", "-", "~", "=", "^", "#"],
                arrows: ("<", ">"),
                bar: ("=", "-"),
                ..self
            },
        }
    }

    /// Draws images in 24-bit color if colors are on.
    pub fn with_true_color(mut self) -> Self {
        if self.pixels == Pixels::Palette {
            self.pixels = Pixels::TrueColor;
        }
        self
    }

    /// Colors of the curve of a run: the line, and the band behind it.
    pub fn curve(&self, number: usize) -> (Color, Color) {
        self.curves[number % self.curves.len()]
    }

    /// How the curve of this number in a chart is drawn.
    pub fn stroke(&self, number: usize) -> CurveStroke {
        self.strokes[number % self.strokes.len()]
    }

    pub fn state(&self, state: JobState) -> Style {
        match state {
            JobState::Running | JobState::Complete => self.good,
            JobState::Paused | JobState::Starting | JobState::Stopped => self.warning,
            JobState::Stalled | JobState::Failed | JobState::Crashed | JobState::Unreadable => self.bad,
            JobState::New => self.quiet,
        }
    }
}
