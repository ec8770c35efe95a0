//! Corpus BLEU-4 (Papineni et al. 2002) in few lines, to ask whether captions must look at the picture.

use std::collections::HashMap;

const ORDER: usize = 4;

/// The references of one image, ready to be asked many times.
pub(super) struct SceneReferences {
    counts: HashMap<Vec<String>, usize>,
    lengths: Vec<usize>,
}

fn counts(tokens: &[String]) -> HashMap<Vec<String>, usize> {
    let mut counts = HashMap::new();
    for gram in (1..=ORDER).flat_map(|order| tokens.windows(order)) {
        *counts.entry(gram.to_vec()).or_insert(0) += 1;
    }
    counts
}

fn tokens(caption: &str) -> Vec<String> {
    caption.split(' ').map(str::to_owned).collect()
}

impl SceneReferences {
    pub(super) fn new(captions: &[String]) -> Self {
        let mut most = HashMap::new();
        for (gram, count) in captions.iter().flat_map(|caption| counts(&tokens(caption))) {
            let entry = most.entry(gram).or_insert(0);
            *entry = count.max(*entry);
        }
        Self {
            counts: most,
            lengths: captions.iter().map(|caption| tokens(caption).len()).collect(),
        }
    }
}

/// BLEU-4 of one hypothesis for each of the images.
pub(super) fn bleu(hypotheses: &[String], references: &[SceneReferences]) -> f64 {
    let (mut hits, mut totals) = ([0usize; ORDER], [0usize; ORDER]);
    let (mut length, mut closest) = (0, 0);
    for (hypothesis, references) in hypotheses.iter().zip(references) {
        let words = tokens(hypothesis);
        for (gram, count) in counts(&words) {
            totals[gram.len() - 1] += count;
            hits[gram.len() - 1] += count.min(references.counts.get(&gram).copied().unwrap_or(0));
        }
        length += words.len();
        let distance = |candidate: &&usize| (candidate.abs_diff(words.len()), **candidate);
        closest += references.lengths.iter().min_by_key(distance).unwrap();
    }
    let precision = hits
        .iter()
        .zip(totals)
        .map(|(&hit, total)| (hit as f64 / total as f64).ln());
    let brevity = (1.0 - closest as f64 / length as f64).min(0.0);
    (precision.sum::<f64>() / ORDER as f64 + brevity).exp()
}

#[test]
fn bleu_agrees_with_a_figure_worked_by_hand() {
    // 5 of 6 words, 4 of 5 pairs, 3 of 4 triples, 2 of 3 quadruples; as long as the reference.
    let references = [SceneReferences::new(&["the red ball on the grass".to_owned()])];
    let expected = (5.0f64 / 6.0 * 4.0 / 5.0 * 3.0 / 4.0 * 2.0 / 3.0).powf(0.25);
    let actual = bleu(&["a red ball on the grass".to_owned()], &references);
    assert!((actual - expected).abs() < 1e-12, "{actual} {expected}");
}
