//! Other pictures made of an image: in a mirror, or a part of it.

use super::preprocess::ImagePart;
use serde::{Deserialize, Serialize};

/// What of an image is seen, and which way round: as it was taken, or another picture made of it, for training to have
/// more to choose from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// As it was taken.
    #[default]
    Usual,
    /// Left and right exchanged.
    Mirrored,
    /// A part of it in its own aspect ratio, at 0.6 to 1 of its sides, anywhere in it. Windows are numbered from 1 and
    /// spread evenly, however many are taken; left and right are exchanged in those of odd numbers.
    Window(u32),
}

impl View {
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::Usual
    }

    /// Whether left and right are exchanged; of windows they are in every other one.
    pub(super) fn is_mirrored(self) -> bool {
        match self {
            Self::Usual => false,
            Self::Mirrored => true,
            Self::Window(number) => number % 2 == 1,
        }
    }

    /// What the name of a store of features ends in where images are seen like this.
    pub(super) fn suffix(self) -> String {
        match self {
            Self::Usual => String::new(),
            Self::Mirrored => MIRRORED.to_owned(),
            Self::Window(number) => format!("{WINDOW}{number}"),
        }
    }

    /// Whether a store of this name holds features of images as they were taken.
    pub fn is_usual_of(store: &str) -> bool {
        !store.ends_with(MIRRORED) && !store.contains(WINDOW)
    }
}

const MIRRORED: &str = "-mirrored";
const WINDOW: &str = "-window-";

/// What [`View::Window`] leaves: sizes and places are those of a Halton sequence, of which any first few numbers are
/// spread evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    /// Its sides, as a share of the image's.
    side: f64,
    /// Where it lies in what is left beside it, from 0 at the left to 1 at the right.
    across: f64,
    /// The same from top to bottom.
    down: f64,
}

impl Window {
    const SMALLEST: f64 = 0.6;

    pub(super) fn numbered(number: u32) -> Self {
        Self {
            side: 1.0 - (1.0 - Self::SMALLEST) * halton(number, 2),
            across: halton(number, 3),
            down: halton(number, 5),
        }
    }

    pub(super) fn of(self, (width, height): (u32, u32)) -> ImagePart {
        let side = |whole: u32| ((f64::from(whole) * self.side).round() as u32).clamp(1, whole.max(1));
        let (seen_width, seen_height) = (side(width), side(height));
        let start =
            |whole: u32, seen: u32, at: f64| (f64::from(whole.saturating_sub(seen)) * at).round() as u32;
        ImagePart {
            left: start(width, seen_width, self.across),
            top: start(height, seen_height, self.down),
            width: seen_width,
            height: seen_height,
        }
    }
}

/// The `index`th number of the van der Corput sequence of this base: its digits behind the point, in reverse.
fn halton(mut index: u32, base: u32) -> f64 {
    let (mut number, mut place) = (0.0, 1.0);
    while index > 0 {
        place /= f64::from(base);
        number += place * f64::from(index % base);
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
        fn a_window_lies_in_the_image_and_shows_over_a_third_of_it(
            number in 1_u32..1000,
            width in 1_u32..5000,
            height in 1_u32..5000,
        ) {
            let part = Window::numbered(number).of((width, height));
            prop_assert!(part.left + part.width <= width && part.top + part.height <= height);
            let side = |seen: u32, whole: u32| f64::from(seen) >= Window::SMALLEST * f64::from(whole) - 0.5;
            prop_assert!(side(part.width, width) && side(part.height, height), "{part:?}");
        }
    }

    #[test]
    fn windows_are_numbers_of_the_halton_sequence() {
        // Halton 1960, bases 2, 3 and 5.
        assert_eq!(
            [1, 2, 3, 4, 5].map(|number| halton(number, 2)),
            [0.5, 0.25, 0.75, 0.125, 0.625]
        );
        let thirds = [1, 2, 3, 4].map(|number| halton(number, 3) * 9.0);
        for (found, expected) in thirds.into_iter().zip([3.0, 6.0, 1.0, 4.0]) {
            assert!((found - expected).abs() < 1e-12, "{thirds:?}");
        }
        let part = Window::numbered(1).of((500, 400));
        assert_eq!((part.width, part.height), (400, 320));
        assert_eq!((part.left, part.top), (33, 16));
    }

    #[test]
    fn stores_of_images_as_they_were_taken_are_known_by_their_names() {
        assert!(View::is_usual_of(&format!(
            "vgg16-fc2-pooled{}",
            View::Usual.suffix()
        )));
        for view in [View::Mirrored, View::Window(12)] {
            assert!(!View::is_usual_of(&format!("vgg16-fc2-pooled{}", view.suffix())));
        }
    }
}
