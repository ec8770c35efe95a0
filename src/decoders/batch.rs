//! Captions laid out for training by teacher forcing.

use crate::nn::PackedSequence;
use crate::text::{END, START, TokenId, UNKNOWN};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The captions of a batch, packed by time step. Each token is an input once, with the next token as its target: one pass
/// trains what a sample for every prefix would.
#[derive(Clone, Debug)]
pub struct CaptionBatch {
    /// Each caption has one step more than words.
    pub packing: PackedSequence,
    /// Inputs, packed: the start token, then the words.
    pub inputs: Vec<usize>,
    /// Targets, packed: the words, then the end token.
    pub targets: Vec<usize>,
    /// For every caption, longest first, the row of its image.
    pub images: Vec<usize>,
    /// The weight of each packed row in the loss; `None` means equal weights.
    pub weights: Option<Vec<f32>>,
}

/// A caption of a batch, without special tokens.
#[derive(Clone, Copy, Debug)]
pub struct WeightedCaption<'a> {
    /// The row of its image.
    pub image: usize,
    /// Its words.
    pub words: &'a [TokenId],
    /// The weight of each of its words in the loss; below zero, they become less likely.
    pub weight: f32,
    /// The weight of its end token: zero for a truncated caption, which has none.
    pub end_weight: f32,
}

impl CaptionBatch {
    /// A batch of captions without special tokens, each with the row of its image. Captions of equal length keep their
    /// order.
    pub fn new<'a>(captions: impl IntoIterator<Item = (usize, &'a [TokenId])>) -> Self {
        let mut captions: Vec<_> = captions.into_iter().collect();
        captions.sort_by_key(|(_, words)| std::cmp::Reverse(words.len()));
        let lengths: Vec<usize> = captions.iter().map(|(_, words)| words.len() + 1).collect();
        let packing = PackedSequence::new(&lengths);
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
            images: captions.iter().map(|&(image, _)| image).collect(),
            packing,
            weights: None,
        }
    }

    /// A batch of weighted captions.
    pub fn weighted<'a>(captions: impl IntoIterator<Item = WeightedCaption<'a>>) -> Self {
        let mut captions: Vec<_> = captions.into_iter().collect();
        captions.sort_by_key(|caption| std::cmp::Reverse(caption.words.len()));
        let batch = Self::new(captions.iter().map(|caption| (caption.image, caption.words)));
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

    /// Replaces a fraction of the input words by the unknown word (word dropout, Bowman et al. 2016, section 3.1). The start
    /// special tokens stay.
    pub(super) fn with_word_dropout(&self, rate: f32, stream: &mut ChaCha8Rng) -> Self {
        let mut batch = self.clone();
        for word in &mut batch.inputs[self.packing.sequences()..] {
            if stream.random::<f32>() < rate {
                *word = UNKNOWN as usize;
            }
        }
        batch
    }

    /// Replaces a fraction of the input words by `sampled` ones: the word sampled at a row is the input of the caption's
    /// next row. A sampled end token is not used, because the caption does not end there.
    pub(super) fn with_sampled_inputs(&self, sampled: &[usize], rate: f32, stream: &mut ChaCha8Rng) -> Self {
        let mut batch = self.clone();
        for step in 1..self.packing.steps() {
            let before = self.packing.rows_at(step - 1);
            for (row, previous) in self.packing.rows_at(step).zip(before) {
                let word = sampled[previous];
                if stream.random::<f32>() < rate && word != END as usize {
                    batch.inputs[row] = word;
                }
            }
        }
        batch
    }

    /// The number of targets.
    pub fn tokens(&self) -> usize {
        self.targets.len()
    }

    /// For every packed row, the row of its image.
    pub fn image_of_rows(&self) -> Vec<usize> {
        self.packing
            .sequence_of_rows()
            .into_iter()
            .map(|sequence| self.images[sequence])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::random_stream;

    const CAPTIONS: [(usize, &[TokenId]); 3] = [(0, &[4, 5, 6]), (1, &[7]), (2, &[8, 9])];
    /// Nearly 1: no draw is above it.
    const ALL: f32 = 1.0 - f32::EPSILON;

    #[test]
    fn sampled_words_are_inputs_of_the_next_step() {
        let batch = CaptionBatch::new(CAPTIONS);
        let start = START as usize;
        assert_eq!(batch.inputs, [start, start, start, 4, 8, 7, 5, 9, 6]);
        let sampled: Vec<usize> = (100..100 + batch.tokens()).collect();
        let mut stream = random_stream(0, "test", 0);
        let read = batch.with_sampled_inputs(&sampled, ALL, &mut stream);
        assert_eq!(read.inputs, [start, start, start, 100, 101, 102, 103, 104, 106]);
        assert_eq!(read.targets, batch.targets);
        let ends = vec![END as usize; batch.tokens()];
        assert_eq!(
            batch.with_sampled_inputs(&ends, ALL, &mut stream).inputs,
            batch.inputs
        );
    }

    #[test]
    fn inputs_change_at_the_given_rate() {
        let words = [4; 20];
        let batch = CaptionBatch::new((0..200).map(|image| (image, &words[..])));
        let sampled = vec![5; batch.tokens()];
        let mut stream = random_stream(0, "test", 1);
        for (word, changed) in [
            (5, batch.with_sampled_inputs(&sampled, 0.3, &mut stream)),
            (UNKNOWN as usize, batch.with_word_dropout(0.3, &mut stream)),
        ] {
            let share = changed.inputs.iter().filter(|&&read| read == word).count() as f32 / 4000.0;
            assert!((share - 0.3).abs() < 0.03, "{share}");
        }
    }
}
