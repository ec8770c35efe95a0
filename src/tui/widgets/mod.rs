//! Widgets that several tabs share.

pub mod chart;
pub mod image;
pub mod list;
pub mod text;

pub use chart::Chart;
pub use image::ImageWidget;
