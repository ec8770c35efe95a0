//! Where a decoder that attends looked in an image for each word of a caption.

use super::captioner::CaptionerError;
use crate::decoders::Writer;
use crate::nn::cpu::slices::values;
use crate::nn::{Backend, DeviceResult, Regions};
use crate::text::{START, TokenId};
use crate::vision::overlay::Overlay;
use crate::vision::preprocess::ImagePart;

/// Why it cannot be told where a captioner looked.
#[derive(Debug, thiserror::Error)]
pub enum AttentionError {
    /// No decoder looks at single regions.
    #[error(
        "no decoder here attends ({decoders}); train one with --decoder attend or --decoder top_down, on features prepared with --features grid"
    )]
    NoneAttends {
        /// Those there are.
        decoders: String,
    },
    /// The image is not seen as a square of regions.
    #[error(
        "the {decoder} decoder sees the image as {regions} region(s), which make no grid to look around in; train it on features prepared with --features grid"
    )]
    NoGrid {
        /// Which decoder.
        decoder: String,
        /// What it sees.
        regions: usize,
    },
    /// The image cannot be looked at.
    #[error(transparent)]
    Captioner(#[from] CaptionerError),
}

/// Where a decoder looked for each word of a caption. The end of the caption, for which it looks too, is left out:
/// there is no word to show it with.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// The words, in their order.
    pub words: Vec<LookedWord>,
    /// Regions in a row and in a column: networks see squares.
    pub side: usize,
    /// The part of the image that the regions cover.
    pub part: ImagePart,
}

/// A word, and where the decoder looked for it.
#[derive(Clone, Debug, PartialEq)]
pub struct LookedWord {
    /// The word.
    pub word: String,
    /// How much each region weighed, row after row; 1 together.
    pub weights: Vec<f32>,
}

/// The region that weighs most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focus {
    /// Its row, from 0.
    pub row: usize,
    /// Its column, from 0.
    pub column: usize,
    /// Its weight.
    pub share: f32,
}

impl Attention {
    /// The weights of a word, ready to be laid over the image.
    pub fn overlay(&self, word: &LookedWord) -> Overlay {
        Overlay::new(&word.weights, self.side, self.part)
    }

    /// The region that was looked at most for a word.
    pub fn focus(&self, word: &LookedWord) -> Focus {
        let weights = word.weights.iter().copied().enumerate();
        let (at, share) = weights
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .unwrap_or_default();
        Focus {
            row: at / self.side,
            column: at % self.side,
            share,
        }
    }
}

/// The side of a square of so many regions, where they make one that has more than a single region.
pub(super) fn side_of_grid(regions: usize) -> Option<usize> {
    let side = regions.isqrt();
    (side > 1 && side * side == regions).then_some(side)
}

/// How much each region of an image, `[1, regions, channels]`, weighed for each of these words, given those before it;
/// nothing where the decoder does not attend.
pub(super) fn weights_of_words<D: Backend>(
    writer: &dyn Writer<D>,
    regions: Regions<D>,
    words: &[TokenId],
) -> DeviceResult<D, Vec<Vec<f32>>> {
    let mut state = writer.start(regions)?;
    let mut weights = Vec::with_capacity(words.len());
    // A decoder reads a word and looks around for the next one.
    for &read in [START].iter().chain(words).take(words.len()) {
        (_, state) = writer.step(state, &[read])?;
        weights.extend(state.looked.as_ref().map(values));
    }
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
        weights_of_words(model.decoder.writer().unwrap().as_ref(), regions, words).unwrap()
    }

    #[test]
    fn every_word_has_weights_that_sum_to_one() {
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
    fn a_word_is_looked_for_knowing_those_before_it_and_not_itself() {
        let found = weights(DecoderKind::Attend, &WORDS);
        let last_differs = weights(DecoderKind::Attend, &[4, 6, 4]);
        assert_eq!(found, last_differs);
        let first_differs = weights(DecoderKind::Attend, &[5, 6, 5]);
        // `attend` looks before it reads the last word (Xu et al. 2015, equation 4), `top_down` after.
        assert_eq!(found[..2], first_differs[..2]);
        assert_ne!(found[2], first_differs[2]);
        let [found, first_differs] = [WORDS, [5, 6, 5]].map(|words| weights(DecoderKind::TopDown, &words));
        assert_eq!(found[0], first_differs[0]);
        assert_ne!(found[1], first_differs[1]);
    }

    #[test]
    fn the_region_that_weighs_most_is_found() {
        let word = LookedWord {
            word: "dog".into(),
            weights: vec![0.1, 0.2, 0.6, 0.1],
        };
        let attention = Attention {
            words: vec![word.clone()],
            side: 2,
            part: ImagePart {
                left: 0,
                top: 0,
                width: 8,
                height: 8,
            },
        };
        let expected = Focus {
            row: 1,
            column: 0,
            share: 0.6,
        };
        assert_eq!(attention.focus(&word), expected);
    }

    #[test]
    fn grids_are_square_and_have_more_than_one_region() {
        assert_eq!([1, 2, 49, 100].map(side_of_grid), [None, None, Some(7), Some(10)]);
    }
}
