//! CNN encoders, their weights, and the features they make.

pub mod extraction;
mod floats;
mod lookalike;
pub mod photo;
pub mod preprocess;
pub mod store;
pub mod weights;
