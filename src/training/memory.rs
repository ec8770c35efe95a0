//! Memory of the training process.

use rustix::param::page_size;

/// Resident memory of this process in bytes, if the system reports it (Linux).
///
/// Every step reads it. One line of `/proc` takes 2 us, a process listing by sysinfo 45.
pub(super) fn resident_memory() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_counts_pages_that_are_written() {
        const SIZE: u64 = 64 << 20;
        let before = resident_memory().unwrap();
        // The optimizer must not leave the writes out.
        let block = std::hint::black_box(vec![1_u8; SIZE as usize]);
        let after = resident_memory().unwrap();
        assert!(
            after >= before + SIZE / 2,
            "{before} then {after}, with {}",
            block.len()
        );
    }
}
