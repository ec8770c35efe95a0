//! Decoding image files to RGB pixels, within limits.

mod jpeg;

use super::file_kind::FileKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::{Cursor, ErrorKind};
use std::panic::{self, UnwindSafe};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The limits of image size, so that no file can exhaust the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Width times height, checked before any pixel is decoded.
    pub pixels: u64,
    /// Width or height, checked likewise: resizing needs memory for whole rows and columns.
    pub side: u32,
    /// Bytes of the file, and bytes that its decoder may allocate.
    pub memory: u64,
}

impl Default for ImageLimits {
    /// 100 megapixels, 65,535 pixels a side (as JPEG), 512 MiB.
    fn default() -> Self {
        Self {
            pixels: 100_000_000,
            side: 65_535,
            memory: 512 << 20,
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
    #[error("needs more than {limit} bytes to be read: make it smaller")]
    TooMuchMemory { limit: u64 },
}

/// Decodes an image (JPEG, PNG, WebP, GIF, BMP, TIFF; recognized by content, not by name) under the default limits.
///
/// The EXIF orientation is applied. Gray becomes RGB and 16 bits become 8. Alpha is dropped and the color under it kept,
/// as in Keras and PIL's `convert("RGB")`, since the published weights were trained with such images. An animation gives
/// its first frame.
///
/// # Errors
/// [`ImageReadError`] names the file. A truncated image is an error, even if decoders fill the missing part with gray.
pub fn decode(path: impl AsRef<Path>) -> Result<RgbImage, ImageReadError> {
    decode_within(path, ImageLimits::default())
}

/// [`decode`] under other limits.
///
/// # Errors
/// As [`decode`].
pub fn decode_within(path: impl AsRef<Path>, limits: ImageLimits) -> Result<RgbImage, ImageReadError> {
    let path = path.as_ref();
    read(path, limits)
        .and_then(|contents| without_panic(|| decode_bytes(&contents, limits)))
        .map_err(|kind| ImageReadError {
            path: path.to_owned(),
            kind,
        })
}

fn read(path: &Path, limits: ImageLimits) -> Result<Vec<u8>, ImageErrorKind> {
    // Checked before opening: opening a pipe would wait for its writer.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(ImageErrorKind::NotAFile);
    }
    if metadata.len() > limits.memory {
        return Err(ImageErrorKind::TooMuchMemory { limit: limits.memory });
    }
    Ok(fs::read(path)?)
}

impl From<io::Error> for ImageErrorKind {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            _ => Self::Unreadable(error),
        }
    }
}

fn decode_bytes(contents: &[u8], limits: ImageLimits) -> Result<RgbImage, ImageErrorKind> {
    if contents.is_empty() {
        return Err(ImageErrorKind::Empty);
    }
    let format =
        image::guess_format(contents).map_err(|_| ImageErrorKind::NotAnImage(FileKind::detect(contents)))?;
    if format == ImageFormat::Jpeg && !jpeg::reaches_end_of_image(contents) {
        return Err(ImageErrorKind::Truncated);
    }
    let (mut image, orientation) = decode_upright_later(contents, format, limits)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// A panic of a decoder on one image must not end the work on the others.
fn without_panic<T>(
    decode: impl FnOnce() -> Result<T, ImageErrorKind> + UnwindSafe,
) -> Result<T, ImageErrorKind> {
    panic::catch_unwind(decode).unwrap_or(Err(ImageErrorKind::DecoderPanicked))
}

fn decode_upright_later(
    contents: &[u8],
    format: ImageFormat,
    limits: ImageLimits,
) -> Result<(DynamicImage, Orientation), ImageErrorKind> {
    let fault = |error| fault_of(error, limits);
    let mut memory = Limits::no_limits();
    memory.max_alloc = Some(limits.memory);
    let mut reader = ImageReader::with_format(Cursor::new(contents), format);
    reader.limits(memory.clone());
    let mut decoder = reader.into_decoder().map_err(fault)?;

    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.pixels || width.max(height) > limits.side {
        return Err(ImageErrorKind::TooManyPixels {
            width,
            height,
            limits,
        });
    }
    memory.reserve(decoder.total_bytes()).map_err(fault)?;
    // Invalid metadata is no reason to reject an image.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    if format == ImageFormat::Jpeg {
        if let Some(image) = jpeg::decode(contents, limits)? {
            return Ok((image.into(), orientation));
        }
        let working_memory = jpeg::most_working_memory(width, height);
        memory.reserve(working_memory).map_err(fault)?;
    }
    decoder.set_limits(memory).map_err(fault)?;
    let image = DynamicImage::from_decoder(decoder).map_err(fault)?;
    Ok((image, orientation))
}

fn fault_of(error: ImageError, limits: ImageLimits) -> ImageErrorKind {
    match error {
        ImageError::Limits(_) => ImageErrorKind::TooMuchMemory { limit: limits.memory },
        ImageError::Unsupported(error) => ImageErrorKind::Unsupported(error.to_string()),
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => ImageErrorKind::Truncated,
        error => ImageErrorKind::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{GrayImage, ImageEncoder, Luma, Rgb, Rgba, RgbaImage};
    use proptest::prelude::*;
    use std::sync::LazyLock;

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

    fn decode_default(bytes: &[u8]) -> Result<RgbImage, ImageErrorKind> {
        decode_bytes(bytes, ImageLimits::default())
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
        let png = encoded(&sample().into(), ImageFormat::Png);
        let tight = ImageLimits {
            memory: 48 * 32 * 3 - 1,
            ..ImageLimits::default()
        };
        assert!(matches!(
            decode_bytes(&png, tight),
            Err(ImageErrorKind::TooMuchMemory { .. })
        ));
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
            let limits = ImageLimits { pixels: 1_000_000, side: 2_000, memory: 16 << 20 };
            let _ = decode_bytes(&bytes, limits);
        }
    }
}
