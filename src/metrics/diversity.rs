//! The diversity of generated captions. It is low if a captioner generates the same caption for every image.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Example;

/// The training data, to count novel captions and used words.
#[derive(Clone, Debug, Default)]
pub struct TrainingCorpus<'a> {
    /// The captions of the training split.
    pub training_captions: HashSet<&'a [String]>,
    /// The words of the vocabulary, without special tokens.
    pub vocabulary: HashSet<&'a str>,
}

/// The diversity of captions, one for each image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diversity {
    /// The number of captions.
    pub captions: usize,
    /// The most common caption, its words joined by spaces; of several, the first in alphabetical order.
    pub most_common_caption: String,
    /// The fraction of images with the most common caption, in 0 to 1.
    pub most_common_fraction: f64,
    /// The number of different captions.
    pub distinct_captions: usize,
    /// The number of captions that are not among the training captions.
    pub novel_captions: usize,
    /// The number of different words in the captions.
    pub words_used: usize,
    /// The number of words in the vocabulary.
    pub vocabulary_words: usize,
    /// The number of tokens that are not words of the vocabulary, such as `<unk>`.
    pub unknown_words: usize,
    /// The mean length of captions, in tokens.
    pub mean_length: f64,
    /// The mean length of references, in tokens.
    pub mean_reference_length: f64,
}

impl Diversity {
    /// The diversity of the hypotheses; all values are 0 without examples.
    pub fn measure(examples: &[Example<'_>], corpus: &TrainingCorpus<'_>) -> Self {
        // Sorted by caption, so that ties are resolved alphabetically.
        let mut counts: BTreeMap<&[String], usize> = BTreeMap::new();
        for example in examples {
            *counts.entry(example.hypothesis).or_default() += 1;
        }
        let (most_common, count) = most_common(&counts);
        let references = examples.iter().flat_map(|example| example.references);
        let words = || examples.iter().flat_map(|example| example.hypothesis);
        let known = |word: &&String| corpus.vocabulary.contains(word.as_str());
        let novel = |example: &&Example<'_>| !corpus.training_captions.contains(example.hypothesis);
        Self {
            captions: examples.len(),
            most_common_caption: most_common.join(" "),
            most_common_fraction: ratio(count, examples.len()),
            distinct_captions: counts.len(),
            novel_captions: examples.iter().filter(novel).count(),
            words_used: words().filter(known).collect::<HashSet<_>>().len(),
            vocabulary_words: corpus.vocabulary.len(),
            unknown_words: words().filter(|word| !known(word)).count(),
            mean_length: mean_length(examples.iter().map(|example| example.hypothesis)),
            mean_reference_length: mean_length(references.map(Vec::as_slice)),
        }
    }
}

fn most_common<'a>(counts: &BTreeMap<&'a [String], usize>) -> (&'a [String], usize) {
    counts.iter().fold(
        (&[], 0),
        |best, (&caption, &count)| if count > best.1 { (caption, count) } else { best },
    )
}

fn mean_length<'a>(captions: impl Iterator<Item = &'a [String]>) -> f64 {
    let (captions, tokens) = captions.fold((0, 0), |(captions, tokens), caption| {
        (captions + 1, tokens + caption.len())
    });
    ratio(tokens, captions)
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::test_support::{examples, tokens};

    /// Examples with these hypotheses and the same two references.
    fn system(hypotheses: &[&str]) -> Vec<(Vec<String>, Vec<Vec<String>>)> {
        let references = ["a red ball on grass", "a ball"].map(tokens).to_vec();
        let hypotheses = hypotheses.iter().map(|hypothesis| tokens(hypothesis));
        hypotheses
            .map(|hypothesis| (hypothesis, references.clone()))
            .collect()
    }

    #[test]
    fn diversity_of_a_collapsed_model_is_low() {
        let system = system(&["a red ball", "a red ball", "a blue <unk>", "a red ball", ""]);
        let training = tokens("a red ball");
        let corpus = TrainingCorpus {
            training_captions: HashSet::from([training.as_slice()]),
            vocabulary: HashSet::from(["a", "red", "blue", "ball", "grass", "on"]),
        };

        let diversity = Diversity::measure(&examples(&system), &corpus);

        let expected = Diversity {
            captions: 5,
            most_common_caption: "a red ball".into(),
            most_common_fraction: 0.6,
            distinct_captions: 3,
            novel_captions: 2,
            words_used: 4,
            vocabulary_words: 6,
            unknown_words: 1,
            mean_length: 2.4,
            mean_reference_length: 3.5,
        };
        assert_eq!(diversity, expected);
    }

    #[test]
    fn most_common_caption_of_equals_is_the_first_alphabetically() {
        let system = system(&["two dogs", "one dog", "two dogs", "one dog"]);
        let diversity = Diversity::measure(&examples(&system), &TrainingCorpus::default());
        assert_eq!(diversity.most_common_caption, "one dog");
    }

    #[test]
    fn diversity_of_no_captions_is_zero() {
        assert_eq!(
            Diversity::measure(&[], &TrainingCorpus::default()),
            Diversity::default()
        );
    }
}
