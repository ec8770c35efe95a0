//! The layout of a scene: the image is cut into areas so that no two objects overlap and the relation between two
//! groups is unambiguous.

use super::scene::{Item, Relation};
use rand::{Rng, RngExt};

/// The free margin at the image's edge.
const MARGIN: f32 = 0.02;
/// The smallest gap between two objects.
const GAP: f32 = 0.03;
/// The smallest object: 17 pixels in an image of 64.
const SMALLEST: f32 = 0.27;
/// The largest object: 27 pixels in an image of 64.
const LARGEST: f32 = 0.42;
/// Two related single objects share a band of this width. It is so narrow that they are always further apart along the
/// band than across it: "left of" is never confused with "above".
const BAND: f32 = 0.45;

/// A rectangle of the image: its start and length along x (axis 0) and y (axis 1), in fractions of the image's side.
#[derive(Clone, Copy, Debug)]
struct Area {
    start: [f32; 2],
    length: [f32; 2],
}

impl Area {
    const IMAGE: Self = Self {
        start: [MARGIN; 2],
        length: [1.0 - 2.0 * MARGIN; 2],
    };

    /// The part of `length` along `axis` at `position` (0: at the start, 1: at the end).
    fn part(mut self, axis: usize, length: f32, position: f32) -> Self {
        self.start[axis] += (self.length[axis] - length) * position;
        self.length[axis] = length;
        self
    }

    fn cut(self, axis: usize, fraction: f32) -> (Self, Self) {
        let length = self.length[axis] * fraction;
        let rest = self.length[axis] - length;
        (self.part(axis, length, 0.0), self.part(axis, rest, 1.0))
    }
}

/// `count` objects anywhere in the image.
pub(super) fn alone(count: usize, rng: &mut impl Rng) -> Vec<Item> {
    scatter(Area::IMAGE, count, rng)
}

/// `count` objects that are all in `relation` to the single object that is returned second.
pub(super) fn related(count: usize, relation: Relation, rng: &mut impl Rng) -> (Vec<Item>, Item) {
    let axis = relation.axis();
    let (near, far) = Area::IMAGE.cut(axis, 0.5);
    let (mut main, mut companion) = match relation {
        Relation::LeftOf | Relation::Above => (near, far),
        Relation::RightOf | Relation::Below => (far, near),
    };
    // Several objects need the whole half of the image; a single object shares a band with its companion.
    let band = if count == 1 { rng.random() } else { 0.5 };
    companion = companion.part(1 - axis, BAND, band);
    if count == 1 {
        main = main.part(1 - axis, BAND, band);
    }
    let items = scatter(main, count, rng);
    (items, place(companion, rng))
}

/// `count` objects in `area`, which is halved until each object has its own area.
fn scatter(area: Area, count: usize, rng: &mut impl Rng) -> Vec<Item> {
    if count <= 1 {
        return vec![place(area, rng)];
    }
    let smaller = count / 2;
    let first = if rng.random() { smaller } else { count - smaller };
    let (one, other) = area.cut(longer_axis(area, rng), first as f32 / count as f32);
    let mut items = scatter(one, first, rng);
    items.extend(scatter(other, count - first, rng));
    items
}

/// The axis of the area's longer side; a random one if the area is a square.
fn longer_axis(area: Area, rng: &mut impl Rng) -> usize {
    let axis = usize::from(!rng.random::<bool>());
    if area.length[axis] < area.length[1 - axis] {
        1 - axis
    } else {
        axis
    }
}

/// An object of random size at a random position in `area`.
fn place(area: Area, rng: &mut impl Rng) -> Item {
    let room = area.length[0].min(area.length[1]) - GAP;
    let size = rng.random_range(SMALLEST..=room.min(LARGEST));
    let mut center = |axis| area.part(axis, size + GAP, rng.random()).start[axis] + (size + GAP) / 2.0;
    Item {
        center: (center(0), center(1)),
        size,
        mirrored: rng.random(),
    }
}
