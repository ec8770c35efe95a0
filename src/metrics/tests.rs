//! Property tests of scores of arbitrary corpora.

use proptest::prelude::*;

use super::meteor::MeteorCounts;
use super::test_support::examples;
use super::*;

type Case = (Vec<String>, Vec<Vec<String>>);

/// Captions of few different words, so that some n-grams match.
fn caption(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((0..6).prop_map(|word: i32| word.to_string()), length)
}

fn corpus() -> impl Strategy<Value = Vec<Case>> {
    let references = prop::collection::vec(caption(0..12), 0..5);
    prop::collection::vec((caption(0..12), references), 0..8)
}

fn close(a: Scores, b: Scores) -> bool {
    Metric::all().all(|metric| (a.score(metric) - b.score(metric)).abs() < 1e-12)
}

proptest! {
    #[test]
    fn scores_are_within_range(cases in corpus()) {
        let examples = examples(&cases);
        for scores in sentence_scores(&examples).into_iter().chain([score(&examples)]) {
            for (metric, score) in scores.iter() {
                let highest = if metric == Metric::CIDER_D { 10.0 } else { 1.0 };
                prop_assert!((0.0..=highest + 1e-9).contains(score), "{}: {score}", metric.label());
            }
        }
    }

    #[test]
    fn repeating_a_reference_scores_one(
        hypothesis in caption(4..12),
        mut references in prop::collection::vec(caption(0..12), 0..4),
    ) {
        references.push(hypothesis.clone());
        let scores = score(&[Example { hypothesis: &hypothesis, references: &references }]);
        for (metric, score) in scores.iter().filter(|(metric, _)| *metric != Metric::CIDER_D) {
            prop_assert!((score - 1.0).abs() < 1e-8, "{}: {score}", metric.label());
        }
    }

    #[test]
    fn scores_ignore_the_order_of_examples_and_references(
        (cases, shuffled) in corpus().prop_flat_map(|cases| (Just(cases.clone()), Just(cases).prop_shuffle())),
    ) {
        let mut reordered = shuffled;
        reordered.iter_mut().for_each(|(_, references)| references.reverse());
        prop_assert!(close(score(&examples(&cases)), score(&examples(&reordered))));
    }

    #[test]
    fn scores_ignore_the_names_of_words(cases in corpus()) {
        let word = |word: &String| format!("word{}", 250 - word.parse::<u8>().unwrap());
        let caption = |words: &Vec<String>| words.iter().map(word).collect::<Vec<_>>();
        let renamed: Vec<_> = cases
            .iter()
            .map(|(hypothesis, references)| {
                (caption(hypothesis), references.iter().map(caption).collect::<Vec<_>>())
            })
            .collect();
        prop_assert!(close(score(&examples(&renamed)), score(&examples(&cases))));
    }
}

#[test]
fn odd_corpora_have_the_documented_scores() {
    let zero = Scores::from_fn(|_| 0.0);
    assert_eq!(score(&[]), zero);
    assert!(sentence_scores(&[]).is_empty());

    let references = [test_support::tokens("a b c d e")];
    let of = |hypothesis| {
        score(&[Example {
            hypothesis,
            references: &references,
        }])
    };
    assert_eq!(of(&[]), zero);
    let alone = of(&references[0]);
    assert!((alone.score(Metric::BLEU_4) - 1.0).abs() < 1e-8);
    assert_eq!(alone.score(Metric::ROUGE_L), 1.0);
    assert_eq!(alone.score(Metric::CIDER_D), 0.0);
}

#[test]
fn example_without_references_lowers_the_scores() {
    let references = ["a b c d", "e f g h"].map(|caption| [test_support::tokens(caption)]);
    let [good, also_good] = [0, 1].map(|index| Example {
        hypothesis: &references[index][0],
        references: &references[index],
    });
    let missing = Example {
        references: &[],
        ..good
    };

    let scores = score(&[good, also_good, missing]);

    assert!((scores.score(Metric::BLEU_1) - 2.0 / 3.0).abs() < 1e-9);
    assert!((scores.score(Metric::ROUGE_L) - 2.0 / 3.0).abs() < 1e-12);
    assert!((scores.score(Metric::CIDER_D) - 20.0 / 3.0).abs() < 1e-12);
}

#[test]
fn optional_metrics_are_scored_and_resampled_where_they_were_added() {
    let references = ["a b c d", "e f g h"].map(|caption| [test_support::tokens(caption)]);
    let examples = [0, 1].map(|index| Example {
        hypothesis: &references[index][0],
        references: &references[0],
    });
    let mut statistics = statistics(&examples);
    let without = statistics.iter().copied().sum::<Statistics>().scores();
    assert_eq!(without.get(Metric::METEOR), None);
    assert_eq!(
        Bootstrap::default().intervals(&statistics).get(Metric::SPICE),
        None
    );

    for (statistics, spice) in statistics.iter_mut().zip([0.5, 0.1]) {
        statistics.add_meteor(MeteorCounts::default());
        statistics.add_spice(spice);
    }

    let scores = statistics.iter().copied().sum::<Statistics>().scores();
    assert_eq!(scores.score(Metric::METEOR), 0.0);
    assert!((scores.score(Metric::SPICE) - 0.3).abs() < 1e-12);
    assert_eq!(scores.iter().count(), METRICS.len() + 2);
    let interval = *Bootstrap::default()
        .intervals(&statistics)
        .get(Metric::SPICE)
        .unwrap();
    assert_eq!((interval.low, interval.high), (0.1, 0.5));
    let differences = Bootstrap::default().compare(&statistics, &statistics).unwrap();
    assert_eq!(differences.get(Metric::SPICE).unwrap().observed, 0.0);
}
