//! One image from disk to RGB pixels, within limits, or an error that says what is wrong with the file.

mod jpeg;

use super::file_kind::FileKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::{Cursor, ErrorKind};
use std::panic::{self, UnwindSafe};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// How large an image may be before it is refused, so that no file can exhaust the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Width times height, checked before any pixel is decoded.
    pub pixels: u64,
    /// Width or height, whichever is larger, checked likewise: resizing needs room for whole rows and columns.
    pub side: u32,
    /// Bytes: of the file, and of what its decoder may allocate.
    pub memory: u64,
}

impl Default for ImageLimits {
    /// 100 megapixels, 65,535 a side (as JPEG), 512 MiB.
    fn default() -> Self {
        Self {
            pixels: 100_000_000,
            side: 65_535,
            memory: 512 << 20,
        }
    }
}

/// An image that could not be decoded: which, and why.
#[derive(Debug, thiserror::Error)]
#[error("image {path:?} {fault}")]
pub struct ImageReadError {
    /// The image's file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: ImageFault,
}

/// What can be wrong with an image's file, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum ImageFault {
    #[error("does not exist: check the path, and that the pictures were unpacked")]
    NotFound,
    #[error("is not a regular file: give the picture's own path")]
    NotAFile,
    #[error("cannot be read ({0}): check its permissions and the disk")]
    Unreadable(io::Error),
    #[error("is empty (0 bytes): download or copy it again, or remove it")]
    Empty,
    #[error("is not a picture but {0}: download it again, or remove it")]
    NotAPicture(FileKind),
    #[error("is a picture of a kind that is not read ({0}): convert it to JPEG or PNG")]
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
/// The picture stands upright: the EXIF orientation is applied. Greys become RGB and 16 bits become 8. Alpha
/// is dropped and the color under it kept, as Keras and PIL's `convert("RGB")` do, since the published
/// weights saw such pictures that way. Of an animation, the first frame.
///
/// # Errors
/// [`ImageReadError`] names the file, what is wrong and what to do. A truncated picture is an error, even where
/// decoders would fill the missing part with gray.
pub fn decode(path: impl AsRef<Path>) -> Result<RgbImage, ImageReadError> {
    decode_within(path, ImageLimits::default())
}

/// [`decode`] under limits of the caller's.
///
/// # Errors
/// As [`decode`].
pub fn decode_within(path: impl AsRef<Path>, limits: ImageLimits) -> Result<RgbImage, ImageReadError> {
    let path = path.as_ref();
    read(path, limits)
        .and_then(|contents| without_panic(|| decode_bytes(&contents, limits)))
        .map_err(|fault| ImageReadError {
            path: path.to_owned(),
            fault,
        })
}

fn read(path: &Path, limits: ImageLimits) -> Result<Vec<u8>, ImageFault> {
    // Opening a pipe would wait for its writer, so what it is comes first.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(ImageFault::NotAFile);
    }
    if metadata.len() > limits.memory {
        return Err(ImageFault::TooMuchMemory { limit: limits.memory });
    }
    Ok(fs::read(path)?)
}

impl From<io::Error> for ImageFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            _ => Self::Unreadable(error),
        }
    }
}

fn decode_bytes(contents: &[u8], limits: ImageLimits) -> Result<RgbImage, ImageFault> {
    if contents.is_empty() {
        return Err(ImageFault::Empty);
    }
    let format =
        image::guess_format(contents).map_err(|_| ImageFault::NotAPicture(FileKind::detect(contents)))?;
    if format == ImageFormat::Jpeg && !jpeg::reaches_end_of_image(contents) {
        return Err(ImageFault::Truncated);
    }
    let (mut image, orientation) = decode_upright_later(contents, format, limits)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// Among a hundred thousand pictures, the one that trips a decoder must not end the work on the others.
fn without_panic<T>(decode: impl FnOnce() -> Result<T, ImageFault> + UnwindSafe) -> Result<T, ImageFault> {
    panic::catch_unwind(decode).unwrap_or(Err(ImageFault::DecoderPanicked))
}

fn decode_upright_later(
    contents: &[u8],
    format: ImageFormat,
    limits: ImageLimits,
) -> Result<(DynamicImage, Orientation), ImageFault> {
    let fault = |error| fault_of(error, limits);
    let mut memory = Limits::no_limits();
    memory.max_alloc = Some(limits.memory);
    let mut reader = ImageReader::with_format(Cursor::new(contents), format);
    reader.limits(memory.clone());
    let mut decoder = reader.into_decoder().map_err(fault)?;

    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.pixels || width.max(height) > limits.side {
        return Err(ImageFault::TooManyPixels {
            width,
            height,
            limits,
        });
    }
    memory.reserve(decoder.total_bytes()).map_err(fault)?;
    // Broken metadata does not make a picture unreadable.
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

fn fault_of(error: ImageError, limits: ImageLimits) -> ImageFault {
    match error {
        ImageError::Limits(_) => ImageFault::TooMuchMemory { limit: limits.memory },
        ImageError::Unsupported(error) => ImageFault::Unsupported(error.to_string()),
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => ImageFault::Truncated,
        error => ImageFault::Damaged(error.to_string()),
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

    fn decode_default(bytes: &[u8]) -> Result<RgbImage, ImageFault> {
        decode_bytes(bytes, ImageLimits::default())
    }

    #[test]
    fn every_format_decodes_whatever_its_name_says() {
        let folder = tempfile::tempdir().unwrap();
        for format in FORMATS {
            let path = folder.path().join("image.dat");
            fs::write(&path, encoded(&sample().into(), format)).unwrap();
            let image = decode(&path).unwrap();
            assert_eq!(image.dimensions(), (48, 32), "{format:?}");
            if matches!(
                format,
                ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Tiff
            ) {
                assert_eq!(image, sample(), "{format:?}");
            }
        }
    }

    /// Each PNG holds what libjpeg-turbo made of the JPEG (tests/data/make_jpeg_reference.py).
    #[track_caller]
    fn assert_as_libjpeg(kind: &str, most: u8) {
        let file = |extension| {
            format!(
                "{}/tests/data/jpeg/{kind}.{extension}",
                env!("CARGO_MANIFEST_DIR")
            )
        };
        let (ours, theirs) = (decode(file("jpg")).unwrap(), decode(file("png")).unwrap());
        assert_eq!(ours.dimensions(), theirs.dimensions(), "{kind}");
        let apart = ours
            .as_raw()
            .iter()
            .zip(theirs.as_raw())
            .map(|(a, b)| a.abs_diff(*b));
        assert!(apart.max().unwrap() <= most, "{kind}");
    }

    #[test]
    fn jpegs_are_decoded_as_by_libjpeg() {
        for kind in [
            "baseline_420",
            "baseline_422",
            "baseline_444",
            "progressive_420",
            "restarts_420",
            "rgb",
            "gray",
        ] {
            assert_as_libjpeg(kind, 0);
        }
        for kind in ["cmyk", "progressive_cmyk"] {
            assert_as_libjpeg(kind, 1);
        }
    }

    #[test]
    fn a_decoder_that_panics_becomes_a_fault() {
        let outcome: Result<(), _> = without_panic(|| panic!("index out of bounds"));
        assert!(matches!(outcome, Err(ImageFault::DecoderPanicked)));
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
    fn what_is_no_image_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, contents: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, contents).unwrap();
            decode(&path).unwrap_err()
        };
        let missing = decode(folder.path().join("none.jpg")).unwrap_err();
        assert!(matches!(missing.fault, ImageFault::NotFound));
        let directory = decode(folder.path()).unwrap_err();
        assert!(matches!(directory.fault, ImageFault::NotAFile));
        assert!(matches!(at("empty.jpg", b"").fault, ImageFault::Empty));
        let text = at("\u{1b}[31mtext.jpg", b"a dog on a beach\n");
        assert!(matches!(text.fault, ImageFault::NotAPicture(FileKind::Text)));
        assert!(text.to_string().contains("text.jpg"), "{text}");
        assert!(
            !text.to_string().contains('\u{1b}'),
            "escapes must not reach a terminal"
        );
        let radiance = at("light.hdr", b"#?RADIANCE\n");
        assert!(matches!(radiance.fault, ImageFault::Unsupported(_)), "{radiance}");
    }

    #[test]
    fn limits_hold_before_pixels_are_decoded() {
        // A header that promises 60,000 x 60,000 pixels; nothing follows that could be decoded.
        let mut bomb = encoded(&sample().into(), ImageFormat::Bmp);
        bomb[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
        assert!(matches!(
            decode_default(&bomb),
            Err(ImageFault::TooManyPixels {
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
            Err(ImageFault::TooMuchMemory { .. })
        ));
    }

    #[test]
    fn an_end_marker_inside_a_thumbnail_does_not_count() {
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
        encoder.set_exif_metadata(b"\xff\xd8\xff\xd9".to_vec()).unwrap();
        encoder
            .write_image(sample().as_raw(), 48, 32, image::ExtendedColorType::Rgb8)
            .unwrap();
        assert!(jpeg::reaches_end_of_image(&bytes));
        assert!(!jpeg::reaches_end_of_image(&bytes[..bytes.len() - 2]));
        let zero_filled: Vec<u8> = [&bytes[..bytes.len() / 2], &vec![0; bytes.len() / 2][..]].concat();
        assert!(matches!(decode_default(&zero_filled), Err(ImageFault::Truncated)));
    }

    proptest! {
        /// A picture that is cut anywhere is an error, or complete after all (what was cut was a trailer).
        #[test]
        fn truncation_is_never_silent(format in 0..FORMATS.len(), share in 0.0..1.0_f64) {
            static WHOLE: LazyLock<Vec<Vec<u8>>> =
                LazyLock::new(|| FORMATS.map(|format| encoded(&sample().into(), format)).into());
            let whole = &WHOLE[format];
            let cut = &whole[..(whole.len() as f64 * share) as usize];
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
