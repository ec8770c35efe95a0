//! Batches, loop, schedule, checkpoints.
