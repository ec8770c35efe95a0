//! The PTB tokenizer against coco-caption's, by `data/make_ptb_reference.py`.
//!
//! `CUTLINE_PTB_REFERENCE` names another file that the script made.

use std::collections::BTreeMap;
use std::error::Error;
use std::{env, fs};

use cutline::metrics::{Example, Scores, score};
use cutline::text::PtbTokenizer;
use serde::Deserialize;

const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Reference {
    flickr8k: Option<Flickr8k>,
    sentences: Vec<(String, String)>,
}

/// Figures of `Flickr8k.token.txt`.
#[derive(Deserialize)]
struct Flickr8k {
    captions: usize,
    tokens: usize,
    blake3: String,
    /// Of each image's first caption against the others.
    scores: Scores,
}

#[test]
fn tokens_of_odd_sentences_equal_coco_caption() -> Result<(), Box<dyn Error>> {
    let text = match env::var_os("CUTLINE_PTB_REFERENCE") {
        Some(path) => fs::read_to_string(path)?,
        None => include_str!("data/ptb_reference.json").to_owned(),
    };
    let reference: Reference = serde_json::from_str(&text)?;
    assert!(reference.sentences.len() >= 1000);
    let mut ptb = PtbTokenizer::default();
    let different: Vec<_> = reference
        .sentences
        .into_iter()
        .map(|(caption, expected)| (ptb.tokens(&caption).join(" "), caption, expected))
        .filter(|(tokens, _, expected)| tokens != expected)
        .collect();
    assert!(different.is_empty(), "{} differ: {different:#?}", different.len());
    Ok(())
}

#[test]
fn tokens_and_scores_of_flickr8k_equal_coco_caption() -> Result<(), Box<dyn Error>> {
    let Some(directory) = env::var_os("CUTLINE_FLICKR8K") else {
        eprintln!("SKIPPED: CUTLINE_FLICKR8K does not name a directory with Flickr8k");
        return Ok(());
    };
    let reference: Reference = serde_json::from_str(include_str!("data/ptb_reference.json"))?;
    let expected = reference.flickr8k.ok_or("the script ran without --captions")?;
    let text = fs::read_to_string(fs::canonicalize(directory)?.join("Flickr8k.token.txt"))?;

    let mut ptb = PtbTokenizer::default();
    let mut by_image: BTreeMap<&str, Vec<Vec<String>>> = BTreeMap::new();
    let mut lines = Vec::new();
    for (name, caption) in text.split('\n').filter_map(|line| line.split_once('\t')) {
        let tokens = ptb.tokens(caption);
        lines.push(tokens.join(" "));
        by_image
            .entry(name.split('#').next().unwrap_or(name))
            .or_default()
            .push(tokens);
    }
    let tokens: usize = by_image.values().flatten().map(Vec::len).sum();
    assert_eq!((lines.len(), tokens), (expected.captions, expected.tokens));
    assert_eq!(
        blake3::hash(lines.join("\n").as_bytes()).to_hex().to_string(),
        expected.blake3
    );

    let examples: Vec<Example<'_>> = by_image
        .values()
        .filter_map(|captions| captions.split_first())
        .map(|(hypothesis, references)| Example {
            hypothesis,
            references,
        })
        .collect();
    let scores = score(&examples);
    for (metric, expected) in expected.scores.iter() {
        let difference = (scores.score(metric) - expected).abs();
        eprintln!("{}: {expected}, difference {difference:.1e}", metric.label());
        assert!(difference <= TOLERANCE, "{}: {difference:e}", metric.label());
    }
    Ok(())
}
