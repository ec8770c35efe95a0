//! The signs of a captioner that says the same of every image.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Example;

/// What a captioner could have learned from: the yardstick for novel captions and used words.
#[derive(Clone, Debug, Default)]
pub struct Background<'a> {
    /// The captions of the training split.
    pub training_captions: HashSet<&'a [String]>,
    /// The words of the vocabulary, without its markers.
    pub vocabulary: HashSet<&'a str>,
}

/// How varied captions are, one for each image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diversity {
    /// Captions looked at, which is the number of images.
    pub captions: usize,
    /// The caption that most images got, its words joined by spaces; the first by alphabet where several tie.
    pub commonest_caption: String,
    /// The share of images that got it, in 0 to 1.
    pub commonest_share: f64,
    /// Different captions among all.
    pub distinct_captions: usize,
    /// Images whose caption is not among the training captions.
    pub novel_captions: usize,
    /// Different words of the vocabulary that occur in some caption.
    pub words_used: usize,
    /// Words in the vocabulary.
    pub vocabulary_words: usize,
    /// Tokens in the captions that are not words of the vocabulary, such as `<unk>`.
    pub unknown_words: usize,
    /// Tokens in a caption, on average.
    pub mean_length: f64,
    /// Tokens in a reference, on average over all references.
    pub mean_reference_length: f64,
}

impl Diversity {
    /// Looks at the hypotheses of all examples; without any, all counts, shares and means are 0.
    pub fn of(examples: &[Example<'_>], background: &Background<'_>) -> Self {
        let counts = caption_counts(examples);
        let (commonest, times) = commonest(&counts);
        let words = || examples.iter().flat_map(|example| example.hypothesis);
        let known = |word: &&String| background.vocabulary.contains(word.as_str());
        let novel = |example: &&Example<'_>| !background.training_captions.contains(example.hypothesis);
        Self {
            captions: examples.len(),
            commonest_caption: commonest.join(" "),
            commonest_share: ratio(times, examples.len()),
            distinct_captions: counts.len(),
            novel_captions: examples.iter().filter(novel).count(),
            words_used: words().filter(known).collect::<HashSet<_>>().len(),
            vocabulary_words: background.vocabulary.len(),
            unknown_words: words().filter(|word| !known(word)).count(),
            mean_length: mean_length(examples.iter().map(|example| example.hypothesis)),
            mean_reference_length: mean_length(
                examples
                    .iter()
                    .flat_map(|example| example.references)
                    .map(Vec::as_slice),
            ),
        }
    }
}

/// How many images got each caption, sorted by caption so that ties have a fixed order.
fn caption_counts<'a>(examples: &[Example<'a>]) -> BTreeMap<&'a [String], usize> {
    let mut counts = BTreeMap::new();
    for example in examples {
        *counts.entry(example.hypothesis).or_default() += 1;
    }
    counts
}

fn commonest<'a>(counts: &BTreeMap<&'a [String], usize>) -> (&'a [String], usize) {
    counts.iter().fold(
        (&[], 0),
        |best, (&caption, &times)| if times > best.1 { (caption, times) } else { best },
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
    use crate::metrics::test_support::tokens;

    #[test]
    fn diversity_of_a_collapsed_model_is_low() {
        let hypotheses = ["a red ball", "a red ball", "a blue <unk>", "a red ball", ""].map(tokens);
        let references = vec![tokens("a red ball on grass"), tokens("a ball")];
        let examples: Vec<_> = hypotheses
            .iter()
            .map(|hypothesis| Example {
                hypothesis,
                references: &references,
            })
            .collect();
        let training = tokens("a red ball");
        let background = Background {
            training_captions: HashSet::from([training.as_slice()]),
            vocabulary: HashSet::from(["a", "red", "blue", "ball", "grass", "on"]),
        };

        let diversity = Diversity::of(&examples, &background);

        let expected = Diversity {
            captions: 5,
            commonest_caption: "a red ball".into(),
            commonest_share: 0.6,
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
    fn commonest_caption_of_equals_is_the_first_alphabetically() {
        let hypotheses = ["two dogs", "one dog", "two dogs", "one dog"].map(tokens);
        let examples: Vec<_> = hypotheses
            .iter()
            .map(|hypothesis| Example {
                hypothesis,
                references: &[],
            })
            .collect();
        assert_eq!(
            Diversity::of(&examples, &Background::default()).commonest_caption,
            "one dog"
        );
    }

    #[test]
    fn diversity_of_no_captions_is_zero() {
        assert_eq!(Diversity::of(&[], &Background::default()), Diversity::default());
    }
}
