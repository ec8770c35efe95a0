//! Layers with trainable parameters.

pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod layer;
pub(crate) mod linear;
pub(crate) mod lstm;
pub(crate) mod parameter;
