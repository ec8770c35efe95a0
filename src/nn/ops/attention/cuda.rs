//! Additive attention on a GPU.
//!
//! Why it is fast: keys and values are read in place, where composed operations copy those of its image for every query;
//! no buffer has the size `[rows, regions, attention]`. The backward pass recomputes tanh, and the
//! thread that writes a gradient collects all of its terms.

use super::{AttentionOutput, Matrix};
use crate::nn::backend::DeviceResult;
use crate::nn::cuda::{
    DeviceBuffer, DeviceSlice, Elementwise, GradientTarget, Grid, KernelDevice, Stream, launch,
};
use crate::nn::ops::rows::cuda::InverseIndex;
use crate::nn::tape::{contiguous, record};
use dfdx::prelude::*;
#[cfg(feature = "cuda")]
use std::sync::Arc;

/// Keys and values of a batch of images.
#[cfg(feature = "cuda")]
#[derive(Clone, Debug)]
pub struct CudaAttentionMemory {
    keys: Matrix<Cuda>,
    values: Matrix<Cuda>,
    regions: usize,
    counts: Option<Arc<[usize]>>,
}

#[cfg(feature = "cuda")]
impl super::AttentionKernel for Cuda {
    type AttentionMemory = CudaAttentionMemory;

    fn prepare_memory(
        keys: Matrix<Self>,
        values: Matrix<Self>,
        regions: usize,
        counts: Option<Arc<[usize]>>,
    ) -> DeviceResult<Self, CudaAttentionMemory> {
        Ok(CudaAttentionMemory {
            keys,
            values,
            regions,
            counts,
        })
    }

    fn try_attend<T: Tape<f32, Self>>(
        queries: Matrix<Self, T>,
        memory: &CudaAttentionMemory,
        score: &Matrix<Self>,
        images: &[usize],
    ) -> DeviceResult<Self, AttentionOutput<Self, T>> {
        fused(
            queries,
            (&memory.keys, &memory.values),
            memory.regions,
            memory.counts.as_deref(),
            score,
            images,
        )
    }
}

/// See [`composed_attention`](super::composed_attention).
pub(super) fn fused<D: KernelDevice, T: Tape<f32, D>>(
    queries: Matrix<D, T>,
    (keys, values): (&Matrix<D>, &Matrix<D>),
    regions: usize,
    counts: Option<&[usize]>,
    score: &Matrix<D>,
    images: &[usize],
) -> DeviceResult<D, AttentionOutput<D, T>> {
    let Some(stream) = queries.device().stream() else {
        return super::composed_attention(queries, (keys, values), regions, counts, score, images);
    };
    let (queries, mut tape) = queries.try_contiguous()?.split_tape();
    let keys = contiguous(keys, &mut tape)?;
    let values = contiguous(values, &mut tape)?;
    let score = contiguous(score, &mut tape)?;
    let (all_regions, attention) = *keys.shape();
    let rows = images.len();
    assert_eq!(*queries.shape(), (rows, attention), "shape of queries");
    assert_eq!(*score.shape(), (attention, 1), "shape of the score's weight");
    assert!(
        images.iter().all(|image| (image + 1) * regions <= all_regions),
        "images that are not in memory"
    );
    let step = AttentionLaunches {
        images: stream.upload_indices(images)?,
        counts: match counts {
            Some(counts) => {
                let of_rows: Vec<usize> = images.iter().map(|&image| counts[image]).collect();
                Some(stream.upload_indices(&of_rows)?)
            }
            None => None,
        },
        rows,
        regions,
        attention,
        hidden: values.shape().1,
        keys: D::slice(&keys),
        values: D::slice(&values),
        queries: D::slice(&queries),
        score: D::slice(&score),
        stream,
    };
    let (context, of_context) = queries.device().alloc_tensor((rows, step.hidden))?;
    let (weights, per_weight) = queries.device().alloc_tensor((rows, step.regions))?;
    step.forward(per_weight, of_context)?;
    let result = weights.clone();
    let image_indices = if T::OWNS_TAPE { images.to_vec() } else { Vec::new() };
    let context = record(context, tape, move |gradients, context| {
        let from_context = D::gradient(gradients, context)?;
        let of_scores = step.to_scores(per_weight, from_context, D::gradient(gradients, &weights)?)?;
        let of_scores = of_scores.slice();
        let to_score = D::gradient_target(gradients, &score)?;
        step.to_queries(of_scores, D::gradient(gradients, &queries)?, to_score)?;
        let queries_of_images = InverseIndex::new(&step.stream, &image_indices)?;
        step.to_keys(of_scores, &queries_of_images, D::gradient(gradients, &keys)?)?;
        let to_values = D::gradient(gradients, &values)?;
        step.to_values(per_weight, from_context, &queries_of_images, to_values)
    });
    Ok(AttentionOutput {
        context,
        weights: result,
    })
}

/// All queries of a step and the inputs of its kernels.
struct AttentionLaunches<E: Stream> {
    stream: E,
    /// For every query, its image.
    images: E::Buffer,
    /// For every query, the regions of its image, where there is padding.
    counts: Option<E::Buffer>,
    rows: usize,
    regions: usize,
    attention: usize,
    hidden: usize,
    keys: DeviceSlice,
    values: DeviceSlice,
    /// `[rows, attention]`
    queries: DeviceSlice,
    /// `[attention]`
    score: DeviceSlice,
}

impl<E: Stream> AttentionLaunches<E> {
    /// A block for each weight.
    fn per_weight(&self) -> Grid {
        Grid::blocks(self.rows, self.regions)
    }

    fn forward(&self, weights: DeviceSlice, context: DeviceSlice) -> Result<(), E::Error> {
        let (stream, images, regions, hidden) =
            (&self.stream, self.images.slice(), self.regions, self.hidden);
        let weights = weights.first(self.rows * regions);
        launch!(stream => attention_scores[self.per_weight()](
            self.keys, self.queries, self.score, images, weights, regions, self.attention))?;
        if let Some(counts) = &self.counts {
            let count = self.rows * regions;
            launch!(stream => attention_mask[count](counts.slice(), weights, regions, count))?;
        }
        launch!(stream => softmax_rows[Grid::blocks(self.rows, 1)](weights, regions))?;
        let count = self.rows * hidden;
        let context = context.first(count);
        launch!(stream => attention_context[count](self.values, weights, images, context, regions, hidden, count))
    }

    /// The gradient of the scores, `[rows, regions]`.
    fn to_scores(
        &self,
        weights: DeviceSlice,
        from_context: DeviceSlice,
        from_weights: DeviceSlice,
    ) -> Result<E::Buffer, E::Error> {
        let (stream, images, regions, count) = (
            &self.stream,
            self.images.slice(),
            self.regions,
            self.rows * self.regions,
        );
        let buffer = stream.alloc(count)?;
        let (gradient, weights, from_weights) =
            (buffer.slice(), weights.first(count), from_weights.first(count));
        let from_context = from_context.first(self.rows * self.hidden);
        launch!(stream => attention_to_weights[self.per_weight()](
            self.values, from_context, from_weights, images, gradient, regions, self.hidden))?;
        launch!(stream => softmax_rows_back[Grid::blocks(self.rows, 1)](weights, gradient, regions))?;
        Ok(buffer)
    }

    fn to_queries(
        &self,
        of_scores: DeviceSlice,
        to_queries: DeviceSlice,
        (to_score, mode): GradientTarget,
    ) -> Result<(), E::Error> {
        let (stream, regions, attention) = (&self.stream, self.regions, self.attention);
        let count = self.rows * attention;
        let of_rows = stream.alloc(count)?;
        let to_queries = to_queries.first(count);
        launch!(stream => attention_to_queries[count](
            self.keys, self.queries, self.score, of_scores, self.images.slice(), to_queries, of_rows.slice(),
            regions, attention, count))?;
        stream.column_sums(of_rows.slice(), to_score, mode)
    }

    fn to_keys(
        &self,
        of_scores: DeviceSlice,
        queries_of_images: &InverseIndex<E::Buffer>,
        to_keys: DeviceSlice,
    ) -> Result<(), E::Error> {
        let (stream, regions, attention) = (&self.stream, self.regions, self.attention);
        let count = queries_of_images.unique_count * regions * attention;
        let [images, starts, positions] = queries_of_images.slices();
        let (keys, to_keys) = (self.keys.first(count), to_keys.first(count));
        launch!(stream => attention_to_keys[count](
            keys, self.queries, self.score, of_scores, images, starts, positions, to_keys, regions, attention, count))
    }

    fn to_values(
        &self,
        weights: DeviceSlice,
        from_context: DeviceSlice,
        queries_of_images: &InverseIndex<E::Buffer>,
        to_values: DeviceSlice,
    ) -> Result<(), E::Error> {
        let (stream, regions, hidden) = (&self.stream, self.regions, self.hidden);
        let count = queries_of_images.unique_count * regions * hidden;
        let [images, starts, positions] = queries_of_images.slices();
        let (weights, from_context) = (
            weights.first(self.rows * regions),
            from_context.first(self.rows * hidden),
        );
        let to_values = to_values.first(count);
        launch!(stream => attention_to_values[count](
            weights, from_context, images, starts, positions, to_values, regions, hidden, count))
    }
}
