//! Decoders: LSTMs that write captions from image features.
//!
//! Every decoder reads an image as [`ImageRegions`]; those without attention take their mean. A new
//! decoder is a file here that implements `TeacherForced` (or `AttentionCell`, for attention at every word), a variant of
//! [`DecoderKind`] and a line in [`build`].

mod attention;
mod attention_decoder;
mod batch;
mod image_regions;
mod inject;
mod merge;
mod sample_token;
mod soft_attention;
mod step_decoder;
mod teacher_forcing;
#[cfg(test)]
mod tests;
mod top_down;

use crate::nn::{Backend, DeviceResult, Embedding, Initialization, Parameter, Scalar, Taped, glorot_limit};
use crate::suggest::{Named, UnknownName, unknown_name};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use attention::AttentionWidths;
pub use batch::{CaptionBatch, WeightedCaption};
pub use image_regions::ImageRegions;
pub use inject::Inject;
pub use merge::Merge;
pub(crate) use sample_token::{sample_index, sample_token};
pub use soft_attention::SoftAttention;
use step_decoder::LstmInference;
pub use step_decoder::{CaptionMemory, DecoderState, StepDecoder};
use teacher_forcing::{DecoderOutput, TeacherForced};
pub use top_down::TopDown;

/// Bound of the initial word embeddings, as in the released code of Vinyals et al. 2015.
const INITIAL_WORDS: f32 = 0.1;

/// The decoders, by their names in settings and on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum DecoderKind {
    /// See [`Merge`].
    #[default]
    Merge,
    /// See [`Inject`].
    Inject,
    /// See [`SoftAttention`].
    #[serde(alias = "attend")]
    #[strum(to_string = "soft-attention", serialize = "attend")]
    SoftAttention,
    /// See [`TopDown`].
    TopDown,
}

impl Named for DecoderKind {
    const KIND: &'static str = "decoder";
}

impl DecoderKind {
    /// All decoders.
    pub const ALL: [Self; 4] = [Self::Merge, Self::Inject, Self::SoftAttention, Self::TopDown];

    /// Whether it attends to single regions of an image instead of their mean.
    pub fn attends(self) -> bool {
        matches!(self, Self::SoftAttention | Self::TopDown)
    }
}

/// The settings of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderSettings {
    /// Architecture.
    pub kind: DecoderKind,
    /// Units of the LSTM.
    pub hidden_size: usize,
    /// Dimensions of a word embedding.
    pub embedding_size: usize,
    /// Ties input and output embeddings (Press & Wolf 2017); requires `embedding_size == hidden_size`. See
    /// [`Embedding::Tied`].
    pub tie_embeddings: bool,
    /// Dropout of features, embeddings and the last hidden layer.
    pub dropout: f32,
    /// Dropout of the recurrent weights; see [`Regularization::weight_drop`].
    pub weight_drop: f32,
    /// Dimensions of the keys and queries of an attention decoder.
    pub attention_size: usize,
    /// Weight of the doubly stochastic penalty (Xu et al. 2015, equation 14) of an attention decoder; see
    /// [`crate::nn::coverage_penalty`].
    pub doubly_stochastic_weight: f32,
}

impl DecoderSettings {
    fn attention_widths(&self, shape: DecoderShape) -> AttentionWidths {
        AttentionWidths {
            channels: shape.channels,
            hidden: self.hidden_size,
            attention: self.attention_size,
        }
    }
}

/// The embedding of `settings`, with initial values of at most `limit`.
fn embedding<D: Backend>(
    device: &D,
    settings: &DecoderSettings,
    shape: DecoderShape,
    limit: f32,
    rng: &mut impl Rng,
) -> DeviceResult<D, Embedding<D>> {
    let (name, words) = ("embedding", shape.vocabulary);
    if settings.tie_embeddings {
        // The output layer starts at Glorot's limit; the scale brings its rows to the requested limit.
        return Embedding::tied(device, name, limit / glorot_limit((settings.hidden_size, words)));
    }
    let uniform = Initialization::Uniform(limit);
    Embedding::new(device, name, (words, settings.embedding_size), uniform, rng)
}

impl Default for DecoderSettings {
    fn default() -> Self {
        Self {
            kind: DecoderKind::default(),
            hidden_size: 256,
            embedding_size: 256,
            tie_embeddings: false,
            dropout: 0.25,
            weight_drop: 0.0,
            attention_size: 256,
            doubly_stochastic_weight: 0.0,
        }
    }
}

/// The sizes that a decoder's dataset and encoder fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderShape {
    /// Channels of a region.
    pub channels: usize,
    /// Words in the vocabulary, special tokens included.
    pub vocabulary: usize,
}

/// The regularization of a training step.
#[derive(Debug)]
pub struct Regularization<'a> {
    /// See [`crate::nn::Targets`].
    pub label_smoothing: f32,
    /// Dropout of features, embeddings and the last hidden layer.
    pub dropout: f32,
    /// Dropout of the recurrent weights, with one mask for all steps of the batch: DropConnect (Merity et al. 2018,
    /// "Regularizing and optimizing LSTM language models", section 2).
    pub weight_drop: f32,
    /// Fraction of the input words replaced by the unknown word (Bowman et al. 2016, section 3.1).
    pub word_dropout: f32,
    /// Fraction of the input words replaced by words sampled from the decoder (Bengio et al. 2015).
    pub scheduled_sampling: f32,
    /// The source of masks and samples.
    pub stream: &'a mut ChaCha8Rng,
}

impl<'a> Regularization<'a> {
    /// No regularization; draws nothing from `stream`.
    pub fn none(stream: &'a mut ChaCha8Rng) -> Self {
        Self {
            label_smoothing: 0.0,
            dropout: 0.0,
            weight_drop: 0.0,
            word_dropout: 0.0,
            scheduled_sampling: 0.0,
            stream,
        }
    }
}

/// A decoder: writes captions for images.
pub trait Decoder<D: Backend> {
    /// The mean cross-entropy of a batch by teacher forcing, in nats per token, recorded for a backward pass.
    fn training_loss(
        &self,
        images: ImageRegions<D, Taped<D>>,
        batch: &CaptionBatch,
        regularization: Regularization<'_>,
    ) -> DeviceResult<D, Scalar<D, Taped<D>>>;

    /// The mean cross-entropy of a batch, in nats per token, without regularization.
    fn loss(&self, images: ImageRegions<D>, batch: &CaptionBatch) -> DeviceResult<D, Scalar<D>>;

    /// A copy of the decoder for writing captions word by word.
    fn inference(&self) -> DeviceResult<D, Box<dyn StepDecoder<D>>>;

    /// Multiplies all logits by `factor`, an inverse temperature (Guo et al. 2017, "On calibration of modern neural
    /// networks", section 4.2).
    fn scale_logits(&mut self, factor: f32) -> DeviceResult<D, ()>;

    /// All parameters, always in the same order.
    fn parameters(&self) -> Vec<&Parameter<D>>;

    /// Mutable access to all parameters, in the order of [`Decoder::parameters`].
    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>>;
}

/// Builds a decoder with weights drawn from `rng`.
pub fn build<D: Backend>(
    device: &D,
    settings: &DecoderSettings,
    shape: DecoderShape,
    rng: &mut ChaCha8Rng,
) -> DeviceResult<D, Box<dyn Decoder<D>>> {
    Ok(match settings.kind {
        DecoderKind::Merge => Box::new(Merge::new(device, settings, shape, rng)?),
        DecoderKind::Inject => Box::new(Inject::new(device, settings, shape, rng)?),
        DecoderKind::SoftAttention => Box::new(SoftAttention::decoder(device, settings, shape, rng)?),
        DecoderKind::TopDown => Box::new(TopDown::decoder(device, settings, shape, rng)?),
    })
}

/// A lower bound on the number of parameters of a decoder, at most a few times below it; saturating.
///
/// It bounds the memory that a damaged checkpoint header can ask for: the file must hold at least as many numbers.
pub fn min_parameters(settings: &DecoderSettings, shape: DecoderShape) -> usize {
    let DecoderSettings {
        hidden_size: hidden,
        embedding_size: embedding,
        attention_size: attention,
        ..
    } = *settings;
    let DecoderShape { channels, vocabulary } = shape;
    let gates = hidden.saturating_mul(4);
    let mut matrices = vec![(gates, embedding), (gates, hidden), (hidden, vocabulary)];
    matrices.push(match settings.kind {
        DecoderKind::Inject => (channels, embedding),
        _ => (channels, hidden),
    });
    if !settings.tie_embeddings {
        matrices.push((vocabulary, embedding));
    }
    if settings.kind.attends() {
        matrices.push((attention, hidden));
    }
    matrices.into_iter().fold(0, |sum: usize, (rows, columns)| {
        sum.saturating_add(rows.saturating_mul(columns))
    })
}
