//! Tests that every decoder must pass.

use super::*;
use crate::nn::testing::{Differentiated, assert_close, check_gradients, random_matrix, rng};
use crate::nn::{Regions, random_stream};
use crate::text::{END, START, TokenId};
use dfdx::prelude::*;

const CAPTIONS: [(usize, &[TokenId]); 4] = [(0, &[4, 5, 6, 7]), (1, &[8, 4]), (2, &[]), (1, &[5, 5, 3])];

const SETTINGS: DecoderSettings = DecoderSettings {
    kind: DecoderKind::Merge,
    hidden_size: 6,
    embedding_size: 5,
    tie_embeddings: false,
    dropout: 0.0,
    weight_drop: 0.0,
    attention_size: 3,
    doubly_stochastic_weight: 0.5,
};

const SHAPE: DecoderShape = DecoderShape {
    channels: 4,
    vocabulary: 9,
};

fn built(settings: &DecoderSettings) -> Box<dyn Decoder<Cpu>> {
    // A draw in which no ReLU switches within a difference's step.
    build(&Cpu::default(), settings, SHAPE, &mut rng(4)).unwrap()
}

fn decoder(kind: DecoderKind) -> Box<dyn Decoder<Cpu>> {
    built(&DecoderSettings { kind, ..SETTINGS })
}

/// Every kind, with and without tied embeddings.
fn all_settings() -> impl Iterator<Item = DecoderSettings> {
    let tied = DecoderSettings {
        tie_embeddings: true,
        embedding_size: SETTINGS.hidden_size,
        ..SETTINGS
    };
    let both = move |kind| {
        [
            DecoderSettings { kind, ..SETTINGS },
            DecoderSettings { kind, ..tied },
        ]
    };
    DecoderKind::ALL.into_iter().flat_map(both)
}

fn decoders() -> impl Iterator<Item = Box<dyn Decoder<Cpu>>> {
    all_settings().map(|settings| built(&settings))
}

#[test]
fn min_parameters_is_a_lower_bound_within_a_small_factor() {
    for settings in all_settings() {
        let decoder = built(&settings);
        let counted: usize = decoder
            .parameters()
            .into_iter()
            .map(|parameter| parameter.shape().0 * parameter.shape().1)
            .sum();
        let bound = min_parameters(&settings, SHAPE);
        assert!(
            (counted / 8..=counted).contains(&bound),
            "{settings:?}: {bound} of {counted}"
        );
    }
}

/// `[3, count, 4]`
fn regions(count: usize) -> Regions<Cpu> {
    random_matrix((3 * count, 4), 3).reshape_like(&(3, count, 4))
}

#[test]
fn gradients_equal_finite_differences() {
    let batch = CaptionBatch::new(CAPTIONS);
    for mut decoder in decoders() {
        for count in [1, 3] {
            check_gradients(
                &mut decoder,
                |decoder| decoder.parameters_mut(),
                |decoder| {
                    let mut stream = random_stream(0, "test", 1);
                    let regularization = Regularization {
                        label_smoothing: 0.1,
                        weight_drop: 0.4,
                        ..Regularization::none(&mut stream)
                    };
                    decoder
                        .training_loss(regions(count).leaky_traced().into(), &batch, regularization)
                        .unwrap()
                },
                5e-3,
            );
        }
    }
}

/// The gradient of a caption is proportional to its weight, below zero too. Self-critical training rests on it.
#[test]
fn gradients_are_proportional_to_caption_weights() {
    for kind in DecoderKind::ALL {
        let decoder = decoder(kind);
        let gradients = |weights: [f32; 4]| -> Vec<Vec<f32>> {
            let captions = CAPTIONS.into_iter().zip(weights);
            let batch = CaptionBatch::weighted(captions.map(|((image, words), weight)| WeightedCaption {
                image,
                words,
                weight,
                end_weight: weight,
            }));
            let mut stream = random_stream(0, "test", 0);
            let loss = decoder
                .training_loss(
                    regions(2).leaky_traced().into(),
                    &batch,
                    Regularization::none(&mut stream),
                )
                .unwrap();
            let mut gradients = loss.backward();
            let parameters = decoder.parameters().into_iter();
            parameters
                .map(|parameter| parameter.gradient(&mut gradients))
                .collect()
        };
        // Terms that do not depend on the captions, such as the doubly stochastic penalty, cancel out.
        let none = gradients([0.0; 4]);
        let [first, second] = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]].map(&gradients);
        let both = gradients([2.0, 0.0, 0.0, -1.0]);
        for (((none, first), second), both) in none.iter().zip(&first).zip(&second).zip(&both) {
            let expected: Vec<f32> = (0..none.len())
                .map(|at| none[at] + 2.0 * (first[at] - none[at]) - (second[at] - none[at]))
                .collect();
            assert_close(both, &expected, 1e-4);
        }
    }
}

/// A decoder that gives one word all probability samples that word as every input.
#[test]
fn scheduled_sampling_uses_words_of_the_decoder() {
    const CERTAIN: TokenId = 7;
    let certain = |kind| {
        let mut decoder = decoder(kind);
        let output = decoder
            .parameters_mut()
            .into_iter()
            .find(|parameter| parameter.name == "output.bias");
        let mut bias = vec![0.0; 9];
        bias[CERTAIN as usize] = 100.0;
        output.unwrap().value = Cpu::default().tensor_from_vec(bias, (1, 9));
        decoder
    };
    let loss = |kind, batch: &CaptionBatch, scheduled_sampling| {
        let mut stream = random_stream(0, "test", 0);
        let regularization = Regularization {
            scheduled_sampling,
            ..Regularization::none(&mut stream)
        };
        let loss = certain(kind).training_loss(regions(2).leaky_traced().into(), batch, regularization);
        loss.unwrap().as_vec()
    };
    let batch = CaptionBatch::new(CAPTIONS);
    let own = CAPTIONS.map(|(image, words)| (image, vec![CERTAIN; words.len()]));
    let reads_own = CaptionBatch {
        targets: batch.targets.clone(),
        ..CaptionBatch::new(own.iter().map(|(image, words)| (*image, words.as_slice())))
    };
    for kind in DecoderKind::ALL {
        let drawn = loss(kind, &batch, 1.0 - f32::EPSILON);
        assert_close(&drawn, &loss(kind, &reads_own, 0.0), 1e-5);
    }
}

/// Inference by steps computes what training computes in one pass.
#[test]
fn steps_give_the_loss_of_the_whole_batch() {
    for decoder in decoders() {
        let step_decoder = decoder.inference().unwrap();
        let mut total = 0.0;
        let mut tokens = 0;
        for (image, words) in CAPTIONS {
            let mut state = step_decoder
                .start(regions(2).into())
                .unwrap()
                .select(&[image])
                .unwrap();
            let mut read = START;
            for &next in words.iter().chain([&END]) {
                let (logits, after) = step_decoder.step(state, &[read]).unwrap();
                total -= logits.log_softmax::<Axis<1>>().as_vec()[next as usize];
                tokens += 1;
                (state, read) = (after, next);
            }
        }
        let loss = decoder
            .loss(regions(2).into(), &CaptionBatch::new(CAPTIONS))
            .unwrap();
        assert_close(&loss.as_vec(), &[total / tokens as f32], 1e-5);
    }
}

/// Images of different numbers of regions give the losses, gradients and words of each image alone.
#[test]
fn padding_of_regions_is_not_read() {
    // Of equal length, so that the mean over tokens is that over captions.
    const CAPTIONS: [(usize, &[TokenId]); 4] =
        [(0, &[4, 5, 6]), (1, &[8, 4, 4]), (2, &[7, 7, 5]), (1, &[5, 5, 3])];
    const COUNTS: [usize; 3] = [2, 4, 1];
    let real = regions(4).as_vec();
    let mut padded = real.clone();
    for (image, count) in COUNTS.into_iter().enumerate() {
        padded[(4 * image + count) * 4..(image + 1) * 16].fill(100.0);
    }
    let tensor = |values: &[f32], shape| Cpu::default().tensor_from_vec(values.to_vec(), shape);
    let padded: Regions<Cpu> = tensor(&padded, (3, 4, 4));
    let alone = |image: usize| -> Regions<Cpu> {
        let count = COUNTS[image];
        tensor(&real[image * 16..][..count * 4], (1, count, 4))
    };
    for decoder in decoders() {
        let results = |images: ImageRegions<Cpu, Taped<Cpu>>, captions: &[(usize, &[TokenId])]| {
            let (mut stream, batch) = (
                random_stream(0, "test", 0),
                CaptionBatch::new(captions.iter().copied()),
            );
            let loss = decoder
                .training_loss(images, &batch, Regularization::none(&mut stream))
                .unwrap();
            let mut results = vec![loss.as_vec()];
            let mut gradients = loss.backward();
            let parameters = decoder.parameters().into_iter();
            results.extend(parameters.map(|parameter| parameter.gradient(&mut gradients)));
            results
        };
        let together = results(
            ImageRegions::padded(padded.clone().leaky_traced(), &COUNTS),
            &CAPTIONS,
        );
        let mut means: Vec<Vec<f32>> = together.iter().map(|result| vec![0.0; result.len()]).collect();
        for (image, words) in CAPTIONS {
            let result = results(alone(image).leaky_traced().into(), &[(0, words)]);
            for (mean, value) in means.iter_mut().flatten().zip(result.iter().flatten()) {
                *mean += value / 4.0;
            }
        }
        for (together, mean) in together.iter().zip(&means) {
            assert_close(together, mean, 1e-5);
        }
        let step_decoder = decoder.inference().unwrap();
        let logits = |images: ImageRegions<Cpu>, image| {
            let state = step_decoder.start(images).unwrap().select(&[image]).unwrap();
            step_decoder.step(state, &[START]).unwrap().0.as_vec()
        };
        for image in 0..3 {
            let images = ImageRegions::padded(padded.clone(), &COUNTS);
            assert_close(&logits(images, image), &logits(alone(image).into(), 0), 1e-5);
        }
    }
}

#[test]
fn equal_counts_of_regions_are_no_padding() {
    let batch = CaptionBatch::new(CAPTIONS);
    for decoder in decoders() {
        let loss = |images: ImageRegions<Cpu>| decoder.loss(images, &batch).unwrap().as_vec();
        let counted = ImageRegions::padded(regions(3), &[3; 3]);
        assert_eq!(loss(counted), loss(regions(3).into()));
    }
}

#[test]
fn scale_logits_multiplies_logits() {
    for mut decoder in decoders() {
        let logits = |decoder: &dyn Decoder<Cpu>| {
            let step_decoder = decoder.inference().unwrap();
            let state = step_decoder.start(regions(2).into()).unwrap();
            step_decoder.step(state, &[START; 3]).unwrap().0.as_vec()
        };
        let before = logits(decoder.as_ref());
        decoder.scale_logits(3.0).unwrap();
        let expected: Vec<f32> = before.iter().map(|logit| 3.0 * logit).collect();
        assert_close(&logits(decoder.as_ref()), &expected, 1e-5);
    }
}

#[test]
fn the_order_of_captions_does_not_matter() {
    let mut reversed = CAPTIONS;
    reversed.reverse();
    for kind in DecoderKind::ALL {
        let decoder = decoder(kind);
        let loss = |captions| {
            decoder
                .loss(regions(1).into(), &CaptionBatch::new(captions))
                .unwrap()
                .as_vec()
        };
        assert_close(&loss(CAPTIONS), &loss(reversed), 1e-6);
    }
}

#[test]
fn the_image_matters() {
    for kind in DecoderKind::ALL {
        let step_decoder = decoder(kind).inference().unwrap();
        let logits = |image: usize| {
            let state = step_decoder
                .start(regions(1).into())
                .unwrap()
                .select(&[image])
                .unwrap();
            step_decoder.step(state, &[START]).unwrap().0.as_vec()
        };
        assert_ne!(logits(0), logits(1));
    }
}

#[test]
fn decoder_names_parse() {
    for kind in DecoderKind::ALL {
        assert_eq!(kind.to_string().parse::<DecoderKind>().unwrap(), kind);
    }
    assert_eq!(
        "attend".parse::<DecoderKind>().unwrap(),
        DecoderKind::SoftAttention
    );
    assert!("attend?".parse::<DecoderKind>().is_err());
}

/// Rows of the tables, by decoder: the name of a tensor and its shape in words.
fn documented(kind: DecoderKind) -> Vec<(String, String)> {
    let page = include_str!("../../docs/checkpoint-format.md");
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with(&format!("`{kind}`")));
    let rows = section.unwrap().lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split("` | `");
        Some((
            cells.next()?.to_owned(),
            cells.next()?.strip_suffix("` |")?.to_owned(),
        ))
    });
    rows.collect()
}

#[test]
fn documented_tensors_are_those_of_checkpoints() {
    let size = |name: &str| match name {
        "channels" => SHAPE.channels,
        "vocabulary" => SHAPE.vocabulary,
        "embedding" => SETTINGS.embedding_size,
        "hidden" => SETTINGS.hidden_size,
        "4 * hidden" => 4 * SETTINGS.hidden_size,
        "attention" => SETTINGS.attention_size,
        number => number.parse().unwrap(),
    };
    for kind in DecoderKind::ALL {
        let documented: Vec<(String, (usize, usize))> = documented(kind)
            .into_iter()
            .map(|(name, shape)| {
                let (rows, columns) = shape[1..shape.len() - 1].split_once(", ").unwrap();
                (name, (size(rows), size(columns)))
            })
            .collect();
        let decoder = decoder(kind);
        let built = decoder.parameters().into_iter();
        let built: Vec<_> = built.map(|p| (p.name.clone(), p.shape())).collect();
        assert_eq!(documented, built, "{kind}");
    }
}
