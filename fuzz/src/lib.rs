//! Fuzz targets of Cutline.

pub mod targets;
