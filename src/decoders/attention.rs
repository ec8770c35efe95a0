//! Additive attention over the regions of an image: keys and values are projected once, queries at every step.

use super::ImageRegions;
use super::image_regions::mean_without_padding;
use crate::nn::{
    Activation, AttentionOutput, Backend, DeviceResult, Dropout, Initialization, Linear, Matrix,
    MatrixResult, Parameter, impl_layer,
};
use dfdx::prelude::*;
use rand::Rng;
use std::sync::Arc;

/// Additive attention over the regions of an image.
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

#[derive(Clone, Copy, Debug)]
pub(super) struct AttentionWidths {
    /// Channels of a region.
    pub(super) channels: usize,
    /// Width of values and hidden states.
    pub(super) hidden: usize,
    /// Width of keys and queries.
    pub(super) attention: usize,
}

/// The projected regions of a batch of images.
pub(super) struct ProjectedRegions<D: Backend, T> {
    /// Keys and values of all regions.
    pub(super) memory: D::AttentionMemory,
    /// The mean value of each image, `[images, hidden]`. Its tape is the tape of `memory` too.
    pub(super) mean: Matrix<D, T>,
    /// Regions of each image, where there is padding.
    pub(super) counts: Option<Arc<[usize]>>,
}

/// Keys and values of all images, and the image of each row of a step.
pub(super) struct MemoryOfRows<'a, D: Backend> {
    pub(super) memory: &'a D::AttentionMemory,
    pub(super) images: &'a [usize],
}

impl<D: Backend> RegionAttention<D> {
    pub(super) fn new(device: &D, widths: AttentionWidths, rng: &mut impl Rng) -> DeviceResult<D, Self> {
        let AttentionWidths {
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

    /// Projects all regions to keys and values.
    pub(super) fn project<T: Tape<f32, D>>(
        &self,
        images: ImageRegions<D, T>,
        dropout: &mut Dropout<'_>,
    ) -> DeviceResult<D, ProjectedRegions<D, T>> {
        let (seen, count, channels) = images.shape();
        let ImageRegions { regions, counts } = images;
        let rows = regions.try_reshape_like(&(seen * count, channels))?;
        let values = dropout.apply(self.image.activated(rows, Activation::Relu)?)?;
        // One tape runs through keys and mean: keys and values go into the memory without a tape of their own.
        let (values, tape) = values.split_tape();
        let (keys, tape) = self.key.forward(values.clone().put_tape(tape))?.split_tape();
        let taped = values.clone().put_tape(tape);
        let mean = match &counts {
            None => D::mean_of_groups(taped, count)?,
            Some(counts) => {
                let shape = (seen, count, values.shape().1);
                mean_without_padding(taped.try_reshape_like(&shape)?, counts)?
            }
        };
        Ok(ProjectedRegions {
            memory: D::prepare_memory(keys, values, count, counts.clone())?,
            mean,
            counts,
        })
    }

    /// The query's weight, prepared for `uses` rows in all steps together.
    pub(super) fn query_weight<T: Tape<f32, D>>(
        &self,
        uses: usize,
        tape: &mut T,
    ) -> DeviceResult<D, D::StepWeight> {
        D::step_weight(&self.query.weight.value, uses, tape)
    }

    /// Attends to the image of each row. `hidden` has no tape: its operations must be recorded in `tape`.
    pub(super) fn attend<T: Tape<f32, D>>(
        &self,
        query: &D::StepWeight,
        hidden: &Matrix<D>,
        rows: &MemoryOfRows<'_, D>,
        tape: T,
    ) -> DeviceResult<D, AttentionOutput<D, T>> {
        let bias = repeated(&self.query.bias, rows.images.len(), tape)?;
        let queries = D::add_products(bias, &[(hidden, query)])?;
        D::try_attend(queries, rows.memory, &self.score.value, rows.images)
    }
}

/// A bias repeated to `[rows, columns]`, recorded in `tape`.
pub(super) fn repeated<D: Backend, T: Tape<f32, D>>(
    bias: &Parameter<D>,
    rows: usize,
    tape: T,
) -> MatrixResult<D, T> {
    D::gather_rows(bias.value.clone().put_tape(tape), &vec![0; rows])
}

impl_layer!(RegionAttention: image, key, query, score);
