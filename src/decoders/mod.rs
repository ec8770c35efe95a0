//! Decoders: how image features meet the LSTM.
//!
//! A decoder is one file here and one line in [`DecoderKind`]. It sees an image as a grid of regions, so that
//! one which attends to them fits in beside those that take their mean.

mod attend;
mod attending;
mod batch;
mod drawing;
mod inject;
mod merge;
mod one_pass;
mod region_attention;
#[cfg(test)]
mod tests;
mod top_down;
mod writer;

use crate::nn::{
    Backend, DeviceResult, Dropout, Embedding, Initialization, Layer, Matrix, Regions, Scalar, Taped,
    glorot_limit,
};
use dfdx::prelude::*;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use attend::Attend;
pub use batch::{CaptionBatch, WeightedCaption};
pub(crate) use drawing::draw_word;
pub use inject::Inject;
pub use merge::Merge;
use one_pass::{Change, OnePass, Read};
use region_attention::Widths;
pub use top_down::TopDown;
pub use writer::{DecoderState, Gaze, Writer};

/// How large the numbers of word embeddings are at first, where nothing else asks for another scale: as in Vinyals et
/// al. 2015's released code.
const WORDS: f32 = 0.1;

/// Which decoder, by the names used in settings and on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecoderKind {
    /// See [`Merge`].
    #[default]
    Merge,
    /// See [`Inject`].
    Inject,
    /// See [`Attend`].
    Attend,
    /// See [`TopDown`].
    TopDown,
}

impl DecoderKind {
    /// Every decoder there is.
    pub const ALL: [Self; 4] = [Self::Merge, Self::Inject, Self::Attend, Self::TopDown];

    /// Whether it looks at single regions of an image, rather than at their mean.
    pub fn attends(self) -> bool {
        matches!(self, Self::Attend | Self::TopDown)
    }

    /// The name used in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Inject => "inject",
            Self::Attend => "attend",
            Self::TopDown => "top_down",
        }
    }
}

impl std::fmt::Display for DecoderKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for DecoderKind {
    type Err = UnknownDecoder;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownDecoder(name.into()))
    }
}

/// A decoder name that is none.
#[derive(Debug, thiserror::Error)]
#[error("no decoder is called `{0}`; there are `merge`, `inject`, `attend` and `top_down`")]
pub struct UnknownDecoder(String);

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
    fn widths(&self, shape: DecoderShape) -> Widths {
        Widths {
            channels: shape.channels,
            hidden: self.hidden_size,
            attention: self.attention_size,
        }
    }
}

/// How words are read: at first by numbers up to `limit`.
fn embedding<D: Backend>(
    device: &D,
    settings: &DecoderSettings,
    shape: DecoderShape,
    limit: f32,
    rng: &mut impl Rng,
) -> DeviceResult<D, Embedding<D>> {
    let (name, words) = ("embedding", shape.vocabulary);
    match settings.tie_embeddings {
        true => Embedding::tied(device, name, limit / glorot_limit((settings.hidden_size, words))),
        false => {
            let uniform = Initialization::Uniform(limit);
            Embedding::new(device, name, (words, settings.embedding_size), uniform, rng)
        }
    }
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

/// What a decoder must fit: the features it reads and the words it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderShape {
    /// Channels of a region.
    pub channels: usize,
    /// Words in the vocabulary, markers included.
    pub vocabulary: usize,
}

/// What makes a training loss differ from the plain one.
#[derive(Debug)]
pub struct Regularization<'a> {
    /// See [`crate::nn::Targets`].
    pub label_smoothing: f32,
    /// Share of the elements dropped from features, embeddings and the last hidden layer.
    pub dropout: f32,
    /// Share of the recurrent weights dropped, the same for all steps of the batch (Merity et al. 2018, "Regularizing and
    /// optimizing LSTM language models", section 2).
    pub weight_drop: f32,
    /// Share of the words read that are replaced by the unknown word.
    pub word_dropout: f32,
    /// Share of the words read that are replaced by what the decoder would have written there (scheduled sampling,
    /// Bengio et al. 2015).
    pub own_words: f32,
    /// Where masks and words are drawn from.
    pub stream: &'a mut ChaCha8Rng,
}

impl<'a> Regularization<'a> {
    /// The plain loss; nothing is drawn from `stream`.
    pub fn none(stream: &'a mut ChaCha8Rng) -> Self {
        Self {
            label_smoothing: 0.0,
            dropout: 0.0,
            weight_drop: 0.0,
            word_dropout: 0.0,
            own_words: 0.0,
            stream,
        }
    }
}

/// Learns to write captions for images that are given as regions, `[images, regions, channels]`.
pub trait Decoder<D: Backend>: Layer<D> {
    /// The mean cross-entropy of a batch, in nats a token, recorded for a backward pass.
    fn training_loss(
        &self,
        regions: Regions<D, Taped<D>>,
        batch: &CaptionBatch,
        regularization: Regularization<'_>,
    ) -> DeviceResult<D, Scalar<D, Taped<D>>>;

    /// The mean cross-entropy of a batch, in nats a token, without dropout or label smoothing.
    fn loss(&self, regions: Regions<D>, batch: &CaptionBatch) -> DeviceResult<D, Scalar<D>>;

    /// The decoder as it is now, to write captions with.
    fn writer(&self) -> DeviceResult<D, Box<dyn Writer<D>>>;

    /// Multiplies all logits by `factor`: above one, likely words become likelier (Guo et al. 2017, "On calibration of
    /// modern neural networks", section 4.2). Which word is the likeliest does not change.
    fn sharpen(&mut self, factor: f32) -> DeviceResult<D, ()>;
}

/// A new decoder as `settings` say, its weights drawn from `rng`.
pub fn build<D: Backend>(
    device: &D,
    settings: &DecoderSettings,
    shape: DecoderShape,
    rng: &mut ChaCha8Rng,
) -> DeviceResult<D, Box<dyn Decoder<D>>> {
    Ok(match settings.kind {
        DecoderKind::Merge => Box::new(Merge::new(device, settings, shape, rng)?),
        DecoderKind::Inject => Box::new(Inject::new(device, settings, shape, rng)?),
        DecoderKind::Attend => Box::new(Attend::new(device, settings, shape, rng)?),
        DecoderKind::TopDown => Box::new(TopDown::new(device, settings, shape, rng)?),
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

/// Dropout while training, nothing otherwise.
#[derive(Debug)]
pub struct Noise<'a>(Option<Dropout<'a>>);

impl<'a> Noise<'a> {
    fn training(rate: f32, stream: &'a mut ChaCha8Rng) -> Self {
        Self(Some(Dropout::new(rate, stream)))
    }

    fn none() -> Self {
        Self(None)
    }

    fn apply<D: Backend, T: Tape<f32, D>>(&mut self, rows: Matrix<D, T>) -> DeviceResult<D, Matrix<D, T>> {
        match &mut self.0 {
            Some(dropout) => dropout.apply(rows),
            None => Ok(rows),
        }
    }
}

/// `[images, regions, channels]` to `[images, channels]`.
fn mean_region<D: Backend, T: Tape<f32, D>>(regions: Regions<D, T>) -> DeviceResult<D, Matrix<D, T>> {
    let (images, count, channels) = *regions.shape();
    match count {
        1 => regions.try_reshape_like(&(images, channels)),
        _ => regions.try_mean::<(usize, usize), Axis<1>>(),
    }
}
