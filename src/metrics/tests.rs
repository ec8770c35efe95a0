//! What holds for every corpus, whatever its captions.

use proptest::prelude::*;

use super::*;

type Case = (Vec<u8>, Vec<Vec<u8>>);

/// Captions of few words, so that n-grams match now and then.
fn caption(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..6, length)
}

fn corpus() -> impl Strategy<Value = Vec<Case>> {
    prop::collection::vec(
        (caption(0..12), prop::collection::vec(caption(0..12), 0..5)),
        0..8,
    )
}

fn examples(cases: &[Case]) -> Vec<Example<'_, u8>> {
    cases
        .iter()
        .map(|(hypothesis, references)| Example {
            hypothesis,
            references,
        })
        .collect()
}

fn close(a: Scores, b: Scores) -> bool {
    a.into_array()
        .iter()
        .zip(b.into_array())
        .all(|(a, b)| (a - b).abs() < 1e-12)
}

proptest! {
    #[test]
    fn scores_stay_within_range(cases in corpus()) {
        let examples = examples(&cases);
        for scores in sentence_scores(&examples).into_iter().chain([score(&examples)]) {
            let [bleu @ .., rouge_l, cider_d] = scores.into_array();
            prop_assert!(bleu.iter().chain([&rouge_l]).all(|score| (0.0..=1.0 + 1e-12).contains(score)));
            prop_assert!((0.0..=10.0 + 1e-9).contains(&cider_d));
        }
    }

    #[test]
    fn repeating_a_reference_word_for_word_scores_full_marks(
        hypothesis in caption(4..12),
        mut references in prop::collection::vec(caption(0..12), 0..4),
    ) {
        references.push(hypothesis.clone());
        let scores = score(&[Example { hypothesis: &hypothesis, references: &references }]);
        prop_assert!(scores.bleu.iter().all(|bleu| (bleu - 1.0).abs() < 1e-8), "{scores:?}");
        prop_assert!((scores.rouge_l - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_order_of_examples_and_of_references_does_not_matter(
        (cases, shuffled) in corpus().prop_flat_map(|cases| (Just(cases.clone()), Just(cases).prop_shuffle())),
    ) {
        let mut reordered = shuffled;
        reordered.iter_mut().for_each(|(_, references)| references.reverse());
        prop_assert!(close(score(&examples(&cases)), score(&examples(&reordered))));
    }

    #[test]
    fn the_names_of_the_words_do_not_matter(cases in corpus()) {
        let word = |id: &u8| format!("word{}", 250 - id);
        let caption = |ids: &Vec<u8>| ids.iter().map(word).collect::<Vec<_>>();
        let renamed: Vec<_> = cases
            .iter()
            .map(|(hypothesis, references)| {
                (caption(hypothesis), references.iter().map(caption).collect::<Vec<_>>())
            })
            .collect();
        let words: Vec<_> =
            renamed.iter().map(|(hypothesis, references)| Example { hypothesis, references }).collect();
        prop_assert!(close(score(&words), score(&examples(&cases))));
    }
}

#[test]
fn odd_corpora_have_the_documented_scores() {
    let none: &[Example<'_, u8>] = &[];
    assert_eq!(score(none), Scores::default());
    assert!(sentence_scores(none).is_empty());

    let (silent, reference) = (vec![], vec![vec![1, 2, 3, 4, 5]]);
    assert_eq!(
        score(&[Example {
            hypothesis: &silent,
            references: &reference
        }]),
        Scores::default()
    );

    let alone = score(&[Example {
        hypothesis: &reference[0],
        references: &reference,
    }]);
    assert!((alone.bleu[3] - 1.0).abs() < 1e-8);
    assert_eq!((alone.rouge_l, alone.cider_d), (1.0, 0.0));
}

#[test]
fn an_example_without_references_lowers_the_score_rather_than_vanishing() {
    let (caption, other) = (vec![1, 2, 3, 4], vec![5, 6, 7, 8]);
    let (references, others) = (vec![caption.clone()], vec![other.clone()]);
    let good = Example {
        hypothesis: &caption,
        references: &references,
    };
    let also_good = Example {
        hypothesis: &other,
        references: &others,
    };
    let missing = Example {
        hypothesis: &caption,
        references: &[],
    };

    let scores = score(&[good, also_good, missing]);

    assert!((scores.bleu[0] - 2.0 / 3.0).abs() < 1e-9);
    assert!((scores.rouge_l - 2.0 / 3.0).abs() < 1e-12);
    assert!((scores.cider_d - 20.0 / 3.0).abs() < 1e-12);
}

#[test]
fn scores_are_written_under_their_plain_names() {
    let scores = Scores::from_array([0.5, 0.25, 0.125, 0.0, 0.75, 1.5]);
    let json = serde_json::to_string(&scores).unwrap();
    assert_eq!(
        json,
        r#"{"bleu":[0.5,0.25,0.125,0.0],"rouge_l":0.75,"cider_d":1.5}"#
    );
    assert_eq!(serde_json::from_str::<Scores>(&json).unwrap(), scores);
}
