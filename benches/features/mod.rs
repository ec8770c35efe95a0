//! Images per second of each backbone: beside the machine's best matrix product, and PyTorch.

#![allow(dead_code)] // every bench uses its part

pub(crate) mod comparison;
pub(crate) mod goals;
pub(crate) mod network;
mod random_weights;

pub(crate) use random_weights::file as random_weights;
