//! The metrics against coco-caption's scorers and NLTK; `data/make_metrics_reference.py` made the figures.

use cutline::metrics::{Example, Scores, score, sentence_scores};
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

type Tokens<'a> = (Vec<&'a str>, Vec<Vec<&'a str>>);

impl Reference {
    fn read() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("data/metrics_reference.json"))
    }

    fn tokens(&self) -> Vec<Tokens<'_>> {
        self.examples.iter().map(ReferenceExample::tokens).collect()
    }
}

impl ReferenceExample {
    fn tokens(&self) -> Tokens<'_> {
        (
            split(&self.hypothesis),
            self.references.iter().map(|reference| split(reference)).collect(),
        )
    }
}

fn split(caption: &str) -> Vec<&str> {
    caption.split_whitespace().collect()
}

fn examples<'a>(tokens: &'a [Tokens<'a>]) -> Vec<Example<'a, &'a str>> {
    tokens
        .iter()
        .map(|(hypothesis, references)| Example {
            hypothesis,
            references,
        })
        .collect()
}

fn assert_close(ours: Scores, expected: Scores, what: &str) {
    for ((ours, expected), name) in ours
        .into_array()
        .iter()
        .zip(expected.into_array())
        .zip(Scores::NAMES)
    {
        assert!(
            (ours - expected).abs() <= TOLERANCE,
            "{name} of {what}: {ours}, not {expected}"
        );
    }
}

#[test]
fn corpus_scores_are_coco_captions() {
    let reference = Reference::read().unwrap();
    assert_close(
        score(&examples(&reference.tokens())),
        reference.corpus,
        "the corpus",
    );
}

#[test]
fn sentence_scores_are_coco_captions() {
    let reference = Reference::read().unwrap();
    let scores = sentence_scores(&examples(&reference.tokens()));
    assert_eq!(scores.len(), reference.examples.len());
    for (ours, example) in scores.into_iter().zip(&reference.examples) {
        assert_close(ours, example.scores, &format!("{:?}", example.hypothesis));
    }
}

#[test]
fn corpus_bleu_is_nltks_where_every_hypothesis_has_four_tokens() {
    let reference = Reference::read().unwrap();
    let tokens = reference.tokens();
    let mut examples = examples(&tokens);
    let of_any_length = score(&examples).bleu;
    examples.retain(|example| example.hypothesis.len() >= 4);
    let of_four_or_more = score(&examples).bleu;

    for order in 0..4 {
        let expected = reference.nltk_bleu_of_four_tokens_or_more[order];
        assert!(
            (of_four_or_more[order] - expected).abs() <= TOLERANCE,
            "BLEU-{}",
            order + 1
        );
        // NLTK counts an n-gram that a hypothesis too short for it does not have, so its score is lower.
        assert!(
            reference.nltk_bleu[order] < of_any_length[order] - 1e-4,
            "BLEU-{}",
            order + 1
        );
    }
}
