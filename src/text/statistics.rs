//! Statistics of captions: lengths, unknown words, frequent words.

use super::vocabulary::Vocabulary;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The number of captions of each length in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LengthHistogram {
    captions: BTreeMap<usize, usize>,
}

impl LengthHistogram {
    /// Counts a caption of this length.
    pub fn add(&mut self, length: usize) {
        *self.captions.entry(length).or_default() += 1;
    }

    /// Pairs of length and number of captions, shortest first, without zeros.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let captions = self.captions.iter();
        captions.map(|(&length, &captions)| (length, captions))
    }

    /// The number of captions.
    pub fn captions(&self) -> usize {
        self.captions.values().sum()
    }

    /// The mean length; 0 without captions.
    pub fn mean(&self) -> f64 {
        let tokens: usize = self.iter().map(|(length, captions)| length * captions).sum();
        ratio(tokens, self.captions())
    }

    /// The length of the longest caption; 0 without captions.
    pub fn longest(&self) -> usize {
        self.captions.keys().next_back().copied().unwrap_or(0)
    }

    /// The smallest length that at least this fraction (0 to 1) of the captions do not exceed; 0 without captions.
    pub fn quantile(&self, fraction: f64) -> usize {
        let rank = fraction * self.captions() as f64;
        let mut cumulative = 0;
        let reached = self.iter().find(|&(_, captions)| {
            cumulative += captions;
            cumulative as f64 >= rank
        });
        reached.map_or(self.longest(), |(length, _)| length)
    }
}

impl FromIterator<usize> for LengthHistogram {
    fn from_iter<I: IntoIterator<Item = usize>>(lengths: I) -> Self {
        let mut histogram = Self::default();
        lengths.into_iter().for_each(|length| histogram.add(length));
        histogram
    }
}

/// The rate of unknown tokens in a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownRate {
    /// The number of tokens.
    pub tokens: usize,
    /// The number of tokens that are not in the vocabulary.
    pub unknown: usize,
}

impl UnknownRate {
    /// Counts the tokens of captions.
    pub fn measure<'a>(captions: impl IntoIterator<Item = &'a [String]>, vocabulary: &Vocabulary) -> Self {
        let mut rate = Self::default();
        for token in captions.into_iter().flatten() {
            rate.tokens += 1;
            rate.unknown += usize::from(!vocabulary.contains(token));
        }
        rate
    }

    /// The fraction of unknown tokens, 0 to 1; 0 without tokens.
    pub fn share(&self) -> f64 {
        ratio(self.unknown, self.tokens)
    }
}

/// All words with their counts, most frequent first, then alphabetical.
pub fn words_by_frequency<'a>(captions: impl IntoIterator<Item = &'a [String]>) -> Vec<(&'a str, u64)> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for token in captions.into_iter().flatten() {
        *counts.entry(token).or_default() += 1;
    }
    let mut words: Vec<_> = counts.into_iter().collect();
    words.sort_unstable_by(|(word, count), (other, others)| others.cmp(count).then(word.cmp(other)));
    words
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captions() -> Vec<Vec<String>> {
        ["a dog", "a cat and a dog", "birds"]
            .iter()
            .map(|caption| caption.split(' ').map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn length_histogram_has_mean_and_quantiles() {
        let histogram: LengthHistogram = captions().iter().map(Vec::len).collect();
        assert_eq!(histogram.iter().collect::<Vec<_>>(), [(1, 1), (2, 1), (5, 1)]);
        assert_eq!(histogram.captions(), 3);
        assert_eq!(histogram.longest(), 5);
        assert!((histogram.mean() - 8.0 / 3.0).abs() < 1e-12);
        assert_eq!(
            [0.0, 0.33, 0.5, 0.67, 1.0].map(|fraction| histogram.quantile(fraction)),
            [1, 1, 2, 5, 5]
        );
        assert_eq!(LengthHistogram::default().quantile(0.5), 0);
        let json = serde_json::to_string(&histogram).unwrap();
        assert_eq!(json, r#"{"1":1,"2":1,"5":1}"#);
        assert_eq!(serde_json::from_str::<LengthHistogram>(&json).unwrap(), histogram);
    }

    #[test]
    fn unknown_words_are_counted_by_token() {
        let captions = captions();
        let vocabulary = Vocabulary::build(captions.iter().map(Vec::as_slice), 2);
        let rate = UnknownRate::measure(captions.iter().map(Vec::as_slice), &vocabulary);
        assert_eq!((rate.tokens, rate.unknown), (8, 3));
        assert_eq!(rate.share(), 0.375);
        assert_eq!(UnknownRate::default().share(), 0.0);
    }

    #[test]
    fn words_are_sorted_by_count_then_alphabetically() {
        let captions = captions();
        let words = words_by_frequency(captions.iter().map(Vec::as_slice));
        assert_eq!(
            words,
            [("a", 3), ("dog", 2), ("and", 1), ("birds", 1), ("cat", 1)]
        );
    }
}
