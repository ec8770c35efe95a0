//! Tests of search against an enumeration of all captions.

use super::*;
use crate::config::AutoOr;
use crate::decoders::{CaptionBatch, DecoderShape, build};
use crate::model::tests::{SETTINGS, VOCABULARY, feature_spec};
use crate::model::{EncoderSpec, ImageInputs, Model, ModelSpec};
use crate::nn::Regions;
use crate::nn::testing::random_matrix;
use dfdx::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;

/// A small decoder with large weights, so that its predictions are confident.
fn decoder() -> Box<dyn Decoder<Cpu>> {
    let shape = DecoderShape {
        channels: 5,
        vocabulary: VOCABULARY,
    };
    let mut decoder = build(
        &Cpu::default(),
        &SETTINGS,
        shape,
        &mut ChaCha8Rng::seed_from_u64(4),
    )
    .unwrap();
    for parameter in decoder.parameters_mut() {
        parameter.value = parameter.value.clone() * 4.0;
    }
    decoder
}

fn regions() -> Regions<Cpu> {
    random_matrix((3, 5), 8).reshape_like(&(3, 1, 5))
}

/// All captions of up to `longest` words, with their log-probabilities by the training loss.
fn all_captions(image: usize, longest: usize) -> Vec<(Vec<TokenId>, f64)> {
    let decoder = decoder();
    let mut captions: Vec<Vec<TokenId>> = vec![vec![]];
    let mut from = 0;
    for _ in 0..longest {
        let to = captions.len();
        for at in from..to {
            for word in 4..VOCABULARY as TokenId {
                captions.push([captions[at].as_slice(), &[word]].concat());
            }
        }
        from = to;
    }
    captions
        .into_iter()
        .map(|words| {
            let batch = CaptionBatch::new([(image, words.as_slice())]);
            let loss = decoder.loss(regions().into(), &batch).unwrap().as_vec()[0];
            let log_probability = -f64::from(loss) * (words.len() + 1) as f64;
            (words, log_probability)
        })
        .collect()
}

#[test]
fn wide_beam_finds_the_most_probable_caption() {
    let longest = 4;
    let settings = SearchSettings {
        beam_size: 200,
        length_penalty: 0.0,
        min_length: 1,
        // one step more, for the end token
        max_length: AutoOr::Set(longest + 1),
        ..Default::default()
    };
    let found = write_captions(decoder().as_ref(), regions(), &settings).unwrap();
    for (image, found) in found.iter().enumerate() {
        let (words, log_probability) = all_captions(image, longest)
            .into_iter()
            .filter(|(words, _)| !words.is_empty())
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap();
        let best = found
            .iter()
            .find(|hypothesis| hypothesis.tokens.len() <= longest)
            .unwrap();
        assert_eq!(best.tokens, words);
        assert!((best.log_probability - log_probability).abs() < 1e-4);
    }
}

#[test]
fn hypotheses_are_ranked_and_independent_of_other_images() {
    let settings = SearchSettings {
        beam_size: 4,
        max_length: AutoOr::Set(8),
        ..Default::default()
    };
    let together = write_captions(decoder().as_ref(), regions(), &settings).unwrap();
    for (image, together) in together.iter().enumerate() {
        assert!(together.is_sorted_by(|a, b| a.score >= b.score));
        assert_eq!(together.len(), 4);
        let alone = regions().slice((image..image + 1, .., ..));
        let alone = write_captions(decoder().as_ref(), alone, &settings).unwrap();
        let words = |found: &[Hypothesis]| found.iter().map(|h| h.tokens.clone()).collect::<Vec<_>>();
        assert_eq!(words(&alone[0]), words(together));
    }
}

#[test]
fn greedy_search_takes_the_most_probable_word() {
    let settings = SearchSettings {
        beam_size: 1,
        max_length: AutoOr::Set(6),
        min_length: 0,
        ..Default::default()
    };
    let found = write_captions(decoder().as_ref(), regions(), &settings).unwrap();
    let step_decoder = decoder().inference().unwrap();
    for (image, found) in found.iter().enumerate() {
        let mut state = step_decoder
            .start(regions().into())
            .unwrap()
            .select(&[image])
            .unwrap();
        let (mut words, mut read) = (vec![], crate::text::START);
        while words.len() < 6 {
            let (logits, after) = step_decoder.step(state, &[read]).unwrap();
            let logits = logits.as_vec();
            let allowed = (0..VOCABULARY).filter(|word| ![0, 1, 3].contains(word));
            read = allowed.max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as TokenId;
            state = after;
            if read == crate::text::END {
                break;
            }
            words.push(read);
        }
        assert_eq!(found[0].tokens, words);
    }
}

#[test]
fn captions_respect_length_and_ngram_limits() {
    for strategy in [Strategy::Beam, Strategy::Sample] {
        let settings = SearchSettings {
            strategy,
            min_length: 5,
            max_length: AutoOr::Set(9),
            no_repeat_ngram: 2,
            ..Default::default()
        };
        for hypothesis in write_captions(decoder().as_ref(), regions(), &settings)
            .unwrap()
            .concat()
        {
            let words = &hypothesis.tokens;
            assert!((5..=9).contains(&words.len()), "{words:?}");
            let mut pairs: Vec<_> = words.windows(2).collect();
            pairs.sort_unstable();
            pairs.dedup();
            assert_eq!(pairs.len(), words.len() - 1, "a pair comes twice in {words:?}");
        }
    }
}

#[test]
fn sampling_stops_when_all_captions_have_ended() {
    let settings = SearchSettings {
        strategy: Strategy::Sample,
        max_length: AutoOr::Set(10_000),
        ..Default::default()
    };
    let drawn = write_captions(decoder().as_ref(), regions(), &settings).unwrap();
    assert!(
        drawn
            .concat()
            .iter()
            .all(|hypothesis| hypothesis.tokens.len() < 10_000)
    );
}

#[test]
fn sampling_repeats_by_seed_and_follows_the_probabilities() {
    let draw = |seed, top_k| {
        let settings = SearchSettings {
            strategy: Strategy::Sample,
            seed,
            top_k,
            max_length: AutoOr::Set(1),
            ..Default::default()
        };
        write_captions(decoder().as_ref(), regions(), &settings).unwrap()
    };
    assert_eq!(draw(3, 0), draw(3, 0));
    let greedy = SearchSettings {
        beam_size: 1,
        max_length: AutoOr::Set(1),
        ..Default::default()
    };
    let greedy = write_captions(decoder().as_ref(), regions(), &greedy).unwrap();
    assert_eq!(draw(3, 1)[0][0].tokens, greedy[0][0].tokens);

    let draws = 2000;
    let mut counts = [0usize; VOCABULARY];
    let mut expected = [0f64; VOCABULARY];
    for seed in 0..draws {
        let hypothesis = &draw(seed, 0)[0][0];
        counts[hypothesis.tokens[0] as usize] += 1;
        expected[hypothesis.tokens[0] as usize] = hypothesis.log_probability.exp();
    }
    let total: f64 = expected.iter().sum();
    for (count, expected) in counts.iter().zip(expected) {
        let share = *count as f64 / draws as f64;
        assert!((share - expected / total).abs() < 0.04, "{counts:?}, {expected}");
    }
}

#[test]
fn samples_of_an_image_do_not_depend_on_the_batch() {
    const IMAGES: usize = 230; // more than two batches
    let spec = ModelSpec {
        encoder: EncoderSpec::Features(feature_spec("vgg16", 5)),
        decoder: SETTINGS,
        vocabulary: VOCABULARY,
    };
    let mut model = Model::new(&Cpu::default(), spec, &mut ChaCha8Rng::seed_from_u64(4)).unwrap();
    model.decoder = decoder();
    let alike = ImageInputs::in_memory([0.5, -0.5, 0.25, 0.0, 1.0].repeat(IMAGES), 5);
    let settings = SearchSettings {
        strategy: Strategy::Sample,
        ..SearchSettings::default()
    };
    // Words only: a product of other height may round the log-probabilities otherwise.
    let captions = |indices: &[usize]| -> Vec<Vec<TokenId>> {
        let alone = Member {
            model: &model,
            inputs: &alike,
        };
        let found = caption_all(
            &[alone],
            indices,
            &Search::by_probability(settings.clone()),
            &mut |_| ControlFlow::Continue(()),
        )
        .unwrap();
        found.into_iter().map(|found| found[0].tokens.clone()).collect()
    };
    let all: Vec<usize> = (0..IMAGES).collect();
    let together = captions(&all);
    assert_eq!(
        captions(&[7, 129, 229])[1..],
        [together[129].clone(), together[229].clone()]
    );
    let next_batch = together.iter().zip(&together[100..]);
    let repeated = next_batch.filter(|(one, next)| one == next).count();
    assert!(
        repeated < 50,
        "{repeated} of 130 captions are those of a hundred images before"
    );
}
