//! The pages: what each knows, and what keys do there.

pub mod attention;
pub mod cursor;
pub mod data;
pub mod evaluate;
pub mod gallery;
pub mod runs;
pub mod train;
