//! Cutline: a terminal workbench for image captioning.
//!
//! # A map of the crate
//!
//! Data flow: image and captions -> tokens and features -> decoder -> captions -> scores.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`data`] | readers for captioned datasets, splits, checks, the built-in `scenes` |
//! | [`text`] | cleaning, tokenizers, vocabulary |
//! | [`metrics`] | BLEU, ROUGE-L, CIDEr-D, METEOR: pure functions on token lists |
//! | [`nn`] | what stable dfdx lacks: convolution, pooling, LSTM, losses, an optimizer that saves |
//! | [`vision`] | CNN encoders, published weights, preprocessing, the feature store |
//! | [`decoders`] | LSTMs that write captions from image features |
//! | [`model`] | encoder and decoder as one network: specification, inputs, normalization, checkpoints |
//! | [`onnx`] | models as ONNX graphs, for other programs |
//! | [`search`] | beam search, sampling, ensembles, minimum Bayes risk, attention weights |
//! | [`training`] | batches, loop, schedule, checkpoints |
//! | [`evaluation`] | scoring a checkpoint on a split |
//! | [`pack`] | packed files: a captioner to be handed on |
//! | [`diagnosis`] | symptoms of a training that fails, from its event log |
//! | [`jobs`] | event logs, locks, commands, run directories: no tensors |
//! | [`fetch`] | datasets, weights and metric data from caches and from the network |
//! | `tui` | the workbench; computes nothing |
//! | `cli` | the subcommands |
//! | [`config`] | defaults < file < flags |
//! | [`suggest`] | the known word nearest to a mistyped one |
//!
//! Modules import only from lower layers; `tests/layers.rs` enforces it. The program is
//! `cli`; everything else is a library.
//!
//! # Example
//!
//! ```
//! use cutline::config::AutoOr;
//! use cutline::search::{SearchSettings, write_captions};
//! use cutline::decoders::{DecoderSettings, DecoderShape, build};
//! use cutline::metrics::{Example, Metric, score};
//! use cutline::nn::random_stream;
//! use cutline::text::{Cleaning, Vocabulary};
//! use dfdx::prelude::*;
//!
//! // Captions become tokens, tokens a vocabulary.
//! let references = ["Two dogs run on the beach.", "A pair of dogs, running along the sea!"]
//!     .map(|caption| Cleaning::default().tokens(caption));
//! assert_eq!(references[0].join(" "), "two dogs run on the beach");
//! let vocabulary = Vocabulary::build(references.iter().map(Vec::as_slice), 1);
//!
//! // A decoder writes captions from an image's features, here random ones. This one is not trained.
//! let cpu = Cpu::default();
//! let shape = DecoderShape { channels: 8, vocabulary: vocabulary.len() };
//! let decoder = build(&cpu, &DecoderSettings::default(), shape, &mut random_stream(1, "weights", 0))?;
//! let features = cpu.sample_normal_like(&(1, 1, 8)); // [images, regions, channels]
//! let search = SearchSettings { beam_size: 3, max_length: AutoOr::Set(6), ..Default::default() };
//! let hypotheses = write_captions(decoder.as_ref(), features, &search)?;
//! let hypothesis = vocabulary.decode(&hypotheses[0][0].tokens);
//! assert!(hypothesis.len() <= 6);
//!
//! // The caption is scored against the references.
//! let nonsense = Example { hypothesis: &hypothesis, references: &references };
//! let perfect = Example { hypothesis: &references[0], references: &references };
//! let bleu_4 = |example| score(&[example]).score(Metric::BLEU_4);
//! assert!(bleu_4(nonsense) < bleu_4(perfect));
//! # Ok::<(), CpuError>(())
//! ```

mod cli;
pub mod config;
pub mod data;
pub mod decoders;
pub mod diagnosis;
pub mod evaluation;
pub mod fetch;
pub mod files;
pub mod jobs;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod onnx;
pub mod pack;
pub mod search;
pub mod suggest;
#[cfg(test)]
mod testing;
pub mod text;
pub mod training;
pub(crate) mod tui;
pub mod vision;

#[doc(hidden)]
pub use tui::headless::Headless;

pub use cli::main;
