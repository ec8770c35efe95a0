//! CNN encoders, their weights, and the features they make.

pub mod backbone;
mod efficientnet_lite;
pub mod encoder;
pub mod extraction;
pub mod fitting;
mod floats;
pub mod image_io;
mod inverted_residual;
mod lookalike;
mod mobilenet_v2;
pub mod overlay;
pub mod preprocess;
mod resample;
pub mod small_cnn;
pub mod store;
pub mod tail;
mod vgg16;
pub mod view;
pub mod weights;
mod xception;
