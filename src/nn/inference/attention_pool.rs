//! Pooling by attention: one query, the mean of the map, over all of its pixels.

use super::ConvWeights;
use crate::nn::cpu::matmul::{MatRef, WriteMode, product};
use crate::nn::cpu::slices::add;
use crate::nn::{Backend, DeviceResult, Images, Matrix, conv2d};
use dfdx::prelude::*;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;

/// Multi-head attention of the mean pixel over the mean and all pixels (Radford et al. 2021, section 2.4; Vaswani et al.
/// 2017, equation 1): `[images, height, width, channels]` -> `[images, 1, 1, outputs]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttentionPool<W> {
    /// Heads among which the channels are divided.
    pub heads: usize,
    /// Embeddings of the positions, the mean's first: the rows of the kernel. The bias is added to each of them.
    pub positions: W,
    /// The query's projection, a pointwise convolution.
    pub query: W,
    /// The keys'.
    pub key: W,
    /// The values'.
    pub value: W,
    /// That of the result.
    pub output: W,
}

impl<W> AttentionPool<W> {
    pub(super) fn weights(&self) -> [&W; 5] {
        [&self.positions, &self.query, &self.key, &self.value, &self.output]
    }

    pub(super) fn weights_mut(&mut self) -> [&mut W; 5] {
        let Self {
            positions,
            query,
            key,
            value,
            output,
            ..
        } = self;
        [positions, query, key, value, output]
    }

    pub(super) fn map<New, E>(
        self,
        map: &mut impl FnMut(W) -> Result<New, E>,
    ) -> Result<AttentionPool<New>, E> {
        Ok(AttentionPool {
            heads: self.heads,
            positions: map(self.positions)?,
            query: map(self.query)?,
            key: map(self.key)?,
            value: map(self.value)?,
            output: map(self.output)?,
        })
    }
}

impl<M> AttentionPool<ConvWeights<M>> {
    /// Composed of the device's operations.
    ///
    /// # Panics
    /// If there are other than one position for each pixel and one for the mean, or the heads do not divide the channels.
    pub(super) fn forward<D: Backend, T: Tape<f32, D>>(
        &self,
        maps: Images<D, T>,
    ) -> DeviceResult<D, Images<D, T>>
    where
        M: Borrow<Matrix<D>>,
    {
        let device = maps.device().clone();
        let (images, height, width, channels) = *maps.shape();
        let tokens = height * width + 1;
        let pixels = maps.try_reshape_like(&(images, height * width, channels))?;
        let (pixels, tape) = pixels.split_tape();
        let mean: Matrix<D, T> = pixels.clone().put_tape(tape).try_mean::<_, Axis<1>>()?;
        let mean = mean.try_reshape_like(&(images, 1, channels))?;
        let tokens_of_map = (mean, pixels).try_concat_along(Axis::<1>)?;
        let (positions, bias) = (self.positions.kernel.borrow(), self.positions.bias.borrow());
        let shape = (images, tokens, channels);
        let positions = positions
            .retaped::<T>()
            .try_broadcast_like::<_, Axis<0>>(&shape)?;
        let bias = bias.retaped::<T>().try_reshape_like(&(channels,))?;
        let bias = bias.try_broadcast_like::<_, Axes2<0, 1>>(&shape)?;
        let (x, mut tape) = (tokens_of_map.try_add(positions)?.try_add(bias)?).split_tape();
        let width = channels / self.heads;
        let mut heads_of = |weights: &ConvWeights<M>| {
            let x = x.clone().put_tape(std::mem::take(&mut tape));
            let x = x.try_reshape_like(&(images, 1, tokens, channels))?;
            let y = conv2d(
                x,
                weights.kernel.borrow(),
                weights.bias.borrow(),
                weights.convolution,
            )?;
            let (y, rest) = y
                .try_reshape_like(&(images, tokens, self.heads, width))?
                .split_tape();
            tape = rest;
            Ok(y)
        };
        let (keys, values) = (heads_of(&self.key)?, heads_of(&self.value)?);
        let queries = heads_of(&self.query)?.put_tape(tape);
        let first: Tensor<(usize,), usize, D> = device.try_tensor_from_vec(vec![0; images], (images,))?;
        let query = queries
            .try_select(first)?
            .try_reshape_like(&(images, self.heads, 1, width))?;
        let keys = keys.retaped::<T>().try_permute::<_, Axes4<0, 2, 3, 1>>()?;
        let values = values.retaped::<T>().try_permute::<_, Axes4<0, 2, 1, 3>>()?;
        let scores = query.try_matmul(keys)?.try_mul(1.0 / (width as f32).sqrt())?;
        let seen = scores.try_softmax::<Axis<3>>()?.try_matmul(values)?;
        let seen = seen.try_reshape_like(&(images, 1, 1, channels))?;
        let output = &self.output;
        conv2d(
            seen,
            output.kernel.borrow(),
            output.bias.borrow(),
            output.convolution,
        )
    }
}

impl<W: Borrow<ConvWeights> + Sync> AttentionPool<W> {
    /// Values of a result.
    pub(super) fn outputs(&self) -> usize {
        self.output.borrow().bias.len()
    }

    /// On the CPU: overwrites `y` with the results for maps `x`.
    pub(super) fn run(&self, x: &[f32], y: &mut [f32]) {
        let (channels, outputs) = (self.query.borrow().bias.len(), self.outputs());
        let tokens = self.positions.borrow().kernel.len() / channels;
        y.par_chunks_mut(outputs)
            .zip(x.par_chunks((tokens - 1) * channels))
            .for_each(|(y, map)| self.run_on_one(map, channels, y));
    }

    fn run_on_one(&self, map: &[f32], channels: usize, y: &mut [f32]) {
        let positions = self.positions.borrow();
        let mut x = positions.kernel.clone();
        let count = x.len() / channels;
        let mut mean = vec![0.0; channels];
        map.chunks_exact(channels).for_each(|pixel| add(&mut mean, pixel));
        mean.iter_mut().for_each(|sum| *sum /= (count - 1) as f32);
        add(&mut x[..channels], &mean);
        add(&mut x[channels..], map);
        x.chunks_exact_mut(channels)
            .for_each(|token| add(token, &positions.bias));
        let query = projected(self.query.borrow(), &x[..channels]);
        let (keys, values) = (
            projected(self.key.borrow(), &x),
            projected(self.value.borrow(), &x),
        );
        let mut seen = vec![0.0; channels];
        let width = channels / self.heads;
        for (head, seen) in seen.chunks_exact_mut(width).enumerate() {
            let part = |row: usize| row * channels + head * width..row * channels + (head + 1) * width;
            let query = &query[part(0)];
            let dot = |key: &[f32]| key.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
            let scores: Vec<f32> = (0..count)
                .map(|token| dot(&keys[part(token)]) / (width as f32).sqrt())
                .collect();
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let shares: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f32 = shares.iter().sum();
            for (token, share) in shares.iter().enumerate() {
                for (seen, value) in seen.iter_mut().zip(&values[part(token)]) {
                    *seen += share / total * value;
                }
            }
        }
        y.copy_from_slice(&projected(self.output.borrow(), &seen));
    }
}

/// The rows of `x` through a fully connected layer.
fn projected(layer: &ConvWeights, x: &[f32]) -> Vec<f32> {
    let outputs = layer.bias.len();
    let inputs = layer.kernel.len() / outputs;
    let rows = x.len() / inputs;
    let mut y = vec![0.0; rows * outputs];
    let kernel = MatRef::new(&layer.kernel, inputs, outputs);
    product(&mut y, MatRef::new(x, rows, inputs), kernel, WriteMode::Overwrite);
    layer.convolution.activation.finish(&mut y, &layer.bias);
    y
}
