//! The figures of the objects, as data: shapes on top of each other, each filled with an fill.

use super::scene::ObjectKind;
use Fill::{Black, Body, Glass, Shade, White, Wood};
use Part::{Ellipse, Polygon};

/// A point; in a figure x runs from -1 (left) to 1 (right) and y from -1 (top) to 1 (bottom).
pub(super) type Point = (f32, f32);

/// The filling of a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fill {
    /// The object's color.
    Body,
    /// The object's color, darker.
    Shade,
    /// Brown. The inks from here on do not depend on the object's color. Such marks, different for each kind of object,
    /// are the first features that a small CNN learns.
    Wood,
    Glass,
    Black,
    White,
}

/// A filled shape of a figure.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Fill, center, radii.
    Ellipse(Fill, Point, Point),
    /// Fill, corners.
    Polygon(Fill, &'static [Point]),
}

impl Part {
    /// The fill at a point, if the part covers it.
    fn fill_at(self, (x, y): Point) -> Option<Fill> {
        let (fill, inside) = match self {
            Self::Ellipse(fill, center, (a, b)) => {
                let distance = ((x - center.0) / a).powi(2) + ((y - center.1) / b).powi(2);
                (fill, distance <= 1.0)
            }
            Self::Polygon(fill, corners) => {
                let edges = corners.iter().zip(corners.iter().cycle().skip(1));
                let crossed = edges.filter(|(from, to)| crosses((x, y), **from, **to)).count();
                (fill, crossed % 2 == 1)
            }
        };
        inside.then_some(fill)
    }
}

/// Whether the ray from the point to the right crosses the edge. From inside a polygon it crosses an odd number of edges.
fn crosses((x, y): Point, from: Point, to: Point) -> bool {
    (from.1 > y) != (to.1 > y) && x < from.0 + (y - from.1) / (to.1 - from.1) * (to.0 - from.0)
}

/// The fill of `kind` at `point`, if it covers the point.
pub(super) fn fill_at(kind: ObjectKind, point: Point) -> Option<Fill> {
    parts(kind).iter().rev().find_map(|part| part.fill_at(point))
}

/// From the bottom layer to the top one.
fn parts(kind: ObjectKind) -> &'static [Part] {
    match kind {
        ObjectKind::Ball => BALL,
        ObjectKind::Star => STAR,
        ObjectKind::Tree => TREE,
        ObjectKind::House => HOUSE,
        ObjectKind::Boat => BOAT,
        ObjectKind::Fish => FISH,
        ObjectKind::Car => CAR,
    }
}

const BALL: &[Part] = &[
    Ellipse(Body, (0.0, 0.0), (0.97, 0.97)),
    Ellipse(White, (0.0, 0.0), (0.34, 0.97)),
    Ellipse(Shade, (0.0, 0.0), (0.14, 0.97)),
];

/// Corners on two circles, of radius 1 and 0.45.
const STAR: &[Part] = &[Polygon(
    Body,
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
    Polygon(Wood, &[(-0.26, 0.3), (0.26, 0.3), (0.26, 1.0), (-0.26, 1.0)]),
    Polygon(Body, &[(0.0, -0.6), (0.95, 0.45), (-0.95, 0.45)]),
    Polygon(Shade, &[(0.0, -0.6), (0.54, 0.0), (-0.54, 0.0)]),
    Polygon(Body, &[(0.0, -1.0), (0.68, -0.15), (-0.68, -0.15)]),
];

const HOUSE: &[Part] = &[
    Polygon(
        Body,
        &[(-0.75, -0.15), (0.75, -0.15), (0.75, 0.95), (-0.75, 0.95)],
    ),
    Polygon(Shade, &[(0.0, -0.95), (1.0, -0.1), (-1.0, -0.1)]),
    Polygon(Wood, &[(0.06, 0.2), (0.56, 0.2), (0.56, 0.95), (0.06, 0.95)]),
    Polygon(Glass, &[(-0.58, 0.15), (-0.14, 0.15), (-0.14, 0.6), (-0.58, 0.6)]),
];

const BOAT: &[Part] = &[
    Polygon(Wood, &[(-0.06, -0.95), (0.06, -0.95), (0.06, 0.4), (-0.06, 0.4)]),
    Polygon(Body, &[(0.1, -0.95), (0.9, 0.2), (0.1, 0.2)]),
    Polygon(White, &[(-0.1, -0.85), (-0.1, 0.2), (-0.85, 0.2)]),
    Polygon(Body, &[(-1.0, 0.32), (1.0, 0.32), (0.62, 0.9), (-0.62, 0.9)]),
];

const FISH: &[Part] = &[
    Polygon(Body, &[(0.3, 0.0), (1.0, -0.6), (0.85, 0.0), (1.0, 0.6)]),
    Polygon(Shade, &[(-0.45, -0.4), (0.2, -0.8), (0.25, -0.3)]),
    Ellipse(Body, (-0.25, 0.0), (0.75, 0.66)),
    Ellipse(White, (-0.52, -0.12), (0.24, 0.24)),
    Ellipse(Black, (-0.56, -0.12), (0.12, 0.12)),
];

const CAR: &[Part] = &[
    Polygon(
        Body,
        &[(-0.68, -0.05), (-0.45, -0.65), (0.35, -0.65), (0.62, -0.05)],
    ),
    Polygon(
        Glass,
        &[(-0.5, -0.08), (-0.34, -0.5), (0.26, -0.5), (0.44, -0.08)],
    ),
    Polygon(
        Body,
        &[
            (-1.0, 0.0),
            (-0.9, -0.1),
            (0.85, -0.1),
            (1.0, 0.05),
            (1.0, 0.5),
            (-1.0, 0.5),
        ],
    ),
    Ellipse(Black, (-0.52, 0.5), (0.32, 0.32)),
    Ellipse(Black, (0.52, 0.5), (0.32, 0.32)),
];
