//! The attention weights of a caption's words.

use super::captioner::CaptionerError;
use super::decode::{ActiveHypothesis, ExtendBeam, decode};
use super::ensemble::Ensemble;
use crate::decoders::{ImageRegions, StepDecoder};
use crate::nn::{Backend, DeviceResult};
use crate::text::TokenId;
use crate::vision::overlay::Overlay;
use crate::vision::preprocess::CropBox;
use std::slice::{self, ChunksExactMut};

/// Why there are no attention weights.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum AttentionError {
    #[error(
        "no decoder here attends ({decoders}); train one with --decoder soft-attention or --decoder top-down, on features prepared with --features grid"
    )]
    NoneAttends { decoders: String },
    #[error(
        "the {decoder} decoder reads the image as {regions} region(s), which make no grid; train it on features prepared with --features grid"
    )]
    NoGrid { decoder: String, regions: usize },
    #[error(transparent)]
    Captioner(#[from] CaptionerError),
}

/// The attention weights of a caption, without those of the end token.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// The words, in order.
    pub words: Vec<WordAttention>,
    /// Rows and columns of the grid.
    pub side: usize,
    /// The part of the image that the grid covers.
    pub part: CropBox,
}

/// The attention weights of a word.
#[derive(Clone, Debug, PartialEq)]
pub struct WordAttention {
    /// The word.
    pub word: String,
    /// One weight for each region, row after row. They sum to 1.
    pub weights: Vec<f32>,
}

/// The region with the largest weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakRegion {
    /// Its row, from 0.
    pub row: usize,
    /// Its column, from 0.
    pub column: usize,
    /// Its weight.
    pub weight: f32,
}

impl Attention {
    /// The weights of a word as an overlay of the image.
    pub fn overlay(&self, word: &WordAttention) -> Overlay {
        Overlay::new(&word.weights, self.side, self.part)
    }

    /// The region with the largest weight for a word.
    pub fn peak(&self, word: &WordAttention) -> PeakRegion {
        let weights = word.weights.iter().copied().enumerate();
        let (index, weight) = weights
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .unwrap_or_default();
        PeakRegion {
            row: index / self.side,
            column: index % self.side,
            weight,
        }
    }
}

/// The side of a square grid of `regions` regions; `None` for a single region or no square.
pub(super) fn side_of_grid(regions: usize) -> Option<usize> {
    let side = regions.isqrt();
    (side > 1 && side * side == regions).then_some(side)
}

/// A caption whose words are given.
struct Forced<'w> {
    caption: ActiveHypothesis,
    words: &'w [TokenId],
}

impl ExtendBeam for Forced<'_> {
    fn captions(&self) -> &[ActiveHypothesis] {
        slice::from_ref(&self.caption)
    }

    fn captions_mut(&mut self) -> &mut [ActiveHypothesis] {
        slice::from_mut(&mut self.caption)
    }

    fn extend(&mut self, _: ChunksExactMut<'_, f32>, _: usize) {
        let words = &mut self.caption.words;
        words.extend(self.words.get(words.len()));
    }
}

/// The attention weights of each word of a caption for an image; empty without attention.
pub(super) fn weights_of_words<D: Backend>(
    decoder: &dyn StepDecoder<D>,
    image: ImageRegions<D>,
    words: &[TokenId],
) -> DeviceResult<D, Vec<Vec<f32>>> {
    let mut forced = [Forced {
        caption: ActiveHypothesis::start(0),
        words,
    }];
    let mut weights = Vec::with_capacity(words.len());
    let ensemble = Ensemble::start(vec![(decoder, image)])?;
    // The step that reads a word attends for the next one, so the last word is not read.
    decode(ensemble, &mut forced, words.len(), |ensemble| {
        weights.extend(ensemble.attention_weights());
    })?;
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoders::DecoderKind;
    use crate::model::tests::model_of;
    use crate::nn::testing::random_matrix;
    use dfdx::prelude::*;

    const WORDS: [TokenId; 3] = [4, 6, 5];

    fn weights(kind: DecoderKind, words: &[TokenId]) -> Vec<Vec<f32>> {
        let model = model_of(kind, 5, 3);
        let regions = random_matrix((4, 5), 8).reshape_like(&(1, 4, 5));
        weights_of_words(model.decoder.inference().unwrap().as_ref(), regions.into(), words).unwrap()
    }

    #[test]
    fn weights_of_every_word_sum_to_one() {
        for kind in DecoderKind::ALL {
            let found = weights(kind, &WORDS);
            assert_eq!(
                found.len(),
                if kind.attends() { WORDS.len() } else { 0 },
                "{kind}"
            );
            for weights in found {
                assert_eq!(weights.len(), 4);
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{weights:?}");
            }
        }
    }

    #[test]
    fn weights_depend_on_earlier_words_only() {
        let found = weights(DecoderKind::SoftAttention, &WORDS);
        let last_differs = weights(DecoderKind::SoftAttention, &[4, 6, 4]);
        assert_eq!(found, last_differs);
        let first_differs = weights(DecoderKind::SoftAttention, &[5, 6, 5]);
        // Soft attention attends before it reads the previous word (Xu et al. 2015, equation 4), top-down after.
        assert_eq!(found[..2], first_differs[..2]);
        assert_ne!(found[2], first_differs[2]);
        let [found, first_differs] = [WORDS, [5, 6, 5]].map(|words| weights(DecoderKind::TopDown, &words));
        assert_eq!(found[0], first_differs[0]);
        assert_ne!(found[1], first_differs[1]);
    }

    #[test]
    fn peak_is_the_region_with_the_largest_weight() {
        let word = WordAttention {
            word: "dog".into(),
            weights: vec![0.1, 0.2, 0.6, 0.1],
        };
        let attention = Attention {
            words: vec![word.clone()],
            side: 2,
            part: CropBox {
                left: 0,
                top: 0,
                width: 8,
                height: 8,
            },
        };
        let expected = PeakRegion {
            row: 1,
            column: 0,
            weight: 0.6,
        };
        assert_eq!(attention.peak(&word), expected);
    }

    #[test]
    fn grids_are_square_and_have_more_than_one_region() {
        assert_eq!([1, 2, 49, 100].map(side_of_grid), [None, None, Some(7), Some(10)]);
    }
}
