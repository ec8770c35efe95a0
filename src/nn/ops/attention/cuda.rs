//! Additive attention on a GPU.
//!
//! Why it is fast: keys and values are read in place, where composed operations copy those of its image for every
//! query; nothing of the size of `[rows, regions, attention]` is ever stored. The backward pass computes the hyperbolic tangents
//! out again, and every gradient is collected by the thread that writes it.

use super::{AttentionOutput, Matrix};
use crate::nn::backend::{Backend, DeviceResult};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{DeviceBuffer, DeviceSlice, KernelDevice, Launch, Stream, elementwise};
use crate::nn::ops::rows::cuda::InverseIndex;
use dfdx::prelude::*;

/// Keys and values of a batch of images.
#[cfg(feature = "cuda")]
#[derive(Clone, Debug)]
pub struct CudaAttentionMemory {
    keys: Matrix<Cuda>,
    values: Matrix<Cuda>,
    regions: usize,
}

#[cfg(feature = "cuda")]
impl super::AttentionKernel for Cuda {
    type AttentionMemory = CudaAttentionMemory;

    fn prepare_memory(
        keys: Matrix<Self>,
        values: Matrix<Self>,
        regions: usize,
    ) -> DeviceResult<Self, CudaAttentionMemory> {
        Ok(CudaAttentionMemory {
            keys,
            values,
            regions,
        })
    }

    fn try_attend<T: Tape<f32, Self> + Merge<T>>(
        queries: Matrix<Self, T>,
        memory: &CudaAttentionMemory,
        score: &Matrix<Self>,
        images: &[usize],
    ) -> DeviceResult<Self, AttentionOutput<Self, T>> {
        let (slices, regions) = ((&memory.keys, &memory.values), memory.regions);
        match queries.device().stream() {
            Some(stream) => fused(stream, queries, slices, regions, score, images),
            None => super::composed_attention(queries, slices, regions, score, images),
        }
    }
}

/// [`composed_attention`](super::composed_attention) is what it computes.
pub(super) fn fused<D: KernelDevice + Backend, T: Tape<f32, D>>(
    stream: D::Stream,
    queries: Matrix<D, T>,
    (keys, values): (&Matrix<D>, &Matrix<D>),
    regions: usize,
    score: &Matrix<D>,
    images: &[usize],
) -> DeviceResult<D, AttentionOutput<D, T>> {
    let (queries, mut tape) = queries.split_tape();
    let queries = contiguous(&queries, &mut tape)?;
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
        rows,
        regions,
        attention,
        hidden: values.shape().1,
        stream,
    };
    let (context, of_context) = elementwise::alloc_tensor(queries.device(), (rows, step.hidden))?;
    let (weights, per_weight) = elementwise::alloc_tensor(queries.device(), (rows, step.regions))?;
    let slices = AttentionSlices {
        keys: D::slice(&keys),
        values: D::slice(&values),
        queries: D::slice(&queries),
        score: D::slice(&score),
    };
    step.forward(slices, per_weight, of_context)?;
    let results = (context.clone(), weights.clone());
    let image_indices = if T::OWNS_TAPE { images.to_vec() } else { Vec::new() };
    tape.add_backward_op(move |gradients| {
        let from_context = D::gradient(gradients, &context)?;
        let from_weights = D::gradient(gradients, &weights)?;
        let of_scores = step.to_scores(slices, per_weight, from_context, from_weights)?;
        let of_scores = of_scores.slice();
        let to_score = D::gradient(gradients, &score)?;
        step.to_queries(slices, of_scores, D::gradient(gradients, &queries)?, to_score)?;
        let queries_of_images = step.queries_of_images(&image_indices)?;
        step.to_keys(
            slices,
            of_scores,
            &queries_of_images,
            D::gradient(gradients, &keys)?,
        )?;
        step.to_values(
            per_weight,
            from_context,
            &queries_of_images,
            D::gradient(gradients, &values)?,
        )
    });
    Ok(AttentionOutput {
        context: results.0.put_tape(tape),
        weights: results.1,
    })
}

/// What is looked at, and with what.
#[derive(Clone, Copy)]
struct AttentionSlices {
    keys: DeviceSlice,
    values: DeviceSlice,
    queries: DeviceSlice,
    score: DeviceSlice,
}

/// All queries of a step.
struct AttentionLaunches<E: Stream> {
    stream: E,
    /// For every query, its image.
    images: E::Buffer,
    rows: usize,
    regions: usize,
    attention: usize,
    hidden: usize,
}

/// For each image with queries, its queries.
struct ImageQueries<R> {
    count: usize,
    slices: R,
    starts: R,
    positions: R,
}

impl<E: Stream> AttentionLaunches<E> {
    fn forward(
        &self,
        slices: AttentionSlices,
        weights: DeviceSlice,
        context: DeviceSlice,
    ) -> Result<(), E::Error> {
        self.stream.run(
            self.per_weight("attention_scores")
                .values(slices.keys, 0)
                .values(slices.queries, self.rows * self.attention)
                .values(slices.score, self.attention)
                .values(self.images.slice(), self.rows)
                .values(weights, self.rows * self.regions)
                .size(self.regions)
                .size(self.attention),
        )?;
        self.stream.run(
            Launch::of_blocks("softmax_rows", [self.rows, 1])
                .values(weights, self.rows * self.regions)
                .size(self.regions),
        )?;
        let count = self.rows * self.hidden;
        self.stream.run(
            Launch::per_value("attention_context", count)
                .values(slices.values, 0)
                .values(weights, self.rows * self.regions)
                .values(self.images.slice(), self.rows)
                .values(context, count)
                .size(self.regions)
                .size(self.hidden)
                .count(count),
        )
    }

    /// The gradient of the scores, `[rows, regions]`.
    fn to_scores(
        &self,
        slices: AttentionSlices,
        weights: DeviceSlice,
        from_context: DeviceSlice,
        from_weights: DeviceSlice,
    ) -> Result<E::Buffer, E::Error> {
        let count = self.rows * self.regions;
        let gradient = self.stream.alloc(count)?;
        self.stream.run(
            self.per_weight("attention_to_weights")
                .values(slices.values, 0)
                .values(from_context, self.rows * self.hidden)
                .values(from_weights, count)
                .values(self.images.slice(), self.rows)
                .values(gradient.slice(), count)
                .size(self.regions)
                .size(self.hidden),
        )?;
        self.stream.run(
            Launch::of_blocks("softmax_rows_back", [self.rows, 1])
                .values(weights, count)
                .values(gradient.slice(), count)
                .size(self.regions),
        )?;
        Ok(gradient)
    }

    fn to_queries(
        &self,
        slices: AttentionSlices,
        of_scores: DeviceSlice,
        to_queries: DeviceSlice,
        to_score: DeviceSlice,
    ) -> Result<(), E::Error> {
        let count = self.rows * self.attention;
        let of_rows = self.stream.alloc(count)?;
        self.stream.run(
            Launch::per_value("attention_to_queries", count)
                .values(slices.keys, 0)
                .values(slices.queries, count)
                .values(slices.score, self.attention)
                .values(of_scores, self.rows * self.regions)
                .values(self.images.slice(), self.rows)
                .values(to_queries, count)
                .values(of_rows.slice(), count)
                .size(self.regions)
                .size(self.attention)
                .count(count),
        )?;
        elementwise::column_sums(&self.stream, of_rows.slice(), to_score, WriteMode::Accumulate)
    }

    fn queries_of_images(&self, images: &[usize]) -> Result<ImageQueries<E::Buffer>, E::Error> {
        let InverseIndex {
            unique,
            starts,
            positions,
        } = InverseIndex::new(images);
        Ok(ImageQueries {
            count: unique.len(),
            slices: self.stream.upload_indices(&unique)?,
            starts: self.stream.upload_indices(&starts)?,
            positions: self.stream.upload_indices(&positions)?,
        })
    }

    fn to_keys(
        &self,
        slices: AttentionSlices,
        of_scores: DeviceSlice,
        queries_of_images: &ImageQueries<E::Buffer>,
        to_keys: DeviceSlice,
    ) -> Result<(), E::Error> {
        let count = queries_of_images.count * self.regions * self.attention;
        let launch = Launch::per_value("attention_to_keys", count)
            .values(slices.keys, count)
            .values(slices.queries, self.rows * self.attention)
            .values(slices.score, self.attention)
            .values(of_scores, self.rows * self.regions);
        self.stream.run(
            self.with_queries(launch, queries_of_images)
                .values(to_keys, count)
                .size(self.regions)
                .size(self.attention)
                .count(count),
        )
    }

    fn to_values(
        &self,
        weights: DeviceSlice,
        from_context: DeviceSlice,
        queries_of_images: &ImageQueries<E::Buffer>,
        to_values: DeviceSlice,
    ) -> Result<(), E::Error> {
        let count = queries_of_images.count * self.regions * self.hidden;
        let launch = Launch::per_value("attention_to_values", count)
            .values(weights, self.rows * self.regions)
            .values(from_context, self.rows * self.hidden);
        self.stream.run(
            self.with_queries(launch, queries_of_images)
                .values(to_values, count)
                .size(self.regions)
                .size(self.hidden)
                .count(count),
        )
    }

    fn with_queries(&self, launch: Launch, queries_of_images: &ImageQueries<E::Buffer>) -> Launch {
        launch
            .values(queries_of_images.slices.slice(), queries_of_images.count)
            .values(queries_of_images.starts.slice(), queries_of_images.count + 1)
            .values(queries_of_images.positions.slice(), self.rows)
    }

    /// A block for each weight.
    fn per_weight(&self, kernel: &'static str) -> Launch {
        Launch::of_blocks(kernel, [self.regions, self.rows])
    }
}
