//! Scores hypotheses against references, as `cutline score` does.
//!
//! ```text
//! cargo run --release --example score_captions
//! ```

use cutline::metrics::{Bootstrap, Example, Metric, score, statistics};
use cutline::text::Cleaning;

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
    // Metrics compare tokens. Cleaning lowercases and removes punctuation.
    let cleaning = Cleaning::default();
    let references = REFERENCES.map(|captions| captions.map(|caption| cleaning.tokens(caption)));
    let hypotheses = HYPOTHESES.map(|caption| cleaning.tokens(caption));
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
    for metric in Metric::all() {
        let interval = intervals
            .get(metric)
            .map(|interval| (interval.low, interval.high));
        println!("{:8} {:.4}  {interval:.4?}", metric.label(), scores.score(metric));
    }
}
