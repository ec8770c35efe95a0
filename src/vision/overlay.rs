//! The weights of an image's regions laid over it: it stays bright where most weight lies, and darkens elsewhere.

use super::preprocess::CropBox;
use image::{Rgb, RgbImage};

/// What is left of the brightness where no weight lies: enough to see what is not looked at.
const DARKEST: f32 = 0.15;

/// How brightly each region of an image is shown: by its share of the largest weight, in steps of 1/255, so that two
/// overlays can be told from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// What the regions cover.
    part: CropBox,
    /// Regions in a row.
    columns: usize,
    /// Row after row; 255 for the largest weight.
    levels: Vec<u8>,
}

impl Overlay {
    /// Of weights row after row, `columns` in each, of regions that cover this part of the image.
    ///
    /// # Panics
    /// Where the weights do not fill their rows.
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

    /// Darkens an image where little weight lies. Neighbors the centers of regions the light changes evenly (bilinear);
    /// what no region covers is dark.
    pub fn lay_over(&self, image: &mut RgbImage) {
        let (width, height) = image.dimensions();
        let rows = self.levels.len() / self.columns;
        let across = Axis::new(self.part.left, self.part.width, self.columns);
        let down = Axis::new(self.part.top, self.part.height, rows);
        let across: Vec<Option<Neighbors>> = (0..width).map(|x| across.at(x)).collect();
        let down: Vec<Option<Neighbors>> = (0..height).map(|y| down.at(y)).collect();
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

/// Regions side by side along one axis of an image.
struct Axis {
    start: u32,
    length: u32,
    regions: usize,
}

/// Two neighboring regions, and how far a pixel is on the way from the center of the first to that of the second.
struct Neighbors {
    first: usize,
    second: usize,
    way: f32,
}

impl Axis {
    fn new(start: u32, length: u32, regions: usize) -> Self {
        Self {
            start,
            length,
            regions,
        }
    }

    /// Neighbors which regions a pixel is, if they cover it; beyond the centers of the outermost ones these count alone.
    fn at(&self, pixel: u32) -> Option<Neighbors> {
        let inside = pixel.checked_sub(self.start).filter(|&at| at < self.length)?;
        let last = self.regions - 1;
        let place = (inside as f32 + 0.5) / self.length as f32 * self.regions as f32 - 0.5;
        let place = place.clamp(0.0, last as f32);
        let first = place as usize;
        Some(Neighbors {
            first,
            second: (first + 1).min(last),
            way: place - first as f32,
        })
    }
}

impl Neighbors {
    fn mix(&self, first: f32, second: f32) -> f32 {
        first + (second - first) * self.way
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
    fn the_weight_of_one_region_brightens_that_region_only() {
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
    fn what_the_network_did_not_see_is_dark() {
        let image = shown(&[0.25; 4], 2, part(15, 0, 30, 30));
        for (x, y, pixel) in image.enumerate_pixels() {
            let expected = if (15..45).contains(&x) { WHITE } else { DARK };
            assert_eq!(*pixel, expected, "at {x}, {y}");
        }
    }

    #[test]
    fn no_weight_at_all_darkens_everything() {
        assert!(
            shown(&[0.0], 1, part(0, 0, 60, 30))
                .pixels()
                .all(|pixel| *pixel == DARK)
        );
    }
}
