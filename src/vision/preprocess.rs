//! From an image to the numbers a CNN was trained on: size, channel order and scale.

use super::augment::{View, Window};
use super::resample;
use crate::suggest::{Named, UnknownName, unknown_name};
use image::imageops::{self, FilterType};
use image::{RgbImage, imageops::crop_imm};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

/// How images become pixels `[size, size, 3]`, channels last; every backbone states its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Height and width of the result, in pixels.
    pub size: u32,
    /// How an image of another size is brought to it.
    pub fit: Fit,
    /// How pixels are interpolated on the way.
    pub filter: Filter,
    /// The order of the channels.
    pub order: ChannelOrder,
    /// How a channel's 0 to 255 becomes a number.
    pub normalization: Normalization,
    /// What of the image is seen, and which way round.
    #[serde(default, alias = "facing", skip_serializing_if = "View::is_usual")]
    pub view: View,
}

/// How an image becomes the square that a network takes (timm `crop_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum CropMode {
    /// Resize the full image, without keeping its aspect ratio.
    Squash,
    /// Take the center crop.
    Center,
}

impl Named for CropMode {
    const KIND: &'static str = "crop mode";
}

/// How an image is brought to a square. One that already has the size is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Both sides to the size, whatever that does to the aspect ratio (Keras `load_img(target_size=...)`).
    Squash,
    /// The shorter side to this many pixels, then the square in the center (torchvision's evaluation
    /// transforms and EfficientNet-Lite's: 256, then 224).
    ShorterSide(u32),
}

/// A rectangle of an image, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImagePart {
    /// Pixels to the left of it.
    pub left: u32,
    /// Pixels above it.
    pub top: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// How pixels are interpolated when an image changes size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The nearest pixel: the default of Keras' `load_img`.
    Nearest,
    /// A triangle kernel, widened when shrinking (antialiased): PIL's `BILINEAR`, and so torchvision's on PIL
    /// images, to the bit. TensorFlow's `image.resize` does not widen the kernel, so it agrees when enlarging only.
    Bilinear,
}

/// The order of a pixel's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: networks that came from Caffe.
    Bgr,
}

/// `(value * scale - mean) / deviation`, with `value` in 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// What a channel's value is multiplied with first.
    pub scale: f32,
    /// One per channel, in the order of [`Preprocessing::order`].
    pub mean: [f32; 3],
    /// One per channel, in the order of [`Preprocessing::order`].
    pub deviation: [f32; 3],
}

impl Preprocessing {
    /// VGG as trained in Caffe: BGR, minus ImageNet's mean color (Keras `preprocess_input`, mode "caffe").
    pub fn caffe(size: u32) -> Self {
        Self {
            order: ChannelOrder::Bgr,
            ..Self::squashed(
                size,
                Normalization {
                    scale: 1.0,
                    mean: [103.939, 116.779, 123.68],
                    deviation: [1.0; 3],
                },
            )
        }
    }

    /// `x / 127.5 - 1`, to -1..=1 (Keras mode "tf": Xception, Inception, MobileNet).
    pub fn symmetric(size: u32) -> Self {
        Self::squashed(
            size,
            Normalization {
                scale: 1.0,
                mean: [127.5; 3],
                deviation: [127.5; 3],
            },
        )
    }

    /// torchvision's ImageNet weights: the shorter side to 8/7 of the size (256 for 224), the center,
    /// `(x / 255 - mean) / deviation`.
    pub fn torchvision(size: u32) -> Self {
        Self {
            fit: Fit::ShorterSide(size * 8 / 7),
            ..Self::squashed(
                size,
                Normalization {
                    scale: 1.0 / 255.0,
                    mean: [0.485, 0.456, 0.406],
                    deviation: [0.229, 0.224, 0.225],
                },
            )
        }
    }

    /// EfficientNet-Lite: the center without 16 pixels on every side, as measured at the result's scale,
    /// `(x - 127) / 128`.
    pub fn efficientnet_lite(size: u32) -> Self {
        Self {
            fit: Fit::ShorterSide(size + 32),
            ..Self::squashed(
                size,
                Normalization {
                    scale: 1.0,
                    mean: [127.0; 3],
                    deviation: [128.0; 3],
                },
            )
        }
    }

    /// Red, green and blue of the whole image, whatever its sides.
    fn squashed(size: u32, normalization: Normalization) -> Self {
        Self {
            size,
            fit: Fit::Squash,
            filter: Filter::Bilinear,
            order: ChannelOrder::Rgb,
            normalization,
            view: View::Usual,
        }
    }

    /// The same preprocessing with another crop mode than the network was trained with.
    pub fn with_crop_mode(self, mode: CropMode) -> Self {
        let fit = match (mode, self.fit) {
            (CropMode::Squash, _) => Fit::Squash,
            (CropMode::Center, Fit::Squash) => Fit::ShorterSide(self.size),
            (CropMode::Center, shorter) => shorter,
        };
        Self { fit, ..self }
    }

    /// How many numbers one image becomes: `size * size * 3`.
    pub fn pixels_len(&self) -> usize {
        self.size as usize * self.size as usize * 3
    }

    /// Writes the image as `[size, size, 3]`, row after row, into `out`.
    ///
    /// # Panics
    /// When `out` is not [`pixels_len`](Self::pixels_len) long.
    pub fn write_pixels(&self, image: &RgbImage, out: &mut [f32]) {
        assert_eq!(out.len(), self.pixels_len(), "room for one image's pixels");
        let image = self.seen(image);
        let Normalization {
            scale,
            mean,
            deviation,
        } = self.normalization;
        let source = match self.order {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
        };
        let pixels = image.as_raw().as_chunks::<3>().0;
        for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            for channel in 0..3 {
                let value = f32::from(pixel[source[channel]]);
                out[channel] = (value * scale - mean[channel]) / deviation[channel];
            }
        }
    }

    /// The part that is seen of an image of these dimensions.
    pub fn part_seen(&self, (width, height): (u32, u32)) -> ImagePart {
        let (seen_width, seen_height) = match self.fit {
            Fit::ShorterSide(shorter) if (width, height) != (self.size, self.size) => {
                let share = f64::from(self.size) / f64::from(shorter.max(self.size));
                let side = (f64::from(width.min(height)) * share).round() as u32;
                (side, side)
            }
            Fit::ShorterSide(_) | Fit::Squash => (width, height),
        };
        ImagePart {
            left: (width - seen_width) / 2,
            top: (height - seen_height) / 2,
            width: seen_width,
            height: seen_height,
        }
    }

    /// What is seen of the image, at `size` by `size`.
    fn seen<'a>(&self, image: &'a RgbImage) -> Cow<'a, RgbImage> {
        let mut seen = match self.view {
            View::Usual | View::Mirrored => self.fitted(image),
            View::Window(number) => {
                let part = Window::numbered(number).of(image.dimensions());
                let part = crop_imm(image, part.left, part.top, part.width, part.height).to_image();
                Cow::Owned(self.fitted(&part).into_owned())
            }
        };
        if self.view.is_mirrored() {
            imageops::flip_horizontal_in_place(seen.to_mut());
        }
        seen
    }

    /// The image at `size` by `size`.
    fn fitted<'a>(&self, image: &'a RgbImage) -> Cow<'a, RgbImage> {
        let square = (self.size, self.size);
        if image.dimensions() == square {
            return Cow::Borrowed(image);
        }
        match self.fit {
            Fit::Squash => self.resized(image, square),
            Fit::ShorterSide(shorter) => {
                let image = without_far_ends(image);
                let dimensions = with_shorter_side(image.dimensions(), shorter.max(self.size));
                Cow::Owned(self.center(&self.resized(&image, dimensions)))
            }
        }
    }

    fn resized<'a>(&self, image: &'a RgbImage, (width, height): (u32, u32)) -> Cow<'a, RgbImage> {
        if image.dimensions() == (width, height) {
            return Cow::Borrowed(image);
        }
        Cow::Owned(match self.filter {
            Filter::Nearest => imageops::resize(image, width, height, FilterType::Nearest),
            Filter::Bilinear => resample::bilinear(image, (width, height)),
        })
    }

    fn center(&self, image: &RgbImage) -> RgbImage {
        let offset = |side: u32| (f64::from(side.saturating_sub(self.size)) / 2.0).round_ties_even() as u32;
        let (left, top) = (offset(image.width()), offset(image.height()));
        crop_imm(image, left, top, self.size, self.size).to_image()
    }
}

/// A very long image cut to its middle: all that the center's pixels depend on. Scaling a line of one pixel's
/// height to a square's would need room for its whole length.
fn without_far_ends(image: &RgbImage) -> Cow<'_, RgbImage> {
    const LONGEST: u32 = 8; // times the shorter side
    let (width, height) = image.dimensions();
    let longest = width.min(height).saturating_mul(LONGEST);
    if width.max(height) <= longest {
        return Cow::Borrowed(image);
    }
    let (kept_width, kept_height) = (width.min(longest), height.min(longest));
    let (left, top) = ((width - kept_width) / 2, (height - kept_height) / 2);
    Cow::Owned(crop_imm(image, left, top, kept_width, kept_height).to_image())
}

/// The dimensions after scaling the shorter side, the longer one rounded down as torchvision's `Resize` does.
fn with_shorter_side((width, height): (u32, u32), shorter: u32) -> (u32, u32) {
    let scaled = |long: u32, short: u32| {
        let side = u64::from(shorter) * u64::from(long) / u64::from(short.max(1));
        u32::try_from(side).unwrap_or(u32::MAX)
    };
    if width <= height {
        (shorter, scaled(height, width))
    } else {
        (scaled(width, height), shorter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::{image_io, weights::WeightFile};
    use image::Rgb;
    use std::path::Path;

    const PLAIN: Normalization = Normalization {
        scale: 1.0,
        mean: [0.0; 3],
        deviation: [1.0; 3],
    };

    fn plain(size: u32, fit: Fit, filter: Filter) -> Preprocessing {
        Preprocessing {
            size,
            fit,
            filter,
            order: ChannelOrder::Rgb,
            normalization: PLAIN,
            view: View::Usual,
        }
    }

    fn pixels(preprocessing: &Preprocessing, image: &RgbImage) -> Vec<f32> {
        let mut out = vec![f32::NAN; preprocessing.pixels_len()];
        preprocessing.write_pixels(image, &mut out);
        out
    }

    fn sample() -> RgbImage {
        let channels = |x: u32, y: u32| [30 * x + 5 * y, x * x * 9 + y * 13, (x * 40) ^ (y * 57)];
        RgbImage::from_fn(7, 5, |x, y| Rgb(channels(x, y).map(|value| (value % 256) as u8)))
    }

    #[track_caller]
    fn assert_same(found: &[f32], expected: &[u8]) {
        let expected: Vec<f32> = expected.iter().map(|&value| f32::from(value)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn through_a_window_an_image_is_seen_as_its_part_alone_would_be() {
        let image = sample();
        for (number, mirrored) in [(1, View::Mirrored), (2, View::Usual), (7, View::Mirrored)] {
            let part = Window::numbered(number).of(image.dimensions());
            assert!((part.width, part.height) != image.dimensions(), "{part:?}");
            let cut = crop_imm(&image, part.left, part.top, part.width, part.height).to_image();
            for fit in [Fit::Squash, Fit::ShorterSide(5)] {
                let seeing = |view| Preprocessing {
                    view,
                    ..plain(4, fit, Filter::Bilinear)
                };
                let through = pixels(&seeing(View::Window(number)), &image);
                assert_eq!(through, pixels(&seeing(mirrored), &cut), "{number} {fit:?}");
            }
        }
    }

    #[test]
    fn a_network_can_be_shown_more_or_less_than_it_was_trained_on() {
        let center = Preprocessing::efficientnet_lite(224);
        let whole = center.clone().with_crop_mode(CropMode::Squash);
        assert_eq!(center.clone().with_crop_mode(CropMode::Center), center);
        assert_eq!(whole.fit, Fit::Squash);
        assert_eq!(whole.clone().with_crop_mode(CropMode::Squash), whole);
        let part = whole.part_seen((500, 300));
        assert_eq!((part.width, part.height), (500, 300));
        let part = Preprocessing::caffe(224)
            .with_crop_mode(CropMode::Center)
            .part_seen((500, 300));
        assert_eq!((part.width, part.height), (300, 300));
    }

    #[test]
    fn a_mirrored_image_has_left_and_right_exchanged() {
        let image = RgbImage::from_fn(3, 3, |x, y| Rgb([x as u8, y as u8, 7]));
        let pixels = |view| {
            let preprocessing = Preprocessing {
                view,
                ..plain(3, Fit::Squash, Filter::Bilinear)
            };
            let mut pixels = vec![0.0; 27];
            preprocessing.write_pixels(&image, &mut pixels);
            pixels
        };
        let rows = pixels(View::Usual);
        let expected: Vec<f32> = rows
            .chunks(9)
            .flat_map(|row| [&row[6..], &row[3..6], &row[..3]].concat())
            .collect();
        assert_eq!(pixels(View::Mirrored), expected);
    }

    /// The literals of the next three tests are Pillow 12's results on the same 7 x 5 pixels.
    #[test]
    fn bilinear_shrinks_as_pillow_does() {
        let squashed = pixels(&plain(3, Fit::Squash, Filter::Bilinear), &sample());
        #[rustfmt::skip]
        let expected = [
            28, 18, 41, 92, 95, 113, 156, 158, 207, 36, 38, 97, 100, 112,
            102, 164, 154, 158, 44, 58, 192, 108, 120, 148, 172, 88, 56,
        ];
        assert_same(&squashed, &expected);
    }

    #[test]
    fn bilinear_enlarges_as_pillow_does() {
        let enlarged = pixels(&plain(9, Fit::Squash, Filter::Bilinear), &sample());
        #[rustfmt::skip]
        let first_two_rows = [
            0, 0, 0, 20, 6, 27, 43, 21, 58, 67, 46, 89, 90, 81, 120, 113, 130, 151, 137, 189, 182, 160, 173, 213,
            180, 68, 240, 2, 4, 19, 22, 10, 28, 45, 25, 57, 69, 50, 91, 92, 85, 102, 115, 134, 145, 139, 193, 189,
            162, 177, 218, 182, 72, 227,
        ];
        assert_same(&enlarged[..first_two_rows.len()], &first_two_rows);
    }

    #[test]
    fn the_center_is_cut_as_torchvision_does() {
        let preprocessing = plain(3, Fit::ShorterSide(4), Filter::Bilinear);
        #[rustfmt::skip]
        let expected = [
            48, 27, 63, 91, 87, 112, 134, 183, 182, 54, 42, 63, 97, 102,
            73, 140, 198, 195, 60, 58, 140, 103, 118, 127, 146, 147, 112,
        ];
        assert_same(&pixels(&preprocessing, &sample()), &expected);
    }

    #[test]
    fn the_part_that_is_seen_is_what_becomes_pixels() {
        let part = |preprocessing: &Preprocessing, dimensions| {
            let part = preprocessing.part_seen(dimensions);
            (part.left, part.top, part.width, part.height)
        };
        let squashed = plain(224, Fit::Squash, Filter::Bilinear);
        assert_eq!(part(&squashed, (500, 375)), (0, 0, 500, 375));
        let center = plain(224, Fit::ShorterSide(256), Filter::Bilinear);
        assert_eq!(part(&center, (512, 256)), (144, 16, 224, 224));
        assert_eq!(part(&center, (128, 256)), (8, 72, 112, 112));
        assert_eq!(part(&center, (224, 224)), (0, 0, 224, 224), "it is not cut");

        // White where it is seen, black around: all that comes out is white, but for what bleeds in at the rim.
        let seen = center.part_seen((640, 320));
        let is_seen = |at: u32, start: u32, length: u32| (start..start + length).contains(&at);
        let image = RgbImage::from_fn(640, 320, |x, y| {
            let inside = is_seen(x, seen.left, seen.width) && is_seen(y, seen.top, seen.height);
            Rgb([if inside { 255 } else { 0 }; 3])
        });
        let mean = pixels(&center, &image).iter().sum::<f32>() / center.pixels_len() as f32;
        assert!(mean > 254.0, "{mean}");
    }

    #[test]
    fn an_image_of_the_right_size_is_not_resampled() {
        let square = RgbImage::from_fn(4, 4, |x, y| Rgb([(x * 60) as u8, (y * 60) as u8, 7]));
        let expected: Vec<f32> = square.iter().map(|&value| f32::from(value)).collect();
        for fit in [Fit::Squash, Fit::ShorterSide(5)] {
            assert_eq!(pixels(&plain(4, fit, Filter::Bilinear), &square), expected);
        }
    }

    #[test]
    fn channels_are_ordered_and_scaled_as_each_recipe_says() {
        let image = RgbImage::from_pixel(1, 1, Rgb([255, 128, 0]));
        let cases = [
            (
                Preprocessing::caffe(1),
                [0.0 - 103.939, 128.0 - 116.779, 255.0 - 123.68],
            ),
            (Preprocessing::symmetric(1), [1.0, 128.0 / 127.5 - 1.0, -1.0]),
            // (x / 255 - mean) / deviation, channel by channel
            (
                Preprocessing::torchvision(1),
                [2.248_908_3, 0.205_182_07, -1.804_444_4],
            ),
            (
                Preprocessing::efficientnet_lite(1),
                [1.0, 1.0 / 128.0, -127.0 / 128.0],
            ),
        ];
        for (preprocessing, expected) in cases {
            let found = pixels(&preprocessing, &image);
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{preprocessing:?}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn lines_of_one_pixel_cost_no_more_than_squares() {
        let line = RgbImage::from_pixel(60_000, 1, Rgb([9, 8, 7]));
        let found = pixels(&plain(64, Fit::ShorterSide(73), Filter::Bilinear), &line);
        assert_eq!(found.as_chunks::<3>().0, [[9.0, 8.0, 7.0]; 64 * 64]);
    }

    #[test]
    fn settings_survive_json_exactly() {
        for settings in [Preprocessing::caffe(224), Preprocessing::torchvision(224)] {
            let json = serde_json::to_string(&settings).unwrap();
            assert_eq!(serde_json::from_str::<Preprocessing>(&json).unwrap(), settings);
        }
    }

    #[test]
    fn a_real_image_is_enlarged_as_for_the_reference_features() {
        let (Some(weights), Some(flickr8k)) = (
            std::env::var_os("CUTLINE_WEIGHTS"),
            std::env::var_os("CUTLINE_FLICKR8K"),
        ) else {
            eprintln!("skipped: CUTLINE_WEIGHTS and CUTLINE_FLICKR8K name no folders");
            return;
        };
        let image = image_io::decode(Path::new(&flickr8k).join("images/2090545563_a4e66ec76b.jpg")).unwrap();
        let found = pixels(&plain(299, Fit::Squash, Filter::Bilinear), &image);
        let reference = WeightFile::open(Path::new(&weights).join("reference.safetensors")).unwrap();
        let expected = reference
            .get(
                "xception/2090545563_a4e66ec76b.jpg/input_299_bilinear",
                &[299, 299, 3],
            )
            .unwrap();
        assert!(found == expected, "not the pixels that Pillow gives");
    }
}
