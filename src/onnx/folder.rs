//! The folder with a model's graphs and everything else that captioning takes.

use super::{OnnxError, OnnxModel, StateTensor, export};
use crate::decoders::DecoderKind;
use crate::files::write_atomically;
use crate::model::{EncoderSpec, FeatureNormalization, Model};
use crate::nn::Backend;
use crate::search::SearchSettings;
use crate::text::{END, PAD, START, TokenId, UNKNOWN, Vocabulary};
use crate::vision::backbones::LayerRange;
use crate::vision::preprocess::Preprocessing;
use serde::Serialize;
use std::io;
use std::path::Path;

/// The version of `config.json`.
const VERSION: u32 = 1;

/// `config.json`: what a program needs to know about the graphs.
#[derive(Serialize)]
struct OnnxConfig<'m> {
    version: u32,
    decoder: DecoderKind,
    /// Resizing and cropping are the program's part; colors are normalized in the graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    preprocessing: Option<Preprocessing>,
    /// In the graph; features without it are `features / scale + mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    normalization: Option<&'m FeatureNormalization>,
    states: &'m [StateTensor],
    special_tokens: SpecialTokens,
    search: CaptionSearch,
}

#[derive(Serialize)]
struct SpecialTokens {
    pad: TokenId,
    start: TokenId,
    end: TokenId,
    unknown: TokenId,
}

/// The part of the run's search settings that other programs repeat.
#[derive(Serialize)]
struct CaptionSearch {
    beam_size: usize,
    length_penalty: f64,
    min_length: usize,
    max_length: usize,
}

/// Writes `encoder.onnx`, `decoder.onnx`, `config.json` and `vocabulary.json` into a folder that exists. `published` are the
/// layers of the network whose output the features are ([`layers_of`](crate::vision::features::extractor::layers_of)); `None`
/// for a network that is trained from scratch, and for features that another program makes.
///
/// # Errors
/// If the network is missing, a file would be too large for the format, or it cannot be written.
pub fn write_folder<D: Backend>(
    folder: &Path,
    model: &Model<D>,
    vocabulary: &Vocabulary,
    search: &SearchSettings,
    published: Option<&LayerRange>,
) -> Result<(), OnnxError> {
    let OnnxModel {
        encoder,
        decoder,
        states,
    } = export(model, published)?;
    let config = OnnxConfig {
        version: VERSION,
        decoder: model.spec().decoder.kind,
        preprocessing: match &model.spec().encoder {
            EncoderSpec::SmallCnn(settings) => Some(settings.preprocessing()),
            EncoderSpec::Features(features) | EncoderSpec::FineTuned { features, .. } => {
                features.preprocessing.clone()
            }
        },
        normalization: model.normalization(),
        states: &states,
        special_tokens: SpecialTokens {
            pad: PAD,
            start: START,
            end: END,
            unknown: UNKNOWN,
        },
        search: CaptionSearch {
            beam_size: search.beam_size,
            length_penalty: search.length_penalty,
            min_length: search.min_length,
            max_length: search.max_length(),
        },
    };
    let words: Vec<&str> = (0..vocabulary.len() as TokenId)
        .map(|id| vocabulary.word(id))
        .collect();
    let [config, words] = [serde_json::to_vec_pretty(&config), serde_json::to_vec(&words)];
    for (name, content) in [
        ("encoder.onnx", Ok(encoder)),
        ("decoder.onnx", Ok(decoder)),
        ("config.json", config),
        ("vocabulary.json", words),
    ] {
        let path = folder.join(name);
        content
            .map_err(io::Error::from)
            .and_then(|content| write_atomically(&path, |out| out.write_all(&content)))
            .map_err(|source| OnnxError::Write { path, source })?;
    }
    Ok(())
}
