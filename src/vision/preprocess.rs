//! From a photo to the numbers a CNN was trained on: size, channel order and scale.

use image::imageops::{self, FilterType};
use image::{RgbImage, imageops::crop_imm};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How photos become pixels `[size, size, 3]`, channels last; every backbone states its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Height and width of the result, in pixels.
    pub size: u32,
    /// How a photo of another size is brought to it.
    pub fit: Fit,
    /// How pixels are interpolated on the way.
    pub filter: Filter,
    /// The order of the channels.
    pub order: ChannelOrder,
    /// How a channel's 0 to 255 becomes a number.
    pub normalisation: Normalisation,
}

/// How a photo is brought to a square. One that already has the size is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Both sides to the size, whatever that does to the aspect ratio (Keras `load_img(target_size=...)`).
    Squash,
    /// The shorter side to this many pixels, then the square in the centre (torchvision's evaluation
    /// transforms: 256, then 224).
    ShorterSide(u32),
}

/// How pixels are interpolated when a photo changes size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The nearest pixel: the default of Keras' `load_img`.
    Nearest,
    /// A triangle kernel, widened when shrinking (antialiased): PIL's `BILINEAR`, and so torchvision's on PIL
    /// images. Sums are in `f32` here and in fixed point there, so a channel may differ by 1 of 255.
    /// TensorFlow's `image.resize` does not widen the kernel, so it agrees when enlarging only.
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
pub struct Normalisation {
    /// What a channel's value is multiplied with first.
    pub scale: f32,
    /// One per channel, in the order of [`Preprocessing::order`].
    pub mean: [f32; 3],
    /// One per channel, in the order of [`Preprocessing::order`].
    pub deviation: [f32; 3],
}

impl Preprocessing {
    /// VGG as trained in Caffe: BGR, minus ImageNet's mean colour (Keras `preprocess_input`, mode "caffe").
    pub fn caffe(size: u32) -> Self {
        Self {
            size,
            fit: Fit::Squash,
            filter: Filter::Bilinear,
            order: ChannelOrder::Bgr,
            normalisation: Normalisation {
                scale: 1.0,
                mean: [103.939, 116.779, 123.68],
                deviation: [1.0; 3],
            },
        }
    }

    /// `x / 127.5 - 1`, to -1..=1 (Keras mode "tf": Xception, Inception, MobileNet).
    pub fn symmetric(size: u32) -> Self {
        Self {
            size,
            fit: Fit::Squash,
            filter: Filter::Bilinear,
            order: ChannelOrder::Rgb,
            normalisation: Normalisation {
                scale: 1.0,
                mean: [127.5; 3],
                deviation: [127.5; 3],
            },
        }
    }

    /// torchvision's ImageNet weights: the shorter side to 8/7 of the size (256 for 224), the centre,
    /// `(x / 255 - mean) / deviation`.
    pub fn torchvision(size: u32) -> Self {
        Self {
            size,
            fit: Fit::ShorterSide(size * 8 / 7),
            filter: Filter::Bilinear,
            order: ChannelOrder::Rgb,
            normalisation: Normalisation {
                scale: 1.0 / 255.0,
                mean: [0.485, 0.456, 0.406],
                deviation: [0.229, 0.224, 0.225],
            },
        }
    }

    /// `(x - 127) / 128` (EfficientNet-Lite).
    pub fn efficientnet_lite(size: u32) -> Self {
        Self {
            size,
            fit: Fit::Squash,
            filter: Filter::Bilinear,
            order: ChannelOrder::Rgb,
            normalisation: Normalisation {
                scale: 1.0,
                mean: [127.0; 3],
                deviation: [128.0; 3],
            },
        }
    }

    /// How many numbers one photo becomes: `size * size * 3`.
    pub fn pixels_len(&self) -> usize {
        self.size as usize * self.size as usize * 3
    }

    /// Writes the photo as `[size, size, 3]`, row after row, into `out`.
    ///
    /// # Panics
    /// When `out` is not [`pixels_len`](Self::pixels_len) long.
    pub fn write_pixels(&self, photo: &RgbImage, out: &mut [f32]) {
        assert_eq!(out.len(), self.pixels_len(), "room for one photo's pixels");
        let photo = self.fitted(photo);
        let Normalisation {
            scale,
            mean,
            deviation,
        } = self.normalisation;
        let source = match self.order {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
        };
        let pixels = photo.as_raw().as_chunks::<3>().0;
        for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            for channel in 0..3 {
                let value = f32::from(pixel[source[channel]]);
                out[channel] = (value * scale - mean[channel]) / deviation[channel];
            }
        }
    }

    /// The photo at `size` by `size`.
    fn fitted<'a>(&self, photo: &'a RgbImage) -> Cow<'a, RgbImage> {
        let square = (self.size, self.size);
        if photo.dimensions() == square {
            return Cow::Borrowed(photo);
        }
        match self.fit {
            Fit::Squash => self.resized(photo, square),
            Fit::ShorterSide(shorter) => {
                let photo = without_far_ends(photo);
                let dimensions = with_shorter_side(photo.dimensions(), shorter.max(self.size));
                Cow::Owned(self.centre(&self.resized(&photo, dimensions)))
            }
        }
    }

    fn resized<'a>(&self, photo: &'a RgbImage, (width, height): (u32, u32)) -> Cow<'a, RgbImage> {
        if photo.dimensions() == (width, height) {
            return Cow::Borrowed(photo);
        }
        let filter = match self.filter {
            Filter::Nearest => FilterType::Nearest,
            Filter::Bilinear => FilterType::Triangle,
        };
        Cow::Owned(imageops::resize(photo, width, height, filter))
    }

    fn centre(&self, photo: &RgbImage) -> RgbImage {
        let offset = |side: u32| (f64::from(side.saturating_sub(self.size)) / 2.0).round_ties_even() as u32;
        let (left, top) = (offset(photo.width()), offset(photo.height()));
        crop_imm(photo, left, top, self.size, self.size).to_image()
    }
}

/// A very long photo cut to its middle: all that the centre's pixels depend on. Scaling a line of one pixel's
/// height to a square's would need room for its whole length.
fn without_far_ends(photo: &RgbImage) -> Cow<'_, RgbImage> {
    const LONGEST: u32 = 8; // times the shorter side
    let (width, height) = photo.dimensions();
    let longest = width.min(height).saturating_mul(LONGEST);
    if width.max(height) <= longest {
        return Cow::Borrowed(photo);
    }
    let (kept_width, kept_height) = (width.min(longest), height.min(longest));
    let (left, top) = ((width - kept_width) / 2, (height - kept_height) / 2);
    Cow::Owned(crop_imm(photo, left, top, kept_width, kept_height).to_image())
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
