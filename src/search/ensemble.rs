//! Ensembles: at every step, the mean of the members' log-probabilities.
//!
//! Members share a vocabulary. Dataset, encoder and decoder may differ. The log-probability of a caption is the mean of the
//! members' log-probabilities.

use crate::decoders::{DecoderState, ImageRegions, StepDecoder};
use crate::model::{ImageInputs, Model};
use crate::nn::cpu::slices::values;
use crate::nn::{Backend, DeviceResult};
use crate::text::TokenId;
use dfdx::prelude::HasShape;

/// A model and its inputs. A single one is an ensemble too.
pub struct Member<'a, D: Backend> {
    /// The model.
    pub model: &'a Model<D>,
    /// Its encoder's inputs, image by image in the same order for all members.
    pub inputs: &'a ImageInputs,
}

/// A member's decoder and its encoded images.
pub(super) type MemberStart<'w, D> = (&'w dyn StepDecoder<D>, ImageRegions<D>);

/// The members' decoders with their states: one row for each caption that is being written.
pub(super) struct Ensemble<'w, D: Backend> {
    members: Vec<MemberState<'w, D>>,
}

struct MemberState<'w, D: Backend> {
    decoder: &'w dyn StepDecoder<D>,
    state: DecoderState<D>,
}

/// Logits of the next words: in every row, those of one member after the other's.
pub(super) struct Logits {
    /// All rows.
    pub(super) values: Vec<f32>,
    /// Values in a row.
    pub(super) row_len: usize,
    /// Words of the vocabulary: values of one member in a row.
    pub(super) words: usize,
}

impl<'w, D: Backend> Ensemble<'w, D> {
    /// The states before the first word: one row for each image.
    pub(super) fn start(members: Vec<MemberStart<'w, D>>) -> DeviceResult<D, Self> {
        let start = |(decoder, regions): MemberStart<'w, D>| {
            let state = decoder.start(regions)?;
            Ok(MemberState { decoder, state })
        };
        let members = members.into_iter().map(start).collect::<DeviceResult<D, _>>()?;
        Ok(Self { members })
    }

    /// The listed rows, which may repeat.
    pub(super) fn select(self, rows: &[usize]) -> DeviceResult<D, Self> {
        self.map(|MemberState { decoder, state }| {
            let state = state.select(rows)?;
            Ok(MemberState { decoder, state })
        })
    }

    /// Reads one word a row.
    pub(super) fn step(self, words: &[TokenId]) -> DeviceResult<D, (Logits, Self)> {
        let mut logits = Vec::with_capacity(self.members.len());
        let mut width = 0;
        let after = self.map(|MemberState { decoder, state }| {
            let (next, state) = decoder.step(state, words)?;
            width = next.shape().1;
            logits.push(values(&next));
            Ok(MemberState { decoder, state })
        })?;
        let logits = Logits {
            row_len: width * logits.len(),
            words: width,
            values: side_by_side(logits, width),
        };
        Ok((logits, after))
    }

    /// The first member's attention weights for the last word, `[rows, regions]`; `None` without attention.
    pub(super) fn attention_weights(&self) -> Option<Vec<f32>> {
        let member = self.members.first()?;
        member.state.attention_weights.as_ref().map(values)
    }

    fn map(
        self,
        change: impl FnMut(MemberState<'w, D>) -> DeviceResult<D, MemberState<'w, D>>,
    ) -> DeviceResult<D, Self> {
        let members = self
            .members
            .into_iter()
            .map(change)
            .collect::<DeviceResult<D, _>>()?;
        Ok(Self { members })
    }
}

/// Concatenates the rows of matrices of one width; a single matrix stays as it is.
fn side_by_side(mut matrices: Vec<Vec<f32>>, width: usize) -> Vec<f32> {
    if matrices.len() == 1 {
        return matrices.remove(0);
    }
    let rows = matrices.first().map_or(0, |matrix| matrix.len() / width.max(1));
    let mut joined = Vec::with_capacity(rows * width * matrices.len());
    for row in 0..rows {
        for matrix in &matrices {
            joined.extend_from_slice(&matrix[row * width..][..width]);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AutoOr;
    use crate::decoders::DecoderKind;
    use crate::model::tests::{VOCABULARY, model_of};
    use crate::nn::testing::assert_close;
    use crate::search::{Hypothesis, Search, SearchSettings, Strategy, caption_all};
    use dfdx::prelude::Cpu;
    use std::ops::ControlFlow;

    const IMAGES: usize = 9;

    fn inputs(channels: usize) -> ImageInputs {
        let values = (0..IMAGES * channels).map(|n| (n * n % 17) as f32 / 8.0 - 1.0);
        ImageInputs::in_memory(values.collect(), channels)
    }

    fn captions(members: &[(&Model<Cpu>, &ImageInputs)], search: &SearchSettings) -> Vec<Vec<Hypothesis>> {
        let member = |&(model, inputs): &(_, _)| Member { model, inputs };
        let members: Vec<Member<'_, Cpu>> = members.iter().map(member).collect();
        let indices: Vec<usize> = (0..IMAGES).collect();
        let search = Search::by_probability(search.clone());
        caption_all(&members, &indices, &search, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    /// The log-probabilities of all first words that may be written, by word.
    fn first_words(members: &[(&Model<Cpu>, &ImageInputs)], image: usize) -> Vec<f32> {
        let search = SearchSettings {
            beam_size: VOCABULARY,
            max_length: AutoOr::Set(1),
            ..Default::default()
        };
        let mut found = captions(members, &search).swap_remove(image);
        found.sort_by_key(|hypothesis| hypothesis.tokens[0]);
        found.iter().map(|found| found.log_probability as f32).collect()
    }

    #[test]
    fn ensemble_of_one_model_twice_equals_the_model() {
        let (model, inputs) = (model_of(DecoderKind::Inject, 5, 4), inputs(5));
        let alone = (&model, &inputs);
        for strategy in [Strategy::Beam, Strategy::Sample] {
            let search = SearchSettings {
                strategy,
                beam_size: 4,
                ..Default::default()
            };
            assert_eq!(captions(&[alone, alone], &search), captions(&[alone], &search));
        }
    }

    #[test]
    fn ensemble_averages_log_probabilities() {
        let models = [
            (model_of(DecoderKind::Inject, 5, 1), inputs(5)),
            (model_of(DecoderKind::Merge, 3, 2), inputs(3)),
            (model_of(DecoderKind::Merge, 5, 3), inputs(5)),
        ];
        let members: Vec<_> = models.iter().map(|(model, inputs)| (model, inputs)).collect();
        for image in 0..IMAGES {
            let alone: Vec<Vec<f32>> = members.iter().map(|&one| first_words(&[one], image)).collect();
            let mean = |word: usize| alone.iter().map(|one| one[word]).sum::<f32>() / 3.0;
            let expected: Vec<f32> = (0..alone[0].len()).map(mean).collect();
            assert_close(&first_words(&members, image), &expected, 1e-6);
        }
    }
}
