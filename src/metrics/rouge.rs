//! ROUGE-L, equal to coco-caption's scorer.

use super::statistics::Scorer;
use super::{DisplayLevel, MetricDef};

/// ROUGE-L, averaged over the examples.
pub(super) const SCORER: Scorer = Scorer::mean(
    &[MetricDef::new("rouge_l", "ROUGE-L", DisplayLevel::Caption)],
    |_| Box::new(|example, score| score[0] = rouge_l(example.hypothesis, example.references)),
);

/// The weight of recall relative to precision (coco-caption's value).
const BETA: f64 = 1.2;

/// ROUGE-L of one hypothesis, in 0 to 1: the F-measure of its longest common subsequences with the references.
///
/// With P the best precision and R the best recall over the references, (1 + b²)PR / (R + b²P), b = 1.2:
/// Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", equation 4, as coco-caption's `Rouge`
/// computes it. P and R may come from different references. An empty caption matches an empty caption
/// entirely and any other not at all; without references the score is 0.
pub fn rouge_l<T: Eq>(hypothesis: &[T], references: &[Vec<T>]) -> f64 {
    let overlaps = references.iter().map(|reference| overlap(hypothesis, reference));
    let best = overlaps.fold((0.0, 0.0), |best: (f64, f64), (precision, recall)| {
        (best.0.max(precision), best.1.max(recall))
    });
    f_measure(best)
}

fn f_measure((precision, recall): (f64, f64)) -> f64 {
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

/// The fractions of the hypothesis and of the reference in their longest common subsequence.
fn overlap<T: Eq>(hypothesis: &[T], reference: &[T]) -> (f64, f64) {
    match (hypothesis.is_empty(), reference.is_empty()) {
        (true, true) => (1.0, 1.0),
        (false, false) => {
            let common = longest_common_subsequence(hypothesis, reference) as f64;
            (common / hypothesis.len() as f64, common / reference.len() as f64)
        }
        _ => (0.0, 0.0),
    }
}

fn longest_common_subsequence<T: Eq>(a: &[T], b: &[T]) -> usize {
    // row[j] is the length for the part of `a` read so far and the first j tokens of `b`.
    let mut row = vec![0; b.len() + 1];
    for left in a {
        let mut diagonal = 0;
        for (j, right) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if left == right {
                diagonal + 1
            } else {
                above.max(row[j])
            };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::test_support::tokens;

    #[test]
    fn longest_common_subsequence_may_have_gaps() {
        let length = |a: &str, b: &str| {
            longest_common_subsequence(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        assert_eq!(length("abcbdab", "bdcaba"), 4);
        assert_eq!(length("abc", "xyz"), 0);
    }

    #[test]
    fn rouge_takes_precision_and_recall_from_any_reference() {
        // The longest common subsequence is "red ball" (P = 2/4, R = 2/2), then "near a ball" (P = 3/4, R = 3/5).
        let references = [tokens("red ball"), tokens("two balls near a ball")];
        let score = rouge_l(&tokens("red near a ball"), &references);
        assert!((score - 2.44 * 0.75 / (1.0 + 1.44 * 0.75)).abs() < 1e-12);
    }

    #[test]
    fn rouge_of_empty_captions_is_defined() {
        assert_eq!(rouge_l(&tokens(""), &[tokens("a dog")]), 0.0);
        assert_eq!(rouge_l(&tokens("a dog"), &[tokens("")]), 0.0);
        assert_eq!(rouge_l(&tokens(""), &[tokens("")]), 1.0);
        assert_eq!(rouge_l(&tokens("a dog"), &[]), 0.0);
    }
}
