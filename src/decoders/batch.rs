//! Captions laid out for training by teacher forcing.

use crate::nn::PackedSequence;
use crate::text::{END, START, TokenId, UNKNOWN};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Captions of a batch, packed by time step: every word is read once and the next one is asked for, so that
/// one pass trains what the published recipe trains with one sample for every prefix.
#[derive(Clone, Debug)]
pub struct CaptionBatch {
    /// Steps: one more than the caption has words.
    pub packing: PackedSequence,
    /// What is read, packed: the start marker, then the words.
    pub inputs: Vec<usize>,
    /// What is asked for, packed: the words, then the end marker.
    pub targets: Vec<usize>,
    /// For every caption, longest first, the row of its image.
    pub images: Vec<usize>,
    /// For every packed row, how much it counts; `None`: one as much as the other.
    pub weights: Option<Vec<f32>>,
}

/// A caption of a batch, without markers.
#[derive(Clone, Copy, Debug)]
pub struct WeightedCaption<'a> {
    /// The row of its image.
    pub image: usize,
    /// Its words.
    pub words: &'a [TokenId],
    /// How much each of its words counts; below zero, it is made less likely.
    pub weight: f32,
    /// How much its end marker counts: nothing where the caption was cut before one came.
    pub end_weight: f32,
}

impl CaptionBatch {
    /// From captions without markers, each with the row of its image. Captions of equal length keep their
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

    /// From captions that count for more or less.
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

    /// The same captions, a share of the words that are read unknown (word dropout, Bowman et al. 2016, section 3.1).
    /// The start markers stay.
    pub(super) fn without_words(&self, share: f32, stream: &mut ChaCha8Rng) -> Self {
        let mut batch = self.clone();
        for word in &mut batch.inputs[self.packing.sequences()..] {
            if stream.random::<f32>() < share {
                *word = UNKNOWN as usize;
            }
        }
        batch
    }

    /// The same captions, a share of the words that are read replaced by those `written` in their place: the row that
    /// asks for a word has written it, the caption's next row reads it. A caption goes on behind no end marker, so those
    /// are not read.
    pub(super) fn with_words(&self, written: &[usize], share: f32, stream: &mut ChaCha8Rng) -> Self {
        let mut batch = self.clone();
        for step in 1..self.packing.steps() {
            let before = self.packing.rows_at(step - 1);
            for (row, writer) in self.packing.rows_at(step).zip(before) {
                let word = written[writer];
                if stream.random::<f32>() < share && word != END as usize {
                    batch.inputs[row] = word;
                }
            }
        }
        batch
    }

    /// The number of tokens asked for.
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
    /// Nearly one: no draw is above it.
    const ALL: f32 = 1.0 - f32::EPSILON;

    #[test]
    fn a_caption_reads_what_was_written_a_step_before() {
        let batch = CaptionBatch::new(CAPTIONS);
        let start = START as usize;
        assert_eq!(batch.inputs, [start, start, start, 4, 8, 7, 5, 9, 6]);
        let written: Vec<usize> = (100..100 + batch.tokens()).collect();
        let mut stream = random_stream(0, "test", 0);
        let read = batch.with_words(&written, ALL, &mut stream);
        assert_eq!(read.inputs, [start, start, start, 100, 101, 102, 103, 104, 106]);
        assert_eq!(read.targets, batch.targets);
        let ends = vec![END as usize; batch.tokens()];
        assert_eq!(batch.with_words(&ends, ALL, &mut stream).inputs, batch.inputs);
    }

    #[test]
    fn as_many_words_change_as_were_asked_for() {
        let words = [4; 20];
        let batch = CaptionBatch::new((0..200).map(|image| (image, &words[..])));
        let written = vec![5; batch.tokens()];
        let mut stream = random_stream(0, "test", 1);
        for (word, changed) in [
            (5, batch.with_words(&written, 0.3, &mut stream)),
            (UNKNOWN as usize, batch.without_words(0.3, &mut stream)),
        ] {
            let share = changed.inputs.iter().filter(|&&read| read == word).count() as f32 / 4000.0;
            assert!((share - 0.3).abs() < 0.03, "{share}");
        }
    }
}
