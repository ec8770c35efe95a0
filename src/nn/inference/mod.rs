//! Layers whose weights no longer change.

pub(crate) mod network;
pub(crate) mod step;
