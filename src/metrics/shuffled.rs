//! Whether a captioner looks at the image at all: its scores once captions and images no longer belong together.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Example, Scores, score};

/// The scores of hypotheses that were each given to another image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shuffled {
    /// The scores after shuffling.
    pub scores: Scores,
    /// What is left of the true scores, as a share: close to 1 where the image made no difference to the
    /// caption. 1 where the true score is 0, since there was nothing to lose.
    pub kept: Scores,
}

impl Shuffled {
    /// Gives every hypothesis to another image, chosen by the seed, and scores the corpus again.
    ///
    /// A single example has no other image and keeps its own.
    pub fn of(examples: &[Example<'_>], seed: u64) -> Self {
        let exchanged = derangement(examples.len(), seed);
        let shuffled: Vec<_> = examples
            .iter()
            .zip(exchanged)
            .map(|(example, other)| Example {
                hypothesis: examples[other].hypothesis,
                ..*example
            })
            .collect();
        let scores = score(&shuffled);
        Self {
            scores,
            kept: share_of(scores, score(examples)),
        }
    }
}

fn share_of(shuffled: Scores, original: Scores) -> Scores {
    Scores::from_fn(|metric| match original.score(metric) {
        original if original > 0.0 => shuffled.score(metric) / original,
        _ => 1.0,
    })
}

/// A permutation of `0..len` that leaves nothing in place where `len` is at least 2.
///
/// Sattolo 1986, "An algorithm to generate a random cyclic permutation": all of it is one cycle.
fn derangement(len: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        order.swap(last, rng.random_range(0..last));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metric, test_support::tokens};

    fn scene(index: usize) -> Vec<Vec<String>> {
        vec![tokens(&format!("thing{index} over place{index} by side{index}"))]
    }

    #[test]
    fn derangement_moves_every_item() {
        for len in 2..40 {
            let order = derangement(len, 7);
            assert!(order.iter().enumerate().all(|(place, &item)| place != item));
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..len).collect::<Vec<_>>());
        }
        assert_eq!(derangement(1, 7), [0]);
        assert!(derangement(0, 7).is_empty());
        assert_ne!(derangement(40, 7), derangement(40, 8));
    }

    #[test]
    fn shuffling_lowers_scores_of_specific_captions() {
        let references: Vec<_> = (0..20).map(scene).collect();
        let examples: Vec<_> = references
            .iter()
            .map(|references| Example {
                hypothesis: &references[0],
                references: references.as_slice(),
            })
            .collect();
        let shuffled = Shuffled::of(&examples, 0);
        assert!(shuffled.kept.score(Metric::ROUGE_L) < 0.5);
        assert!(shuffled.kept.score(Metric::CIDER_D) < 0.1, "{shuffled:?}");
    }

    #[test]
    fn shuffling_keeps_scores_of_a_constant_caption() {
        let references: Vec<_> = (0..20).map(scene).collect();
        let caption = tokens("thing3 over place4 by side5");
        let examples: Vec<_> = references
            .iter()
            .map(|references| Example {
                hypothesis: &caption,
                references: references.as_slice(),
            })
            .collect();
        assert_eq!(Shuffled::of(&examples, 0).kept, Scores::from_fn(|_| 1.0));
    }

    #[test]
    fn shuffling_fewer_than_two_examples_keeps_scores() {
        assert_eq!(Shuffled::of(&[], 0).kept, Scores::from_fn(|_| 1.0));
        let references = scene(1);
        let only = [Example {
            hypothesis: &references[0],
            references: &references,
        }];
        assert_eq!(Shuffled::of(&only, 0).scores, score(&only));
    }
}
