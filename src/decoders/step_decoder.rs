//! Decoding word by word, for search and sampling.

use super::ImageRegions;
use crate::nn::{Activation, Backend, DeviceResult, InferenceEmbedding, LstmState, Matrix};
use crate::text::TokenId;
use dfdx::prelude::{HasShape, TryAdd};

/// A decoder that writes captions word by word. It holds a copy of the weights, so training may continue meanwhile.
pub trait StepDecoder<D: Backend> {
    /// The state before the first word: one row for each image.
    fn start(&self, images: ImageRegions<D>) -> DeviceResult<D, DecoderState<D>>;

    /// Reads one word for each row. Returns the logits of the next word, `[rows, vocabulary]`, and the next state.
    fn step(
        &self,
        state: DecoderState<D>,
        words: &[TokenId],
    ) -> DeviceResult<D, (Matrix<D>, DecoderState<D>)>;
}

/// The state of a decoder: one row for each caption.
#[derive(Clone, Debug)]
pub struct DecoderState<D: Backend> {
    /// One state for each LSTM.
    pub lstms: Vec<LstmState<D>>,
    /// The image's features, for decoders that read them at every word: `[rows, hidden]`.
    pub image: Option<Matrix<D>>,
    /// The attention memory of an attention decoder.
    pub memory: Option<CaptionMemory<D>>,
    /// The attention weights of the last word, `[rows, regions]`.
    pub attention_weights: Option<Matrix<D>>,
}

/// Keys and values of all images, with the image of each caption.
#[derive(Clone, Debug)]
pub struct CaptionMemory<D: Backend> {
    /// Keys and values of all images.
    pub memory: D::AttentionMemory,
    /// For each caption, its image in `memory`.
    pub images: Vec<usize>,
}

impl<D: Backend> DecoderState<D> {
    /// The listed rows, in this order. A row may come several times, as the parent of several hypotheses.
    pub fn select(self, rows: &[usize]) -> DeviceResult<D, Self> {
        let select = |matrix: Matrix<D>| D::gather_rows(matrix, rows);
        let lstms = self.lstms.into_iter().map(|lstm| {
            Ok(LstmState {
                hidden: select(lstm.hidden)?,
                cell: select(lstm.cell)?,
            })
        });
        // Keys and values stay where they are: only the captions' references to them are reordered.
        let memory = self.memory.map(|CaptionMemory { memory, images }| CaptionMemory {
            memory,
            images: rows.iter().map(|&row| images[row]).collect(),
        });
        Ok(Self {
            lstms: lstms.collect::<Result<_, _>>()?,
            image: self.image.map(select).transpose()?,
            memory,
            attention_weights: self.attention_weights.map(select).transpose()?,
        })
    }
}

/// A decoder with one LSTM and without attention, with its weights prepared for inference.
#[derive(Debug)]
pub(super) struct LstmInference<D: Backend> {
    pub(super) image: D::InferenceLinear,
    pub(super) embedding: InferenceEmbedding<D>,
    pub(super) lstm: D::InferenceLstm,
    /// The layer after the sum of hidden state and image; without it, the LSTM reads the image before the first word.
    pub(super) joint: Option<D::InferenceLinear>,
    pub(super) output: D::InferenceLinear,
    pub(super) hidden: usize,
}

impl<D: Backend> LstmInference<D> {
    fn state(lstm: LstmState<D>, image: Option<Matrix<D>>) -> DecoderState<D> {
        DecoderState {
            lstms: vec![lstm],
            image,
            memory: None,
            attention_weights: None,
        }
    }
}

impl<D: Backend> StepDecoder<D> for LstmInference<D> {
    fn start(&self, images: ImageRegions<D>) -> DeviceResult<D, DecoderState<D>> {
        let activation = match self.joint {
            Some(_) => Activation::Relu,
            None => Activation::None,
        };
        let image = D::run_linear(&self.image, images.mean()?, activation)?;
        let zeros = LstmState::zeros(image.device(), (image.shape().0, self.hidden))?;
        Ok(match self.joint {
            Some(_) => Self::state(zeros, Some(image)),
            None => Self::state(D::run_lstm_step(&self.lstm, image, zeros)?, None),
        })
    }

    fn step(
        &self,
        mut state: DecoderState<D>,
        words: &[TokenId],
    ) -> DeviceResult<D, (Matrix<D>, DecoderState<D>)> {
        let Some(before) = state.lstms.pop() else {
            unreachable!("a decoder has an LSTM");
        };
        let lstm = D::run_lstm_step(&self.lstm, self.embedding.lookup(words)?, before)?;
        let rows = match (&self.joint, &state.image) {
            (Some(joint), Some(image)) => {
                let both = lstm.hidden.clone().try_add(image.clone())?;
                D::run_linear(joint, both, Activation::Relu)?
            }
            _ => lstm.hidden.clone(),
        };
        let logits = D::run_linear(&self.output, rows, Activation::None)?;
        Ok((logits, Self::state(lstm, state.image)))
    }
}
