//! Augmentations of training images: horizontal flip and random crops.

use super::preprocess::CropBox;
use serde::{Deserialize, Serialize};

/// A change of an image before its preprocessing. Features of augmented images have stores of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augmentation {
    /// The original image.
    #[default]
    None,
    /// Horizontal flip.
    #[serde(rename = "hflip")]
    HFlip,
    /// The `n`th random crop, counted from 1: 60 to 100 % of each side, in the image's aspect ratio. Crops of odd number
    /// are flipped. They are quasi-random (Halton sequence), so the first few are spread evenly, and a crop does not
    /// depend on how many there are.
    Crop(u32),
}

impl Augmentation {
    /// Whether images are not changed.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    pub(super) fn is_flipped(self) -> bool {
        match self {
            Self::None => false,
            Self::HFlip => true,
            Self::Crop(number) => number % 2 == 1,
        }
    }

    /// The suffix of a feature store's name. It is for users only: the store's specification has the augmentation.
    pub(super) fn suffix(self) -> String {
        match self {
            Self::None => String::new(),
            Self::HFlip => "-hflip".to_owned(),
            Self::Crop(number) => format!("-crop-{number}"),
        }
    }
}

/// The size and position of a random crop, relative to the image's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RandomCrop {
    /// Its sides as a fraction of the image's.
    scale: f64,
    /// 0 at the left edge to 1 at the right edge.
    x: f64,
    /// 0 at the top to 1 at the bottom.
    y: f64,
}

impl RandomCrop {
    const MIN_SCALE: f64 = 0.6;

    pub(super) fn nth(number: u32) -> Self {
        Self {
            scale: 1.0 - (1.0 - Self::MIN_SCALE) * halton(number, 2),
            x: halton(number, 3),
            y: halton(number, 5),
        }
    }

    /// The crop of an image of this width and height, in pixels.
    pub(super) fn in_image(self, (width, height): (u32, u32)) -> CropBox {
        let scaled = |side: u32| ((f64::from(side) * self.scale).round() as u32).clamp(1, side.max(1));
        let (crop_width, crop_height) = (scaled(width), scaled(height));
        let start = |side: u32, cropped: u32, position: f64| {
            (f64::from(side.saturating_sub(cropped)) * position).round() as u32
        };
        CropBox {
            left: start(width, crop_width, self.x),
            top: start(height, crop_height, self.y),
            width: crop_width,
            height: crop_height,
        }
    }
}

/// The van der Corput sequence of this base: the digits of `index`, reversed, behind the point.
fn halton(mut index: u32, base: u32) -> f64 {
    let (mut number, mut digit) = (0.0, 1.0);
    while index > 0 {
        digit /= f64::from(base);
        number += digit * f64::from(index % base);
        index /= base;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn random_crops_are_within_the_image_and_at_least_their_minimum_scale(
            number in 1_u32..1000,
            width in 1_u32..5000,
            height in 1_u32..5000,
        ) {
            let crop = RandomCrop::nth(number).in_image((width, height));
            prop_assert!(crop.left + crop.width <= width && crop.top + crop.height <= height);
            let large_enough = |side: u32, full: u32| f64::from(side) >= RandomCrop::MIN_SCALE * f64::from(full) - 0.5;
            prop_assert!(large_enough(crop.width, width) && large_enough(crop.height, height), "{crop:?}");
        }
    }

    #[test]
    fn random_crops_follow_the_halton_sequence() {
        // Halton 1960, bases 2, 3 and 5.
        assert_eq!(
            [1, 2, 3, 4, 5].map(|number| halton(number, 2)),
            [0.5, 0.25, 0.75, 0.125, 0.625]
        );
        let thirds = [1, 2, 3, 4].map(|number| halton(number, 3) * 9.0);
        for (found, expected) in thirds.into_iter().zip([3.0, 6.0, 1.0, 4.0]) {
            assert!((found - expected).abs() < 1e-12, "{thirds:?}");
        }
        let crop = RandomCrop::nth(1).in_image((500, 400));
        assert_eq!((crop.width, crop.height), (400, 320));
        assert_eq!((crop.left, crop.top), (33, 16));
    }
}
