//! What tabs are put together from.

pub(super) mod chart;
pub(super) mod popup;
