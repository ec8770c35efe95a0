//! Which part of which figure a chart shows, and how.

use super::run_view::{Quantity, Unit};

/// The share of the range by which it is moved, and what it is divided by to zoom.
const PAN: f64 = 0.25;
const ZOOM: f64 = 2.0;
/// The share of the range by which the cursor is moved.
const CURSOR: f64 = 0.02;
/// The shortest range, as a share of the whole.
const SHORTEST: f64 = 1e-4;

/// What a chart shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChartView {
    /// Which figure.
    pub quantity: Quantity,
    /// What is counted along it.
    pub unit: Unit,
    /// The vertical axis.
    pub scale: Scale,
    /// From where to where; the whole if not said.
    pub range: Option<(f64, f64)>,
    /// Where figures are read off.
    pub cursor: Option<f64>,
}

/// How values are laid out on an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    #[default]
    Plain,
    /// By their logarithm.
    Logarithmic,
}

impl Scale {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Plain => Self::Logarithmic,
            Self::Logarithmic => Self::Plain,
        }
    }
}

/// Towards which end of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// The beginning.
    Earlier,
    /// The end.
    Later,
}

impl Towards {
    fn sign(self) -> f64 {
        match self {
            Self::Earlier => -1.0,
            Self::Later => 1.0,
        }
    }
}

impl ChartView {
    /// What is shown of all that there is.
    pub fn shown(&self, whole: (f64, f64)) -> (f64, f64) {
        self.range.unwrap_or(whole)
    }

    /// Counts something else along the axis, all of it.
    pub fn count(&mut self, unit: Unit) {
        self.unit = unit;
        self.range = None;
        self.cursor = None;
    }

    /// A shorter range: about the cursor, or else about the end, where what happens is.
    pub fn zoom_in(&mut self, whole: (f64, f64)) {
        self.zoom(whole, 1.0 / ZOOM);
    }

    /// A longer range.
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

    /// Moves the cursor, or else the range.
    pub fn go(&mut self, whole: (f64, f64), towards: Towards) {
        match self.cursor {
            Some(cursor) => self.move_cursor(whole, cursor, towards),
            None => self.pan(whole, PAN * towards.sign()),
        }
    }

    fn pan(&mut self, whole: (f64, f64), share: f64) {
        if let Some((first, last)) = self.range {
            let length = last - first;
            self.range = Some(within(whole, first + share * length, length));
        }
    }

    /// What is shown moves along where the cursor leaves it.
    fn move_cursor(&mut self, (begin, end): (f64, f64), cursor: f64, towards: Towards) {
        let (first, last) = self.shown((begin, end));
        let to = (cursor + CURSOR * (last - first) * towards.sign()).clamp(begin, end);
        self.cursor = Some(to);
        if !(first..=last).contains(&to) {
            self.pan((begin, end), PAN * towards.sign());
        }
    }

    /// Shows the cursor, at the end, or takes it away.
    pub fn toggle_cursor(&mut self, whole: (f64, f64)) {
        self.cursor = match self.cursor {
            Some(_) => None,
            None => Some(self.shown(whole).1),
        };
    }

    /// Puts the cursor at a share of what is shown.
    pub fn point_at(&mut self, whole: (f64, f64), share: f64) {
        let (first, last) = self.shown(whole);
        self.cursor = Some(first + share.clamp(0.0, 1.0) * (last - first));
    }
}

/// A range of this length that begins as near to `first` as the whole allows.
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
    fn it_zooms_about_the_end_or_the_cursor() {
        let mut chart = ChartView::default();
        chart.zoom_in(WHOLE);
        assert_eq!(chart.range, Some((501.0, 1001.0)));
        chart.go(WHOLE, Towards::Earlier);
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
        fn it_never_shows_what_is_not_there(moves in prop::collection::vec(0..6, 0..60)) {
            let mut chart = ChartView::default();
            for key in moves {
                match key {
                    0 => chart.zoom_in(WHOLE),
                    1 => chart.zoom_out(WHOLE),
                    2 => chart.go(WHOLE, Towards::Earlier),
                    3 => chart.go(WHOLE, Towards::Later),
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
