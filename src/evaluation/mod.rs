//! Scoring a checkpoint on a split.
