//! Overlay of attention weights on an image: regions of large weight are bright, the others dark.

use super::preprocess::CropBox;
use image::{Rgb, RgbImage};

/// The brightness of regions without weight.
const DARKEST: f32 = 0.15;

/// The brightness of each region of an image, relative to the largest weight. It is quantized to 1/255, so that overlays
/// can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// The part of the image that the regions cover.
    part: CropBox,
    /// The number of regions in a row.
    columns: usize,
    /// In row-major order; 255 for the largest weight.
    levels: Vec<u8>,
}

impl Overlay {
    /// An overlay of weights in row-major order. The regions cover `part` of the image.
    ///
    /// # Panics
    /// If the last row is incomplete.
    pub fn new(weights: &[f32], columns: usize, part: CropBox) -> Self {
        assert!(
            columns > 0 && !weights.is_empty() && weights.len().is_multiple_of(columns),
            "whole rows of weights"
        );
        let largest = weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let level = |weight: &f32| (weight / largest * 255.0).round() as u8;
        Self {
            part,
            columns,
            levels: weights.iter().map(level).collect(),
        }
    }

    /// Darkens regions of small weight. Brightness is interpolated between the centers of regions (bilinear); the image
    /// outside the regions is dark.
    pub fn lay_over(&self, image: &mut RgbImage) {
        let (width, height) = image.dimensions();
        let rows = self.levels.len() / self.columns;
        let neighbors = |pixels, start, length, regions| -> Vec<Option<Neighbors>> {
            (0..pixels)
                .map(|pixel| Neighbors::of(pixel, start, length, regions))
                .collect()
        };
        let across = neighbors(width, self.part.left, self.part.width, self.columns);
        let down = neighbors(height, self.part.top, self.part.height, rows);
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let light = match (&down[y as usize], &across[x as usize]) {
                (Some(down), Some(across)) => self.light(down, across),
                _ => 0.0,
            };
            *pixel = lit(*pixel, light);
        }
    }

    /// From 0 to 1.
    fn light(&self, down: &Neighbors, across: &Neighbors) -> f32 {
        let in_row = |row: usize| {
            let level = |column: usize| f32::from(self.levels[row * self.columns + column]);
            across.mix(level(across.first), level(across.second))
        };
        down.mix(in_row(down.first), in_row(down.second)) / 255.0
    }
}

fn lit(Rgb(channels): Rgb<u8>, light: f32) -> Rgb<u8> {
    let brightness = DARKEST + (1.0 - DARKEST) * light;
    Rgb(channels.map(|value| (f32::from(value) * brightness).round() as u8))
}

/// Two neighboring regions along an axis, and the position of a pixel between their centers.
struct Neighbors {
    first: usize,
    second: usize,
    fraction: f32,
}

impl Neighbors {
    /// The neighbors of a pixel, if a region covers it. Outside the outermost centers both are the outermost region.
    fn of(pixel: u32, start: u32, length: u32, regions: usize) -> Option<Self> {
        let inside = pixel.checked_sub(start).filter(|&offset| offset < length)?;
        let last = regions - 1;
        let position = (inside as f32 + 0.5) / length as f32 * regions as f32 - 0.5;
        let position = position.clamp(0.0, last as f32);
        let first = position as usize;
        Some(Self {
            first,
            second: (first + 1).min(last),
            fraction: position - first as f32,
        })
    }

    fn mix(&self, first: f32, second: f32) -> f32 {
        first + (second - first) * self.fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Rgb<u8> = Rgb([255; 3]);
    const DARK: Rgb<u8> = Rgb([38; 3]);

    /// A white image of 60 x 30 pixels under these weights.
    fn shown(weights: &[f32], columns: usize, part: CropBox) -> RgbImage {
        let mut image = RgbImage::from_pixel(60, 30, WHITE);
        Overlay::new(weights, columns, part).lay_over(&mut image);
        image
    }

    fn part(left: u32, top: u32, width: u32, height: u32) -> CropBox {
        CropBox {
            left,
            top,
            width,
            height,
        }
    }

    #[test]
    fn only_the_region_with_weight_is_bright() {
        let mut weights = [0.0; 9];
        weights[5] = 0.25; // row 2, column 3
        let image = shown(&weights, 3, part(0, 0, 60, 30));
        for (x, y) in [(59, 15), (50, 14)] {
            assert!(image.get_pixel(x, y)[0] > 240, "near its center, {x}, {y}");
        }
        for (x, y) in [(0, 0), (10, 15), (29, 15), (50, 4), (50, 25), (59, 29)] {
            assert_eq!(*image.get_pixel(x, y), DARK, "at {x}, {y}");
        }
        let light: Vec<u8> = (30..50).map(|x| image.get_pixel(x, 15)[0]).collect();
        assert!(light.is_sorted(), "it grows evenly: {light:?}");
        assert!(light.windows(2).all(|pair| pair[1] - pair[0] < 15), "{light:?}");
    }

    #[test]
    fn pixels_outside_the_crop_are_dark() {
        let image = shown(&[0.25; 4], 2, part(15, 0, 30, 30));
        for (x, y, pixel) in image.enumerate_pixels() {
            let expected = if (15..45).contains(&x) { WHITE } else { DARK };
            assert_eq!(*pixel, expected, "at {x}, {y}");
        }
    }

    #[test]
    fn image_without_weights_is_dark() {
        let image = shown(&[0.0], 1, part(0, 0, 60, 30));
        assert!(image.pixels().all(|pixel| *pixel == DARK));
    }
}
