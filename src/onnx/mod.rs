//! A model as ONNX graphs: the encoder, from pixels to the state before the first word, and one step of the decoder.
//!
//! `docs/export.md` describes inputs and outputs. The files are written with `prost` from the part of ONNX's messages that they
//! need; no protobuf compiler is involved.

mod decoder;
mod encoder;
mod folder;
mod graph;
mod messages;
mod network;
#[cfg(test)]
mod tests;

use crate::model::Model;
use crate::nn::Backend;
use crate::vision::backbones::LayerRange;
use decoder::DecoderGraph;
pub use folder::write_folder;
use messages::ModelProto;
use prost::Message;
use serde::Serialize;
use std::io;
use std::path::PathBuf;

/// Protobuf's messages, and so ONNX files without parts beside them, are smaller.
const MAX_BYTES: usize = i32::MAX as usize;

/// Why a model cannot be written as ONNX.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum OnnxError {
    #[error(
        "the model reads features of a network that is not there; give the file of its weights with --weights"
    )]
    NoNetwork,
    #[error("the {graph} takes {bytes} bytes, and an ONNX file holds at most {MAX_BYTES}")]
    TooLarge { graph: &'static str, bytes: usize },
    #[error("{}: {source}; check the path and the space left", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A tensor that a program passes from step to step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateTensor {
    /// Its name as an output of the encoder and an input of the decoder.
    pub input: String,
    /// Its name as an output of the decoder; `None` if it stays the same for all words of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl StateTensor {
    fn of_steps(input: String) -> Self {
        let output = Some(format!("next_{input}"));
        Self { input, output }
    }

    fn of_image(input: &str) -> Self {
        Self {
            input: input.to_owned(),
            output: None,
        }
    }
}

/// The two graphs of a model.
#[derive(Clone, Debug, PartialEq)]
struct OnnxModel {
    /// The content of the encoder's file.
    encoder: Vec<u8>,
    /// The content of the decoder's file.
    decoder: Vec<u8>,
    /// The tensors that go from the encoder to the first step, and from step to step.
    states: Vec<StateTensor>,
}

/// The graphs of a model; see [`write_folder`].
fn export<D: Backend>(model: &Model<D>, published: Option<&LayerRange>) -> Result<OnnxModel, OnnxError> {
    let decoder = DecoderGraph::new(model);
    Ok(OnnxModel {
        encoder: encoded("encoder", &encoder::graph(model, &decoder, published)?)?,
        decoder: encoded("decoder", &decoder.step())?,
        states: [decoder.states(), decoder.memory()].concat(),
    })
}

fn encoded(graph: &'static str, model: &ModelProto) -> Result<Vec<u8>, OnnxError> {
    match model.encoded_len() {
        bytes if bytes > MAX_BYTES => Err(OnnxError::TooLarge { graph, bytes }),
        _ => Ok(model.encode_to_vec()),
    }
}
