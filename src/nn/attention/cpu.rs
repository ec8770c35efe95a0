//! Additive attention for `Cpu`.
//!
//! Why it is fast: keys and values are read where they lie, once for all queries that look at the same photo while
//! they are in the cache; nothing of the size of `[rows, regions, attention]` is ever stored. The way back works the
//! hyperbolic tangents out again, which takes less time than to read them from memory.

use super::{Attended, AttentionKernel, Matrix};
use crate::nn::elementary::{dot, exp, largest, sum, tanh};
use crate::nn::host::{self, add, put_gradient, take_gradient};
use dfdx::prelude::*;
use pulp::Arch;
use rayon::prelude::*;
use std::sync::Arc;

/// Keys and values, copied out of dfdx once for all steps.
#[derive(Clone, Debug)]
pub struct Sight {
    tensors: (Matrix<Cpu>, Matrix<Cpu>),
    regions: usize,
    keys: Arc<Vec<f32>>,
    values: Arc<Vec<f32>>,
}

impl AttentionKernel for Cpu {
    type Sight = Sight;

    fn try_sight(keys: Matrix<Self>, values: Matrix<Self>, regions: usize) -> Result<Sight, CpuError> {
        Ok(Sight {
            keys: Arc::new(host::values(&keys)),
            values: Arc::new(host::values(&values)),
            tensors: (keys, values),
            regions,
        })
    }

    fn try_attend<T: Tape<f32, Self> + Merge<T>>(
        queries: Matrix<Self, T>,
        sight: &Sight,
        score: &Matrix<Self>,
        photos: &[usize],
    ) -> Result<Attended<Self, T>, CpuError> {
        let (queries, mut tape) = queries.split_tape();
        let regions = sight.regions;
        let (all_regions, attention) = *sight.tensors.0.shape();
        let (_, hidden) = *sight.tensors.1.shape();
        let rows = photos.len();
        assert_eq!(*queries.shape(), (rows, attention), "shape of queries");
        assert_eq!(*score.shape(), (attention, 1), "shape of the score's weight");
        let look = Look {
            photo_count: all_regions / regions,
            regions,
            attention,
            hidden,
            sight: sight.clone(),
            queries: host::values(&queries),
            score: host::values(score),
            photos: photos.to_vec(),
        };
        let Seen { context, weights } = look.forward();
        let device = queries.device().clone();
        let context = device.try_tensor_from_vec(context, (rows, hidden))?;
        let weights = device.try_tensor_from_vec(weights, (rows, regions))?;
        if T::OWNS_TAPE {
            let result = (context.clone(), weights.clone());
            let score = score.clone();
            tape.add_backward_op(move |gradients| {
                let (keys, values) = &look.sight.tensors;
                let from_above = Seen {
                    context: take_gradient(gradients, &result.0)?,
                    weights: take_gradient(gradients, &result.1)?,
                };
                let mut to_keys = take_gradient(gradients, keys)?;
                let mut to_values = take_gradient(gradients, values)?;
                let weights = host::values(&result.1);
                let down = look.backward(&weights, &from_above, &mut to_keys, &mut to_values);
                put_gradient(gradients, keys, to_keys)?;
                put_gradient(gradients, values, to_values)?;
                add(gradients.get_or_alloc_mut(&queries)?, &down.queries);
                add(gradients.get_or_alloc_mut(&score)?, &down.score);
                Ok(())
            });
        }
        Ok(Attended {
            context: context.put_tape(tape),
            weights,
        })
    }
}

/// All queries of a step.
struct Look {
    photo_count: usize,
    regions: usize,
    attention: usize,
    hidden: usize,
    sight: Sight,
    queries: Vec<f32>,
    score: Vec<f32>,
    /// For every query, its photo.
    photos: Vec<usize>,
}

/// What comes of all queries, or its gradient.
struct Seen {
    context: Vec<f32>,
    weights: Vec<f32>,
}

/// Gradients of what all photos share.
struct Down {
    queries: Vec<f32>,
    score: Vec<f32>,
}

/// A query, and what is to be written for it.
struct Row<'a> {
    number: usize,
    /// The context, or the query's gradient.
    out: &'a mut [f32],
    /// The weights, or their gradient.
    weights: &'a mut [f32],
}

impl Look {
    fn forward(&self) -> Seen {
        let rows = self.photos.len();
        let mut seen = Seen {
            context: vec![0.0; rows * self.hidden],
            weights: vec![0.0; rows * self.regions],
        };
        self.by_photo(&mut seen.context, self.hidden, &mut seen.weights)
            .into_par_iter()
            .enumerate()
            .for_each(|(photo, rows)| {
                let mut terms = vec![0.0; self.attention];
                for Row { number, out, weights } in rows {
                    self.weigh(photo, number, weights, &mut terms);
                    self.sum_of_values(photo, weights, out);
                }
            });
        seen
    }

    /// The queries of every photo, with their parts of what is written: they share what they look at.
    fn by_photo<'a>(&self, out: &'a mut [f32], width: usize, weights: &'a mut [f32]) -> Vec<Vec<Row<'a>>> {
        let mut of_photo: Vec<Vec<Row<'a>>> = (0..self.photo_count).map(|_| Vec::new()).collect();
        let parts = out
            .chunks_exact_mut(width)
            .zip(weights.chunks_exact_mut(self.regions));
        for (number, ((out, weights), &photo)) in parts.zip(&self.photos).enumerate() {
            of_photo[photo].push(Row { number, out, weights });
        }
        of_photo
    }

    fn keys(&self, photo: usize) -> &[f32] {
        let len = self.regions * self.attention;
        &self.sight.keys[photo * len..][..len]
    }

    fn values(&self, photo: usize) -> &[f32] {
        let len = self.regions * self.hidden;
        &self.sight.values[photo * len..][..len]
    }

    fn query(&self, row: usize) -> &[f32] {
        &self.queries[row * self.attention..][..self.attention]
    }

    /// `softmax(s' tanh(k + q))`; `terms` is room to work in.
    fn weigh(&self, photo: usize, row: usize, weights: &mut [f32], terms: &mut [f32]) {
        let (keys, query) = (self.keys(photo), self.query(row));
        Arch::new().dispatch(|| {
            for (weight, key) in weights.iter_mut().zip(keys.chunks_exact(self.attention)) {
                let parts = key.iter().zip(query).zip(&self.score);
                for (term, ((key, query), score)) in terms.iter_mut().zip(parts) {
                    *term = score * tanh(key + query);
                }
                *weight = sum(terms);
            }
            let most = largest(weights);
            for weight in &mut *weights {
                *weight = exp(*weight - most);
            }
            let total = sum(weights);
            for weight in &mut *weights {
                *weight /= total;
            }
        });
    }

    fn sum_of_values(&self, photo: usize, weights: &[f32], context: &mut [f32]) {
        let values = self.values(photo);
        Arch::new().dispatch(|| {
            for (weight, value) in weights.iter().zip(values.chunks_exact(self.hidden)) {
                for (sum, value) in context.iter_mut().zip(value) {
                    *sum += weight * value;
                }
            }
        });
    }

    /// Adds to the gradients of keys and values, and gives those of queries and score.
    fn backward(
        &self,
        weights: &[f32],
        from_above: &Seen,
        to_keys: &mut [f32],
        to_values: &mut [f32],
    ) -> Down {
        let rows = self.photos.len();
        let mut queries = vec![0.0; rows * self.attention];
        // From here on, what a weight adds to the loss.
        let mut of_weights = from_above.weights.clone();
        let of_photos: Vec<Vec<f32>> = self
            .by_photo(&mut queries, self.attention, &mut of_weights)
            .into_par_iter()
            .zip(to_keys.par_chunks_exact_mut(self.regions * self.attention))
            .zip(to_values.par_chunks_exact_mut(self.regions * self.hidden))
            .enumerate()
            .map(|(photo, ((rows, to_keys), to_values))| {
                let mut to_score = vec![0.0; self.attention];
                for Row {
                    number,
                    out,
                    weights: gradient,
                } in rows
                {
                    let weights = &weights[number * self.regions..][..self.regions];
                    let context = &from_above.context[number * self.hidden..][..self.hidden];
                    self.unsum(photo, weights, context, gradient, to_values);
                    self.unweigh(photo, number, gradient, out, to_keys, &mut to_score);
                }
                to_score
            })
            .collect();
        let mut score = vec![0.0; self.attention];
        for of_photo in &of_photos {
            add(&mut score, of_photo);
        }
        Down { queries, score }
    }

    /// The way back of [`sum_of_values`](Self::sum_of_values) and of the softmax: `gradient`, that of the weights,
    /// becomes that of the scores.
    fn unsum(
        &self,
        photo: usize,
        weights: &[f32],
        context: &[f32],
        gradient: &mut [f32],
        to_values: &mut [f32],
    ) {
        let values = self.values(photo);
        Arch::new().dispatch(|| {
            let regions = values
                .chunks_exact(self.hidden)
                .zip(to_values.chunks_exact_mut(self.hidden));
            for ((gradient, weight), (value, to_value)) in gradient.iter_mut().zip(weights).zip(regions) {
                *gradient += dot(value, context);
                for (to_value, context) in to_value.iter_mut().zip(context) {
                    *to_value += weight * context;
                }
            }
            let mean = dot(weights, gradient);
            for (gradient, weight) in gradient.iter_mut().zip(weights) {
                *gradient = weight * (*gradient - mean);
            }
        });
    }

    /// The way back of the scores, whose gradient is `gradient`.
    fn unweigh(
        &self,
        photo: usize,
        row: usize,
        gradient: &[f32],
        to_query: &mut [f32],
        to_keys: &mut [f32],
        to_score: &mut [f32],
    ) {
        let (keys, query) = (self.keys(photo), self.query(row));
        Arch::new().dispatch(|| {
            let width = self.attention;
            let (query, score) = (&query[..width], &self.score[..width]);
            let (to_query, to_score) = (&mut to_query[..width], &mut to_score[..width]);
            let regions = keys.chunks_exact(width).zip(to_keys.chunks_exact_mut(width));
            for (&gradient, (key, to_key)) in gradient.iter().zip(regions) {
                for at in 0..width {
                    let squashed = tanh(key[at] + query[at]);
                    let down = gradient * score[at] * (1.0 - squashed * squashed);
                    to_score[at] += gradient * squashed;
                    to_query[at] += down;
                    to_key[at] += down;
                }
            }
        });
    }
}
