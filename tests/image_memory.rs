//! No image makes its decoder allocate more than was reserved, and all threads together stay within the budget. A test
//! binary of its own, to count all allocations.

#![allow(clippy::unwrap_used, reason = "a test")]

use cutline::vision::image_io::{ImageErrorKind, ImageLimits, ImageLoader, JpegDecoder, MemoryBudget};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::sample::Index;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// For tables, buffers and the test harness.
const BESIDES: usize = 512 << 10;

fn loader(jpeg_decoder: JpegDecoder, memory: u64) -> ImageLoader {
    ImageLoader {
        limits: ImageLimits::default(),
        jpeg_decoder,
        memory: MemoryBudget::new(memory),
    }
}

/// Held by each test: allocations of another one must not count.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most bytes that were allocated during the work, beyond those before it.
fn peak_of(work: impl FnOnce()) -> usize {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    work();
    ALLOCATOR.peak_usage().saturating_sub(before)
}

/// What an image would reserve; `None` if its header is rejected.
fn needed(path: &Path) -> Option<u64> {
    match loader(JpegDecoder::Turbo, 1).decode(path).unwrap_err().kind {
        ImageErrorKind::TooMuchMemory { needed, budget: 1 } => Some(needed),
        _ => None,
    }
}

const KINDS: [&[u8]; 6] = [
    include_bytes!("data/jpeg/baseline_422.jpg"),
    include_bytes!("data/jpeg/progressive_420.jpg"),
    include_bytes!("data/jpeg/restarts_420.jpg"),
    include_bytes!("data/jpeg/gray.jpg"),
    include_bytes!("data/jpeg/cmyk.jpg"),
    include_bytes!("data/jpeg/progressive_cmyk.jpg"),
];

/// The size in a JPEG's frame header: two bytes of height, two of width (T.81, B.2.2).
fn size_field(jpeg: &[u8]) -> usize {
    let is_frame = |marker: &[u8]| marker[0] == 0xff && matches!(marker[1], 0xc0 | 0xc2);
    jpeg.windows(2).position(is_frame).unwrap() + 5
}

/// Images of a megapixel in all formats and sample types that differ in memory.
fn samples(directory: &Path) -> Vec<PathBuf> {
    let image = RgbImage::from_fn(1000, 1000, |x, y| {
        Rgb([x as u8, y as u8, 128].map(|value| value & 0xf0))
    });
    let image = DynamicImage::from(image);
    let deep = DynamicImage::from(image.to_rgba16());
    let float = DynamicImage::from(image.to_rgb32f());
    let gray = DynamicImage::from(image.to_luma8());
    let images = [
        ("rgb.png", &image),
        ("gray.png", &gray),
        ("deep.png", &deep),
        ("rgb.gif", &image),
        ("rgb.bmp", &image),
        ("rgb.webp", &image),
        ("alpha.webp", &DynamicImage::from(image.to_rgba8())),
        ("rgb.tiff", &image),
        ("deep.tiff", &deep),
        ("float.tiff", &float),
        ("rgb.jpg", &image),
        ("gray.jpg", &gray),
    ];
    let paths = images.map(|(name, image)| {
        let path = directory.join(name);
        image
            .save_with_format(&path, ImageFormat::from_path(&path).unwrap())
            .unwrap();
        path
    });
    let turned = directory.join("turned.jpg");
    let mut encoder = JpegEncoder::new(fs::File::create(&turned).unwrap());
    encoder
        .set_exif_metadata(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec())
        .unwrap();
    encoder
        .write_image(image.as_bytes(), 1000, 1000, ExtendedColorType::Rgb8)
        .unwrap();
    paths.into_iter().chain([turned]).collect()
}

#[test]
fn each_format_stays_within_its_reservation() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    for path in samples(directory.path()) {
        for decoder in [JpegDecoder::Turbo, JpegDecoder::Zune] {
            let needed = needed(&path).unwrap();
            let loader = loader(decoder, needed);
            let used = peak_of(|| drop(loader.decode(&path).unwrap()));
            assert!(
                used <= needed as usize + BESIDES,
                "{}: {used} of {needed}",
                path.display()
            );
        }
    }
}

#[test]
fn threads_together_stay_within_budget() {
    const THREADS: usize = 16;
    const BUDGET: u64 = 56 << 20;
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let paths = samples(directory.path());
    let loader = loader(JpegDecoder::Turbo, BUDGET);
    let used = peak_of(|| {
        thread::scope(|scope| {
            for first in 0..THREADS {
                let (loader, paths) = (&loader, &paths);
                scope.spawn(move || {
                    for path in paths.iter().cycle().skip(first).take(paths.len()) {
                        loader.decode(path).unwrap();
                    }
                });
            }
        });
    });
    assert!(used <= BUDGET as usize + THREADS * BESIDES, "{used} bytes");
}

/// The largest image that is read needs no more than a quarter of a machine of 6 GB.
#[test]
fn jpegs_of_100_megapixels_fit_the_default_budget() {
    let _alone = alone();
    let file = tempfile::NamedTempFile::new().unwrap();
    for kind in KINDS {
        let mut jpeg = kind.to_vec();
        let field = size_field(&jpeg);
        jpeg[field..field + 4].copy_from_slice(&[0x27, 0x10, 0x27, 0x10]);
        fs::write(file.path(), jpeg).unwrap();
        let needed = needed(file.path()).unwrap();
        assert!((300_000_000..1_850_000_000).contains(&needed), "{needed} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_jpegs_stay_within_their_reservation(
        kind in 0..KINDS.len(),
        size in prop::option::weighted(0.7, (1..4000_u16, 1..4000_u16)),
        damages in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
        let _alone = alone();
        let mut bytes = KINDS[kind].to_vec();
        if let Some((height, width)) = size {
            let field = size_field(&bytes);
            bytes[field..field + 2].copy_from_slice(&height.to_be_bytes());
            bytes[field + 2..field + 4].copy_from_slice(&width.to_be_bytes());
        }
        for (at, byte) in damages {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();

        // An image that needs more than 8 MiB is rejected, whatever its header claims.
        let needed = needed(file.path()).unwrap_or(0).min(8 << 20);
        for decoder in [JpegDecoder::Turbo, JpegDecoder::Zune] {
            let loader = loader(decoder, needed);
            let used = peak_of(|| drop(loader.decode(file.path())));
            prop_assert!(used <= needed as usize + BESIDES, "{decoder:?}: {used} bytes of {needed}");
        }
    }
}
