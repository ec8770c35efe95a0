//! No damaged JPEG makes the decoder allocate more than the limit. A test binary of its own, to count all allocations.

#![allow(clippy::unwrap_used, reason = "a test")]

use cutline::vision::image_io::{ImageLimits, decode_within};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::sample::Index;
use std::fs;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const LIMITS: ImageLimits = ImageLimits {
    pixels: 100_000_000,
    side: 65_535,
    memory: 8 << 20,
};

/// For copies of the file, tables, and the test harness.
const BESIDES: usize = 512 << 10;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_jpegs_stay_within_memory_limit(
        kind in 0..KINDS.len(),
        size in prop::option::weighted(0.7, (1..4000_u16, 1..4000_u16)),
        damages in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
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

        ALLOCATOR.reset_peak_usage();
        let before = ALLOCATOR.current_usage();
        let _ = decode_within(file.path(), LIMITS);
        let used = ALLOCATOR.peak_usage().saturating_sub(before);
        prop_assert!(used <= LIMITS.memory as usize + BESIDES, "{used} bytes");
    }
}
