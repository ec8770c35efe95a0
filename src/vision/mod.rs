//! CNN encoders: image decoding, preprocessing and augmentation, networks with their weights, stored features.

pub mod augment;
pub mod backbones;
pub mod features;
pub(crate) mod floats;
pub mod image_io;
pub mod overlay;
pub mod preprocess;
mod resample;
pub mod weights;
