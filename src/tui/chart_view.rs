//! What a chart shows: quantity, axes, visible range, cursor.

use super::{ChartSpec, XAxis};

/// Fraction of the visible range to pan by, and the factor to zoom by.
const PAN: f64 = 0.25;
const ZOOM: f64 = 2.0;
/// Fraction of the visible range to move the cursor by.
const CURSOR: f64 = 0.02;
/// The shortest range, as a fraction of all steps.
const SHORTEST: f64 = 1e-4;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChartView {
    /// Title of the chart; `None` shows the first.
    pub title: Option<String>,
    pub unit: XAxis,
    pub scale: AxisScale,
    /// The visible part of the x axis; `None` shows all of it.
    pub range: Option<(f64, f64)>,
    pub cursor: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::VariantArray)]
pub enum AxisScale {
    #[default]
    Linear,
    Logarithmic,
}

impl ChartView {
    /// The selected chart of `charts`, otherwise the first.
    pub fn select(&self, charts: &[ChartSpec]) -> usize {
        let selected = |chart: &ChartSpec| Some(&chart.title) == self.title.as_ref();
        charts.iter().position(selected).unwrap_or(0)
    }

    /// Selects the chart `by` places after the current one, around the end.
    pub fn turn(&mut self, charts: &[ChartSpec], by: isize) {
        let count = charts.len().max(1) as isize;
        let index = (self.select(charts) as isize + by).rem_euclid(count) as usize;
        self.title = charts.get(index).map(|chart| chart.title.clone());
    }

    /// The visible range, given the range of all data.
    pub fn shown(&self, whole: (f64, f64)) -> (f64, f64) {
        self.range.unwrap_or(whole)
    }

    pub fn count(&mut self, unit: XAxis) {
        self.unit = unit;
        self.range = None;
        self.cursor = None;
    }

    /// Zooms in around the cursor, otherwise at the end, where new values appear.
    pub fn zoom_in(&mut self, whole: (f64, f64)) {
        self.zoom(whole, 1.0 / ZOOM);
    }

    pub fn zoom_out(&mut self, whole: (f64, f64)) {
        self.zoom(whole, ZOOM);
    }

    fn zoom(&mut self, (begin, end): (f64, f64), factor: f64) {
        let (first, last) = self.shown((begin, end));
        let length = ((last - first) * factor).max((end - begin) * SHORTEST);
        if length >= end - begin {
            self.range = None;
            return;
        }
        let first = match self.cursor {
            Some(cursor) => cursor - length / 2.0,
            None => last - length,
        };
        self.range = Some(within((begin, end), first, length));
    }

    /// Moves the cursor if it is shown, otherwise the visible range; `sign` is -1 for earlier steps, 1 for later.
    pub fn go(&mut self, whole: (f64, f64), sign: f64) {
        match self.cursor {
            Some(cursor) => self.move_cursor(whole, cursor, sign),
            None => self.pan(whole, PAN * sign),
        }
    }

    fn pan(&mut self, whole: (f64, f64), share: f64) {
        if let Some((first, last)) = self.range {
            let length = last - first;
            self.range = Some(within(whole, first + share * length, length));
        }
    }

    /// Moves the cursor, and pans if it leaves the visible range.
    fn move_cursor(&mut self, (begin, end): (f64, f64), cursor: f64, sign: f64) {
        let (first, last) = self.shown((begin, end));
        let to = (cursor + CURSOR * (last - first) * sign).clamp(begin, end);
        self.cursor = Some(to);
        if !(first..=last).contains(&to) {
            self.pan((begin, end), PAN * sign);
        }
    }

    /// Shows the cursor at the end of the visible range, or hides it.
    pub fn toggle_cursor(&mut self, whole: (f64, f64)) {
        self.cursor = match self.cursor {
            Some(_) => None,
            None => Some(self.shown(whole).1),
        };
    }

    /// Places the cursor at a fraction of the visible range.
    pub fn point_at(&mut self, whole: (f64, f64), share: f64) {
        let (first, last) = self.shown(whole);
        self.cursor = Some(first + share.clamp(0.0, 1.0) * (last - first));
    }
}

/// The range of this length that starts as close to `first` as the whole range allows.
fn within((begin, end): (f64, f64), first: f64, length: f64) -> (f64, f64) {
    let first = first.min(end - length).max(begin);
    (first, (first + length).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: (f64, f64) = (1.0, 1001.0);

    #[test]
    fn zoom_centers_on_end_or_cursor() {
        let mut chart = ChartView::default();
        chart.zoom_in(WHOLE);
        assert_eq!(chart.range, Some((501.0, 1001.0)));
        chart.go(WHOLE, -1.0);
        assert_eq!(chart.range, Some((376.0, 876.0)));
        chart.cursor = Some(476.0);
        chart.zoom_in(WHOLE);
        assert_eq!(chart.range, Some((351.0, 601.0)));
        for _ in 0..2 {
            chart.zoom_out(WHOLE);
        }
        assert_eq!(chart.range, None);
    }

    proptest! {
        #[test]
        fn visible_range_stays_within_data(moves in prop::collection::vec(0..6, 0..60)) {
            let mut chart = ChartView::default();
            for key in moves {
                match key {
                    0 => chart.zoom_in(WHOLE),
                    1 => chart.zoom_out(WHOLE),
                    2 => chart.go(WHOLE, -1.0),
                    3 => chart.go(WHOLE, 1.0),
                    4 => chart.toggle_cursor(WHOLE),
                    _ => chart.point_at(WHOLE, 0.3),
                }
                let (first, last) = chart.shown(WHOLE);
                prop_assert!(WHOLE.0 <= first && first < last && last <= WHOLE.1, "{first} to {last}");
                if let Some(cursor) = chart.cursor {
                    prop_assert!((WHOLE.0..=WHOLE.1).contains(&cursor));
                }
            }
        }
    }
}
