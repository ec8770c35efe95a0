//! The memory that all threads share for decoding images.

use super::{ImageErrorKind, ImageSettingError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

pub(super) const VARIABLE: &str = "CUTLINE_IMAGE_MEMORY";

/// Bytes of memory from which images reserve what they need. An image waits until others have released enough.
#[derive(Debug)]
pub struct MemoryBudget {
    bytes: u64,
    free: Mutex<u64>,
    released: Condvar,
    /// Held while waiting. Otherwise small images would pass a large one for ever.
    turn: Mutex<()>,
}

/// Bytes of a budget, released when dropped.
#[derive(Debug)]
pub(super) struct Reservation<'b> {
    budget: &'b MemoryBudget,
    bytes: u64,
}

impl MemoryBudget {
    /// A budget of this many bytes.
    pub fn new(bytes: u64) -> Self {
        Self {
            bytes,
            free: Mutex::new(bytes),
            released: Condvar::new(),
            turn: Mutex::new(()),
        }
    }

    /// What `CUTLINE_IMAGE_MEMORY` says, or a quarter of the memory of the machine or container.
    ///
    /// # Errors
    /// If the value is no amount of memory.
    pub(super) fn from_env() -> Result<Self, ImageSettingError> {
        let value = std::env::var_os(VARIABLE).unwrap_or_default();
        if value.is_empty() {
            return Ok(Self::new(total_memory() / 4));
        }
        let bytes = value.to_str().and_then(parse);
        let bytes = bytes.ok_or_else(|| ImageSettingError::Memory(value.display().to_string()))?;
        Ok(Self::new(bytes))
    }

    /// Waits until the bytes are free. A thread that already holds a reservation must not reserve more.
    ///
    /// # Errors
    /// If they exceed the whole budget.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, ImageErrorKind> {
        if bytes > self.bytes {
            return Err(ImageErrorKind::TooMuchMemory {
                needed: bytes,
                budget: self.bytes,
            });
        }
        let _turn = lock(&self.turn);
        let mut free = self
            .released
            .wait_while(lock(&self.free), |free| *free < bytes)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Ok(Reservation { budget: self, bytes })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        *lock(&self.budget.free) += self.bytes;
        // Only the thread whose turn it is waits.
        self.budget.released.notify_one();
    }
}

/// No lock is held where a panic could leave a wrong number.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn total_memory() -> u64 {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kind);
    let container = system.cgroup_limits().map(|limits| limits.total_memory);
    container.map_or(system.total_memory(), |total| total.min(system.total_memory()))
}

/// Bytes, or MiB or GiB with a suffix.
fn parse(value: &str) -> Option<u64> {
    let (digits, unit) = match value.as_bytes().last()? {
        b'M' | b'm' => (&value[..value.len() - 1], 1 << 20),
        b'G' | b'g' => (&value[..value.len() - 1], 1 << 30),
        _ => (value, 1),
    };
    digits
        .parse::<u64>()
        .ok()?
        .checked_mul(unit)
        .filter(|&bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    #[test]
    fn amount_is_parsed() {
        assert_eq!(parse("1048577"), Some(1_048_577));
        assert_eq!(parse("512M"), Some(512 << 20));
        assert_eq!(parse("3g"), Some(3 << 30));
        for wrong in ["", "M", "0", "-1", "1T", "1.5G", "99999999999G", "1 G", "é"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reservations_of_all_threads_stay_within_budget() {
        const BUDGET: u64 = 100;
        let (budget, used) = (MemoryBudget::new(BUDGET), AtomicU64::new(0));
        thread::scope(|scope| {
            for thread in 0..8 {
                let (budget, used) = (&budget, &used);
                scope.spawn(move || {
                    for round in 0..500 {
                        // One thread needs all of it, again and again.
                        let bytes = if thread == 0 {
                            BUDGET
                        } else {
                            1 + (thread * 31 + round) % 60
                        };
                        let reserved = budget.reserve(bytes).unwrap();
                        assert!(used.fetch_add(bytes, Ordering::SeqCst) + bytes <= BUDGET);
                        used.fetch_sub(bytes, Ordering::SeqCst);
                        drop(reserved);
                    }
                });
            }
        });
        assert_eq!(*lock(&budget.free), BUDGET);
    }

    #[test]
    fn more_than_the_budget_is_rejected() {
        let error = MemoryBudget::new(1000).reserve(1001).unwrap_err();
        let message = error.to_string();
        for part in ["1001", "1000", VARIABLE] {
            assert!(message.contains(part), "{message}");
        }
    }
}
