//! Writing captions word by word with a decoder that does not change meanwhile.

use crate::nn::{Backend, DeviceResult, LstmState, Matrix, Regions, gather_rows};
use crate::text::TokenId;

/// A decoder as it was when this was made: training goes on without it.
pub trait Writer<D: Backend>: Send + Sync {
    /// The state before the first word, a row for every photo of `[photos, regions, channels]`.
    fn start(&self, regions: Regions<D>) -> DeviceResult<D, DecoderState<D>>;

    /// Reads one word a row and gives the logits `[rows, vocabulary]` of the next, with the state after it.
    fn step(
        &self,
        state: DecoderState<D>,
        words: &[TokenId],
    ) -> DeviceResult<D, (Matrix<D>, DecoderState<D>)>;
}

/// The state of a decoder, a row for every caption being written.
#[derive(Clone, Debug)]
pub struct DecoderState<D: Backend> {
    /// The LSTM's.
    pub lstm: LstmState<D>,
    /// What the decoder keeps of the photo, where it looks at it again for every word.
    pub image: Option<Matrix<D>>,
}

impl<D: Backend> DecoderState<D> {
    /// The listed rows, which may repeat: beams that go on, and those that do not.
    pub fn select(self, rows: &[usize]) -> DeviceResult<D, Self> {
        let select = |matrix: Matrix<D>| gather_rows(matrix, rows);
        Ok(Self {
            lstm: LstmState {
                hidden: select(self.lstm.hidden)?,
                cell: select(self.lstm.cell)?,
            },
            image: self.image.map(select).transpose()?,
        })
    }
}
