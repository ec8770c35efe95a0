//! The number of parts that products and convolutions are divided into.
//!
//! `gemm` sums a block of a product in an order that depends on the block's size, so the size must not depend on the
//! number of threads: a run would not repeat on another machine. Threads share the parts; more parts than threads cost
//! a little, fewer leave threads idle.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Enough for eight threads.
pub(crate) const DEFAULT_PARTITIONS: usize = 8;

static PARTITIONS: AtomicUsize = AtomicUsize::new(DEFAULT_PARTITIONS);

/// Sets the number of parts for all that this process computes on the CPU from now on.
pub(crate) fn set_partitions(partitions: usize) {
    PARTITIONS.store(partitions.max(1), Ordering::Relaxed);
}

pub(crate) fn partitions() -> usize {
    PARTITIONS.load(Ordering::Relaxed)
}
