//! A test of whether captions depend on the image: the scores after assigning captions to other images.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Example, Scores, score};

/// The scores of hypotheses that were assigned to other images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shuffled {
    /// The scores after shuffling.
    pub scores: Scores,
    /// The scores after shuffling relative to the original ones: close to 1 if captions do not depend on the image. 1 if
    /// the original score is below [`Shuffled::MIN_ORIGINAL`].
    pub kept: Scores,
}

impl Shuffled {
    /// Smaller scores are smoothing and rounding alone: a ratio to them means nothing.
    pub const MIN_ORIGINAL: f64 = 1e-4;

    /// Assigns every hypothesis to another random image and scores the corpus again.
    ///
    /// The hypothesis of a single example keeps its image.
    pub fn measure(examples: &[Example<'_>], seed: u64) -> Self {
        let shuffled: Vec<_> = examples
            .iter()
            .zip(derangement(examples.len(), seed))
            .map(|(example, other)| Example {
                hypothesis: examples[other].hypothesis,
                ..*example
            })
            .collect();
        let (scores, original) = (score(&shuffled), score(examples));
        Self {
            scores,
            kept: Scores::from_fn(|metric| match original.score(metric) {
                original if original >= Self::MIN_ORIGINAL => scores.score(metric) / original,
                _ => 1.0,
            }),
        }
    }
}

/// A permutation of `0..len` without fixed points if `len` is at least 2.
///
/// Sattolo 1986, "An algorithm to generate a random cyclic permutation": it is one cycle.
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
    use crate::metrics::Metric;
    use crate::metrics::test_support::{examples, tokens};

    fn scene(index: usize) -> Vec<Vec<String>> {
        vec![tokens(&format!("thing{index} over place{index} by side{index}"))]
    }

    #[test]
    fn derangement_has_no_fixed_points() {
        for len in 2..40 {
            let order = derangement(len, 7);
            assert!(order.iter().enumerate().all(|(index, &item)| index != item));
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..len).collect::<Vec<_>>());
        }
        assert_eq!(derangement(1, 7), [0]);
        assert!(derangement(0, 7).is_empty());
        assert_ne!(derangement(40, 7), derangement(40, 8));
    }

    /// The shuffled scores of 20 images with captions made from the references.
    fn shuffled(caption: impl Fn(&[Vec<String>]) -> Vec<String>) -> Shuffled {
        let references = (0..20).map(scene);
        let system: Vec<_> = references
            .map(|references| (caption(&references), references))
            .collect();
        Shuffled::measure(&examples(&system), 0)
    }

    #[test]
    fn shuffling_lowers_scores_of_specific_captions() {
        let shuffled = shuffled(|references| references[0].clone());
        assert!(shuffled.kept.score(Metric::ROUGE_L) < 0.5);
        assert!(shuffled.kept.score(Metric::CIDER_D) < 0.1, "{shuffled:?}");
    }

    #[test]
    fn shuffling_keeps_scores_of_a_constant_caption() {
        let shuffled = shuffled(|_| tokens("thing3 over place4 by side5"));
        assert_eq!(shuffled.kept, Scores::from_fn(|_| 1.0));
    }

    #[test]
    fn shuffling_fewer_than_two_examples_keeps_scores() {
        assert_eq!(Shuffled::measure(&[], 0).kept, Scores::from_fn(|_| 1.0));
        let system = [(scene(1).remove(0), scene(1))];
        let only = examples(&system);
        assert_eq!(Shuffled::measure(&only, 0).scores, score(&only));
    }
}
