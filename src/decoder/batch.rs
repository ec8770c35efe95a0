//! Captions laid out for training by teacher forcing.

use crate::nn::Packing;
use crate::text::{END, START, TokenId};

/// Captions of a batch, packed by time step: every word is read once and the next one is asked for, so that
/// one pass trains what the published recipe trains with one sample for every prefix.
#[derive(Clone, Debug)]
pub struct CaptionBatch {
    /// Steps: one more than the caption has words.
    pub packing: Packing,
    /// What is read, packed: the start marker, then the words.
    pub inputs: Vec<usize>,
    /// What is asked for, packed: the words, then the end marker.
    pub targets: Vec<usize>,
    /// For every caption, longest first, the row of its photo.
    pub photos: Vec<usize>,
}

impl CaptionBatch {
    /// From captions without markers, each with the row of its photo. Captions of equal length keep their
    /// order.
    pub fn new<'a>(captions: impl IntoIterator<Item = (usize, &'a [TokenId])>) -> Self {
        let mut captions: Vec<_> = captions.into_iter().collect();
        captions.sort_by_key(|(_, words)| std::cmp::Reverse(words.len()));
        let lengths: Vec<usize> = captions.iter().map(|(_, words)| words.len() + 1).collect();
        let packing = Packing::new(&lengths);
        let with = |before: &[TokenId], after: &[TokenId]| -> Vec<Vec<TokenId>> {
            captions
                .iter()
                .map(|(_, words)| [before, words, after].concat())
                .collect()
        };
        let pack = |sequences: Vec<Vec<TokenId>>| {
            packing
                .pack(&sequences)
                .into_iter()
                .map(|word| word as usize)
                .collect()
        };
        Self {
            inputs: pack(with(&[START], &[])),
            targets: pack(with(&[], &[END])),
            photos: captions.iter().map(|&(photo, _)| photo).collect(),
            packing,
        }
    }

    /// The number of tokens asked for.
    pub fn tokens(&self) -> usize {
        self.targets.len()
    }

    /// For every packed row, the row of its photo.
    pub fn photo_of_rows(&self) -> Vec<usize> {
        self.packing
            .sequence_of_rows()
            .into_iter()
            .map(|sequence| self.photos[sequence])
            .collect()
    }
}
