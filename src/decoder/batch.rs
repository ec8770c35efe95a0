//! Captions laid out for training by teacher forcing.

use crate::nn::Packing;
use crate::text::{END, START, TokenId, UNKNOWN};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

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
    /// For every packed row, how much it counts; `None`: one as much as the other.
    pub weights: Option<Vec<f32>>,
}

/// A caption of a batch, without markers.
#[derive(Clone, Copy, Debug)]
pub struct WeightedCaption<'a> {
    /// The row of its photo.
    pub photo: usize,
    /// Its words.
    pub words: &'a [TokenId],
    /// How much each of its words counts; below zero, it is made less likely.
    pub weight: f32,
    /// How much its end marker counts: nothing where the caption was cut before one came.
    pub end_weight: f32,
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
            weights: None,
        }
    }

    /// From captions that count for more or less.
    pub fn weighted<'a>(captions: impl IntoIterator<Item = WeightedCaption<'a>>) -> Self {
        let mut captions: Vec<_> = captions.into_iter().collect();
        captions.sort_by_key(|caption| std::cmp::Reverse(caption.words.len()));
        let batch = Self::new(captions.iter().map(|caption| (caption.photo, caption.words)));
        let sequences = batch.packing.sequence_of_rows();
        let ends = batch.targets.iter().map(|&target| target == END as usize);
        let weight_of = |(&at, is_end): (&usize, bool)| match is_end {
            true => captions[at].end_weight,
            false => captions[at].weight,
        };
        let weights = sequences.iter().zip(ends).map(weight_of).collect();
        Self {
            weights: Some(weights),
            ..batch
        }
    }

    /// The same captions, a share of the words that are read unknown (word dropout, Bowman et al. 2016, section 3.1);
    /// `None` where that is none. The start markers stay.
    pub(super) fn without_words(&self, share: f32, stream: &mut ChaCha8Rng) -> Option<Self> {
        if share == 0.0 {
            return None;
        }
        let mut batch = self.clone();
        for word in &mut batch.inputs[self.packing.sequences()..] {
            if stream.random::<f32>() < share {
                *word = UNKNOWN as usize;
            }
        }
        Some(batch)
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
