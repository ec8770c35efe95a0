//! Preprocessing: from an image to the inputs of a CNN, by resizing, cropping and normalizing.

use super::augment::{Augmentation, RandomCrop};
use super::resample;
use crate::suggest::{Named, UnknownName, unknown_name};
use image::RgbImage;
use image::imageops;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

/// The preprocessing of images to pixels `[size, size, 3]`, channels last. Each backbone has its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Height and width of the result, in pixels.
    pub size: u32,
    /// The resizing of images of another size.
    pub resize: Resize,
    /// The interpolation of resizing.
    pub interpolation: Interpolation,
    /// The order of the channels.
    pub channel_order: ChannelOrder,
    /// From channel values of 0 to 255 to the network's inputs.
    pub normalization: Normalization,
    /// Applied before resizing.
    #[serde(default, skip_serializing_if = "Augmentation::is_none")]
    pub augmentation: Augmentation,
}

/// The conversion of an image to a square (timm `crop_mode`).
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

/// The resizing of an image to a square. An image of exactly the square's size is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Resize both sides to the size, without keeping the aspect ratio (Keras `load_img(target_size=...)`).
    Squash,
    /// Resize the shorter side to this many pixels, then take the center crop (torchvision's evaluation transforms and
    /// EfficientNet-Lite's: 256, then 224).
    ShorterSide(u32),
}

/// A rectangle of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub struct CropBox {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// The interpolation of pixels in resizing, each to the bit as Pillow's.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum Interpolation {
    /// The nearest pixel: the default of Keras' `load_img`.
    Nearest,
    /// A triangle kernel, widened when shrinking (antialiased): torchvision's on PIL images. TensorFlow's `image.resize`
    /// does not widen the kernel, so it agrees only when enlarging.
    Bilinear,
    /// A cubic kernel (Keys 1981, a = -1/2), widened when shrinking: timm's.
    Bicubic,
}

impl Named for Interpolation {
    const KIND: &'static str = "interpolation";
}

/// The preprocessing of published weights, by name: by source, or by the values of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum PreprocessingKind {
    /// [`Preprocessing::caffe`]
    Caffe,
    /// [`Preprocessing::caffe_rgb`]
    CaffeRgb,
    /// torchvision's `IMAGENET1K_V1`, mostly [`Preprocessing::torchvision`].
    Torchvision,
    /// torchvision's `IMAGENET1K_V2`.
    TorchvisionV2,
    /// timm, the tag of the network that it takes first.
    Timm,
    /// `keras.applications`, with images of `load_img(target_size=...)`.
    Keras,
    /// [`Preprocessing::symmetric`]
    Symmetric,
    /// [`Preprocessing::efficientnet_lite`]
    EfficientnetLite,
    /// `efficientnet_pytorch`, whose crop is the whole shorter side.
    EfficientnetPytorch,
    /// CLIP, [`Preprocessing::clip`].
    Openai,
}

impl Named for PreprocessingKind {
    const KIND: &'static str = "preprocessing";
}

/// The choices of a user in place of the preprocessing that the weights were trained with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreprocessingChoice {
    /// The preprocessing of other weights.
    pub kind: Option<PreprocessingKind>,
    /// The conversion to a square.
    pub crop_mode: Option<CropMode>,
    /// The interpolation of resizing.
    pub interpolation: Option<Interpolation>,
}

/// ImageNet's mean color and deviation, in 0 to 1.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// The order of a pixel's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: networks that came from Caffe.
    Bgr,
}

/// `(value * scale - mean) / std`, with `value` in 0 to 255. `mean` and `std` are in the channels' order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Factor of the channel's value.
    pub scale: f32,
    /// One per channel.
    pub mean: [f32; 3],
    /// Standard deviation, one per channel.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// VGG and ResNet as trained in Caffe: BGR, minus ImageNet's mean color (Keras `preprocess_input`, mode "caffe").
    pub const fn caffe(size: u32) -> Self {
        Self {
            channel_order: ChannelOrder::Bgr,
            ..Self::squashed(size, 1.0, [103.939, 116.779, 123.68], [1.0; 3])
        }
    }

    /// The same weights with the first layer's channels in the order RGB (torchvision's `IMAGENET1K_FEATURES`, whose means
    /// are rounded): the shorter side to 8/7 of the size, the center crop, minus the mean color.
    pub const fn caffe_rgb(size: u32) -> Self {
        Self::squashed(size, 1.0, [123.0, 117.0, 104.0], [1.0; 3]).shorter_side(size * 8 / 7)
    }

    /// `x / 127.5 - 1`, to -1..=1 (Keras mode "tf": Xception, Inception, MobileNet).
    pub const fn symmetric(size: u32) -> Self {
        Self::squashed(size, 1.0, [127.5; 3], [127.5; 3])
    }

    /// `(x / 255 - mean) / std` of the full image with ImageNet's mean and deviation (Keras mode "torch").
    pub const fn imagenet(size: u32) -> Self {
        Self::squashed(size, 1.0 / 255.0, IMAGENET.0, IMAGENET.1)
    }

    /// torchvision's ImageNet weights: the shorter side to 8/7 of the size (256 for 224), the center crop,
    /// `(x / 255 - mean) / std`.
    pub const fn torchvision(size: u32) -> Self {
        Self::imagenet(size).shorter_side(size * 8 / 7)
    }

    /// timm: the center crop of this many ten-thousandths of the image's shorter side, bicubic, with ImageNet's mean and
    /// deviation.
    pub const fn timm(size: u32, crop: u32) -> Self {
        let shorter = size * 10_000 / crop;
        Self::imagenet(size)
            .shorter_side(shorter)
            .with(Interpolation::Bicubic)
    }

    /// EfficientNet-Lite: the center crop without 16 pixels on each side of the resized image, `(x - 127) / 128`.
    pub const fn efficientnet_lite(size: u32) -> Self {
        Self::squashed(size, 1.0, [127.0; 3], [128.0; 3]).shorter_side(size + 32)
    }

    /// CLIP: the shorter side to the size, the center crop, with the mean and deviation of its own images.
    pub const fn clip(size: u32) -> Self {
        let mean = [0.481_454_66, 0.457_827_5, 0.408_210_73];
        let std = [0.268_629_54, 0.261_302_6, 0.275_777_1];
        Self::squashed(size, 1.0 / 255.0, mean, std)
            .shorter_side(size)
            .with(Interpolation::Bicubic)
    }

    /// RGB of the full image.
    const fn squashed(size: u32, scale: f32, mean: [f32; 3], std: [f32; 3]) -> Self {
        Self {
            size,
            resize: Resize::Squash,
            interpolation: Interpolation::Bilinear,
            channel_order: ChannelOrder::Rgb,
            normalization: Normalization { scale, mean, std },
            augmentation: Augmentation::None,
        }
    }

    /// The same with the center crop after the shorter side is resized to this many pixels.
    pub const fn shorter_side(self, pixels: u32) -> Self {
        Self {
            resize: Resize::ShorterSide(pixels),
            ..self
        }
    }

    /// The same with this interpolation.
    pub const fn with(self, interpolation: Interpolation) -> Self {
        Self {
            interpolation,
            ..self
        }
    }

    /// The same for images of another size, of which the crop is the same part.
    pub fn for_size(self, size: u32) -> Self {
        let scaled =
            |shorter: u32| (f64::from(shorter) * f64::from(size) / f64::from(self.size)).round() as u32;
        let resize = match self.resize {
            Resize::Squash => Resize::Squash,
            Resize::ShorterSide(shorter) => Resize::ShorterSide(scaled(shorter)),
        };
        Self { size, resize, ..self }
    }

    /// The same resizing with the pixels' values of another one; `None` for a source whose networks have several.
    pub fn with_values_of(&self, kind: PreprocessingKind) -> Option<Self> {
        let values = match kind {
            PreprocessingKind::Caffe => Self::caffe(self.size),
            PreprocessingKind::CaffeRgb => Self::caffe_rgb(self.size),
            PreprocessingKind::Torchvision => Self::torchvision(self.size),
            PreprocessingKind::Symmetric => Self::symmetric(self.size),
            PreprocessingKind::EfficientnetLite => Self::efficientnet_lite(self.size),
            PreprocessingKind::Openai => Self::clip(self.size),
            PreprocessingKind::TorchvisionV2
            | PreprocessingKind::Timm
            | PreprocessingKind::Keras
            | PreprocessingKind::EfficientnetPytorch => return None,
        };
        Some(Self {
            channel_order: values.channel_order,
            normalization: values.normalization,
            ..self.clone()
        })
    }

    /// The same preprocessing with another crop mode than the network was trained with.
    pub fn with_crop_mode(self, mode: CropMode) -> Self {
        let resize = match (mode, self.resize) {
            (CropMode::Squash, _) => Resize::Squash,
            (CropMode::Center, Resize::Squash) => Resize::ShorterSide(self.size),
            (CropMode::Center, shorter) => shorter,
        };
        Self { resize, ..self }
    }

    /// Whether images of this size fit in memory. The preprocessing may come from a file.
    pub(crate) fn has_possible_size(&self) -> bool {
        /// Networks read images of a few hundred pixels a side.
        const MAX_SIDE: u32 = 8192;
        let shorter = match self.resize {
            Resize::Squash => self.size,
            Resize::ShorterSide(shorter) => shorter,
        };
        [self.size, shorter]
            .into_iter()
            .all(|side| (1..=MAX_SIDE).contains(&side))
    }

    /// Whether the network's inputs are finite. The preprocessing may come from a file.
    pub(crate) fn has_possible_values(&self) -> bool {
        /// Far from those of any network.
        const LIMIT: f32 = 1e6;
        let Normalization { scale, mean, std } = self.normalization;
        let is_factor = |value: &f32| (LIMIT.recip()..=LIMIT).contains(value);
        is_factor(&scale) && std.iter().all(is_factor) && mean.iter().all(|mean| mean.abs() <= LIMIT)
    }

    /// Values of one image: `size * size * 3`.
    pub fn pixels_len(&self) -> usize {
        self.size as usize * self.size as usize * 3
    }

    /// Writes the image as `[size, size, 3]`, row after row, into `out`.
    ///
    /// # Panics
    /// When `out` is not [`pixels_len`](Self::pixels_len) long.
    pub fn write_pixels(&self, image: &RgbImage, out: &mut [f32]) {
        self.normalize(&self.square(image), out);
    }

    /// Augments, resizes and crops the image to `size` by `size`. The result takes a quarter of the memory of its
    /// normalized values.
    pub fn square<'a>(&self, image: &'a RgbImage) -> Cow<'a, RgbImage> {
        let mut square = match self.augmentation {
            Augmentation::None | Augmentation::HFlip => self.resized_to_square(image),
            Augmentation::Crop(number) => {
                let crop = cropped(image, RandomCrop::nth(number).in_image(image.dimensions()));
                Cow::Owned(self.resized_to_square(&crop).into_owned())
            }
        };
        if self.augmentation.is_flipped() {
            imageops::flip_horizontal_in_place(square.to_mut());
        }
        square
    }

    /// Writes the normalized values of a [`square`](Self::square) into `out`.
    ///
    /// # Panics
    /// When `out` is not [`pixels_len`](Self::pixels_len) long.
    pub fn normalize(&self, square: &RgbImage, out: &mut [f32]) {
        assert_eq!(out.len(), self.pixels_len(), "room for one image's pixels");
        let Normalization { scale, mean, std } = self.normalization;
        let source = match self.channel_order {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
        };
        let pixels = square.as_raw().as_chunks::<3>().0;
        for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            for channel in 0..3 {
                let value = f32::from(pixel[source[channel]]);
                out[channel] = (value * scale - mean[channel]) / std[channel];
            }
        }
    }

    /// The part of an image of this width and height that the network sees.
    pub fn crop_box(&self, (width, height): (u32, u32)) -> CropBox {
        let (crop_width, crop_height) = match self.resize {
            Resize::ShorterSide(shorter) if (width, height) != (self.size, self.size) => {
                let fraction = f64::from(self.size) / f64::from(shorter.max(self.size));
                let side = (f64::from(width.min(height)) * fraction).round() as u32;
                (side, side)
            }
            Resize::ShorterSide(_) | Resize::Squash => (width, height),
        };
        centered((width, height), (crop_width, crop_height))
    }

    fn resized_to_square<'a>(&self, image: &'a RgbImage) -> Cow<'a, RgbImage> {
        let square = (self.size, self.size);
        if image.dimensions() == square {
            return Cow::Borrowed(image);
        }
        match self.resize {
            Resize::Squash => self.resized(image, square),
            Resize::ShorterSide(shorter) => {
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
        Cow::Owned(match self.interpolation {
            Interpolation::Nearest => resample::nearest(image, (width, height)),
            Interpolation::Bilinear => resample::with_kernel(image, (width, height), resample::BILINEAR),
            Interpolation::Bicubic => resample::with_kernel(image, (width, height), resample::BICUBIC),
        })
    }

    /// The center crop, rounded as torchvision rounds it.
    fn center(&self, image: &RgbImage) -> RgbImage {
        let offset = |side: u32| (f64::from(side.saturating_sub(self.size)) / 2.0).round_ties_even() as u32;
        cropped(
            image,
            CropBox {
                left: offset(image.width()),
                top: offset(image.height()),
                width: self.size,
                height: self.size,
            },
        )
    }
}

fn cropped(image: &RgbImage, part: CropBox) -> RgbImage {
    imageops::crop_imm(image, part.left, part.top, part.width, part.height).to_image()
}

/// A box of `size` in the center of `of`.
fn centered(of: (u32, u32), size: (u32, u32)) -> CropBox {
    CropBox {
        left: (of.0 - size.0) / 2,
        top: (of.1 - size.1) / 2,
        width: size.0,
        height: size.1,
    }
}

/// The middle of a very long image, which contains the center crop. Without it, resizing a line of pixels to a square's
/// height would need memory for its whole length.
fn without_far_ends(image: &RgbImage) -> Cow<'_, RgbImage> {
    const LONGEST: u32 = 8; // times the shorter side
    let (width, height) = image.dimensions();
    let longest = width.min(height).saturating_mul(LONGEST);
    if width.max(height) <= longest {
        return Cow::Borrowed(image);
    }
    let kept = (width.min(longest), height.min(longest));
    Cow::Owned(cropped(image, centered((width, height), kept)))
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

    /// Bilinear, without normalization.
    fn plain(size: u32, resize: Resize) -> Preprocessing {
        Preprocessing {
            resize,
            ..Preprocessing::squashed(size, 1.0, [0.0; 3], [1.0; 3])
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

    #[test]
    fn random_crop_equals_its_pixels_preprocessed_alone() {
        let image = sample();
        for (number, flip) in [
            (1, Augmentation::HFlip),
            (2, Augmentation::None),
            (7, Augmentation::HFlip),
        ] {
            let part = RandomCrop::nth(number).in_image(image.dimensions());
            assert!((part.width, part.height) != image.dimensions(), "{part:?}");
            let cut = cropped(&image, part);
            for resize in [Resize::Squash, Resize::ShorterSide(5)] {
                let with_augmentation = |augmentation| Preprocessing {
                    augmentation,
                    ..plain(4, resize)
                };
                let found = pixels(&with_augmentation(Augmentation::Crop(number)), &image);
                let expected = pixels(&with_augmentation(flip), &cut);
                assert_eq!(found, expected, "{number} {resize:?}");
            }
        }
    }

    #[test]
    fn crop_modes_replace_the_trained_resize() {
        let center = Preprocessing::efficientnet_lite(224);
        let whole = center.clone().with_crop_mode(CropMode::Squash);
        assert_eq!(center.clone().with_crop_mode(CropMode::Center), center);
        assert_eq!(whole.resize, Resize::Squash);
        assert_eq!(whole.clone().with_crop_mode(CropMode::Squash), whole);
        let part = whole.crop_box((500, 300));
        assert_eq!((part.width, part.height), (500, 300));
        let part = Preprocessing::caffe(224)
            .with_crop_mode(CropMode::Center)
            .crop_box((500, 300));
        assert_eq!((part.width, part.height), (300, 300));
    }

    #[test]
    fn hflip_reverses_every_row() {
        let image = RgbImage::from_fn(3, 3, |x, y| Rgb([x as u8, y as u8, 7]));
        let pixels = |augmentation| {
            let preprocessing = Preprocessing {
                augmentation,
                ..plain(3, Resize::Squash)
            };
            pixels(&preprocessing, &image)
        };
        let rows = pixels(Augmentation::None);
        let expected: Vec<f32> = rows
            .chunks(9)
            .flat_map(|row| [&row[6..], &row[3..6], &row[..3]].concat())
            .collect();
        assert_eq!(pixels(Augmentation::HFlip), expected);
    }

    /// The literals are Pillow 12's results on the same 7 x 5 pixels.
    #[test]
    fn resized_pixels_equal_pillow() {
        #[rustfmt::skip]
        let downscaled = [
            28, 18, 41, 92, 95, 113, 156, 158, 207, 36, 38, 97, 100, 112,
            102, 164, 154, 158, 44, 58, 192, 108, 120, 148, 172, 88, 56,
        ];
        #[rustfmt::skip]
        let first_upscaled_rows = [
            0, 0, 0, 20, 6, 27, 43, 21, 58, 67, 46, 89, 90, 81, 120, 113, 130, 151, 137, 189, 182, 160, 173, 213,
            180, 68, 240, 2, 4, 19, 22, 10, 28, 45, 25, 57, 69, 50, 91, 92, 85, 102, 115, 134, 145, 139, 193, 189,
            162, 177, 218, 182, 72, 227,
        ];
        #[rustfmt::skip]
        let center_crop = [
            48, 27, 63, 91, 87, 112, 134, 183, 182, 54, 42, 63, 97, 102,
            73, 140, 198, 195, 60, 58, 140, 103, 118, 127, 146, 147, 112,
        ];
        #[rustfmt::skip]
        let bicubic = [
            24, 11, 32, 92, 97, 111, 160, 163, 216, 32, 32, 94, 100, 116, 101, 168, 157, 163,
            40, 54, 202, 108, 128, 150, 176, 86, 46,
        ];
        #[rustfmt::skip]
        let bicubic_upscaled = [
            0, 0, 0, 18, 3, 24, 43, 18, 58, 67, 43, 88, 90, 80, 124, 113, 127, 153,
            137, 203, 180, 162, 179, 215, 181, 60, 246, 1, 3, 14, 19, 7, 21, 44, 22, 56,
            68, 47, 95, 91, 84, 107, 114, 131, 144, 138, 207, 190, 163, 183, 223, 182, 64, 233,
        ];
        #[rustfmt::skip]
        let nearest = [
            30, 9, 40, 90, 81, 120, 150, 225, 200, 40, 35, 90, 100, 107, 10, 160, 251, 186,
            50, 61, 204, 110, 133, 156, 170, 21, 44,
        ];
        #[rustfmt::skip]
        let nearest_upscaled = [
            0, 0, 0, 30, 9, 40, 30, 9, 40, 60, 36, 80, 90, 81, 120, 120, 144, 160,
            150, 225, 200, 150, 225, 200, 180, 68, 240, 0, 0, 0, 30, 9, 40, 30, 9, 40,
            60, 36, 80, 90, 81, 120, 120, 144, 160, 150, 225, 200, 150, 225, 200, 180, 68, 240,
        ];
        for (size, resize, interpolation, expected) in [
            (3, Resize::Squash, Interpolation::Bilinear, &downscaled[..]),
            (9, Resize::Squash, Interpolation::Bilinear, &first_upscaled_rows),
            (3, Resize::ShorterSide(4), Interpolation::Bilinear, &center_crop),
            (3, Resize::Squash, Interpolation::Bicubic, &bicubic),
            (9, Resize::Squash, Interpolation::Bicubic, &bicubic_upscaled),
            (3, Resize::Squash, Interpolation::Nearest, &nearest),
            (9, Resize::Squash, Interpolation::Nearest, &nearest_upscaled),
        ] {
            let found = pixels(&plain(size, resize).with(interpolation), &sample());
            let expected: Vec<f32> = expected.iter().map(|&value| value as f32).collect();
            assert_eq!(
                found[..expected.len()],
                expected,
                "{size} {resize:?} {interpolation}"
            );
        }
    }

    #[test]
    fn crop_box_covers_the_pixels_of_the_network() {
        let part = |preprocessing: &Preprocessing, dimensions| {
            let part = preprocessing.crop_box(dimensions);
            (part.left, part.top, part.width, part.height)
        };
        let squashed = plain(224, Resize::Squash);
        assert_eq!(part(&squashed, (500, 375)), (0, 0, 500, 375));
        let center = plain(224, Resize::ShorterSide(256));
        assert_eq!(part(&center, (512, 256)), (144, 16, 224, 224));
        assert_eq!(part(&center, (128, 256)), (8, 72, 112, 112));
        assert_eq!(part(&center, (224, 224)), (0, 0, 224, 224));

        // The crop is white and the rest black, so all pixels are white except some at the edge.
        let crop = center.crop_box((640, 320));
        let (columns, rows) = (
            crop.left..crop.left + crop.width,
            crop.top..crop.top + crop.height,
        );
        let image = RgbImage::from_fn(640, 320, |x, y| {
            let inside = columns.contains(&x) && rows.contains(&y);
            Rgb([if inside { 255 } else { 0 }; 3])
        });
        let mean = pixels(&center, &image).iter().sum::<f32>() / center.pixels_len() as f32;
        assert!(mean > 254.0, "{mean}");
    }

    #[test]
    fn image_of_the_network_size_is_not_resampled() {
        let square = RgbImage::from_fn(4, 4, |x, y| Rgb([(x * 60) as u8, (y * 60) as u8, 7]));
        let expected: Vec<f32> = square.iter().map(|&value| f32::from(value)).collect();
        for resize in [Resize::Squash, Resize::ShorterSide(5)] {
            assert_eq!(pixels(&plain(4, resize), &square), expected);
        }
    }

    #[test]
    fn normalization_equals_each_published_recipe() {
        let image = RgbImage::from_pixel(1, 1, Rgb([255, 128, 0]));
        let caffe = [0.0 - 103.939, 128.0 - 116.779, 255.0 - 123.68];
        // (x / 255 - mean) / std, channel by channel
        let torchvision = [2.248_908_3, 0.205_182_07, -1.804_444_4];
        let efficientnet_lite = [1.0, 1.0 / 128.0, -127.0 / 128.0];
        let cases = [
            (Preprocessing::caffe(1), caffe),
            (Preprocessing::symmetric(1), [1.0, 128.0 / 127.5 - 1.0, -1.0]),
            (Preprocessing::torchvision(1), torchvision),
            (Preprocessing::efficientnet_lite(1), efficientnet_lite),
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
    fn values_of_another_preprocessing_keep_the_resizing() {
        let chosen = |kind| Preprocessing::torchvision(224).with_values_of(kind);
        let symmetric = chosen(PreprocessingKind::Symmetric).unwrap();
        assert_eq!(symmetric, Preprocessing::symmetric(224).shorter_side(256));
        assert_eq!(chosen(PreprocessingKind::Timm), None);
        assert_eq!("caffe_rgb".parse(), Ok(PreprocessingKind::CaffeRgb));
    }

    #[test]
    fn one_pixel_high_images_are_resized() {
        let line = RgbImage::from_pixel(60_000, 1, Rgb([9, 8, 7]));
        let found = pixels(&plain(64, Resize::ShorterSide(73)), &line);
        assert_eq!(found.as_chunks::<3>().0, [[9.0, 8.0, 7.0]; 64 * 64]);
    }

    #[test]
    fn preprocessing_round_trips_through_json() {
        for settings in [Preprocessing::caffe(224), Preprocessing::torchvision(224)] {
            let json = serde_json::to_string(&settings).unwrap();
            assert_eq!(serde_json::from_str::<Preprocessing>(&json).unwrap(), settings);
        }
    }

    #[test]
    fn bilinear_equals_pillow_on_a_real_image() {
        let (Some(weights), Some(flickr8k)) = (
            std::env::var_os("CUTLINE_WEIGHTS"),
            std::env::var_os("CUTLINE_FLICKR8K"),
        ) else {
            eprintln!("skipped: CUTLINE_WEIGHTS and CUTLINE_FLICKR8K name no folders");
            return;
        };
        let image = image_io::decode(Path::new(&flickr8k).join("images/2090545563_a4e66ec76b.jpg")).unwrap();
        let found = pixels(&plain(299, Resize::Squash), &image);
        let reference = WeightFile::open(Path::new(&weights).join("reference.safetensors")).unwrap();
        let name = "xception/2090545563_a4e66ec76b.jpg/input_299_bilinear";
        let expected = reference.get(name, &[299, 299, 3]).unwrap();
        assert!(found == expected, "not Pillow's pixels");
    }
}
