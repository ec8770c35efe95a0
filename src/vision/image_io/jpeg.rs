//! Decoding JPEGs to the same pixels as libjpeg. Published weights were trained with them, and a network amplifies the
//! differences between decoders.

use super::{ImageErrorKind, ImageLimits, ImageSettingError};
use image::RgbImage;
use libjpeg_turbo_rs::{
    ColorSpace, ComponentInfo, DecodeLimits, Decoder, FrameHeader as TurboHeader, JpegError, PixelFormat,
};
use std::io::{self, BufRead, Cursor, Read, Seek};

pub(super) const VARIABLE: &str = "CUTLINE_JPEG";

/// Encoders write about ten scans; each takes a pass over all coefficients.
const MOST_SCANS: usize = 100;

/// The decoder of JPEGs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JpegDecoder {
    /// libjpeg-turbo in Rust, with the pixels of libjpeg; zune for the kinds that it does not decode.
    #[default]
    Turbo,
    /// zune-jpeg. Its pixels differ by one or two steps, and so do features.
    Zune,
}

impl JpegDecoder {
    /// The decoder that `CUTLINE_JPEG` names.
    ///
    /// # Errors
    /// If there is no such decoder.
    pub(super) fn from_env() -> Result<Self, ImageSettingError> {
        let name = std::env::var_os(VARIABLE).unwrap_or_default();
        match name.to_str() {
            Some("" | "turbo") => Ok(Self::Turbo),
            Some("zune") => Ok(Self::Zune),
            _ => Err(ImageSettingError::JpegDecoder(name.display().to_string())),
        }
    }
}

/// The frame header of a JPEG (ITU-T T.81, B.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    width: u16,
    height: u16,
    components: u8,
    is_progressive: bool,
}

impl FrameHeader {
    /// Reads no further than to the header: a file may be long.
    ///
    /// # Errors
    /// If there is none, or the file cannot be read.
    pub(super) fn read(jpeg: &mut (impl BufRead + Seek)) -> Result<Self, ImageErrorKind> {
        while let Some(marker) = next_marker(jpeg)? {
            match marker {
                // Of these numbers, three belong to other segments.
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    // Length, precision, height, width, number of components.
                    let mut fields = [0; 8];
                    jpeg.read_exact(&mut fields)?;
                    let [_, _, _, height, height_low, width, width_low, components] = fields;
                    return Ok(Self {
                        width: u16::from_be_bytes([width, width_low]),
                        height: u16::from_be_bytes([height, height_low]),
                        components,
                        is_progressive: matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce),
                    });
                }
                START_OF_SCAN | END_OF_IMAGE => {
                    return Err(ImageErrorKind::Damaged("it has no frame header".to_owned()));
                }
                _ => skip_segment(marker, jpeg)?,
            }
        }
        Err(ImageErrorKind::Truncated)
    }

    pub(super) fn dimensions(self) -> (u32, u32) {
        (self.width.into(), self.height.into())
    }

    /// Bytes that each of the decoders needs at most, the RGB pixels included, beside the file.
    pub(super) fn memory_needed(self) -> u64 {
        /// Components are decoded in blocks of 8 x 8, of which up to 4 x 4 make a unit.
        const UNIT: u64 = 32;
        const TABLES: u64 = 256 << 10;
        let side = |side: u16| u64::from(side).next_multiple_of(UNIT);
        let components = u64::from(self.components.min(4));
        let bytes_per_pixel = match self.is_progressive {
            // RGB, two planes of interpolated chroma, samples (8 bits), coefficients (16 bits) and their counts.
            true => 3 + 2 + components + 2 * components + 1,
            // Of the two decoders, one keeps samples and interpolated chroma, the other coefficients in some cases.
            false => 3 + 2 * components,
        };
        // A turned copy needs less: 6 bytes for both.
        side(self.width) * side(self.height) * bytes_per_pixel.max(6) + TABLES
    }
}

/// Decodes gray, YCbCr and RGB of 8 bits, sequential or progressive; `None` for other kinds (CMYK, ...).
///
/// The inverse DCT is libjpeg's accurate integer one and chroma is interpolated ("fancy upsampling"), as with libjpeg's
/// default settings.
///
/// # Errors
/// [`ImageErrorKind`] for damaged data, even if libjpeg would only warn, and for memory beyond the limits.
pub(super) fn decode(
    jpeg: &[u8],
    limits: ImageLimits,
    memory: u64,
) -> Result<Option<RgbImage>, ImageErrorKind> {
    match decode_common(jpeg, limits, memory) {
        Ok(image) => Ok(image),
        Err(JpegError::Unsupported(_)) => Ok(None),
        Err(error) => Err(fault_of(error, memory)),
    }
}

fn decode_common(jpeg: &[u8], limits: ImageLimits, memory: u64) -> Result<Option<RgbImage>, JpegError> {
    let mut decoder = Decoder::new_with_limits(jpeg, decode_limits(limits, memory))?;
    if !is_common(&decoder) {
        return Ok(None);
    }
    decoder.set_output_format(PixelFormat::Rgb);
    let (width, height) = (decoder.header().width, decoder.header().height);
    let pixels = decoder.decode_image()?.into_vec();
    Ok(RgbImage::from_raw(width.into(), height.into(), pixels))
}

fn decode_limits(limits: ImageLimits, memory: u64) -> DecodeLimits {
    let side = usize::try_from(limits.side).unwrap_or(usize::MAX);
    DecodeLimits {
        max_width: side,
        max_height: side,
        max_pixels: limits.pixels,
        max_scans: MOST_SCANS,
        max_memory: Some(memory),
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
fn is_evenly_subsampled(header: &TurboHeader) -> bool {
    let factors = |part: &ComponentInfo| (part.horizontal_sampling, part.vertical_sampling);
    let [luma, blue, red] = header.components.as_slice() else {
        return false;
    };
    let ((across, down), chroma) = (factors(luma), factors(blue));
    chroma == factors(red) && across.is_multiple_of(chroma.0) && down.is_multiple_of(chroma.1)
}

fn fault_of(error: JpegError, memory: u64) -> ImageErrorKind {
    match error {
        JpegError::UnexpectedEof => ImageErrorKind::Truncated,
        JpegError::AllocationFailed { .. } => ImageErrorKind::MemoryBeyondHeader,
        // Also returned for the limits of scans and sides.
        JpegError::LimitExceeded { limit, .. } if limit == memory => ImageErrorKind::MemoryBeyondHeader,
        error => ImageErrorKind::Damaged(error.to_string()),
    }
}

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// Whether a JPEG stream has an end-of-image marker (ITU-T T.81, B.1).
///
/// Like browsers, decoders fill the missing part of a truncated stream with gray and return no error. Segments are skipped
/// by their length, so the marker of a thumbnail is ignored.
pub(super) fn reaches_end_of_image(jpeg: &[u8]) -> bool {
    let mut rest = Cursor::new(jpeg);
    while let Ok(Some(marker)) = next_marker(&mut rest) {
        if marker == END_OF_IMAGE {
            return true;
        }
        if skip_segment(marker, &mut rest).is_err() {
            return false;
        }
    }
    false
}

/// Reads up to the end of the next marker. Stuffed zeros and restart markers are part of entropy-coded data.
fn next_marker(jpeg: &mut impl BufRead) -> io::Result<Option<u8>> {
    const PREFIX: u8 = 0xff;
    while jpeg.skip_until(PREFIX)? > 0 {
        let mut marker = [PREFIX];
        while marker == [PREFIX] {
            if jpeg.read(&mut marker)? == 0 {
                return Ok(None);
            }
        }
        if !matches!(marker, [0x00 | 0xd0..=0xd7]) {
            return Ok(Some(marker[0]));
        }
    }
    Ok(None)
}

fn skip_segment(marker: u8, jpeg: &mut (impl Read + Seek)) -> io::Result<()> {
    const TEMPORARY: u8 = 0x01;
    if matches!(marker, TEMPORARY | START_OF_IMAGE) {
        return Ok(());
    }
    let mut length = [0; 2];
    jpeg.read_exact(&mut length)?;
    // The length includes its own two bytes.
    jpeg.seek_relative(i64::from(u16::from_be_bytes(length).saturating_sub(2)))
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
        decode(jpeg, ImageLimits::default(), 64 << 20)
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
    fn frame_header_is_read_before_the_rest() {
        let header = |jpeg: &[u8]| FrameHeader::read(&mut Cursor::new(jpeg));
        let read = KINDS.map(|jpeg| header(jpeg).unwrap());
        assert!(read.iter().all(|header| header.dimensions() == (43, 29)));
        assert_eq!(read.map(|header| header.components), [3, 3, 3, 1, 3]);
        assert_eq!(
            read.map(|header| header.is_progressive),
            [false, true, false, false, false]
        );
        assert!(matches!(header(&KINDS[0][..20]), Err(ImageErrorKind::Truncated)));
        assert!(matches!(
            header(b"\xff\xd8\xff\xd9"),
            Err(ImageErrorKind::Damaged(_))
        ));
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
        let within = |memory| decode(KINDS[0], ImageLimits::default(), memory);
        assert!(matches!(within(pixels_and_planes), Ok(Some(_))));
        assert!(matches!(
            within(pixels_and_planes - 1),
            Err(ImageErrorKind::MemoryBeyondHeader)
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
            let limits = ImageLimits { pixels: 1_000_000, side: 2_000, ..ImageLimits::default() };
            let _ = decode(&bytes, limits, 16 << 20);
            let _ = decode(&bytes[..end.index(bytes.len())], limits, 16 << 20);
        }
    }
}
