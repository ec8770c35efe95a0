//! Scores of captions by any tokenizer, with a signature that says which scores are comparable.

use crate::metrics::{self, Bootstrap, Example, Interval, Scores, Statistics};
use crate::text::PtbTokenizer;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// The digits of the split's hash in a signature.
const HASH_DIGITS: usize = 8;

/// A caption of an image with its references, before tokenizing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawCaption<'a> {
    /// The image's name.
    pub image: &'a str,
    /// The caption to be scored.
    pub caption: &'a str,
    /// The references.
    pub references: Vec<&'a str>,
}

/// Adds metrics that need more than captions, such as METEOR, to the statistics of examples; may stop the scoring.
pub type AddMetrics<'a> = dyn FnMut(&[Example<'_>], &mut [Statistics]) -> ControlFlow<()> + 'a;

/// Scores of captions by a tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorpusScores {
    /// The scores of all images.
    #[serde(flatten)]
    pub scores: Scores,
    /// The 95 % bootstrap interval of each.
    pub intervals_95: Scores<Interval>,
    /// What the scores depend on: [`signature`].
    pub signature: String,
}

impl CorpusScores {
    /// Scores captions by coco-caption's tokenizer.
    pub fn by_ptb(captions: &[RawCaption<'_>], add_metrics: &mut AddMetrics<'_>) -> ControlFlow<(), Self> {
        let mut ptb = PtbTokenizer::default();
        Self::measure(captions, "ptb", |caption| ptb.tokens(caption), add_metrics)
    }

    /// Scores captions by a tokenizer and its name.
    pub fn measure(
        captions: &[RawCaption<'_>],
        tokenizer: &str,
        tokens: impl FnMut(&str) -> Vec<String>,
        add_metrics: &mut AddMetrics<'_>,
    ) -> ControlFlow<(), Self> {
        let pairs = captions
            .iter()
            .map(|caption| (caption.caption, caption.references.iter().copied()));
        let tokenized = TokenizedCaptions::new(pairs, tokens);
        let examples = tokenized.examples();
        let mut statistics = metrics::statistics(&examples);
        add_metrics(&examples, &mut statistics)?;
        let scores = statistics.iter().copied().sum::<Statistics>().scores();
        ControlFlow::Continue(Self {
            intervals_95: Bootstrap::default().intervals(&statistics),
            signature: signature(&scores, captions, tokenizer),
            scores,
        })
    }
}

/// What scores depend on, in the style of sacrebleu: the metrics, the number of references of an image, of images, a hash
/// of the split (the names of its images and their references before tokenizing), the tokenizer, and the version.
///
/// Scores with the same signature are comparable.
pub fn signature(scores: &Scores, captions: &[RawCaption<'_>], tokenizer: &str) -> String {
    let mut metrics: Vec<&str> = scores.iter().map(|(metric, _)| metric.family()).collect();
    metrics.dedup();
    format!(
        "{}|nrefs:{}|images:{}|split:{}|tok:{tokenizer}|version:cutline-{}",
        metrics.join("+"),
        reference_counts(captions),
        captions.len(),
        split_hash(captions),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The number of references of an image: `5`, or `4-6` if images differ.
fn reference_counts(captions: &[RawCaption<'_>]) -> String {
    let counts = captions.iter().map(|caption| caption.references.len());
    let (fewest, most) = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
    match fewest == most {
        true => most.to_string(),
        false => format!("{fewest}-{most}"),
    }
}

/// Texts are hashed after their lengths, so that different splits never give the same bytes.
fn split_hash(captions: &[RawCaption<'_>]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for RawCaption {
        image, references, ..
    } in captions
    {
        text(image);
        text(&references.len().to_string());
        references.iter().for_each(|reference| text(reference));
    }
    hasher.finalize().to_hex()[..HASH_DIGITS].to_owned()
}

/// The tokens of captions and their references, for the metrics.
pub(super) struct TokenizedCaptions(Vec<(Vec<String>, Vec<Vec<String>>)>);

impl TokenizedCaptions {
    pub(super) fn new<'a, R: IntoIterator<Item = &'a str>>(
        captions: impl IntoIterator<Item = (&'a str, R)>,
        mut tokens: impl FnMut(&str) -> Vec<String>,
    ) -> Self {
        let tokenized = captions.into_iter().map(|(caption, references)| {
            let references = references.into_iter().map(&mut tokens).collect();
            (tokens(caption), references)
        });
        Self(tokenized.collect())
    }

    pub(super) fn examples(&self) -> Vec<Example<'_>> {
        let examples = self.0.iter().map(|(hypothesis, references)| Example {
            hypothesis,
            references,
        });
        examples.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw<'a>(image: &'a str, caption: &'a str, references: &[&'a str]) -> RawCaption<'a> {
        RawCaption {
            image,
            caption,
            references: references.to_vec(),
        }
    }

    fn no_metrics(_: &[Example<'_>], _: &mut [Statistics]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn by_ptb(captions: &[RawCaption<'_>]) -> CorpusScores {
        CorpusScores::by_ptb(captions, &mut no_metrics)
            .continue_value()
            .unwrap()
    }

    #[test]
    fn added_metrics_are_in_scores_intervals_and_signature() {
        let captions = [raw("1", "a dog", &["A dog."]), raw("2", "a cat", &["a cat"])];
        let scores = CorpusScores::by_ptb(&captions, &mut |examples, statistics| {
            assert_eq!(examples[0].references, [["a", "dog"].map(str::to_owned)]);
            statistics
                .iter_mut()
                .for_each(|statistics| statistics.add_spice(0.5));
            ControlFlow::Continue(())
        });
        let scores = scores.continue_value().unwrap();
        assert_eq!(scores.scores.score(crate::metrics::Metric::SPICE), 0.5);
        assert_eq!(
            scores
                .intervals_95
                .get(crate::metrics::Metric::SPICE)
                .unwrap()
                .low,
            0.5
        );
        assert!(scores.signature.starts_with("BLEU+ROUGE-L+CIDEr-D+SPICE|"));
        let stopped = CorpusScores::by_ptb(&captions, &mut |_, _| ControlFlow::Break(()));
        assert_eq!(stopped, ControlFlow::Break(()));
    }

    #[test]
    fn signature_changes_with_all_that_scores_depend_on() {
        let captions = [
            raw("1", "a dog", &["a dog", "dogs"]),
            raw("2", "a cat", &["a cat"]),
        ];
        let signature = |captions: &[RawCaption<'_>]| by_ptb(captions).signature;
        let first = signature(&captions);
        let (start, rest) = first.split_once("|split:").unwrap();
        assert_eq!(start, "BLEU+ROUGE-L+CIDEr-D|nrefs:1-2|images:2");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(rest[HASH_DIGITS..], format!("|tok:ptb|version:cutline-{version}"));

        let mut others = vec![first.clone()];
        for (image, references) in [("3", &["a cat"][..]), ("2", &["a hat"]), ("2", &["a", " cat"])] {
            others.push(signature(&[captions[0].clone(), raw(image, "a cat", references)]));
        }
        let chars = CorpusScores::measure(&captions, "chars", |_| Vec::new(), &mut no_metrics);
        others.push(chars.continue_value().unwrap().signature);
        others.sort();
        others.dedup();
        assert_eq!(others.len(), 5, "{others:?}");
        // It does not depend on the captions that are scored.
        let caption = raw("1", "a hat", &["a dog", "dogs"]);
        assert_eq!(signature(&[caption, captions[1].clone()]), first);
    }

    #[test]
    fn captions_are_scored_by_ptb_tokens() {
        let captions = [
            raw("1", "the dog ca n't run", &["The dog can't run."]),
            raw("2", "a cat sits", &["A cat sits!"]),
        ];
        let scores = by_ptb(&captions).scores;
        assert!((scores.score(crate::metrics::Metric::ROUGE_L) - 1.0).abs() < 1e-9);
    }
}
