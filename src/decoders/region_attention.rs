//! How decoders that attend look at an image: regions become keys and values once, and every step asks anew.

use super::Noise;
use crate::nn::{
    Activation, AttentionOutput, Backend, DeviceResult, Initialization, Linear, Matrix, Parameter, Regions,
    StepWeight, add_products, gather_rows, impl_layer, mean_of_groups,
};
use dfdx::prelude::*;
use rand::Rng;

/// Additive attention over the regions of an image, which are projected once for all captions that look at them.
#[derive(Clone, Debug)]
pub(super) struct RegionAttention<D: Backend> {
    /// From features to values.
    image: Linear<D>,
    /// From values to keys.
    key: Linear<D>,
    /// From the hidden state to queries.
    query: Linear<D>,
    /// `s`: `[attention, 1]`
    score: Parameter<D>,
}

/// Widths of what attention works on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    /// Of a region's features.
    pub(super) channels: usize,
    /// Of values and hidden states.
    pub(super) hidden: usize,
    /// Of keys and queries.
    pub(super) attention: usize,
}

/// What is seen of the images of a batch.
pub(super) struct Seen<D: Backend, T> {
    /// Every region's key and value.
    pub(super) sight: D::AttentionMemory,
    /// The mean value of an image: `[images, hidden]`. All history travels with it.
    pub(super) mean: Matrix<D, T>,
}

impl<D: Backend> RegionAttention<D> {
    pub(super) fn new(device: &D, widths: Widths, rng: &mut impl Rng) -> DeviceResult<D, Self> {
        let Widths {
            channels,
            hidden,
            attention,
        } = widths;
        let glorot = Initialization::Glorot;
        Ok(Self {
            image: Linear::new(device, "image", (channels, hidden), Initialization::He, rng)?,
            key: Linear::new(device, "key", (hidden, attention), glorot, rng)?,
            query: Linear::new(device, "query", (hidden, attention), glorot, rng)?,
            score: Parameter::new(device, "score.weight", (attention, 1), glorot, rng)?,
        })
    }

    /// Projects all regions.
    pub(super) fn see<T: Tape<f32, D>>(
        &self,
        regions: Regions<D, T>,
        noise: &mut Noise<'_>,
    ) -> DeviceResult<D, Seen<D, T>> {
        let (images, count, channels) = *regions.shape();
        let rows = regions.try_reshape_like(&(images * count, channels))?;
        let values = noise.apply(self.image.activated(rows, Activation::Relu)?)?;
        let (values, tape) = values.split_tape();
        let (keys, tape) = self.key.forward(values.clone().put_tape(tape))?.split_tape();
        let mean = mean_of_groups(values.clone().put_tape(tape), count)?;
        Ok(Seen {
            sight: D::prepare_memory(keys, values, count)?,
            mean,
        })
    }

    /// The query's weight, as steps read it.
    pub(super) fn step_weight<T: Tape<f32, D>>(
        &self,
        uses: usize,
        tape: &mut T,
    ) -> DeviceResult<D, StepWeight<D>> {
        let weight = &self.query.weight;
        StepWeight::new(weight, 0..weight.shape().0, uses, tape)
    }

    /// Looks at the images listed for the first rows of `hidden`, whose history must be part of `tape`.
    pub(super) fn look<T: Tape<f32, D> + Merge<T>>(
        &self,
        query: &StepWeight<D>,
        hidden: &Matrix<D>,
        (sight, images): (&D::AttentionMemory, &[usize]),
        tape: T,
    ) -> DeviceResult<D, AttentionOutput<D, T>> {
        let sums = repeated(&self.query.bias, images.len(), tape)?;
        let queries = add_products(sums, &[(hidden, query)])?;
        D::try_attend(queries, sight, &self.score.value, images)
    }
}

/// A bias under itself, `[rows, columns]`, with `tape` as its history.
pub(super) fn repeated<D: Backend, T: Tape<f32, D> + Merge<T>>(
    bias: &Parameter<D>,
    rows: usize,
    tape: T,
) -> DeviceResult<D, Matrix<D, T>> {
    gather_rows(bias.value.clone().put_tape(tape), &vec![0; rows])
}

impl_layer!(RegionAttention: image, key, query, score);
