//! Scores hypotheses against references, as `cutline score` does.
//!
//! ```text
//! cargo run --release --example score_captions
//! ```

use cutline::metrics::{Bootstrap, Example, score, statistics};
use cutline::text::PtbTokenizer;

const REFERENCES: [[&str; 2]; 3] = [
    [
        "A brown dog runs along the beach.",
        "A dog is running on the sand.",
    ],
    ["Two children play soccer.", "Kids kick a ball on a field."],
    ["A man rides a red bicycle.", "A cyclist on a red bike."],
];
const HYPOTHESES: [&str; 3] = [
    "a dog runs on the beach",
    "two kids play with a ball",
    "a man on a red bicycle",
];

fn main() {
    // Metrics compare tokens, here those of coco-caption.
    let mut ptb = PtbTokenizer::default();
    let references = REFERENCES.map(|captions| captions.map(|caption| ptb.tokens(caption)));
    let hypotheses = HYPOTHESES.map(|caption| ptb.tokens(caption));
    let examples: Vec<Example<'_>> = hypotheses
        .iter()
        .zip(&references)
        .map(|(hypothesis, references)| Example {
            hypothesis,
            references,
        })
        .collect();

    let scores = score(&examples);
    let intervals = Bootstrap::default().intervals(&statistics(&examples));
    for (metric, interval) in intervals.iter() {
        let (label, score) = (metric.label(), scores.score(metric));
        println!(
            "{label:8} {score:.4}  95 % [{:.4}, {:.4}]",
            interval.low, interval.high
        );
    }
}
