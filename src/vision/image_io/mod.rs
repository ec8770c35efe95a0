//! Decoding image files to RGB pixels, within limits.

mod jpeg;
mod memory;

pub use jpeg::JpegDecoder;
pub use memory::MemoryBudget;
pub(crate) use memory::total_memory;

use crate::files::ConfinedPath;
use crate::files::FileKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use jpeg::FrameHeader;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, Seek};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Bytes read at a time: enough for the header of most images.
const BUFFER: usize = 32 << 10;

/// Bytes of metadata (color profile, text) that a decoder other than JPEG's may hold.
const MOST_METADATA: u64 = 16 << 20;

/// The limits of one image. Its memory is limited by a [`MemoryBudget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Width times height, checked before any pixel is decoded.
    pub pixels: u64,
    /// Width or height, checked likewise: resizing needs memory for whole rows and columns.
    pub side: u32,
    /// Bytes of the file, checked before it is read.
    pub file_bytes: u64,
}

impl Default for ImageLimits {
    /// 100 megapixels, 65,535 pixels a side (as JPEG), 1 GiB.
    fn default() -> Self {
        Self {
            pixels: 100_000_000,
            side: 65_535,
            file_bytes: 1 << 30,
        }
    }
}

impl ImageLimits {
    fn check(self, (width, height): (u32, u32)) -> Result<(), ImageErrorKind> {
        let pixels = u64::from(width) * u64::from(height);
        match pixels > self.pixels || width.max(height) > self.side {
            true => Err(ImageErrorKind::TooManyPixels {
                width,
                height,
                limits: self,
            }),
            false => Ok(()),
        }
    }
}

/// An image that could not be decoded.
#[derive(Debug, thiserror::Error)]
#[error("image {path:?} {kind}")]
#[expect(missing_docs, reason = "the message describes the fields")]
pub struct ImageReadError {
    pub path: PathBuf,
    pub kind: ImageErrorKind,
}

/// Why an image could not be decoded, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum ImageErrorKind {
    #[error("does not exist: check the path, and that the images were unpacked")]
    NotFound,
    #[error("is not a regular file: give the path of the image file")]
    NotAFile,
    #[error("cannot be read ({0}): check its permissions and the disk")]
    Unreadable(io::Error),
    #[error("is empty (0 bytes): download or copy it again, or remove it")]
    Empty,
    #[error("is not an image but {0}: download it again, or remove it")]
    NotAnImage(FileKind),
    #[error("has an unsupported image format ({0}): convert it to JPEG or PNG")]
    Unsupported(String),
    #[error("is cut short: download or copy it again, or remove it")]
    Truncated,
    #[error("is damaged ({0}): download or copy it again, or remove it")]
    Damaged(String),
    #[error("makes its decoder fail: open and save it in another program, or remove it")]
    DecoderPanicked,
    #[error(
        "has {width} x {height} pixels, more than the {} ({} a side) that are read: make it smaller",
        limits.pixels,
        limits.side
    )]
    TooManyPixels {
        width: u32,
        height: u32,
        limits: ImageLimits,
    },
    #[error("has {length} bytes, more than the {limit} that are read: make it smaller")]
    TooLong { length: u64, limit: u64 },
    #[error(
        "needs up to {needed} bytes of memory, more than the {budget} for all images together: make it smaller, or raise {}",
        memory::VARIABLE
    )]
    TooMuchMemory { needed: u64, budget: u64 },
    #[error("needs more memory than an image of its size: open and save it in another program, or remove it")]
    MemoryBeyondHeader,
    #[error("cannot be read: {0}")]
    Setting(ImageSettingError),
}

/// A wrong value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages describe the variants")]
pub enum ImageSettingError {
    #[error(
        "`{0}` is no amount of memory ({name} in the environment): give bytes, or a number with M or G, such as 512M",
        name = memory::VARIABLE
    )]
    Memory(String),
    #[error(
        "`{0}` is no JPEG decoder ({name} in the environment): there are turbo, the default, and zune",
        name = jpeg::VARIABLE
    )]
    JpegDecoder(String),
}

/// How images are decoded, and the memory for it. Threads share it by reference.
#[derive(Debug)]
#[expect(missing_docs, reason = "the types say it all")]
pub struct ImageLoader {
    pub limits: ImageLimits,
    pub jpeg_decoder: JpegDecoder,
    pub memory: MemoryBudget,
}

/// Decodes an image (JPEG, PNG, WebP, GIF, BMP, TIFF; recognized by content, not by name) with [`ImageLoader::shared`].
///
/// The EXIF orientation is applied. Gray becomes RGB and 16 bits become 8. Alpha is dropped and the color under it kept,
/// as in Keras and PIL's `convert("RGB")`, since the published weights were trained with such images. An animation gives
/// its first frame.
///
/// # Errors
/// [`ImageReadError`] names the file. A truncated image is an error, even if decoders fill the missing part with gray.
pub fn decode(path: impl AsRef<Path>) -> Result<RgbImage, ImageReadError> {
    decode_and(path, |image| image)
}

/// Decodes an image as [`decode`] does and uses it while its memory is reserved.
///
/// The use must not wait for other threads of rayon: they may wait for the memory.
///
/// # Errors
/// As [`decode`].
pub fn decode_and<T>(
    path: impl AsRef<Path>,
    use_image: impl FnOnce(RgbImage) -> T,
) -> Result<T, ImageReadError> {
    let path = path.as_ref();
    match ImageLoader::shared() {
        Ok(loader) => loader.decode_and(path, use_image),
        Err(error) => Err(ImageReadError {
            path: path.to_owned(),
            kind: ImageErrorKind::Setting(error),
        }),
    }
}

impl ImageLoader {
    /// The loader of the whole program: default limits, and what the environment variables `CUTLINE_IMAGE_MEMORY` and
    /// `CUTLINE_JPEG` say.
    ///
    /// # Errors
    /// If a variable has a wrong value.
    pub fn shared() -> Result<&'static Self, ImageSettingError> {
        static SHARED: LazyLock<Result<ImageLoader, ImageSettingError>> = LazyLock::new(|| {
            Ok(ImageLoader {
                limits: ImageLimits::default(),
                jpeg_decoder: JpegDecoder::from_env()?,
                memory: MemoryBudget::from_env()?,
            })
        });
        SHARED.as_ref().map_err(Clone::clone)
    }

    /// [`decode`] with this loader.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode(&self, path: impl AsRef<Path>) -> Result<RgbImage, ImageReadError> {
        self.decode_and(path.as_ref(), |image| image)
    }

    fn decode_and<T>(&self, path: &Path, use_image: impl FnOnce(RgbImage) -> T) -> Result<T, ImageReadError> {
        let decoded = open(path).and_then(|file| {
            let length = file.metadata()?.len();
            self.decode_contents(BufReader::with_capacity(BUFFER, file), length)
        });
        match decoded {
            Ok((image, _reserved)) => Ok(use_image(image)),
            Err(kind) => Err(ImageReadError {
                path: path.to_owned(),
                kind,
            }),
        }
    }

    /// The image, and the reservation of its memory.
    ///
    /// Memory is reserved once, after the header: a thread that reserved in parts could wait for one that waits for it.
    fn decode_contents(
        &self,
        mut contents: impl BufRead + Seek,
        length: u64,
    ) -> Result<(RgbImage, memory::Reservation<'_>), ImageErrorKind> {
        let limit = self.limits.file_bytes;
        if length > limit {
            return Err(ImageErrorKind::TooLong { length, limit });
        }
        let start = contents.fill_buf()?;
        if start.is_empty() {
            return Err(ImageErrorKind::Empty);
        }
        let format = image::guess_format(start).map_err(|_| match FileKind::detect(start) {
            kind @ (FileKind::Heif
            | FileKind::Avif
            | FileKind::JpegXl
            | FileKind::Jpeg2000
            | FileKind::Svg) => ImageErrorKind::Unsupported(kind.to_string()),
            kind => ImageErrorKind::NotAnImage(kind),
        })?;
        without_panic(|| match format {
            ImageFormat::Jpeg => self.decode_jpeg(contents, length),
            _ => self.decode_other(contents, length, format),
        })
    }

    fn decode_jpeg(
        &self,
        mut contents: impl BufRead + Seek,
        length: u64,
    ) -> Result<(RgbImage, memory::Reservation<'_>), ImageErrorKind> {
        let header = FrameHeader::read(&mut contents)?;
        self.limits.check(header.dimensions())?;
        // Three times: the file itself, the copy of `image`'s decoder, and metadata.
        let decoding = header.memory_needed();
        let reserved = self.memory.reserve(3 * length + decoding)?;

        contents.rewind()?;
        let mut jpeg = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        contents.take(length).read_to_end(&mut jpeg)?;
        if !jpeg::reaches_end_of_image(&jpeg) {
            return Err(ImageErrorKind::Truncated);
        }
        let reader = ImageReader::with_format(Cursor::new(&jpeg), ImageFormat::Jpeg);
        let mut decoder = reader.into_decoder()?;
        if decoder.dimensions() != header.dimensions() {
            return Err(ImageErrorKind::Damaged("it has two sizes".to_owned()));
        }
        // Invalid metadata is no reason to reject an image.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let turbo = match self.jpeg_decoder {
            JpegDecoder::Turbo => jpeg::decode(&jpeg, self.limits, decoding)?,
            JpegDecoder::Zune => None,
        };
        let image = match turbo {
            Some(image) => image,
            None => DynamicImage::from_decoder(decoder)?.into_rgb8(),
        };
        Ok((upright(image, orientation), reserved))
    }

    /// Other formats are decoded while they are read, so the file is never in memory as a whole.
    fn decode_other(
        &self,
        contents: impl BufRead + Seek,
        length: u64,
        format: ImageFormat,
    ) -> Result<(RgbImage, memory::Reservation<'_>), ImageErrorKind> {
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MOST_METADATA);
        let mut reader = ImageReader::with_format(contents, format);
        reader.limits(limits.clone());
        let mut decoder = reader.into_decoder()?;
        self.limits.check(decoder.dimensions())?;

        let (width, height) = decoder.dimensions();
        let (pixels, decoded) = (u64::from(width) * u64::from(height), decoder.total_bytes());
        let working = MOST_METADATA
            + match format {
                // A frame that does not fill the image.
                ImageFormat::Gif => decoded,
                // The samples as stored, and a strip of them.
                ImageFormat::Tiff => 2 * decoded,
                // Planes, alpha, the frame and the canvas of an animation; compressed data.
                ImageFormat::WebP => 16 * pixels + length,
                _ => 0,
            };
        let as_rgb = 3 * pixels;
        let reserved = self
            .memory
            .reserve((decoded + working.max(as_rgb)).max(2 * as_rgb))?;

        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        limits.max_alloc = Some(working);
        decoder.set_limits(limits)?;
        // Converted before it is turned: a turned copy of 8-bit RGB is the smallest.
        let image = DynamicImage::from_decoder(decoder)?.into_rgb8();
        Ok((upright(image, orientation), reserved))
    }
}

/// Opened once: the file that is measured is the one that is read.
fn open(path: &Path) -> Result<File, ImageErrorKind> {
    ConfinedPath::from(path)
        .open()
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidData => ImageErrorKind::NotAFile,
            _ => error.into(),
        })
}

fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
    let mut image = DynamicImage::from(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
}

/// A panic of a decoder on one image must not end the work on the others.
fn without_panic<T>(decode: impl FnOnce() -> Result<T, ImageErrorKind>) -> Result<T, ImageErrorKind> {
    panic::catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(ImageErrorKind::DecoderPanicked))
}

impl From<io::Error> for ImageErrorKind {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Unreadable(error),
        }
    }
}

impl From<ImageError> for ImageErrorKind {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::MemoryBeyondHeader,
            ImageError::Unsupported(error) => Self::Unsupported(error.to_string()),
            ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Self::Truncated,
            error => Self::Damaged(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{GrayImage, ImageEncoder, Luma, Rgb, Rgba, RgbaImage};
    use proptest::prelude::*;
    use std::fs;

    const FORMATS: [ImageFormat; 6] = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ];

    fn sample() -> RgbImage {
        RgbImage::from_fn(48, 32, |x, y| {
            Rgb([(x * 5) as u8, (y * 7) as u8, ((x * y) % 251) as u8])
        })
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// With default limits and 64 MiB.
    fn decode_default(bytes: &[u8]) -> Result<RgbImage, ImageErrorKind> {
        decode_bytes(bytes, ImageLimits::default(), 64 << 20)
    }

    fn decode_bytes(bytes: &[u8], limits: ImageLimits, memory: u64) -> Result<RgbImage, ImageErrorKind> {
        let loader = ImageLoader {
            limits,
            jpeg_decoder: JpegDecoder::Turbo,
            memory: MemoryBudget::new(memory),
        };
        let decoded = loader.decode_contents(Cursor::new(bytes), bytes.len() as u64);
        decoded.map(|(image, _reserved)| image)
    }

    #[test]
    fn formats_are_recognized_by_content() {
        let folder = tempfile::tempdir().unwrap();
        for format in FORMATS {
            let path = folder.path().join("image.dat");
            fs::write(&path, encoded(&sample().into(), format)).unwrap();
            let image = decode(&path).unwrap();
            assert_eq!(image.dimensions(), (48, 32), "{format:?}");
            if !matches!(format, ImageFormat::Jpeg | ImageFormat::Gif) {
                assert_eq!(image, sample(), "{format:?}");
            }
        }
    }

    /// Each PNG has the pixels of libjpeg-turbo for the JPEG (tests/data/make_jpeg_reference.py).
    #[test]
    fn pixels_of_jpegs_equal_those_of_libjpeg() {
        for (kind, tolerance) in [
            ("baseline_420", 0),
            ("baseline_422", 0),
            ("baseline_444", 0),
            ("progressive_420", 0),
            ("restarts_420", 0),
            ("rgb", 0),
            ("gray", 0),
            ("cmyk", 1),
            ("progressive_cmyk", 1),
        ] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg");
            let [found, expected] =
                ["jpg", "png"].map(|extension| decode(folder.join(kind).with_extension(extension)).unwrap());
            assert_eq!(found.dimensions(), expected.dimensions(), "{kind}");
            let differences = found.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b));
            assert!(differences.max().unwrap() <= tolerance, "{kind}");
        }
    }

    #[test]
    fn pixels_of_the_other_jpeg_decoder_are_near() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg");
        let loader = |jpeg_decoder| ImageLoader {
            limits: ImageLimits::default(),
            jpeg_decoder,
            memory: MemoryBudget::new(64 << 20),
        };
        let [turbo, zune] = [JpegDecoder::Turbo, JpegDecoder::Zune]
            .map(|decoder| loader(decoder).decode(folder.join("baseline_420.jpg")).unwrap());
        assert_eq!(turbo.dimensions(), zune.dimensions());
        assert_ne!(turbo, zune);
        let difference: u64 = turbo
            .iter()
            .zip(zune.iter())
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        assert!(
            difference < 4 * turbo.len() as u64,
            "{difference} for {} samples",
            turbo.len()
        );
    }

    #[test]
    fn panic_of_the_decoder_is_an_error() {
        let outcome: Result<(), _> = without_panic(|| panic!("index out of bounds"));
        assert!(matches!(outcome, Err(ImageErrorKind::DecoderPanicked)));
    }

    #[test]
    fn gray_and_sixteen_bits_become_rgb() {
        let gray = GrayImage::from_fn(3, 2, |x, y| Luma([(x * 50 + y) as u8]));
        let image = decode_default(&encoded(&gray.into(), ImageFormat::Png)).unwrap();
        assert_eq!(image.get_pixel(2, 1), &Rgb([101, 101, 101]));

        let deep = image::ImageBuffer::from_pixel(2, 2, Rgb([0x1234_u16, 0xffff, 0x0080]));
        let image = decode_default(&encoded(&deep.into(), ImageFormat::Png)).unwrap();
        assert_eq!(image.get_pixel(0, 0), &Rgb([0x12, 0xff, 0x00]));
    }

    #[test]
    fn alpha_is_dropped_and_the_color_under_it_kept() {
        let clear = RgbaImage::from_pixel(2, 2, Rgba([200, 100, 50, 0]));
        let image = decode_default(&encoded(&clear.into(), ImageFormat::Png)).unwrap();
        assert_eq!(image.get_pixel(1, 1), &Rgb([200, 100, 50]));
    }

    /// A TIFF block with the one tag `Orientation` (0x0112), as EXIF 2.32, 4.6.4 lays it out.
    fn exif_orientation(value: u8) -> Vec<u8> {
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([value, 0, 0, 0, 0, 0, 0, 0]);
        exif
    }

    #[test]
    fn exif_orientation_is_applied() {
        let upright = RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 250 } else { 5 }; 3]));
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        encoder.set_exif_metadata(exif_orientation(6)).unwrap(); // to be turned 90 degrees clockwise
        encoder
            .write_image(upright.as_raw(), 32, 16, image::ExtendedColorType::Rgb8)
            .unwrap();
        let image = decode_default(&bytes).unwrap();
        assert_eq!(image.dimensions(), (16, 32));
        assert!(image.get_pixel(8, 2).0[0] > 200, "the left half is now on top");
        assert!(image.get_pixel(8, 30).0[0] < 50);
    }

    #[test]
    fn files_that_are_not_images_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let error = |name: &str, contents: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, contents).unwrap();
            decode(&path).unwrap_err()
        };
        let missing = decode(folder.path().join("none.jpg")).unwrap_err();
        assert!(matches!(missing.kind, ImageErrorKind::NotFound));
        let directory = decode(folder.path()).unwrap_err();
        assert!(matches!(directory.kind, ImageErrorKind::NotAFile));
        assert!(matches!(error("empty.jpg", b"").kind, ImageErrorKind::Empty));
        let text = error("\u{1b}[31mtext.jpg", b"a dog on a beach\n");
        assert!(matches!(text.kind, ImageErrorKind::NotAnImage(FileKind::Text)));
        assert!(text.to_string().contains("text.jpg"), "{text}");
        assert!(!text.to_string().contains('\u{1b}'), "{text:?}");
        for (contents, message) in [
            (
                &b"\0\0\0\x18ftypheic\0\0\0\0"[..],
                "unsupported image format (a HEIC image)",
            ),
            (b"\0\0\0\x18ftypisom\0\0\0\0", "not an image but a video"),
            (b"\x93NUMPY\x01\0", "not an image but a NumPy array (.npy)"),
            (
                b"<!doctype html><title>caf\xe9",
                "not an image but a web page (HTML)",
            ),
        ] {
            let error = error("photo.jpg", contents).to_string();
            assert!(error.contains(message), "{error}");
        }
        let radiance = error("light.hdr", b"#?RADIANCE\n");
        assert!(
            matches!(radiance.kind, ImageErrorKind::Unsupported(_)),
            "{radiance}"
        );
    }

    #[test]
    fn limits_hold_before_pixels_are_decoded() {
        // The header of an image of 60,000 x 60,000 pixels without data.
        let mut bomb = encoded(&sample().into(), ImageFormat::Bmp);
        bomb[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
        assert!(matches!(
            decode_default(&bomb),
            Err(ImageErrorKind::TooManyPixels {
                width: 60_000,
                height: 60_000,
                ..
            })
        ));
        for format in FORMATS {
            let contents = encoded(&sample().into(), format);
            let within = |memory| decode_bytes(&contents, ImageLimits::default(), memory);
            let Err(ImageErrorKind::TooMuchMemory { needed, budget: 1 }) = within(1) else {
                panic!("{format:?}");
            };
            assert!(matches!(
                within(needed - 1),
                Err(ImageErrorKind::TooMuchMemory { .. })
            ));
            assert!(within(needed).is_ok(), "{format:?}");
            let short = ImageLimits {
                file_bytes: contents.len() as u64 - 1,
                ..ImageLimits::default()
            };
            assert!(matches!(
                decode_bytes(&contents, short, u64::MAX),
                Err(ImageErrorKind::TooLong { .. })
            ));
        }
    }

    #[test]
    fn end_marker_in_a_thumbnail_is_ignored() {
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
        encoder.set_exif_metadata(b"\xff\xd8\xff\xd9".to_vec()).unwrap();
        encoder
            .write_image(sample().as_raw(), 48, 32, image::ExtendedColorType::Rgb8)
            .unwrap();
        assert!(jpeg::reaches_end_of_image(&bytes));
        assert!(!jpeg::reaches_end_of_image(&bytes[..bytes.len() - 2]));
        let zero_filled: Vec<u8> = [&bytes[..bytes.len() / 2], &vec![0; bytes.len() / 2][..]].concat();
        assert!(matches!(
            decode_default(&zero_filled),
            Err(ImageErrorKind::Truncated)
        ));
    }

    proptest! {
        /// A truncated image is an error, or complete (without a trailer).
        #[test]
        fn truncated_images_are_errors(format in 0..FORMATS.len(), fraction in 0.0..1.0_f64) {
            static WHOLE: LazyLock<Vec<Vec<u8>>> =
                LazyLock::new(|| FORMATS.map(|format| encoded(&sample().into(), format)).into());
            let whole = &WHOLE[format];
            let cut = &whole[..(whole.len() as f64 * fraction) as usize];
            if let Ok(image) = decode_default(cut) {
                prop_assert_eq!(image, decode_default(whole).unwrap(), "{:?}", FORMATS[format]);
            }
        }

        #[test]
        fn damaged_bytes_never_panic(format in 0..FORMATS.len(), at in 0..4000_usize, byte: u8) {
            let mut bytes = encoded(&sample().into(), FORMATS[format]);
            let at = at % bytes.len();
            bytes[at] = byte;
            let limits = ImageLimits { pixels: 1_000_000, side: 2_000, ..ImageLimits::default() };
            let _ = decode_bytes(&bytes, limits, 40 << 20);
        }
    }
}
