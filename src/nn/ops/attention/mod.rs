//! Additive attention over the regions of images.
//!
//! Bahdanau et al. 2015 (appendix A.1.2), as Xu et al. 2015 ("Show, Attend and Tell", equations 4 to 6) and Anderson
//! et al. 2018 (section 3.2.1) use it on images:
//!
//! ```text
//! e_r     = s' tanh(k_r + q)           score of region r
//! a       = softmax(e)
//! context = sum over r of a_r v_r
//! ```

mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
mod row;
#[cfg(test)]
mod tests;

use crate::nn::{DeviceResult, Matrix, PackedSequence, Scalar};
use dfdx::prelude::*;
use std::sync::Arc;

/// The result of attention.
#[derive(Clone, Debug)]
pub struct AttentionOutput<D: Device<f32>, T> {
    /// `[rows, hidden]`: the weighted values, with the tape of both results.
    pub context: Matrix<D, T>,
    /// `[rows, regions]`: the weights.
    pub weights: Matrix<D>,
}

/// Additive attention on a device.
pub trait AttentionKernel: Device<f32> {
    /// Keys and values of all images of a batch, as the device reads them at each step.
    type AttentionMemory: Clone + std::fmt::Debug;

    /// Prepares `keys` `[images * regions, attention]` and `values` `[images * regions, hidden]` for all steps. The regions
    /// of an image after its number in `counts` are padding: their weights are 0.
    ///
    /// Tape rule: the tape of the queries must already contain that of keys and values.
    fn prepare_memory(
        keys: Matrix<Self>,
        values: Matrix<Self>,
        regions: usize,
        counts: Option<Arc<[usize]>>,
    ) -> Result<Self::AttentionMemory, Self::Err>;

    /// Attends with queries `[rows, attention]` to the images listed for them; `score` is `s`, `[attention, 1]`.
    ///
    /// [`composed_attention`] says what a kernel must compute.
    fn try_attend<T: Tape<f32, Self>>(
        queries: Matrix<Self, T>,
        memory: &Self::AttentionMemory,
        score: &Matrix<Self>,
        images: &[usize],
    ) -> Result<AttentionOutput<Self, T>, Self::Err>;
}

/// A score whose weight is exactly 0 beside any other.
const PADDING_SCORE: f32 = -1e30;

/// [`AttentionKernel::try_attend`], composed of dfdx operations: it runs on any device.
pub fn composed_attention<D: Device<f32>, T: Tape<f32, D>>(
    queries: Matrix<D, T>,
    (keys, values): (&Matrix<D>, &Matrix<D>),
    regions: usize,
    counts: Option<&[usize]>,
    score: &Matrix<D>,
    images: &[usize],
) -> DeviceResult<D, AttentionOutput<D, T>> {
    let (all_regions, attention) = *keys.shape();
    let (_, hidden) = *values.shape();
    let seen = all_regions / regions;
    let rows = images.len();
    let index = queries.device().try_tensor_from_vec(images.to_vec(), (rows,))?;
    let keys = keys
        .retaped::<T>()
        .try_reshape_like(&(seen, regions, attention))?;
    let keys = keys.try_gather(index.clone())?;
    let queries = queries.try_broadcast_like::<_, Axis<1>>(keys.shape())?;
    let scores = keys
        .try_add(queries)?
        .try_tanh()?
        .try_reshape_like(&(rows * regions, attention))?
        .try_matmul(score.clone())?
        .try_reshape_like(&(rows, regions))?;
    let scores = match counts {
        None => scores,
        Some(counts) => {
            let mut padding = vec![0.0; rows * regions];
            for (padding, &image) in padding.chunks_exact_mut(regions).zip(images) {
                padding[counts[image]..].fill(PADDING_SCORE);
            }
            let padding = scores.device().try_tensor_from_vec(padding, (rows, regions))?;
            scores.try_add(padding)?
        }
    };
    let (weights, tape) = scores.try_softmax::<Axis<1>>()?.split_tape();
    let values = values.retaped::<T>().try_reshape_like(&(seen, regions, hidden))?;
    let values = values.try_gather(index)?;
    let context = weights
        .clone()
        .put_tape(tape)
        .try_reshape_like(&(rows, 1, regions))?
        .try_matmul(values)?
        .try_reshape_like(&(rows, hidden))?;
    Ok(AttentionOutput { context, weights })
}

/// The mean over captions and regions of `(1 - sum over time of the weights)²`: small where a caption attends to every
/// region at some step (Xu et al. 2015, section 4.2.1, "doubly stochastic attention").
///
/// `weights` are those of all steps, packed: `[rows, regions]`. `counts` are the regions of each caption's image, where there
/// is padding: the mean is that over captions of the mean over their regions.
pub fn coverage_penalty<D: Device<f32>, T: Tape<f32, D>>(
    weights: Matrix<D, T>,
    packing: &PackedSequence,
    counts: Option<&[usize]>,
) -> DeviceResult<D, Scalar<D, T>> {
    let (rows, regions) = *weights.shape();
    let mut of_caption = vec![0.0; packing.sequences() * rows];
    for (row, caption) in packing.sequence_of_rows().into_iter().enumerate() {
        of_caption[caption * rows + row] = 1.0;
    }
    let device = weights.device().clone();
    let (weights, tape) = weights.split_tape();
    let of_caption = device.try_tensor_from_vec(of_caption, (packing.sequences(), rows))?;
    let sums = of_caption.put_tape(tape).try_matmul(weights)?;
    let squares = sums.try_negate()?.try_add(1.0)?.try_square()?;
    let Some(counts) = counts else {
        return squares.try_mean::<(), _>();
    };
    let mut shares = vec![0.0; counts.len() * regions];
    for (shares, &count) in shares.chunks_exact_mut(regions).zip(counts) {
        shares[..count].fill(1.0 / (counts.len() * count) as f32);
    }
    let shares = device.try_tensor_from_vec(shares, (counts.len(), regions))?;
    squares.try_mul(shares)?.try_sum::<(), _>()
}
