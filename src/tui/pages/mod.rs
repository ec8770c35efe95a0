//! The pages: what each knows, and what keys do there.

pub mod data;
pub mod evaluate;
pub mod gallery;
pub mod runs;
pub mod train;

/// Which part of a page keys are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    /// The list.
    #[default]
    List,
    /// What stands beside it about the selected one.
    Detail,
}
