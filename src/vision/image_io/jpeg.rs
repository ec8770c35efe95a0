//! Decoding JPEGs to the same pixels as libjpeg. Published weights were trained with them, and a network amplifies the
//! differences between decoders.

use super::{ImageErrorKind, ImageLimits};
use image::RgbImage;
use libjpeg_turbo_rs::{
    ColorSpace, ComponentInfo, DecodeLimits, Decoder, FrameHeader, JpegError, PixelFormat,
};

/// Encoders write about ten scans; each takes a pass over all coefficients.
const MOST_SCANS: usize = 100;

/// Decodes gray, YCbCr and RGB of 8 bits, sequential or progressive; `None` for other kinds (CMYK, ...).
///
/// The inverse DCT is libjpeg's accurate integer one and chroma is interpolated ("fancy upsampling"), as with libjpeg's
/// default settings.
///
/// # Errors
/// [`ImageErrorKind`] for damaged data, even if libjpeg would only warn, and for memory beyond the limits.
pub(super) fn decode(jpeg: &[u8], limits: ImageLimits) -> Result<Option<RgbImage>, ImageErrorKind> {
    match decode_common(jpeg, limits) {
        Ok(image) => Ok(image),
        Err(JpegError::Unsupported(_)) => Ok(None),
        Err(error) => Err(fault_of(error, limits)),
    }
}

fn decode_common(jpeg: &[u8], limits: ImageLimits) -> Result<Option<RgbImage>, JpegError> {
    let mut decoder = Decoder::new_with_limits(jpeg, decode_limits(limits))?;
    if !is_common(&decoder) {
        return Ok(None);
    }
    decoder.set_output_format(PixelFormat::Rgb);
    let (width, height) = (decoder.header().width, decoder.header().height);
    let pixels = decoder.decode_image()?.into_vec();
    Ok(RgbImage::from_raw(width.into(), height.into(), pixels))
}

fn decode_limits(limits: ImageLimits) -> DecodeLimits {
    let side = usize::try_from(limits.side).unwrap_or(usize::MAX);
    DecodeLimits {
        max_width: side,
        max_height: side,
        max_pixels: limits.pixels,
        max_scans: MOST_SCANS,
        max_memory: Some(limits.memory),
    }
}

fn is_common(decoder: &Decoder) -> bool {
    let header = decoder.header();
    let colors = match decoder.jpeg_color_space() {
        ColorSpace::Grayscale => true,
        ColorSpace::YCbCr | ColorSpace::Rgb => is_evenly_subsampled(header),
        _ => false,
    };
    colors && header.precision == 8 && !header.is_lossless && !decoder.is_arithmetic()
}

/// Whether both chroma planes have the same size, and the luma plane's size is a multiple of it.
///
/// Other sizes occur in damaged files only, and the decoder panics on some of them.
fn is_evenly_subsampled(header: &FrameHeader) -> bool {
    let factors = |part: &ComponentInfo| (part.horizontal_sampling, part.vertical_sampling);
    let [luma, blue, red] = header.components.as_slice() else {
        return false;
    };
    let ((across, down), chroma) = (factors(luma), factors(blue));
    chroma == factors(red) && across.is_multiple_of(chroma.0) && down.is_multiple_of(chroma.1)
}

fn fault_of(error: JpegError, limits: ImageLimits) -> ImageErrorKind {
    match error {
        JpegError::UnexpectedEof => ImageErrorKind::Truncated,
        JpegError::AllocationFailed { .. } => ImageErrorKind::TooMuchMemory { limit: limits.memory },
        // Also returned for the limits of scans and sides.
        JpegError::LimitExceeded { limit, .. } if limit == limits.memory => {
            ImageErrorKind::TooMuchMemory { limit }
        }
        error => ImageErrorKind::Damaged(error.to_string()),
    }
}

/// Bytes that a decoder may need besides the RGB pixels: the coefficients (16 bits) and samples (8 bits) of four components
/// of a progressive JPEG.
pub(super) fn most_working_memory(width: u32, height: u32) -> u64 {
    const COMPONENTS: u64 = 4;
    const COEFFICIENT_AND_SAMPLE: u64 = 3;
    u64::from(width) * u64::from(height) * COMPONENTS * COEFFICIENT_AND_SAMPLE
}

/// Whether a JPEG stream has an end-of-image marker (ITU-T T.81, B.1).
///
/// Like browsers, decoders fill the missing part of a truncated stream with gray and return no error. Segments are skipped
/// by their length, so the marker of a thumbnail is ignored.
pub(super) fn reaches_end_of_image(jpeg: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    let mut rest = jpeg;
    while let Some((marker, after)) = next_marker(rest) {
        if marker == END_OF_IMAGE {
            return true;
        }
        let Some(after_segment) = skip_segment(marker, after) else {
            return false;
        };
        rest = after_segment;
    }
    false
}

/// The next marker and the bytes after it. Stuffed zeros and restart markers are part of entropy-coded data.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff | 0xd0..=0xd7);
    let index = bytes.windows(2).position(is_marker)?;
    Some((bytes[index + 1], &bytes[index + 2..]))
}

fn skip_segment(marker: u8, bytes: &[u8]) -> Option<&[u8]> {
    const TEMPORARY: u8 = 0x01;
    const START_OF_IMAGE: u8 = 0xd8;
    if matches!(marker, TEMPORARY | START_OF_IMAGE) {
        return Some(bytes);
    }
    let length = u16::from_be_bytes(*bytes.first_chunk()?);
    bytes.get(usize::from(length)..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [&[u8]; 5] = [
        include_bytes!("../../../tests/data/jpeg/baseline_422.jpg"),
        include_bytes!("../../../tests/data/jpeg/progressive_420.jpg"),
        include_bytes!("../../../tests/data/jpeg/restarts_420.jpg"),
        include_bytes!("../../../tests/data/jpeg/gray.jpg"),
        include_bytes!("../../../tests/data/jpeg/rgb.jpg"),
    ];

    fn decode_default(jpeg: &[u8]) -> Result<Option<RgbImage>, ImageErrorKind> {
        decode(jpeg, ImageLimits::default())
    }

    #[test]
    fn uncommon_kinds_are_not_decoded() {
        let cmyk = include_bytes!("../../../tests/data/jpeg/cmyk.jpg");
        assert!(matches!(decode_default(cmyk), Ok(None)));

        let mut uneven = KINDS[0].to_vec();
        let frame = uneven
            .windows(2)
            .position(|marker| marker == [0xff, 0xc0])
            .unwrap();
        uneven[frame + 11] = 0x11; // luma 1 x 1 under chroma 1 x 1 ...
        uneven[frame + 14] = 0x21; // ... of which one is twice as wide
        assert!(matches!(decode_default(&uneven), Ok(None)));
    }

    #[test]
    fn missing_data_before_the_end_marker_is_truncation() {
        let whole = KINDS[0];
        let gap = [&whole[..whole.len() * 3 / 4], &[0xff, 0xd9]].concat();
        assert!(reaches_end_of_image(&gap));
        assert!(matches!(decode_default(&gap), Err(ImageErrorKind::Truncated)));
    }

    #[test]
    fn memory_limit_includes_working_memory() {
        let pixels_and_planes = 43 * 29 * (3 + 3);
        let limits = |memory| ImageLimits {
            memory,
            ..ImageLimits::default()
        };
        assert!(matches!(decode(KINDS[0], limits(pixels_and_planes)), Ok(Some(_))));
        assert!(matches!(
            decode(KINDS[0], limits(pixels_and_planes - 1)),
            Err(ImageErrorKind::TooMuchMemory { .. })
        ));
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(
            kind in 0..KINDS.len(),
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            end in any::<prop::sample::Index>(),
        ) {
            let mut bytes = KINDS[kind].to_vec();
            for (at, byte) in damages {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let limits = ImageLimits { pixels: 1_000_000, side: 2_000, memory: 16 << 20 };
            let _ = decode(&bytes, limits);
            let _ = decode(&bytes[..end.index(bytes.len())], limits);
        }
    }
}
