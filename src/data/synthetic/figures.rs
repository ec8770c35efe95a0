//! The shapes of things, as data: outlines laid over one another, each filled with an ink.

use super::scene::Thing;

/// A point; in a figure x runs from -1 (left) to 1 (right) and y from -1 (top) to 1 (bottom).
pub(super) type Point = (f32, f32);

/// What a part of a figure is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ink {
    /// The thing's color.
    Body,
    /// The thing's color, darker.
    Shade,
    /// Brown; the inks from here on are the same in a thing of any color. Such marks, one sort for each
    /// kind of thing, are what a small convolutional network learns to look for first.
    Wood,
    Glass,
    Black,
    White,
}

/// The border of a filled area.
#[derive(Clone, Copy, Debug)]
enum Outline {
    Ellipse { center: Point, radii: Point },
    Polygon(&'static [Point]),
}

#[derive(Clone, Copy, Debug)]
struct Part {
    ink: Ink,
    outline: Outline,
}

impl Outline {
    fn contains(&self, (x, y): Point) -> bool {
        match *self {
            Self::Ellipse {
                center,
                radii: (a, b),
            } => ((x - center.0) / a).powi(2) + ((y - center.1) / b).powi(2) <= 1.0,
            Self::Polygon(corners) => corners
                .iter()
                .zip(corners.iter().cycle().skip(1))
                .fold(false, |inside, (from, to)| inside ^ crosses((x, y), *from, *to)),
        }
    }
}

/// Whether the ray from `point` to the right meets the edge: a point inside a polygon meets an odd number
/// of edges.
fn crosses((x, y): Point, from: Point, to: Point) -> bool {
    (from.1 > y) != (to.1 > y) && x < from.0 + (y - from.1) / (to.1 - from.1) * (to.0 - from.0)
}

/// The ink that `thing` shows at `point`, if it covers it.
pub(super) fn ink_at(thing: Thing, point: Point) -> Option<Ink> {
    parts(thing)
        .iter()
        .rev()
        .find(|part| part.outline.contains(point))
        .map(|part| part.ink)
}

const fn ellipse(ink: Ink, center: Point, radii: Point) -> Part {
    let outline = Outline::Ellipse { center, radii };
    Part { ink, outline }
}

const fn polygon(ink: Ink, corners: &'static [Point]) -> Part {
    let outline = Outline::Polygon(corners);
    Part { ink, outline }
}

/// From the bottom layer to the top one.
fn parts(thing: Thing) -> &'static [Part] {
    match thing {
        Thing::Ball => BALL,
        Thing::Star => STAR,
        Thing::Tree => TREE,
        Thing::House => HOUSE,
        Thing::Boat => BOAT,
        Thing::Fish => FISH,
        Thing::Car => CAR,
    }
}

const BALL: &[Part] = &[
    ellipse(Ink::Body, (0.0, 0.0), (0.97, 0.97)),
    ellipse(Ink::White, (0.0, 0.0), (0.34, 0.97)),
    ellipse(Ink::Shade, (0.0, 0.0), (0.14, 0.97)),
];

/// Corners on two circles, of radius 1 and 0.45.
const STAR: &[Part] = &[polygon(
    Ink::Body,
    &[
        (0.0, -1.0),
        (0.264, -0.364),
        (0.951, -0.309),
        (0.428, 0.139),
        (0.588, 0.809),
        (0.0, 0.45),
        (-0.588, 0.809),
        (-0.428, 0.139),
        (-0.951, -0.309),
        (-0.264, -0.364),
    ],
)];

const TREE: &[Part] = &[
    polygon(Ink::Wood, &[(-0.26, 0.3), (0.26, 0.3), (0.26, 1.0), (-0.26, 1.0)]),
    polygon(Ink::Body, &[(0.0, -0.6), (0.95, 0.45), (-0.95, 0.45)]),
    polygon(Ink::Shade, &[(0.0, -0.6), (0.54, 0.0), (-0.54, 0.0)]),
    polygon(Ink::Body, &[(0.0, -1.0), (0.68, -0.15), (-0.68, -0.15)]),
];

const HOUSE: &[Part] = &[
    polygon(
        Ink::Body,
        &[(-0.75, -0.15), (0.75, -0.15), (0.75, 0.95), (-0.75, 0.95)],
    ),
    polygon(Ink::Shade, &[(0.0, -0.95), (1.0, -0.1), (-1.0, -0.1)]),
    polygon(Ink::Wood, &[(0.06, 0.2), (0.56, 0.2), (0.56, 0.95), (0.06, 0.95)]),
    polygon(
        Ink::Glass,
        &[(-0.58, 0.15), (-0.14, 0.15), (-0.14, 0.6), (-0.58, 0.6)],
    ),
];

const BOAT: &[Part] = &[
    polygon(
        Ink::Wood,
        &[(-0.06, -0.95), (0.06, -0.95), (0.06, 0.4), (-0.06, 0.4)],
    ),
    polygon(Ink::Body, &[(0.1, -0.95), (0.9, 0.2), (0.1, 0.2)]),
    polygon(Ink::White, &[(-0.1, -0.85), (-0.1, 0.2), (-0.85, 0.2)]),
    polygon(Ink::Body, &[(-1.0, 0.32), (1.0, 0.32), (0.62, 0.9), (-0.62, 0.9)]),
];

const FISH: &[Part] = &[
    polygon(Ink::Body, &[(0.3, 0.0), (1.0, -0.6), (0.85, 0.0), (1.0, 0.6)]),
    polygon(Ink::Shade, &[(-0.45, -0.4), (0.2, -0.8), (0.25, -0.3)]),
    ellipse(Ink::Body, (-0.25, 0.0), (0.75, 0.66)),
    ellipse(Ink::White, (-0.52, -0.12), (0.24, 0.24)),
    ellipse(Ink::Black, (-0.56, -0.12), (0.12, 0.12)),
];

const CAR: &[Part] = &[
    polygon(
        Ink::Body,
        &[(-0.68, -0.05), (-0.45, -0.65), (0.35, -0.65), (0.62, -0.05)],
    ),
    polygon(
        Ink::Glass,
        &[(-0.5, -0.08), (-0.34, -0.5), (0.26, -0.5), (0.44, -0.08)],
    ),
    polygon(
        Ink::Body,
        &[
            (-1.0, 0.0),
            (-0.9, -0.1),
            (0.85, -0.1),
            (1.0, 0.05),
            (1.0, 0.5),
            (-1.0, 0.5),
        ],
    ),
    ellipse(Ink::Black, (-0.52, 0.5), (0.32, 0.32)),
    ellipse(Ink::Black, (0.52, 0.5), (0.32, 0.32)),
];
