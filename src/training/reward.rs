//! How good a caption is that the model has drawn: what self-critical training makes likelier.

use super::data::{EncodedCaption, TrainingSplit};
use super::settings::RewardSettings;
use crate::metrics::{BleuStatistics, CiderD, MAX_ORDER};
use crate::search::Hypothesis;
use crate::text::{END, PAD, START, TokenId, UNKNOWN};
use rayon::prelude::*;

/// Scores captions in token ids against those of the training split.
///
/// Captions count with their end marker: a reward that does not see it teaches to break off after "in a" (Rennie et
/// al. 2017's released code, and Luo 2018's, section 4, do the same).
pub(super) struct Reward {
    cider: CiderD<TokenId>,
    /// Of every image.
    references: Vec<Vec<Vec<TokenId>>>,
}

/// A caption that was drawn, and the image it was drawn for.
#[derive(Clone, Copy)]
pub(super) struct Drawn<'a> {
    pub(super) image: usize,
    pub(super) sample: &'a Hypothesis,
}

impl Reward {
    pub(super) fn new(split: &TrainingSplit) -> Self {
        let mut references = vec![Vec::new(); split.references.len()];
        for EncodedCaption { image, words } in &split.captions {
            references[*image].push(with_end(words));
        }
        Self {
            cider: CiderD::from_references(references.iter().map(Vec::as_slice)),
            references,
        }
    }

    /// Of every caption.
    pub(super) fn of(&self, drawn: &[Drawn<'_>], settings: &RewardSettings) -> Vec<f64> {
        let score = |drawn: &Drawn<'_>| {
            let references = &self.references[drawn.image];
            let words = as_scored(drawn.sample);
            let cider = match settings.cider_d {
                0.0 => 0.0,
                weight => f64::from(weight) * self.cider.score(&words, references),
            };
            let bleu = match settings.bleu_4 {
                0.0 => 0.0,
                weight => f64::from(weight) * BleuStatistics::of(&words, references).scores()[MAX_ORDER - 1],
            };
            cider + bleu
        };
        drawn.par_iter().map(score).collect()
    }
}

/// The words that are compared with the references'. One that no caption is ever written with agrees with nothing.
fn as_scored(sample: &Hypothesis) -> Vec<TokenId> {
    let written = |&word: &TokenId| match word {
        UNKNOWN | START => PAD,
        word => word,
    };
    let words: Vec<TokenId> = sample.tokens.iter().map(written).collect();
    match sample.is_complete {
        true => with_end(&words),
        false => words,
    }
}

fn with_end(words: &[TokenId]) -> Vec<TokenId> {
    [words, &[END]].concat()
}

/// By how much each reward lies above what the other captions of its image got: groups of `count` neighbors.
///
/// The mean of the others is a baseline that costs nothing and does not depend on the caption itself (Kool et al.
/// 2019, "Buy 4 REINFORCE samples, get a baseline for free"; Luo 2020, "A better variant of self-critical sequence
/// training"), where Rennie et al. 2017 write one more caption, the likeliest.
pub(super) fn advantages(rewards: &[f64], count: usize) -> Vec<f32> {
    let of_image = |rewards: &[f64]| -> Vec<f32> {
        let total: f64 = rewards.iter().sum();
        let others = (rewards.len() - 1).max(1) as f64;
        let advantage = |reward: &f64| (reward - (total - reward) / others) as f32;
        rewards.iter().map(advantage).collect()
    };
    rewards.chunks(count).flat_map(of_image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_beats_the_others_is_made_likelier() {
        assert_eq!(
            advantages(&[3.0, 1.0, 2.0, 5.0, 5.0, 5.0], 3),
            [1.5, -1.5, 0.0, 0.0, 0.0, 0.0]
        );
    }

    proptest! {
        #[test]
        fn the_advantages_of_an_image_cancel_out(rewards in prop::collection::vec(0.0_f64..10.0, 5..=5)) {
            let sum: f32 = advantages(&rewards, 5).iter().sum();
            prop_assert!(sum.abs() < 1e-4);
        }
    }
}
