//! Additive attention for `Cpu`.
//!
//! Why it is fast: keys and values are read in place, once for all queries of the same image while they are in the
//! cache; nothing of the size of `[rows, regions, attention]` is ever stored. The backward pass recomputes
//! tanh, which is faster than reading it from memory.

use super::row::{add_weighted, scores_backward, softmax_weights, weights_backward};
use super::{AttentionKernel, AttentionOutput, Matrix};
use crate::nn::cpu::slices::{self, add, put_gradient, take_gradient};
use crate::nn::tape::record;
use dfdx::prelude::*;
use rayon::prelude::*;
use std::sync::Arc;

/// Keys and values, copied out of dfdx once for all steps.
#[derive(Clone, Debug)]
pub struct CpuAttentionMemory {
    tensors: (Matrix<Cpu>, Matrix<Cpu>),
    regions: usize,
    counts: Option<Arc<[usize]>>,
    keys: Arc<Vec<f32>>,
    values: Arc<Vec<f32>>,
}

impl AttentionKernel for Cpu {
    type AttentionMemory = CpuAttentionMemory;

    fn prepare_memory(
        keys: Matrix<Self>,
        values: Matrix<Self>,
        regions: usize,
        counts: Option<Arc<[usize]>>,
    ) -> Result<CpuAttentionMemory, CpuError> {
        Ok(CpuAttentionMemory {
            keys: Arc::new(slices::values(&keys)),
            values: Arc::new(slices::values(&values)),
            tensors: (keys, values),
            regions,
            counts,
        })
    }

    fn try_attend<T: Tape<f32, Self>>(
        queries: Matrix<Self, T>,
        memory: &CpuAttentionMemory,
        score: &Matrix<Self>,
        images: &[usize],
    ) -> Result<AttentionOutput<Self, T>, CpuError> {
        let (queries, tape) = queries.split_tape();
        let regions = memory.regions;
        let (all_regions, attention) = *memory.tensors.0.shape();
        let (_, hidden) = *memory.tensors.1.shape();
        let rows = images.len();
        assert_eq!(*queries.shape(), (rows, attention), "shape of queries");
        assert_eq!(*score.shape(), (attention, 1), "shape of the score's weight");
        let step = AttentionStep {
            image_count: all_regions / regions,
            regions,
            attention,
            hidden,
            memory: memory.clone(),
            queries: slices::values(&queries),
            score: slices::values(score),
            images: images.to_vec(),
        };
        let (context, weights) = step.forward();
        let device = queries.device().clone();
        let context = device.try_tensor_from_vec(context, (rows, hidden))?;
        let weights = device.try_tensor_from_vec(weights, (rows, regions))?;
        let (result, score) = (weights.clone(), score.clone());
        let context = record(context, tape, move |gradients, context| {
            let from_context = take_gradient(gradients, context)?;
            let of_weights = take_gradient(gradients, &weights)?;
            let (keys, values) = &step.memory.tensors;
            let mut to_keys = take_gradient(gradients, keys)?;
            let mut to_values = take_gradient(gradients, values)?;
            let weights = slices::values(&weights);
            let (of_queries, of_score) =
                step.backward(&weights, &from_context, of_weights, &mut to_keys, &mut to_values);
            put_gradient(gradients, keys, to_keys)?;
            put_gradient(gradients, values, to_values)?;
            add(gradients.get_or_alloc_mut(&queries)?, &of_queries);
            add(gradients.get_or_alloc_mut(&score)?, &of_score);
            Ok(())
        });
        Ok(AttentionOutput {
            context,
            weights: result,
        })
    }
}

/// All queries of a step.
struct AttentionStep {
    image_count: usize,
    regions: usize,
    attention: usize,
    hidden: usize,
    memory: CpuAttentionMemory,
    queries: Vec<f32>,
    score: Vec<f32>,
    /// For every query, its image.
    images: Vec<usize>,
}

/// A query and its output.
struct QueryRow<'a> {
    number: usize,
    /// The context, or the query's gradient.
    out: &'a mut [f32],
    /// The weights of the image's regions without padding, or their gradient.
    weights: &'a mut [f32],
}

impl AttentionStep {
    /// Context and weights.
    fn forward(&self) -> (Vec<f32>, Vec<f32>) {
        let rows = self.images.len();
        let mut context = vec![0.0; rows * self.hidden];
        let mut weights = vec![0.0; rows * self.regions];
        self.by_image(&mut context, self.hidden, &mut weights)
            .into_par_iter()
            .enumerate()
            .for_each(|(image, rows)| {
                let mut buffer = vec![0.0; self.attention];
                for QueryRow { number, out, weights } in rows {
                    let (keys, query) = (self.keys(image), self.query(number));
                    softmax_weights(keys, query, &self.score, weights, &mut buffer);
                    add_weighted(self.values(image), weights, out);
                }
            });
        (context, weights)
    }

    /// The queries of every image, with their parts of the outputs: queries of one image share its keys and values.
    fn by_image<'a>(
        &self,
        out: &'a mut [f32],
        width: usize,
        weights: &'a mut [f32],
    ) -> Vec<Vec<QueryRow<'a>>> {
        let mut of_image: Vec<Vec<QueryRow<'a>>> = (0..self.image_count).map(|_| Vec::new()).collect();
        let parts = out
            .chunks_exact_mut(width)
            .zip(weights.chunks_exact_mut(self.regions));
        for (number, ((out, weights), &image)) in parts.zip(&self.images).enumerate() {
            let weights = &mut weights[..self.count(image)];
            of_image[image].push(QueryRow { number, out, weights });
        }
        of_image
    }

    /// The regions of an image without padding.
    fn count(&self, image: usize) -> usize {
        let counts = self.memory.counts.as_ref();
        counts.map_or(self.regions, |counts| counts[image])
    }

    fn keys(&self, image: usize) -> &[f32] {
        let len = self.regions * self.attention;
        &self.memory.keys[image * len..][..len]
    }

    fn values(&self, image: usize) -> &[f32] {
        let len = self.regions * self.hidden;
        &self.memory.values[image * len..][..len]
    }

    fn query(&self, row: usize) -> &[f32] {
        &self.queries[row * self.attention..][..self.attention]
    }

    /// Adds to the gradients of keys and values, and returns those of queries and score. `of_weights` is the gradient of
    /// the weights.
    fn backward(
        &self,
        weights: &[f32],
        from_context: &[f32],
        mut of_weights: Vec<f32>,
        to_keys: &mut [f32],
        to_values: &mut [f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let mut queries = vec![0.0; self.images.len() * self.attention];
        let of_images: Vec<Vec<f32>> = self
            .by_image(&mut queries, self.attention, &mut of_weights)
            .into_par_iter()
            .zip(to_keys.par_chunks_exact_mut(self.regions * self.attention))
            .zip(to_values.par_chunks_exact_mut(self.regions * self.hidden))
            .enumerate()
            .map(|(image, ((rows, to_keys), to_values))| {
                let mut to_score = vec![0.0; self.attention];
                for QueryRow {
                    number,
                    out,
                    weights: gradient,
                } in rows
                {
                    let weights = &weights[number * self.regions..][..self.count(image)];
                    let context = &from_context[number * self.hidden..][..self.hidden];
                    weights_backward(self.values(image), weights, context, gradient, to_values);
                    let (keys, query) = (self.keys(image), self.query(number));
                    scores_backward(keys, query, &self.score, gradient, out, to_keys, &mut to_score);
                }
                to_score
            })
            .collect();
        let mut score = vec![0.0; self.attention];
        for of_image in &of_images {
            add(&mut score, of_image);
        }
        (queries, score)
    }
}
