//! Draws an image with the means of the terminal.

use crate::tui::theme::Pixels;
use crate::tui::{App, ImageCache, ImageKey, Theme};
use crate::vision::overlay::Overlay;
use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::Widget;
use ratatui_image::Image;
use ratatui_image::protocol::Protocol;
use std::path::Path;

const WEIGHTS: [&str; 10] = [" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"];

pub struct ImageWidget<'a> {
    pub file: Option<&'a Path>,
    /// Until the overlay is prepared, the plain image is shown.
    pub overlay: Option<Overlay>,
    pub images: &'a ImageCache,
    pub theme: &'a Theme,
}

/// The key of an image in an area; `None` without a file or space.
pub fn key(file: Option<&Path>, room: Rect) -> Option<ImageKey> {
    let path = file?.to_owned();
    let room = Size::new(room.width, room.height);
    (room.width > 0 && room.height > 0).then_some(ImageKey {
        path,
        room,
        overlay: None,
    })
}

impl Widget for ImageWidget<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let Some(key) = key(self.file, area) else {
            return self.say("image file not found", area, buffer);
        };
        let under = self
            .overlay
            .as_ref()
            .map(|overlay| key.with_overlay(overlay.clone()));
        let under = under.and_then(|key| self.images.get(&key));
        match under.or_else(|| self.images.get(&key)) {
            None => self.say("...", area, buffer),
            Some(Err(why)) => self.say(why, area, buffer),
            Some(Ok(drawn)) => {
                Image::new(&drawn.0).render(area, buffer);
                if matches!(*drawn.0, Protocol::Halfblocks(_)) {
                    tone(area, buffer, self.theme.pixels);
                }
            }
        }
    }
}

impl<'a> ImageWidget<'a> {
    pub fn new(file: Option<&'a Path>, app: &'a App, theme: &'a Theme) -> Self {
        Self {
            file,
            overlay: None,
            images: &app.images,
            theme,
        }
    }

    fn say(&self, words: &str, area: Rect, buffer: &mut Buffer) {
        let line = Line::styled(words.to_owned(), self.theme.quiet);
        buffer.set_line(area.x, area.y + area.height / 2, &line, area.width);
    }
}

fn tone(area: Rect, buffer: &mut Buffer, pixels: Pixels) {
    if pixels == Pixels::TrueColor {
        return;
    }
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            let cell = &mut buffer[(x, y)];
            let (Color::Rgb(..), Color::Rgb(..)) = (cell.fg, cell.bg) else {
                continue;
            };
            match pixels {
                Pixels::Characters => {
                    let light = (lightness(cell.fg) + lightness(cell.bg)) / 2.0;
                    let weight = (light * (WEIGHTS.len() - 1) as f32).round() as usize;
                    cell.set_symbol(WEIGHTS[weight.min(WEIGHTS.len() - 1)]);
                    cell.set_style(Style::reset());
                }
                Pixels::Palette | Pixels::TrueColor => {
                    cell.fg = nearest(cell.fg);
                    cell.bg = nearest(cell.bg);
                }
            }
        }
    }
}

fn nearest(color: Color) -> Color {
    match color {
        Color::Rgb(red, green, blue) => Color::Indexed(ansi_colours::ansi256_from_rgb((red, green, blue))),
        other => other,
    }
}

/// From 0 to 1, with the weights of ITU-R BT.601.
fn lightness(color: Color) -> f32 {
    match color {
        Color::Rgb(red, green, blue) => {
            (0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)) / 255.0
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toned(pixels: Pixels) -> ratatui::buffer::Cell {
        let area = Rect::new(0, 0, 1, 1);
        let mut buffer = Buffer::empty(area);
        buffer[(0, 0)]
            .set_symbol("▀")
            .set_fg(Color::Rgb(255, 255, 255))
            .set_bg(Color::Rgb(255, 255, 255));
        tone(area, &mut buffer, pixels);
        buffer[(0, 0)].clone()
    }

    #[test]
    fn pixels_reduced_to_terminal_colors() {
        assert_eq!(toned(Pixels::TrueColor).fg, Color::Rgb(255, 255, 255));
        assert_eq!(toned(Pixels::Palette).fg, Color::Indexed(231));
        let character = toned(Pixels::Characters);
        assert_eq!((character.symbol(), character.fg), ("@", Color::Reset));
    }
}
