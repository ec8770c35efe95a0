//! Where things go: areas cut so that nothing overlaps and a relation between two groups is plain to see.

use super::scene::{Item, Relation};
use rand::{Rng, RngExt};

/// The direction in which an area is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayoutAxis {
    /// Left to right.
    Across,
    /// Top to bottom.
    Down,
}

impl LayoutAxis {
    fn other(self) -> Self {
        match self {
            Self::Across => Self::Down,
            Self::Down => Self::Across,
        }
    }
}

/// A part of a line, in fractions of the picture's side.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start: f32,
    length: f32,
}

impl Segment {
    /// The whole side of the picture, but for a margin.
    const SIDE: Self = Self {
        start: MARGIN,
        length: 1.0 - 2.0 * MARGIN,
    };

    /// The part of `length` that begins at `slide` (0: the first possible place, 1: the last).
    fn part(self, length: f32, slide: f32) -> Self {
        let start = self.start + (self.length - length) * slide;
        Self { start, length }
    }

    fn cut(self, share: f32) -> (Self, Self) {
        let length = self.length * share;
        (self.part(length, 0.0), self.part(self.length - length, 1.0))
    }
}

/// A rectangle of the picture.
#[derive(Clone, Copy, Debug)]
struct Area {
    across: Segment,
    down: Segment,
}

impl Area {
    /// `along` in the direction of `axis`, `beside` in the other.
    fn new(axis: LayoutAxis, along: Segment, beside: Segment) -> Self {
        match axis {
            LayoutAxis::Across => Self {
                across: along,
                down: beside,
            },
            LayoutAxis::Down => Self {
                across: beside,
                down: along,
            },
        }
    }

    fn segments(self, axis: LayoutAxis) -> (Segment, Segment) {
        match axis {
            LayoutAxis::Across => (self.across, self.down),
            LayoutAxis::Down => (self.down, self.across),
        }
    }

    fn cut(self, axis: LayoutAxis, share: f32) -> (Self, Self) {
        let (along, beside) = self.segments(axis);
        let (first, second) = along.cut(share);
        (Self::new(axis, first, beside), Self::new(axis, second, beside))
    }
}

/// What stays free at the picture's edge.
const MARGIN: f32 = 0.02;
/// What stays free between two things at least.
const GAP: f32 = 0.03;
/// The smallest thing: 17 pixels in a picture of 64.
const SMALLEST: f32 = 0.27;
/// The largest thing: 27 pixels in a picture of 64.
const LARGEST: f32 = 0.42;
/// How far two single things may stray from a common line. Small enough that they always lie further apart
/// along the line than across it: nobody could call "left of" what is more nearly "above".
const BAND: f32 = 0.45;

/// `count` things anywhere in the picture.
pub(super) fn alone(count: usize, rng: &mut impl Rng) -> Vec<Item> {
    let whole = Area {
        across: Segment::SIDE,
        down: Segment::SIDE,
    };
    scatter(whole, count, rng)
}

/// `count` things of which every one lies in `relation` to the single thing that is returned second.
pub(super) fn related(count: usize, relation: Relation, rng: &mut impl Rng) -> (Vec<Item>, Item) {
    let (near, far) = Segment::SIDE.cut(0.5);
    let (mains, companion) = match relation {
        Relation::LeftOf | Relation::Above => (near, far),
        Relation::RightOf | Relation::Below => (far, near),
    };
    // Several things need the whole half; a single thing shares a band with its companion.
    let (mains_beside, companion_beside) = if count == 1 {
        let band = Segment::SIDE.part(BAND, rng.random());
        (band, band)
    } else {
        (Segment::SIDE, Segment::SIDE.part(BAND, 0.5))
    };
    let axis = relation.axis();
    let items = scatter(Area::new(axis, mains, mains_beside), count, rng);
    let item = put(Area::new(axis, companion, companion_beside), rng);
    (items, item)
}

/// `count` things in `area`, which is cut in two until each has an area of its own.
fn scatter(area: Area, count: usize, rng: &mut impl Rng) -> Vec<Item> {
    if count <= 1 {
        return vec![put(area, rng)];
    }
    let smaller = count / 2;
    let first = if rng.random() { smaller } else { count - smaller };
    let axis = longer_axis(area, rng);
    let (one, other) = area.cut(axis, first as f32 / count as f32);
    let mut items = scatter(one, first, rng);
    items.extend(scatter(other, count - first, rng));
    items
}

/// The longer of an area's sides; by chance in a square.
fn longer_axis(area: Area, rng: &mut impl Rng) -> LayoutAxis {
    let axis = if rng.random() {
        LayoutAxis::Across
    } else {
        LayoutAxis::Down
    };
    let (along, beside) = area.segments(axis);
    if along.length < beside.length {
        axis.other()
    } else {
        axis
    }
}

/// One thing somewhere in `area`, of any size that fits.
fn put(area: Area, rng: &mut impl Rng) -> Item {
    let room = area.across.length.min(area.down.length) - GAP;
    let size = rng.random_range(SMALLEST..=room.min(LARGEST));
    let mut middle = |span: Segment| span.part(size + GAP, rng.random()).start + (size + GAP) / 2.0;
    Item {
        center: (middle(area.across), middle(area.down)),
        size,
        mirrored: rng.random(),
    }
}
