//! Cutline: a terminal workbench for image captioning.
//!
//! # A map of the crate
//!
//! Work flows one way: photo and captions -> tokens and features -> decoder -> captions -> scores.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`dataset`] | readers for captioned data sets, splits, checks, the built-in `scenes` |
//! | [`text`] | cleaning, tokens, vocabulary |
//! | [`metrics`] | BLEU, ROUGE-L, CIDEr-D: pure functions on token lists |
//! | [`nn`] | what stable dfdx lacks: convolution, pooling, LSTM, losses, an optimiser that saves |
//! | [`vision`] | CNN encoders, published weights, preprocessing, the feature store |
//! | [`decoder`] | how image features meet the LSTM |
//! | [`captioning`] | greedy, beam search, sampling |
//! | [`training`] | batches, loop, schedule, checkpoints |
//! | [`evaluation`] | scoring a checkpoint on a split |
//! | [`runs`] | the run directory |
//! | [`cli`] | the subcommands |
//! | [`config`] | defaults < file < flags |
//! | [`nearest`] | the known word nearest to a mistyped one |
//!
//! Imports run downwards only; `tests/layers.rs` holds the rule.

pub mod captioning;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod decoder;
pub mod evaluation;
mod files;
pub mod metrics;
pub mod nearest;
pub mod nn;
pub mod runs;
pub mod text;
pub mod training;
pub mod vision;
