//! A training step of each decoder: beside its own matrix products, the machine's best, and peers.

#![allow(dead_code)] // every bench uses its part

pub(crate) mod baseline;
pub(crate) mod captions;
pub(crate) mod case;
pub(crate) mod comparison;
pub(crate) mod goals;
pub(crate) mod profile;

pub(crate) use captions::batches;
