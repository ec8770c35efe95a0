//! From a scene to its picture: things over ground, smoothed by drawing every pixel several times.

use super::figures::{Ink, Point, ink_at};
use super::ground::{Ground, Rgb, lighten};
use super::scene::{Color, Group, Item, Scene, Thing};
use image::{Rgb as Pixel, RgbImage};

/// Every pixel of a thing is the mean of a grid of this many points squared.
const SAMPLES: u32 = 3;

/// How much larger than the figure its dark rim is. The rim sets a thing off from ground of like color.
const RIM: f32 = 1.12;

impl Scene {
    /// The picture, `size` x `size` pixels; the same on every machine.
    pub fn draw(&self, size: u32) -> RgbImage {
        let ground = Ground::new(self.terrain, self.texture);
        let stamps: Vec<Stamp> = self.groups().flat_map(stamps).collect();
        RgbImage::from_fn(size, size, |column, row| {
            let behind = ground.color_at(point(column, row, size));
            Pixel(cover(column, row, size, &stamps, behind).map(|channel| (channel + 0.5) as u8))
        })
    }
}

/// The middle of cell (`column`, `row`) of a grid of `cells` squared, in fractions of the picture's side.
fn point(column: u32, row: u32, cells: u32) -> Point {
    let middle = |cell: u32| (cell as f32 + 0.5) / cells as f32;
    (middle(column), middle(row))
}

/// The mean color of a pixel of which things may cover a part and `behind` the rest. The ground is fine
/// grained by itself; only the things' edges need smoothing.
fn cover(column: u32, row: u32, size: u32, stamps: &[Stamp], behind: Rgb) -> Rgb {
    let mut sum = [0.0; 3];
    for (across, down) in (0..SAMPLES).flat_map(|down| (0..SAMPLES).map(move |across| (across, down))) {
        let point = point(column * SAMPLES + across, row * SAMPLES + down, size * SAMPLES);
        let color = stamps
            .iter()
            .find_map(|stamp| stamp.color_at(point))
            .unwrap_or(behind);
        sum = std::array::from_fn(|channel| sum[channel] + color[channel]);
    }
    sum.map(|channel| channel / (SAMPLES * SAMPLES) as f32)
}

/// One thing, ready to be drawn.
struct Stamp {
    thing: Thing,
    color: Rgb,
    item: Item,
}

fn stamps(group: &Group) -> impl Iterator<Item = Stamp> {
    group.items.iter().map(|&item| Stamp {
        thing: group.thing,
        color: paint(group.color),
        item,
    })
}

impl Stamp {
    fn color_at(&self, point: Point) -> Option<Rgb> {
        let rimmed = self.in_figure(point)?;
        let inner = (rimmed.0 * RIM, rimmed.1 * RIM);
        match ink_at(self.thing, inner) {
            Some(ink) => Some(mixed(ink, self.color)),
            None => ink_at(self.thing, rimmed).map(|_| lighten(self.color, 0.4)),
        }
    }

    /// Where a point of the picture lies in the figure; none if beyond its square.
    fn in_figure(&self, (x, y): Point) -> Option<Point> {
        let half = self.item.size / 2.0;
        let right = (x - self.item.center.0) / half;
        let down = (y - self.item.center.1) / half;
        let inside = right.abs() <= 1.0 && down.abs() <= 1.0;
        inside.then_some((if self.item.mirrored { -right } else { right }, down))
    }
}

fn paint(color: Color) -> Rgb {
    match color {
        Color::Red => [222.0, 28.0, 36.0],
        Color::Orange => [252.0, 132.0, 14.0],
        Color::Yellow => [254.0, 226.0, 28.0],
        Color::Green => [18.0, 150.0, 56.0],
        Color::Blue => [36.0, 84.0, 232.0],
        Color::Purple => [156.0, 44.0, 188.0],
    }
}

fn mixed(ink: Ink, color: Rgb) -> Rgb {
    match ink {
        Ink::Body => color,
        Ink::Shade => lighten(color, 0.7),
        Ink::Wood => [96.0, 62.0, 38.0],
        Ink::Glass => [206.0, 232.0, 246.0],
        Ink::Black => [30.0, 30.0, 34.0],
        Ink::White => [250.0, 250.0, 250.0],
    }
}
