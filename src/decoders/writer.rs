//! Writing captions word by word with a decoder that does not change meanwhile.

use crate::nn::{Backend, DeviceResult, LstmState, Matrix, Regions, gather_rows};
use crate::text::TokenId;

/// A decoder as it was when this was made: training goes on without it.
pub trait Writer<D: Backend> {
    /// The state before the first word, a row for every image of `[images, regions, channels]`.
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
    /// Of each of its LSTMs.
    pub lstms: Vec<LstmState<D>>,
    /// What the decoder keeps of each caption's image, where it needs it again for every word.
    pub image: Option<Matrix<D>>,
    /// What a decoder looks at that attends.
    pub gaze: Option<Gaze<D>>,
    /// Where it has looked for the last word: how much each region weighed, `[rows, regions]`.
    pub looked: Option<Matrix<D>>,
}

/// What captions look at.
#[derive(Clone, Debug)]
pub struct Gaze<D: Backend> {
    /// The regions of all images.
    pub sight: D::AttentionMemory,
    /// For every caption, its image among them.
    pub images: Vec<usize>,
}

impl<D: Backend> DecoderState<D> {
    /// Of a decoder with one LSTM that does not attend.
    pub(super) fn of_lstm(lstm: LstmState<D>, image: Option<Matrix<D>>) -> Self {
        Self {
            lstms: vec![lstm],
            image,
            gaze: None,
            looked: None,
        }
    }

    /// The state of a decoder with one LSTM, and what it keeps of the image.
    pub(super) fn into_lstm(mut self) -> (LstmState<D>, Option<Matrix<D>>) {
        let Some(lstm) = self.lstms.pop() else {
            unreachable!("a decoder has an LSTM");
        };
        (lstm, self.image)
    }

    /// The listed rows, which may repeat: beams that go on, and those that do not.
    pub fn select(self, rows: &[usize]) -> DeviceResult<D, Self> {
        let select = |matrix: Matrix<D>| gather_rows(matrix, rows);
        let lstms = self.lstms.into_iter().map(|lstm| {
            Ok(LstmState {
                hidden: select(lstm.hidden)?,
                cell: select(lstm.cell)?,
            })
        });
        let gaze = self.gaze.map(|Gaze { sight, images }| Gaze {
            sight,
            images: rows.iter().map(|&row| images[row]).collect(),
        });
        Ok(Self {
            lstms: lstms.collect::<Result<_, _>>()?,
            image: self.image.map(select).transpose()?,
            gaze,
            looked: self.looked.map(select).transpose()?,
        })
    }
}
