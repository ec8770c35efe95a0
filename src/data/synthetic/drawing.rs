//! Drawing a scene: figures on a background, antialiased by supersampling.

use super::figures::{Fill, Point, fill_at};
use super::ground::{Ground, Rgb, lighten};
use super::scene::{Color, Item, ObjectKind, Scene};
use image::{Rgb as Pixel, RgbImage};

/// Every pixel is the mean of a grid of this many points squared.
const SAMPLES: u32 = 3;

/// The size of the figure with its dark rim, relative to the figure. The rim separates an object from a background of
/// similar color.
const RIM: f32 = 1.12;

impl Scene {
    /// The image, `size` x `size` pixels; the same on every machine.
    pub fn draw(&self, size: u32) -> RgbImage {
        let ground = Ground::new(self.background, self.texture);
        let figures: Vec<Figure> = self
            .groups()
            .flat_map(|group| {
                group.items.iter().map(|&item| Figure {
                    kind: group.kind,
                    color: rgb(group.color),
                    item,
                })
            })
            .collect();
        RgbImage::from_fn(size, size, |column, row| {
            let background = ground.color_at(point(column, row, size));
            let color = pixel(column, row, size, &figures, background);
            Pixel(color.map(|channel| (channel + 0.5) as u8))
        })
    }
}

/// The center of a cell of a grid of `cells` squared, in fractions of the image's side.
fn point(column: u32, row: u32, cells: u32) -> Point {
    let center = |cell: u32| (cell as f32 + 0.5) / cells as f32;
    (center(column), center(row))
}

/// The mean color of a pixel. The background is sampled once per pixel: only the edges of figures need antialiasing.
fn pixel(column: u32, row: u32, size: u32, figures: &[Figure], background: Rgb) -> Rgb {
    let mut sum = [0.0; 3];
    for (across, down) in (0..SAMPLES).flat_map(|down| (0..SAMPLES).map(move |across| (across, down))) {
        let point = point(column * SAMPLES + across, row * SAMPLES + down, size * SAMPLES);
        let color = figures.iter().find_map(|figure| figure.color_at(point));
        let color = color.unwrap_or(background);
        sum = std::array::from_fn(|channel| sum[channel] + color[channel]);
    }
    sum.map(|channel| channel / (SAMPLES * SAMPLES) as f32)
}

/// An object to be drawn.
struct Figure {
    kind: ObjectKind,
    color: Rgb,
    item: Item,
}

impl Figure {
    fn color_at(&self, point: Point) -> Option<Rgb> {
        let (x, y) = self.in_figure(point)?;
        match fill_at(self.kind, (x * RIM, y * RIM)) {
            Some(fill) => Some(fill_rgb(fill, self.color)),
            None => fill_at(self.kind, (x, y)).map(|_| lighten(self.color, 0.4)),
        }
    }

    /// A point of the image in the figure's coordinates; none if outside its bounding box.
    fn in_figure(&self, (x, y): Point) -> Option<Point> {
        let half = self.item.size / 2.0;
        let (x, y) = ((x - self.item.center.0) / half, (y - self.item.center.1) / half);
        let inside = x.abs() <= 1.0 && y.abs() <= 1.0;
        inside.then_some((if self.item.mirrored { -x } else { x }, y))
    }
}

fn rgb(color: Color) -> Rgb {
    match color {
        Color::Red => [222.0, 28.0, 36.0],
        Color::Orange => [252.0, 132.0, 14.0],
        Color::Yellow => [254.0, 226.0, 28.0],
        Color::Green => [18.0, 150.0, 56.0],
        Color::Blue => [36.0, 84.0, 232.0],
        Color::Purple => [156.0, 44.0, 188.0],
    }
}

fn fill_rgb(fill: Fill, color: Rgb) -> Rgb {
    match fill {
        Fill::Body => color,
        Fill::Shade => lighten(color, 0.7),
        Fill::Wood => [96.0, 62.0, 38.0],
        Fill::Glass => [206.0, 232.0, 246.0],
        Fill::Black => [30.0, 30.0, 34.0],
        Fill::White => [250.0, 250.0, 250.0],
    }
}
