//! What tabs are put together from.

pub(super) mod chart;
pub(super) mod list;
pub(super) mod picture;
pub(super) mod popup;
