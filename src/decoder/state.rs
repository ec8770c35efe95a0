//! What a decoder remembers between two words.

use crate::nn::{Backend, DeviceResult, LstmState, Matrix, gather_rows};

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
