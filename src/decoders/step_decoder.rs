//! Decoding word by word, for search and sampling.

use crate::nn::{Backend, DeviceResult, LstmState, Matrix, Regions, gather_rows};
use crate::text::TokenId;

/// A decoder that writes captions word by word. It holds a copy of the weights, so training may go on meanwhile.
pub trait StepDecoder<D: Backend> {
    /// The state before the first word: one row for each image of `[images, regions, channels]`.
    fn start(&self, regions: Regions<D>) -> DeviceResult<D, DecoderState<D>>;

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
    /// The state of a decoder with one LSTM and no attention.
    pub(super) fn of_lstm(lstm: LstmState<D>, image: Option<Matrix<D>>) -> Self {
        Self {
            lstms: vec![lstm],
            image,
            memory: None,
            attention_weights: None,
        }
    }

    /// The reverse of [`Self::of_lstm`].
    pub(super) fn into_lstm(mut self) -> (LstmState<D>, Option<Matrix<D>>) {
        let Some(lstm) = self.lstms.pop() else {
            unreachable!("a decoder has an LSTM");
        };
        (lstm, self.image)
    }

    /// The listed rows, in this order. A row may come several times, as the parent of several hypotheses.
    pub fn select(self, rows: &[usize]) -> DeviceResult<D, Self> {
        let select = |matrix: Matrix<D>| gather_rows(matrix, rows);
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
