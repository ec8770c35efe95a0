//! Additive attention on a GPU.
//!
//! Why it is fast: keys and values are read where they lie, where composed operations copy those of its image for every
//! query; nothing of the size of `[rows, regions, attention]` is ever stored. The way back works the hyperbolic tangents
//! out again, and every gradient is collected by the thread that writes it.

use super::{Attended, Matrix};
use crate::nn::backend::{Backend, DeviceResult};
use crate::nn::cpu::matmul::Existing;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{Call, Engine, Own, Room, Span, elementwise};
use crate::nn::ops::rows::cuda::Listed;
use dfdx::prelude::*;

/// The regions of a batch of images, where they lie.
#[cfg(feature = "cuda")]
#[derive(Clone, Debug)]
pub struct CudaSight {
    keys: Matrix<Cuda>,
    values: Matrix<Cuda>,
    regions: usize,
}

#[cfg(feature = "cuda")]
impl super::AttentionKernel for Cuda {
    type Sight = CudaSight;

    fn try_sight(keys: Matrix<Self>, values: Matrix<Self>, regions: usize) -> DeviceResult<Self, CudaSight> {
        Ok(CudaSight {
            keys,
            values,
            regions,
        })
    }

    fn try_attend<T: Tape<f32, Self> + Merge<T>>(
        queries: Matrix<Self, T>,
        sight: &CudaSight,
        score: &Matrix<Self>,
        images: &[usize],
    ) -> DeviceResult<Self, Attended<Self, T>> {
        let (seen, regions) = ((&sight.keys, &sight.values), sight.regions);
        match queries.device().engine() {
            Some(engine) => fused(engine, queries, seen, regions, score, images),
            None => super::composed_attention(queries, seen, regions, score, images),
        }
    }
}

/// [`composed_attention`](super::composed_attention) is what it computes.
pub(super) fn fused<D: Own + Backend, T: Tape<f32, D>>(
    engine: D::Engine,
    queries: Matrix<D, T>,
    (keys, values): (&Matrix<D>, &Matrix<D>),
    regions: usize,
    score: &Matrix<D>,
    images: &[usize],
) -> DeviceResult<D, Attended<D, T>> {
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
        "images that are not in sight"
    );
    let look = Look {
        images: engine.upload_indices(images)?,
        rows,
        regions,
        attention,
        hidden: values.shape().1,
        engine,
    };
    let (context, of_context) = elementwise::fresh(queries.device(), (rows, look.hidden))?;
    let (weights, of_weights) = elementwise::fresh(queries.device(), (rows, look.regions))?;
    let seen = Seen {
        keys: D::span(&keys),
        values: D::span(&values),
        queries: D::span(&queries),
        score: D::span(&score),
    };
    look.forward(seen, of_weights, of_context)?;
    let results = (context.clone(), weights.clone());
    let looking = if T::OWNS_TAPE { images.to_vec() } else { Vec::new() };
    tape.add_backward_op(move |gradients| {
        let from_context = D::gradient(gradients, &context)?;
        let from_weights = D::gradient(gradients, &weights)?;
        let of_scores = look.to_scores(seen, of_weights, from_context, from_weights)?;
        let of_scores = of_scores.span();
        let to_score = D::gradient(gradients, &score)?;
        look.to_queries(seen, of_scores, D::gradient(gradients, &queries)?, to_score)?;
        let lookers = look.lookers(&looking)?;
        look.to_keys(seen, of_scores, &lookers, D::gradient(gradients, &keys)?)?;
        look.to_values(
            of_weights,
            from_context,
            &lookers,
            D::gradient(gradients, &values)?,
        )
    });
    Ok(Attended {
        context: results.0.put_tape(tape),
        weights: results.1,
    })
}

/// What is looked at, and with what.
#[derive(Clone, Copy)]
struct Seen {
    keys: Span,
    values: Span,
    queries: Span,
    score: Span,
}

/// All queries of a step.
struct Look<E: Engine> {
    engine: E,
    /// For every query, its image.
    images: E::Room,
    rows: usize,
    regions: usize,
    attention: usize,
    hidden: usize,
}

/// Who looks at each of the images that are looked at.
struct Lookers<R> {
    count: usize,
    seen: R,
    starts: R,
    order: R,
}

impl<E: Engine> Look<E> {
    fn forward(&self, seen: Seen, weights: Span, context: Span) -> Result<(), E::Error> {
        self.engine.run(
            self.of_weights("attention_scores")
                .values(seen.keys, 0)
                .values(seen.queries, self.rows * self.attention)
                .values(seen.score, self.attention)
                .values(self.images.span(), self.rows)
                .values(weights, self.rows * self.regions)
                .size(self.regions)
                .size(self.attention),
        )?;
        self.engine.run(
            Call::of_blocks("softmax_rows", [self.rows, 1])
                .values(weights, self.rows * self.regions)
                .size(self.regions),
        )?;
        let count = self.rows * self.hidden;
        self.engine.run(
            Call::of_values("attention_context", count)
                .values(seen.values, 0)
                .values(weights, self.rows * self.regions)
                .values(self.images.span(), self.rows)
                .values(context, count)
                .size(self.regions)
                .size(self.hidden)
                .count(count),
        )
    }

    /// The gradient of the scores, `[rows, regions]`.
    fn to_scores(
        &self,
        seen: Seen,
        weights: Span,
        from_context: Span,
        from_weights: Span,
    ) -> Result<E::Room, E::Error> {
        let count = self.rows * self.regions;
        let gradient = self.engine.room(count)?;
        self.engine.run(
            self.of_weights("attention_to_weights")
                .values(seen.values, 0)
                .values(from_context, self.rows * self.hidden)
                .values(from_weights, count)
                .values(self.images.span(), self.rows)
                .values(gradient.span(), count)
                .size(self.regions)
                .size(self.hidden),
        )?;
        self.engine.run(
            Call::of_blocks("softmax_rows_back", [self.rows, 1])
                .values(weights, count)
                .values(gradient.span(), count)
                .size(self.regions),
        )?;
        Ok(gradient)
    }

    fn to_queries(
        &self,
        seen: Seen,
        of_scores: Span,
        to_queries: Span,
        to_score: Span,
    ) -> Result<(), E::Error> {
        let count = self.rows * self.attention;
        let of_rows = self.engine.room(count)?;
        self.engine.run(
            Call::of_values("attention_to_queries", count)
                .values(seen.keys, 0)
                .values(seen.queries, count)
                .values(seen.score, self.attention)
                .values(of_scores, self.rows * self.regions)
                .values(self.images.span(), self.rows)
                .values(to_queries, count)
                .values(of_rows.span(), count)
                .size(self.regions)
                .size(self.attention)
                .count(count),
        )?;
        elementwise::column_sums(&self.engine, of_rows.span(), to_score, Existing::Accumulate)
    }

    fn lookers(&self, images: &[usize]) -> Result<Lookers<E::Room>, E::Error> {
        let Listed {
            wanted,
            starts,
            order,
        } = Listed::new(images);
        Ok(Lookers {
            count: wanted.len(),
            seen: self.engine.upload_indices(&wanted)?,
            starts: self.engine.upload_indices(&starts)?,
            order: self.engine.upload_indices(&order)?,
        })
    }

    fn to_keys(
        &self,
        seen: Seen,
        of_scores: Span,
        lookers: &Lookers<E::Room>,
        to_keys: Span,
    ) -> Result<(), E::Error> {
        let count = lookers.count * self.regions * self.attention;
        let call = Call::of_values("attention_to_keys", count)
            .values(seen.keys, count)
            .values(seen.queries, self.rows * self.attention)
            .values(seen.score, self.attention)
            .values(of_scores, self.rows * self.regions);
        self.engine.run(
            self.looked_at(call, lookers)
                .values(to_keys, count)
                .size(self.regions)
                .size(self.attention)
                .count(count),
        )
    }

    fn to_values(
        &self,
        weights: Span,
        from_context: Span,
        lookers: &Lookers<E::Room>,
        to_values: Span,
    ) -> Result<(), E::Error> {
        let count = lookers.count * self.regions * self.hidden;
        let call = Call::of_values("attention_to_values", count)
            .values(weights, self.rows * self.regions)
            .values(from_context, self.rows * self.hidden);
        self.engine.run(
            self.looked_at(call, lookers)
                .values(to_values, count)
                .size(self.regions)
                .size(self.hidden)
                .count(count),
        )
    }

    fn looked_at(&self, call: Call, lookers: &Lookers<E::Room>) -> Call {
        call.values(lookers.seen.span(), lookers.count)
            .values(lookers.starts.span(), lookers.count + 1)
            .values(lookers.order.span(), self.rows)
    }

    /// A block for each weight.
    fn of_weights(&self, kernel: &'static str) -> Call {
        Call::of_blocks(kernel, [self.regions, self.rows])
    }
}
