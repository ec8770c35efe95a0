//! Widgets that several tabs share.

pub mod chart;
pub mod image;
pub mod list;
pub mod text;
