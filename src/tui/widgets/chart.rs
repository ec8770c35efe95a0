//! A chart of curves over steps: for each a band from the least to the largest value of a column, and a smoothed line.
//!
//! ```text
//! 7.84 ┤⡇                      loss
//!      │⣧⣀
//! 3.12 ┤ ⠉⠒⠒⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤
//!      └1                    4,690
//!       ▪ training 3.21   ▪ dev 2.97
//! ```

use crate::tui::app::Axis;
use crate::tui::run_view::{Curve, Density};
use crate::tui::series::{Bucket, smoothed};
use crate::tui::theme::Theme;
use indicatif::HumanCount;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line as Stroke};

/// Columns for the labels of values.
const LABELS: u16 = 9;
/// How much of a smoothed line is what came before.
const SMOOTHING: f32 = 0.8;
/// Dots beside each other in one cell.
const DOTS: usize = 2;

/// A chart.
pub(in crate::tui) struct Chart<'a> {
    pub(in crate::tui) title: &'a str,
    pub(in crate::tui) curves: &'a [Curve<'a>],
    pub(in crate::tui) range: (u64, u64),
    pub(in crate::tui) axis: Axis,
    pub(in crate::tui) theme: &'a Theme,
}

/// A curve in columns.
struct Drawn {
    buckets: Vec<Option<Bucket>>,
    line: Vec<Option<f32>>,
    density: Density,
    colours: (Color, Color),
}

impl Widget for Chart<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        if area.width <= LABELS + 4 || area.height < 4 {
            return;
        }
        let plot = Rect {
            x: area.x + LABELS,
            y: area.y,
            width: area.width - LABELS,
            height: area.height - 2,
        };
        let drawn = self.columns(usize::from(plot.width) * DOTS);
        let Some((low, high)) = self.bounds(&drawn) else {
            let text = Line::styled("nothing to draw yet", self.theme.quiet);
            buffer.set_line(plot.x + 1, plot.y + plot.height / 2, &text, plot.width);
            return;
        };
        self.draw_curves(&drawn, (low, high), plot, buffer);
        self.draw_labels((low, high), area, plot, buffer);
    }
}

impl Chart<'_> {
    fn columns(&self, count: usize) -> Vec<Drawn> {
        let curves = self.curves.iter().zip(self.theme.curves.iter().cycle());
        curves
            .map(|(curve, &colours)| {
                let buckets = curve.series.buckets(self.range, count);
                let line = match curve.density {
                    Density::Steps => smoothed(&buckets, SMOOTHING),
                    Density::Epochs => buckets.iter().map(|bucket| Some(bucket.as_ref()?.mean)).collect(),
                };
                Drawn {
                    buckets,
                    line,
                    density: curve.density,
                    colours,
                }
            })
            .collect()
    }

    /// Where a value stands on the axis; nowhere, where it has no logarithm.
    fn place(&self, value: f32) -> Option<f64> {
        match self.axis {
            Axis::Plain => Some(f64::from(value)),
            Axis::Logarithmic => (value > 0.0).then(|| f64::from(value).ln()),
        }
    }

    fn value(&self, place: f64) -> f64 {
        match self.axis {
            Axis::Plain => place,
            Axis::Logarithmic => place.exp(),
        }
    }

    /// The least and the largest place of all that is drawn, a little apart at least.
    fn bounds(&self, drawn: &[Drawn]) -> Option<(f64, f64)> {
        let buckets = drawn.iter().flat_map(|curve| curve.buckets.iter().flatten());
        let places: Vec<f64> = buckets
            .flat_map(|bucket| [bucket.min, bucket.max])
            .filter_map(|value| self.place(value))
            .collect();
        let low = places.iter().copied().fold(f64::INFINITY, f64::min);
        let high = places.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = (high.abs().max(low.abs()) * 1e-3).max(1e-9);
        match high - low {
            apart if !apart.is_finite() => None,
            apart if apart < least => Some((low - least, high + least)),
            _ => Some((low, high)),
        }
    }

    fn draw_curves(&self, drawn: &[Drawn], (low, high): (f64, f64), plot: Rect, buffer: &mut Buffer) {
        let width = f64::from(plot.width) * DOTS as f64;
        Canvas::default()
            .marker(self.theme.marker)
            .x_bounds([0.0, width - 1.0])
            .y_bounds([low, high])
            .paint(|canvas| {
                for curve in drawn.iter().filter(|curve| curve.density == Density::Steps) {
                    for (column, bucket) in curve.buckets.iter().enumerate() {
                        let Some(bucket) = bucket else { continue };
                        if let (Some(y1), Some(y2)) = (self.place(bucket.min), self.place(bucket.max)) {
                            let x = column as f64;
                            canvas.draw(&Stroke {
                                x1: x,
                                y1,
                                x2: x,
                                y2,
                                color: curve.colours.1,
                            });
                        }
                    }
                }
                canvas.layer();
                for curve in drawn {
                    let known = curve.line.iter().enumerate();
                    let points: Vec<(f64, f64)> = known
                        .filter_map(|(column, value)| Some((column as f64, self.place((*value)?)?)))
                        .collect();
                    for pair in points.windows(2) {
                        canvas.draw(&Stroke {
                            x1: pair[0].0,
                            y1: pair[0].1,
                            x2: pair[1].0,
                            y2: pair[1].1,
                            color: curve.colours.0,
                        });
                    }
                    if let [(x, y)] = points[..] {
                        canvas.draw(&Stroke {
                            x1: x,
                            y1: y,
                            x2: x,
                            y2: y,
                            color: curve.colours.0,
                        });
                    }
                }
            })
            .render(plot, buffer);
    }

    fn draw_labels(&self, (low, high): (f64, f64), area: Rect, plot: Rect, buffer: &mut Buffer) {
        let rows = plot.height - 1;
        for row in (0..=rows).step_by(usize::from((rows / 3).max(1))) {
            let place = high - (high - low) * f64::from(row) / f64::from(rows.max(1));
            let label = format!(
                "{:>width$} ",
                figure(self.value(place)),
                width = usize::from(LABELS) - 1
            );
            buffer.set_string(area.x, plot.y + row, label, self.theme.quiet);
        }
        let (first, last) = self.range;
        let (first, last) = (
            HumanCount(first).to_string(),
            format!("step {}", HumanCount(last)),
        );
        let y = plot.y + plot.height;
        buffer.set_string(plot.x, y, &first, self.theme.quiet);
        let x = plot.right().saturating_sub(last.len() as u16);
        buffer.set_string(x, y, &last, self.theme.quiet);
        buffer.set_line(plot.x, y + 1, &self.legend(), plot.width);
    }

    /// The title, then the name and the last figure of every curve.
    fn legend(&self) -> Line<'static> {
        let scale = match self.axis {
            Axis::Plain => "",
            Axis::Logarithmic => ", logarithmic",
        };
        let mut spans = vec![Span::styled(
            format!("{}{scale}   ", self.title),
            self.theme.heading,
        )];
        for (curve, colours) in self.curves.iter().zip(self.theme.curves.iter().cycle()) {
            let last = curve
                .series
                .last()
                .map_or_else(|| "-".to_owned(), |value| figure(f64::from(value)));
            spans.push(Span::styled(self.theme.bullet, Style::new().fg(colours.0)));
            spans.push(Span::raw(format!(" {} {last}   ", curve.name)));
        }
        Line::from(spans)
    }
}

/// A figure in at most eight characters.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size >= 10_000.0 => HumanCount(value.round() as u64).to_string(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

/// What curves are made of where braille cannot be shown.
pub(in crate::tui) const PLAIN_MARKER: Marker = Marker::Custom('*');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let told: Vec<String> = [0.0, 3.21049, 0.0004, 9876.5, 123_456.0]
            .into_iter()
            .map(figure)
            .collect();
        assert_eq!(told, ["0", "3.210", "4.0e-4", "9876", "123,456"]);
    }
}
