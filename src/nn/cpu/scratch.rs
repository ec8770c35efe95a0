//! Room for what a kernel computes on the way, used again from step to step.
//!
//! Fresh memory costs the kernels twice: the system hands it out page by page, at the first touch of each, and a
//! zeroed vector is written once more than it needs to be. A training step would pay that for tens of megabytes.
//!
//! Buffers begin with a line of the cache. The widest vectors are as long as a line: from anywhere else, every one of
//! them would be read from two.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Values of a line of the cache.
const LINE: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct CacheLine([f32; LINE]);

/// Unused buffers, the longest last.
static FREE: Mutex<Vec<Vec<CacheLine>>> = Mutex::new(Vec::new());

/// More are freed, the shortest first. The output layer alone needs two for every block of words.
const MOST_FREE: usize = 128;

/// A buffer. It returns to the unused ones on drop.
#[derive(Debug)]
pub(crate) struct Scratch {
    buffer: Vec<CacheLine>,
    len: usize,
}

impl Scratch {
    /// `len` values, not cleared: they are those of an earlier use.
    pub(crate) fn of(len: usize) -> Self {
        let lines = len.div_ceil(LINE);
        let mut buffer = with_free(|free| {
            // The shortest that is long enough, else the longest: it is the one that grows.
            let fitting = free.partition_point(|buffer| buffer.len() < lines);
            match free.len() {
                count if count > 0 && lines > 0 => free.remove(fitting.min(count - 1)),
                _ => Vec::new(),
            }
        });
        if buffer.len() < lines {
            buffer = vec![CacheLine([0.0; LINE]); lines];
        }
        let mut scratch = Self { buffer, len };
        if cfg!(test) {
            // A caller that expects zeros fails its tests.
            scratch.fill(f32::NAN);
        }
        scratch
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut zeros = Self::of(len);
        zeros.fill(0.0);
        zeros
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() {
            return;
        }
        with_free(|free| {
            let place = free.partition_point(|other| other.len() < buffer.len());
            free.insert(place, buffer);
            if free.len() > MOST_FREE {
                free.remove(0);
            }
        });
    }
}

fn with_free<T>(work: impl FnOnce(&mut Vec<Vec<CacheLine>>) -> T) -> T {
    work(&mut FREE.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the buffer has enough contiguous lines for the values.
        unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the buffer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.buffer.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_have_the_length_that_was_asked_for() {
        for len in [5, 3, 1000, 7, 0] {
            let mut scratch = Scratch::of(len);
            assert_eq!(scratch.len(), len);
            assert!(scratch.as_ptr().cast::<CacheLine>().is_aligned());
            scratch.fill(1.0);
            assert_eq!(scratch.iter().sum::<f32>(), len as f32);
        }
    }

    #[test]
    fn two_at_a_time_share_nothing() {
        let (mut a, mut b) = (Scratch::of(9), Scratch::of(9));
        a.fill(1.0);
        b.fill(2.0);
        assert!(a.iter().all(|&value| value == 1.0));
    }
}
