//! The metrics against coco-caption and NLTK, by `data/make_metrics_reference.py`.

use cutline::metrics::{Example, Metric, Scores, score, sentence_scores};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Reference {
    corpus: Scores,
    nltk_bleu: [f64; 4],
    nltk_bleu_of_four_tokens_or_more: [f64; 4],
    examples: Vec<ReferenceExample>,
}

#[derive(Deserialize)]
struct ReferenceExample {
    hypothesis: String,
    references: Vec<String>,
    scores: Scores,
}

type Tokens = (Vec<String>, Vec<Vec<String>>);

impl Reference {
    fn read() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("data/metrics_reference.json"))
    }

    fn tokens(&self) -> Vec<Tokens> {
        self.examples.iter().map(ReferenceExample::tokens).collect()
    }
}

impl ReferenceExample {
    fn tokens(&self) -> Tokens {
        (
            split(&self.hypothesis),
            self.references.iter().map(|reference| split(reference)).collect(),
        )
    }
}

fn split(caption: &str) -> Vec<String> {
    caption.split_whitespace().map(str::to_owned).collect()
}

fn examples(tokens: &[Tokens]) -> Vec<Example<'_>> {
    tokens
        .iter()
        .map(|(hypothesis, references)| Example {
            hypothesis,
            references,
        })
        .collect()
}

fn assert_close(ours: Scores, expected: Scores, what: &str) {
    assert_eq!(expected.iter().count(), 6);
    for (metric, expected) in expected.iter() {
        let ours = ours.score(metric);
        assert!(
            (ours - expected).abs() <= TOLERANCE,
            "{} of {what}: {ours}, not {expected}",
            metric.label()
        );
    }
}

#[test]
fn corpus_scores_equal_coco_caption() {
    let reference = Reference::read().unwrap();
    assert_close(
        score(&examples(&reference.tokens())),
        reference.corpus,
        "the corpus",
    );
}

#[test]
fn sentence_scores_equal_coco_caption() {
    let reference = Reference::read().unwrap();
    let scores = sentence_scores(&examples(&reference.tokens()));
    assert_eq!(scores.len(), reference.examples.len());
    for (ours, example) in scores.into_iter().zip(&reference.examples) {
        assert_close(ours, example.scores, &format!("{:?}", example.hypothesis));
    }
}

#[test]
fn corpus_bleu_equals_nltk_for_hypotheses_of_four_tokens() {
    let reference = Reference::read().unwrap();
    let tokens = reference.tokens();
    let mut examples = examples(&tokens);
    let bleu = |examples: &[Example<'_>]| {
        let scores = score(examples);
        Metric::all()
            .map(|metric| scores.score(metric))
            .take(4)
            .collect::<Vec<_>>()
    };
    let of_any_length = bleu(&examples);
    examples.retain(|example| example.hypothesis.len() >= 4);
    let of_four_or_more = bleu(&examples);

    for order in 0..4 {
        let expected = reference.nltk_bleu_of_four_tokens_or_more[order];
        assert!(
            (of_four_or_more[order] - expected).abs() <= TOLERANCE,
            "BLEU-{}",
            order + 1
        );
        // NLTK counts n-grams that short hypotheses do not have, so its score is lower.
        assert!(
            reference.nltk_bleu[order] < of_any_length[order] - 1e-4,
            "BLEU-{}",
            order + 1
        );
    }
}
