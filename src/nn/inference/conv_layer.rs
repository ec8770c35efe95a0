//! Convolutional networks as lists of layers.

use super::AttentionPool;
use crate::nn::{
    Activation, AveragePool, Backend, ConvGeometry, Convolution, DeviceResult, Images, Matrix, Parameter,
    avg_pool, conv2d, depthwise, global_avg_pool, max_pool,
};
use dfdx::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;

/// A layer with its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvLayer<W = ConvWeights> {
    /// See [`conv2d`].
    Convolution(W),
    /// See [`depthwise`].
    Depthwise(W),
    /// See [`max_pool`].
    MaxPool(ConvGeometry),
    /// See [`avg_pool`].
    AvgPool(AveragePool),
    /// See [`global_avg_pool`]; a map of 1 x 1 comes out.
    GlobalAvgPool,
    /// See [`AttentionPool`]; a map of 1 x 1 comes out.
    AttentionPool(AttentionPool<W>),
    /// An activation on its own.
    Activation(Activation),
    /// Every pixel minus its mean, divided by its standard deviation over the channels (Ba et al. 2016), without weights.
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// The map times what the layers make of it, a number for each channel (Hu et al. 2018, figure 2).
    Gate(Vec<ConvLayer<W>>),
    /// What each of the branches makes of the same map, one after the other in the channels; the map itself where a
    /// branch has no layers.
    Concat(Vec<Vec<ConvLayer<W>>>),
    /// The sum of what the branch and what the shortcut make of the same map.
    Residual {
        /// In order.
        branch: Vec<ConvLayer<W>>,
        /// In order; the map itself where there are none.
        shortcut: Vec<ConvLayer<W>>,
    },
}

impl<W> ConvLayer<W> {
    /// Its weights and those of the layers within it, in order.
    pub fn weights(&self) -> Vec<&W> {
        match self {
            Self::Convolution(weights) | Self::Depthwise(weights) => vec![weights],
            Self::AttentionPool(pool) => pool.weights().into(),
            Self::Residual { branch, shortcut } => {
                branch.iter().chain(shortcut).flat_map(Self::weights).collect()
            }
            Self::Gate(layers) => layers.iter().flat_map(Self::weights).collect(),
            Self::Concat(branches) => branches.iter().flatten().flat_map(Self::weights).collect(),
            Self::MaxPool(_)
            | Self::AvgPool(_)
            | Self::GlobalAvgPool
            | Self::Activation(_)
            | Self::LayerNorm { .. } => Vec::new(),
        }
    }

    /// The same, to be changed.
    pub fn weights_mut(&mut self) -> Vec<&mut W> {
        match self {
            Self::Convolution(weights) | Self::Depthwise(weights) => vec![weights],
            Self::AttentionPool(pool) => pool.weights_mut().into(),
            Self::Residual { branch, shortcut } => {
                let layers = branch.iter_mut().chain(shortcut);
                layers.flat_map(Self::weights_mut).collect()
            }
            Self::Gate(layers) => layers.iter_mut().flat_map(Self::weights_mut).collect(),
            Self::Concat(branches) => (branches.iter_mut().flatten())
                .flat_map(Self::weights_mut)
                .collect(),
            Self::MaxPool(_)
            | Self::AvgPool(_)
            | Self::GlobalAvgPool
            | Self::Activation(_)
            | Self::LayerNorm { .. } => Vec::new(),
        }
    }
}

/// The weights of a convolution: row after row on the host, or a matrix on a device.
#[derive(Clone, Debug)]
pub struct ConvWeights<W = Vec<f32>> {
    /// `[kernel height * kernel width * inputs, outputs]`, or `[kernel height * kernel width, channels]`.
    pub kernel: W,
    /// `[1, outputs]`
    pub bias: W,
    /// Geometry and activation.
    pub convolution: Convolution,
}

/// A network composed of the device's operations.
#[derive(Clone, Debug)]
pub struct ComposedConvNet<D: Backend> {
    layers: Vec<ConvLayer<ConvWeights<Matrix<D>>>>,
}

impl<D: Backend> ComposedConvNet<D> {
    /// Takes the layers to the device.
    pub fn new(device: &D, layers: Vec<ConvLayer>) -> DeviceResult<D, Self> {
        let matrix = |values: Vec<f32>, columns: usize| {
            let shape = (values.len() / columns, columns);
            device.try_tensor_from_vec(values, shape)
        };
        let mut upload = |weights: ConvWeights| {
            let outputs = weights.bias.len();
            Ok(ConvWeights {
                kernel: matrix(weights.kernel, outputs)?,
                bias: matrix(weights.bias, outputs)?,
                convolution: weights.convolution,
            })
        };
        let layers = map_weights(layers, &mut upload)?;
        Ok(Self { layers })
    }

    /// See [`InferenceKernel::run_conv_net`](super::InferenceKernel::run_conv_net).
    pub fn run(&self, maps: Images<D>) -> DeviceResult<D, Images<D>> {
        forward(&self.layers, maps)
    }
}

/// The same layers with the weights that `map` makes of theirs, in order.
pub fn map_weights<W, New, E>(
    layers: Vec<ConvLayer<W>>,
    map: &mut impl FnMut(W) -> Result<New, E>,
) -> Result<Vec<ConvLayer<New>>, E> {
    let mut map_layer = |layer| {
        Ok(match layer {
            ConvLayer::Convolution(weights) => ConvLayer::Convolution(map(weights)?),
            ConvLayer::Depthwise(weights) => ConvLayer::Depthwise(map(weights)?),
            ConvLayer::MaxPool(window) => ConvLayer::MaxPool(window),
            ConvLayer::AvgPool(pool) => ConvLayer::AvgPool(pool),
            ConvLayer::GlobalAvgPool => ConvLayer::GlobalAvgPool,
            ConvLayer::AttentionPool(pool) => ConvLayer::AttentionPool(pool.map(map)?),
            ConvLayer::Activation(activation) => ConvLayer::Activation(activation),
            ConvLayer::LayerNorm { epsilon } => ConvLayer::LayerNorm { epsilon },
            ConvLayer::Gate(layers) => ConvLayer::Gate(map_weights(layers, map)?),
            ConvLayer::Concat(branches) => {
                let branches = branches.into_iter().map(|branch| map_weights(branch, map));
                ConvLayer::Concat(branches.collect::<Result<_, _>>()?)
            }
            ConvLayer::Residual { branch, shortcut } => ConvLayer::Residual {
                branch: map_weights(branch, map)?,
                shortcut: map_weights(shortcut, map)?,
            },
        })
    };
    layers.into_iter().map(&mut map_layer).collect()
}

impl<D: Backend> Borrow<Matrix<D>> for Parameter<D> {
    fn borrow(&self) -> &Matrix<D> {
        &self.value
    }
}

/// The output of the last layer, composed of the device's operations; weights are matrices or [`Parameter`]s.
///
/// # Panics
/// If the shapes of layers and maps do not match.
pub fn forward<D: Backend, T: Tape<f32, D>>(
    layers: &[ConvLayer<ConvWeights<impl Borrow<Matrix<D>>>>],
    maps: Images<D, T>,
) -> DeviceResult<D, Images<D, T>> {
    layers.iter().try_fold(maps, |maps, layer| match layer {
        ConvLayer::Convolution(w) => conv2d(maps, w.kernel.borrow(), w.bias.borrow(), w.convolution),
        ConvLayer::Depthwise(w) => depthwise(maps, w.kernel.borrow(), w.bias.borrow(), w.convolution),
        ConvLayer::MaxPool(window) => max_pool(maps, *window),
        ConvLayer::AvgPool(pool) => avg_pool(maps, *pool),
        ConvLayer::GlobalAvgPool => {
            let (images, _, _, channels) = *maps.shape();
            global_avg_pool(maps)?.try_reshape_like(&(images, 1, 1, channels))
        }
        ConvLayer::AttentionPool(pool) => pool.forward(maps),
        ConvLayer::Activation(activation) => activation.composed(maps),
        ConvLayer::LayerNorm { epsilon } => maps.try_normalize::<Axis<3>>(*epsilon),
        ConvLayer::Residual { branch, shortcut } => {
            let (maps, tape) = maps.split_tape();
            let branch = forward(branch, maps.clone().put_tape(tape))?;
            branch.try_add(forward(shortcut, maps.put_tape(T::default()))?)
        }
        ConvLayer::Gate(layers) => {
            let (maps, tape) = maps.split_tape();
            let gate = forward(layers, maps.clone().put_tape(tape))?;
            let (images, _, _, channels) = *gate.shape();
            gate.try_reshape_like(&(images, channels))?
                .try_broadcast_like::<_, Axes2<1, 2>>(maps.shape())?
                .try_mul(maps)
        }
        ConvLayer::Concat(branches) => {
            let Some((first, rest)) = branches.split_first() else {
                return Ok(maps);
            };
            let (maps, tape) = maps.split_tape();
            let first = forward(first, maps.clone().put_tape(tape))?;
            rest.iter().try_fold(first, |joined, branch| {
                let branch = forward(branch, maps.clone().put_tape(T::default()))?;
                (joined.try_contiguous()?, branch.try_contiguous()?).try_concat_along(Axis::<3>)
            })
        }
    })
}
