//! CIDEr-D, equal to coco-caption's scorer: how much a caption agrees with the consensus of its references.
//!
//! Vedantam et al. 2015, "CIDEr: Consensus-based Image Description Evaluation", section 5 (CIDEr-D), as
//! coco-caption's `Cider` (PyPI `pycocoevalcap`) computes it: n-grams of 1 to 4 words, sigma 6, times 10.

use std::collections::HashMap;

use super::ngram::{self, ByNGram, MAX_ORDER};
use super::statistics::Scorer;
use super::{DisplayLevel, MetricDef, Token};

/// CIDEr-D with the document frequencies of the corpus, averaged over the examples.
pub(super) const SCORER: Scorer = Scorer::mean(
    &[MetricDef::new("cider_d", "CIDEr-D", DisplayLevel::Headline)],
    |references| {
        let words: Vec<_> = references
            .iter()
            .map(|references| ngram::words_of_all(references))
            .collect();
        let cider = CiderD::from_references(words.iter().map(|references| &**references));
        Box::new(move |example, score| {
            score[0] = cider.score(
                &ngram::words(example.hypothesis),
                &ngram::words_of_all(example.references),
            );
        })
    },
);

/// The width, in tokens, of the Gaussian length penalty.
const SIGMA: f64 = 6.0;
/// The score of a caption that equals its references.
const SCALE: f64 = 10.0;

/// CIDEr-D with the document frequencies of a corpus.
///
/// It scores any number of hypotheses: those of an evaluation, samples of SCST, or candidates of MBR.
#[derive(Clone, Debug)]
pub struct CiderD<T> {
    /// The number of images with a reference that contains the n-gram.
    document_frequency: HashMap<Box<[T]>, u64>,
    images: u64,
}

impl<T: Token> CiderD<T> {
    /// Counts in how many images each n-gram occurs; an item is the references of one image.
    ///
    /// An n-gram of every image has weight 0. So with a single image, or none, every score is 0.
    pub fn from_references<'a>(images: impl IntoIterator<Item = &'a [Vec<T>]>) -> Self
    where
        T: 'a,
    {
        let mut table = Self {
            document_frequency: HashMap::new(),
            images: 0,
        };
        for references in images {
            table.add_image(references);
        }
        table
    }

    /// The inverse of [`frequencies`](Self::frequencies), with the number of images.
    pub fn from_frequencies(images: u64, frequencies: impl IntoIterator<Item = (Box<[T]>, u64)>) -> Self {
        Self {
            document_frequency: frequencies.into_iter().collect(),
            images,
        }
    }

    /// The n-grams, unordered, with their document frequencies.
    pub fn frequencies(&self) -> impl Iterator<Item = (&[T], u64)> {
        let frequencies = self.document_frequency.iter();
        frequencies.map(|(ngram, &frequency)| (ngram.as_ref(), frequency))
    }

    /// The number of images in the corpus.
    pub fn images(&self) -> u64 {
        self.images
    }

    fn add_image(&mut self, references: &[Vec<T>]) {
        self.images += 1;
        for ngram in distinct_ngrams(references) {
            match self.document_frequency.get_mut(ngram) {
                Some(frequency) => *frequency += 1,
                None => {
                    self.document_frequency.insert(ngram.into(), 1);
                }
            }
        }
    }

    /// CIDEr-D of one hypothesis, in 0 to 10; 0 for an empty hypothesis or without references.
    ///
    /// The references need not be in the corpus. The score of a corpus is the mean.
    pub fn score(&self, hypothesis: &[T], references: &[Vec<T>]) -> f64 {
        if references.is_empty() {
            return 0.0;
        }
        let hypothesis = self.weigh(hypothesis);
        let total: f64 = references
            .iter()
            .map(|reference| hypothesis.similarity(&self.weigh(reference)))
            .sum();
        SCALE * total / references.len() as f64
    }

    /// The CIDEr-D of each caption (row) against each as its only reference (column).
    pub fn pairwise(&self, captions: &[&[T]]) -> Vec<Vec<f64>> {
        let weighed: Vec<TfIdfVector<'_, T>> = captions.iter().map(|caption| self.weigh(caption)).collect();
        let row = |hypothesis: &TfIdfVector<'_, T>| {
            let similarities = weighed.iter().map(|reference| hypothesis.similarity(reference));
            similarities.map(|similarity| SCALE * similarity).collect()
        };
        weighed.iter().map(row).collect()
    }

    fn weigh<'a>(&self, caption: &'a [T]) -> TfIdfVector<'a, T> {
        let weights = ngram::count(caption).map(|counts| self.weigh_order(counts));
        let norms = std::array::from_fn(|index| norm(&weights[index]));
        TfIdfVector {
            weights,
            norms,
            tokens: caption.len(),
        }
    }

    fn weigh_order<'a>(&self, counts: ByNGram<'a, T, u64>) -> ByNGram<'a, T, f64> {
        let weight = |ngram, count| count as f64 * self.inverse_document_frequency(ngram);
        counts
            .into_iter()
            .map(|(ngram, count)| (ngram, weight(ngram, count)))
            .collect()
    }

    /// ln(images / images with the n-gram); an unknown n-gram counts as occurring in one image.
    fn inverse_document_frequency(&self, ngram: &[T]) -> f64 {
        let frequency = self.document_frequency.get(ngram).copied().unwrap_or(1);
        (self.images.max(1) as f64).ln() - (frequency as f64).ln()
    }
}

fn distinct_ngrams<T: Ord>(references: &[Vec<T>]) -> Vec<&[T]> {
    let counted = references
        .iter()
        .flat_map(|reference| ngram::count(reference))
        .flatten();
    let mut ngrams: Vec<&[T]> = counted.map(|(ngram, _)| ngram).collect();
    ngrams.sort_unstable();
    ngrams.dedup();
    ngrams
}

/// A caption as one vector of TF-IDF weights for each n-gram order.
struct TfIdfVector<'a, T> {
    weights: [ByNGram<'a, T, f64>; MAX_ORDER],
    norms: [f64; MAX_ORDER],
    tokens: usize,
}

impl<T: Ord> TfIdfVector<'_, T> {
    /// The mean over the orders of the clipped cosine with a reference, times the length penalty; in 0 to 1.
    fn similarity(&self, reference: &Self) -> f64 {
        let cosines: f64 = (0..MAX_ORDER)
            .map(|index| self.clipped_cosine(reference, index))
            .sum();
        let difference = self.tokens.abs_diff(reference.tokens) as f64;
        cosines / MAX_ORDER as f64 * (-difference.powi(2) / (2.0 * SIGMA.powi(2))).exp()
    }

    /// The cosine with weights clipped to the reference's, so that repeating a word is not rewarded; 0 if a vector is
    /// zero.
    fn clipped_cosine(&self, reference: &Self, index: usize) -> f64 {
        let norms = self.norms[index] * reference.norms[index];
        if norms == 0.0 {
            return 0.0;
        }
        let product = |(ngram, weight): &(&[T], f64)| {
            let expected = ngram::value(&reference.weights[index], ngram);
            weight.min(expected) * expected
        };
        self.weights[index].iter().map(product).sum::<f64>() / norms
    }
}

fn norm<T>(weights: &ByNGram<'_, T, f64>) -> f64 {
    let squares = weights.iter().map(|(_, weight)| weight * weight);
    squares.sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::test_support::tokens;

    fn two_images() -> [Vec<Vec<String>>; 2] {
        [
            vec![tokens("a red ball lies here")],
            vec![tokens("two dogs run over grass")],
        ]
    }

    fn table(images: &[Vec<Vec<String>>]) -> CiderD<String> {
        CiderD::from_references(images.iter().map(Vec::as_slice))
    }

    #[test]
    fn cider_of_the_reference_is_ten_and_of_other_images_zero() {
        let images = two_images();
        let cider = table(&images);
        assert!((cider.score(&images[0][0], &images[0]) - 10.0).abs() < 1e-12);
        assert_eq!(cider.score(&images[1][0], &images[0]), 0.0);
    }

    #[test]
    fn document_frequency_counts_images_not_references() {
        let images = [
            vec![tokens("red ball"), tokens("red box")],
            vec![tokens("dog")],
            vec![tokens("red")],
        ];
        let cider = table(&images);
        assert_eq!(cider.document_frequency[tokens("red").as_slice()], 2);
        assert_eq!(cider.document_frequency[tokens("red ball").as_slice()], 1);
    }

    #[test]
    fn cider_of_a_single_image_or_empty_captions_is_zero() {
        let images = two_images();
        let hypothesis = &images[0][0];
        assert_eq!(table(&images[..1]).score(hypothesis, &images[0]), 0.0);
        assert_eq!(table(&[]).score(hypothesis, &images[0]), 0.0);
        assert_eq!(table(&images).score(&[], &images[0]), 0.0);
        assert_eq!(table(&images).score(hypothesis, &[]), 0.0);
        assert_eq!(table(&images).score(hypothesis, &[vec![]]), 0.0);
    }

    #[test]
    fn pairwise_scores_equal_single_scores() {
        let cider = table(&two_images());
        let captions = ["a red ball lies here", "a ball", "two dogs", ""].map(tokens);
        let all: Vec<&[String]> = captions.iter().map(Vec::as_slice).collect();
        for (row, hypothesis) in cider.pairwise(&all).iter().zip(&captions) {
            for (score, reference) in row.iter().zip(&captions) {
                assert_eq!(*score, cider.score(hypothesis, std::slice::from_ref(reference)));
            }
        }
    }

    #[test]
    fn references_outside_the_corpus_are_scored() {
        let images = two_images();
        let stranger = tokens("three green cubes");
        let score = table(&images).score(&stranger, std::slice::from_ref(&stranger));
        // Three words have no 4-gram, so one order of the four scores 0.
        assert!((score - 7.5).abs() < 1e-12);
    }
}
