//! The loops of attention: one query, one image.

use crate::nn::cpu::elementary::{dot, exp, largest, sum, tanh};
use crate::nn::cpu::vectorized;

vectorized! {
/// `softmax(s' tanh(k + q))`, for keys `[regions, attention]`; the buffer is as wide as a key.
pub(super) fn softmax_weights(keys: &[f32], query: &[f32], score: &[f32], weights: &mut [f32], buffer: &mut [f32]) {
    let width = query.len();
    let (query, score) = (&query[..width], &score[..width]);
    let terms = &mut buffer[..width];
    for (weight, key) in weights.iter_mut().zip(keys.chunks_exact(width)) {
        for at in 0..width {
            terms[at] = score[at] * tanh(key[at] + query[at]);
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
}
}

vectorized! {
/// Adds the values `[regions, hidden]`, weighted, to `context`.
pub(super) fn add_weighted(values: &[f32], weights: &[f32], context: &mut [f32]) {
    let values = values.chunks_exact(context.len());
    for (weight, value) in weights.iter().zip(values) {
        for (sum, value) in context.iter_mut().zip(value) {
            *sum += weight * value;
        }
    }
}
}

vectorized! {
/// The backward pass of [`add_weighted`] and of the softmax: `gradient`, that of the weights, becomes that of the scores.
/// `context` is the gradient of the context.
pub(super) fn weights_backward(
    values: &[f32],
    weights: &[f32],
    context: &[f32],
    gradient: &mut [f32],
    to_values: &mut [f32],
) {
    let width = context.len();
    let regions = values.chunks_exact(width).zip(to_values.chunks_exact_mut(width));
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
}
}

vectorized! {
/// The backward pass of the scores, whose gradient is `gradient`.
pub(super) fn scores_backward(
    keys: &[f32],
    query: &[f32],
    score: &[f32],
    gradient: &[f32],
    to_query: &mut [f32],
    to_keys: &mut [f32],
    to_score: &mut [f32],
) {
    let width = query.len();
    let (query, score) = (&query[..width], &score[..width]);
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
}
}
