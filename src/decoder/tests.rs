//! What every decoder must satisfy.

use super::*;
use crate::nn::random_stream;
use crate::nn::testing::{assert_close, check_gradients, random_matrix};
use crate::text::{END, START, TokenId};
use rand::SeedableRng;

const CAPTIONS: [(usize, &[TokenId]); 4] = [(0, &[4, 5, 6, 7]), (1, &[8, 4]), (2, &[]), (1, &[5, 5, 3])];

fn decoder(kind: DecoderKind) -> Box<dyn Decoder<Cpu>> {
    let settings = DecoderSettings {
        kind,
        hidden: 6,
        embedding: 5,
        dropout: 0.0,
        attention: 3,
        coverage: 0.5,
    };
    let shape = DecoderShape {
        channels: 4,
        vocabulary: 9,
    };
    build(
        &Cpu::default(),
        &settings,
        shape,
        // A draw in which no ReLU switches within a difference's step.
        &mut ChaCha8Rng::seed_from_u64(2),
    )
    .unwrap()
}

/// `[3, count, 4]`
fn regions(count: usize) -> Regions<Cpu> {
    random_matrix((3 * count, 4), 3).reshape_like(&(3, count, 4))
}

#[test]
fn gradients_equal_finite_differences() {
    let batch = CaptionBatch::new(CAPTIONS);
    for kind in DecoderKind::ALL {
        for count in [1, 3] {
            check_gradients(
                &mut decoder(kind),
                |decoder| decoder.parameters_mut(),
                |decoder| {
                    let mut stream = random_stream(0, "test", 0);
                    let regularisation = Regularisation {
                        label_smoothing: 0.1,
                        stream: &mut stream,
                    };
                    decoder
                        .training_loss(regions(count).leaky_traced(), &batch, regularisation)
                        .unwrap()
                },
                5e-3,
            );
        }
    }
}

/// Captioning walks word by word what training does in one pass.
#[test]
fn steps_give_the_loss_of_the_whole_batch() {
    for kind in DecoderKind::ALL {
        let decoder = decoder(kind);
        let writer = decoder.writer().unwrap();
        let mut total = 0.0;
        let mut tokens = 0;
        for (photo, words) in CAPTIONS {
            let mut state = writer.start(regions(2)).unwrap().select(&[photo]).unwrap();
            let mut read = START;
            for &next in words.iter().chain([&END]) {
                let (logits, after) = writer.step(state, &[read]).unwrap();
                total -= logits.log_softmax::<Axis<1>>().as_vec()[next as usize];
                tokens += 1;
                (state, read) = (after, next);
            }
        }
        let loss = decoder.loss(regions(2), &CaptionBatch::new(CAPTIONS)).unwrap();
        assert_close(&loss.as_vec(), &[total / tokens as f32], 1e-5);
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
                .loss(regions(1), &CaptionBatch::new(captions))
                .unwrap()
                .as_vec()
        };
        assert_close(&loss(CAPTIONS), &loss(reversed), 1e-6);
    }
}

#[test]
fn the_photo_matters() {
    for kind in DecoderKind::ALL {
        let writer = decoder(kind).writer().unwrap();
        let logits = |photo: usize| {
            let state = writer.start(regions(1)).unwrap().select(&[photo]).unwrap();
            writer.step(state, &[START]).unwrap().0.as_vec()
        };
        assert_ne!(logits(0), logits(1));
    }
}

#[test]
fn names_are_read_back() {
    for kind in DecoderKind::ALL {
        assert_eq!(kind.to_string().parse::<DecoderKind>().unwrap(), kind);
    }
    assert!("attend?".parse::<DecoderKind>().is_err());
}
