//! The loops of attention: one query, one image.
//!
//! Each is a type of its own, because the compiler vectorizes only what is inlined, and closures cannot be marked for
//! inlining.

use crate::nn::cpu::elementary::{dot, exp, largest, sum, tanh};
use pulp::{Simd, WithSimd};

/// `softmax(s' tanh(k + q))`
pub(super) struct SoftmaxWeights<'a> {
    /// `[regions, attention]`
    pub(super) keys: &'a [f32],
    pub(super) query: &'a [f32],
    pub(super) score: &'a [f32],
    pub(super) weights: &'a mut [f32],
    /// As wide as a key.
    pub(super) buffer: &'a mut [f32],
}

impl WithSimd for SoftmaxWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.query.len();
        let (query, score) = (&self.query[..width], &self.score[..width]);
        let terms = &mut self.buffer[..width];
        for (weight, key) in self.weights.iter_mut().zip(self.keys.chunks_exact(width)) {
            for at in 0..width {
                terms[at] = score[at] * tanh(key[at] + query[at]);
            }
            *weight = sum(terms);
        }
        let most = largest(self.weights);
        for weight in &mut *self.weights {
            *weight = exp(*weight - most);
        }
        let total = sum(self.weights);
        for weight in &mut *self.weights {
            *weight /= total;
        }
    }
}

/// Adds the values, weighted, to `context`.
pub(super) struct WeightedSum<'a> {
    /// `[regions, hidden]`
    pub(super) values: &'a [f32],
    pub(super) weights: &'a [f32],
    pub(super) context: &'a mut [f32],
}

impl WithSimd for WeightedSum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let values = self.values.chunks_exact(self.context.len());
        for (weight, value) in self.weights.iter().zip(values) {
            for (sum, value) in self.context.iter_mut().zip(value) {
                *sum += weight * value;
            }
        }
    }
}

/// The backward pass of [`WeightedSum`] and of the softmax: `gradient`, that of the weights, becomes that of the scores.
pub(super) struct WeightsBackward<'a> {
    pub(super) values: &'a [f32],
    pub(super) weights: &'a [f32],
    /// The gradient of the context.
    pub(super) context: &'a [f32],
    pub(super) gradient: &'a mut [f32],
    pub(super) to_values: &'a mut [f32],
}

impl WithSimd for WeightsBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.context.len();
        let regions = self
            .values
            .chunks_exact(width)
            .zip(self.to_values.chunks_exact_mut(width));
        for ((gradient, weight), (value, to_value)) in self.gradient.iter_mut().zip(self.weights).zip(regions)
        {
            *gradient += dot(value, self.context);
            for (to_value, context) in to_value.iter_mut().zip(self.context) {
                *to_value += weight * context;
            }
        }
        let mean = dot(self.weights, self.gradient);
        for (gradient, weight) in self.gradient.iter_mut().zip(self.weights) {
            *gradient = weight * (*gradient - mean);
        }
    }
}

/// The backward pass of the scores, whose gradient is `gradient`.
pub(super) struct ScoresBackward<'a> {
    pub(super) keys: &'a [f32],
    pub(super) query: &'a [f32],
    pub(super) score: &'a [f32],
    pub(super) gradient: &'a [f32],
    pub(super) to_query: &'a mut [f32],
    pub(super) to_keys: &'a mut [f32],
    pub(super) to_score: &'a mut [f32],
}

impl WithSimd for ScoresBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.query.len();
        let (query, score) = (&self.query[..width], &self.score[..width]);
        let (to_query, to_score) = (&mut self.to_query[..width], &mut self.to_score[..width]);
        let regions = self
            .keys
            .chunks_exact(width)
            .zip(self.to_keys.chunks_exact_mut(width));
        for (&gradient, (key, to_key)) in self.gradient.iter().zip(regions) {
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
