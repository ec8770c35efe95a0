//! Packed files.
