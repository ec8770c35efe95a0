//! A line chart: per curve a band from minimum to maximum of each column, and a smoothed line.
//!
//! ```text
//! 7.84 ┤⡇                      loss
//!      │⣧⣀
//! 3.12 ┤ ⠉⠒⠒⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤
//!      └1                    4,690
//!       ▪ loss 3.21   ▪ dev loss 2.97
//! ```

use crate::text::about_duration;
use crate::tui::chart_view::AxisScale;
use crate::tui::run_view::{CurveKind, NamedSeries};
use crate::tui::series::{Bucket, smoothed};
use crate::tui::theme::CurveStroke;
use crate::tui::{ChartSpec, ChartView, RunView, Theme, XAxis};
use indicatif::HumanCount;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Context, Line as Stroke};

pub const LABELS: u16 = 9;
/// Weight of the previous value in the moving average.
const SMOOTHING: f32 = 0.8;
/// Values up to this count as zero, which a logarithmic axis cannot show.
const LEAST: f32 = 1e-9;
/// Braille dots per column.
const DOTS: usize = 2;

pub struct Chart<'a> {
    /// The runs, each with the number of its color; the open run first.
    pub runs: Vec<(usize, &'a RunView)>,
    pub spec: ChartSpec,
    pub view: &'a ChartView,
    pub whole: (f64, f64),
    pub theme: &'a Theme,
}

struct PlottedCurve<'a> {
    run: &'a RunView,
    curve: &'a NamedSeries,
    buckets: Vec<Option<Bucket>>,
    line: Vec<Option<f32>>,
    color: Color,
    stroke: CurveStroke,
    /// Color of the band behind the line, if it has one.
    band: Option<Color>,
}

impl Widget for Chart<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        if area.width <= LABELS + 4 || area.height < 4 {
            return;
        }
        let plot = plot(area);
        let drawn = self.columns(usize::from(plot.width) * DOTS);
        let Some(bounds) = self.bounds(&drawn) else {
            let text = Line::styled("no data yet", self.theme.quiet);
            buffer.set_line(plot.x + 1, plot.y + plot.height / 2, &text, plot.width);
            buffer.set_line(
                plot.x,
                plot.bottom() + 1,
                &self.legend(&drawn, plot.width),
                plot.width,
            );
            return;
        };
        self.draw_curves(&drawn, bounds, plot, buffer);
        self.draw_y_labels(bounds, area, plot, buffer);
        self.draw_x_labels(plot, buffer);
        buffer.set_line(
            plot.x,
            plot.bottom() + 1,
            &self.legend(&drawn, plot.width),
            plot.width,
        );
    }
}

pub fn plot(area: Rect) -> Rect {
    Rect {
        x: area.x + LABELS,
        y: area.y,
        width: area.width.saturating_sub(LABELS),
        height: area.height.saturating_sub(2),
    }
}

impl Chart<'_> {
    fn range(&self) -> (f64, f64) {
        self.view.shown(self.whole)
    }

    fn columns(&self, count: usize) -> Vec<PlottedCurve<'_>> {
        let is_alone = self.runs.len() == 1;
        let mut drawn = Vec::new();
        for (number, run) in &self.runs {
            let edges = run.edges(self.view.unit, self.range(), count);
            for (index, curve) in run.curves(&self.spec).enumerate() {
                let buckets = curve.values.buckets(&edges);
                let line = match curve.kind {
                    CurveKind::Steps => smoothed(&buckets, SMOOTHING),
                    CurveKind::Epochs => buckets.iter().map(|bucket| Some(bucket.as_ref()?.mean)).collect(),
                };
                // A single run has a color per curve, overlaid runs have one per run.
                let (color, band) = self.theme.curve(if is_alone { index } else { *number });
                drawn.push(PlottedCurve {
                    run,
                    buckets,
                    line,
                    color,
                    stroke: self.theme.stroke(drawn.len()),
                    band: (is_alone && curve.kind == CurveKind::Steps).then_some(band),
                    curve,
                });
            }
        }
        drawn
    }

    /// The position of a value on the y axis; `None` if it has no logarithm.
    fn position(&self, value: f32) -> Option<f64> {
        match self.view.scale {
            AxisScale::Linear => Some(f64::from(value)),
            AxisScale::Logarithmic => (value > LEAST).then(|| f64::from(value).ln()),
        }
    }

    fn value(&self, position: f64) -> f64 {
        match self.view.scale {
            AxisScale::Linear => position,
            AxisScale::Logarithmic => position.exp(),
        }
    }

    /// The y range of all curves, never empty.
    fn bounds(&self, drawn: &[PlottedCurve<'_>]) -> Option<(f64, f64)> {
        let buckets = drawn.iter().flat_map(|curve| curve.buckets.iter().flatten());
        let (low, high) = buckets
            .flat_map(|bucket| [bucket.min, bucket.max])
            .filter_map(|value| self.position(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), position| {
                (low.min(position), high.max(position))
            });
        let least = (high.abs().max(low.abs()) * 1e-3).max(1e-9);
        match high - low {
            apart if !apart.is_finite() => None,
            apart if apart < least => Some((low - least, high + least)),
            _ => Some((low, high)),
        }
    }

    fn draw_curves(
        &self,
        drawn: &[PlottedCurve<'_>],
        (low, high): (f64, f64),
        plot: Rect,
        buffer: &mut Buffer,
    ) {
        let width = f64::from(plot.width) * DOTS as f64;
        let (first, last) = self.range();
        Canvas::default()
            .marker(self.theme.band)
            .x_bounds([0.0, width - 1.0])
            .y_bounds([low, high])
            .paint(|canvas| {
                for curve in drawn {
                    self.draw_band(canvas, curve);
                }
                canvas.layer();
                let mut marker = self.theme.band;
                for curve in drawn {
                    // Curves of the same marker share a layer, so that they share cells.
                    if curve.stroke.marker != marker {
                        marker = curve.stroke.marker;
                        canvas.marker(marker);
                    }
                    self.draw_line(canvas, curve);
                }
                if let Some(cursor) = self.view.cursor {
                    let (color, marker) = self.theme.cursor;
                    canvas.marker(marker);
                    let x = ((cursor - first) / (last - first) * (width - 1.0)).clamp(0.0, width - 1.0);
                    canvas.draw(&stroke((x, low), (x, high), color));
                }
            })
            .render(plot, buffer);
    }

    fn draw_band(&self, canvas: &mut Context<'_>, curve: &PlottedCurve<'_>) {
        let Some(color) = curve.band else { return };
        for (column, bucket) in curve.buckets.iter().enumerate() {
            let Some(bucket) = bucket else { continue };
            if let (Some(least), Some(most)) = (self.position(bucket.min), self.position(bucket.max)) {
                let x = column as f64;
                canvas.draw(&stroke((x, least), (x, most), color));
            }
        }
    }

    fn draw_line(&self, canvas: &mut Context<'_>, curve: &PlottedCurve<'_>) {
        let known = curve.line.iter().enumerate();
        let points: Vec<(f64, f64)> = known
            .filter_map(|(column, value)| Some((column as f64, self.position((*value)?)?)))
            .collect();
        for pair in points.windows(2) {
            canvas.draw(&stroke(pair[0], pair[1], curve.color));
        }
        if let [point] = points[..] {
            canvas.draw(&stroke(point, point, curve.color));
        }
    }

    fn draw_y_labels(&self, (low, high): (f64, f64), area: Rect, plot: Rect, buffer: &mut Buffer) {
        let rows = plot.height - 1;
        for row in (0..=rows).step_by(usize::from((rows / 3).max(1))) {
            let position = high - (high - low) * f64::from(row) / f64::from(rows.max(1));
            let label = format!(
                "{:>width$} ",
                figure(self.value(position)),
                width = usize::from(LABELS) - 1
            );
            buffer.set_string(area.x, plot.y + row, label, self.theme.quiet);
        }
    }

    fn draw_x_labels(&self, plot: Rect, buffer: &mut Buffer) {
        let (first, last) = self.range();
        let unit = self.view.unit;
        let y = plot.bottom();
        buffer.set_string(plot.x, y, format_position(unit, first), self.theme.quiet);
        let end = match unit {
            XAxis::Minutes => format_position(unit, last),
            _ => format!("{} {}", <&str>::from(unit), format_position(unit, last)),
        };
        let x = plot.right().saturating_sub(end.chars().count() as u16);
        buffer.set_string(x, y, &end, self.theme.quiet);
        if let Some(cursor) = self.view.cursor {
            let label = format!("[{} {}]", <&str>::from(unit), format_position(unit, cursor));
            let share = (cursor - first) / (last - first);
            let middle = f64::from(plot.x) + share * f64::from(plot.width) - label.len() as f64 / 2.0;
            let room = plot.right().saturating_sub(label.len() as u16);
            let x = (middle.max(f64::from(plot.x)) as u16).min(room);
            buffer.set_string(x, y, &label, self.theme.heading);
        }
    }

    /// The title if there is room for it, then each curve with its last value or that at the cursor.
    fn legend(&self, drawn: &[PlottedCurve<'_>], width: u16) -> Line<'static> {
        let scale = match self.view.scale {
            AxisScale::Linear => "",
            AxisScale::Logarithmic => ", logarithmic",
        };
        let title = &self.spec.title;
        let mut spans = vec![Span::styled(format!("{title}{scale}   "), self.theme.heading)];
        for drawn in drawn {
            let figure = self.read_off(drawn).map_or_else(|| "-".to_owned(), figure);
            let name = match self.runs.len() {
                1 => drawn.curve.label(),
                _ => format!("{} {}", drawn.run.name, drawn.curve.label()),
            };
            let bullet = drawn.stroke.bullet.to_string();
            spans.push(Span::styled(bullet, Style::new().fg(drawn.color)));
            spans.push(Span::raw(format!(" {name} {figure}   ")));
        }
        let columns: usize = spans.iter().map(Span::width).sum();
        // The last curve's blanks may be cut.
        if !drawn.is_empty() && columns > usize::from(width) + 3 {
            spans.remove(0);
        }
        Line::from(spans)
    }

    fn read_off(&self, drawn: &PlottedCurve<'_>) -> Option<f64> {
        let value = match self.view.cursor {
            Some(cursor) => {
                let step = drawn.run.step_at(self.view.unit, cursor);
                drawn.curve.values.value_at(step)
            }
            None => drawn.curve.values.last(),
        };
        value.map(f64::from)
    }
}

fn stroke((x1, y1): (f64, f64), (x2, y2): (f64, f64), color: Color) -> Stroke {
    Stroke {
        x1,
        y1,
        x2,
        y2,
        color,
    }
}

fn format_position(unit: XAxis, position: f64) -> String {
    match unit {
        XAxis::Steps => HumanCount(position.round() as u64).to_string(),
        XAxis::Epochs => format!("{position:.1}"),
        XAxis::Minutes => about_duration(position * 60.0),
    }
}

/// A number in at most eight characters.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size >= 1e6 => format!("{:.0} M", value / 1e6),
        size if size >= 10_000.0 => HumanCount(value.round() as u64).to_string(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_labels_are_short() {
        let texts: Vec<String> = [0.0, 3.21049, 0.0004, 9876.5, 123_456.0]
            .into_iter()
            .map(figure)
            .collect();
        assert_eq!(texts, ["0", "3.210", "4.0e-4", "9876", "123,456"]);
    }
}
