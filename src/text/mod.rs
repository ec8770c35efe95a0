//! From caption to token ids.
