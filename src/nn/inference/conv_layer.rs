//! Convolutional networks as lists of layers.

use crate::nn::backend::{Backend, DeviceResult, Images, Matrix};
use crate::nn::layers::parameter::Parameter;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::ConvGeometry;
use crate::nn::ops::conv2d::{Convolution, conv2d};
use crate::nn::ops::depthwise::depthwise;
use crate::nn::ops::pool::{global_avg_pool, max_pool};
use dfdx::prelude::*;
use serde::{Deserialize, Serialize};

/// A layer with its weights: `C` are those of a convolution, `D` those of a depthwise one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvLayer<C = ConvWeights, D = C> {
    /// See [`conv2d`].
    Convolution(C),
    /// See [`depthwise`].
    Depthwise(D),
    /// See [`max_pool`].
    MaxPool(ConvGeometry),
    /// See [`global_avg_pool`]; a map of 1 x 1 comes out.
    GlobalAvgPool,
    /// A rectifier on its own.
    Activation(Activation),
    /// The sum of what the branch and what the shortcut make of the same map.
    Residual {
        /// In order.
        branch: Vec<ConvLayer<C, D>>,
        /// In order; the map itself where there are none.
        shortcut: Vec<ConvLayer<C, D>>,
    },
}

impl<W> ConvLayer<W> {
    /// Its weights and those of the layers within it, in order.
    pub fn weights(&self) -> Vec<&W> {
        match self {
            Self::Convolution(weights) | Self::Depthwise(weights) => vec![weights],
            Self::Residual { branch, shortcut } => {
                branch.iter().chain(shortcut).flat_map(Self::weights).collect()
            }
            Self::MaxPool(_) | Self::GlobalAvgPool | Self::Activation(_) => Vec::new(),
        }
    }

    /// The same, to be changed.
    pub fn weights_mut(&mut self) -> Vec<&mut W> {
        match self {
            Self::Convolution(weights) | Self::Depthwise(weights) => vec![weights],
            Self::Residual { branch, shortcut } => {
                let layers = branch.iter_mut().chain(shortcut);
                layers.flat_map(Self::weights_mut).collect()
            }
            Self::MaxPool(_) | Self::GlobalAvgPool | Self::Activation(_) => Vec::new(),
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
    /// ConvGeometry and activation.
    pub convolution: Convolution,
}

/// A network composed of the device's operations.
#[derive(Clone, Debug)]
pub struct ComposedConvNet<D: Backend> {
    layers: Vec<ConvLayer<ConvWeights<Matrix<D>>>>,
}

impl<D: Backend> ComposedConvNet<D> {
    /// Takes the layers to the device.
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    pub fn new(device: &D, layers: Vec<ConvLayer>) -> DeviceResult<D, Self> {
        Ok(Self {
            layers: upload(device, layers)?,
        })
    }

    /// See [`InferenceKernel::run_conv_net`](super::InferenceKernel::run_conv_net).
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    pub fn run(&self, maps: Images<D>) -> DeviceResult<D, Images<D>> {
        forward(&self.layers, maps)
    }
}

fn upload<D: Backend>(
    device: &D,
    layers: Vec<ConvLayer>,
) -> DeviceResult<D, Vec<ConvLayer<ConvWeights<Matrix<D>>>>> {
    let matrix = |values: Vec<f32>, columns: usize| {
        let shape = (values.len() / columns, columns);
        device.try_tensor_from_vec(values, shape)
    };
    let sums = |sums: ConvWeights| {
        let outputs = sums.bias.len();
        Ok(ConvWeights {
            kernel: matrix(sums.kernel, outputs)?,
            bias: matrix(sums.bias, outputs)?,
            convolution: sums.convolution,
        })
    };
    map_weights(layers, &sums, &sums)
}

/// The same layers with their weights as `convolution` and `depthwise` make them, in order.
pub fn map_weights<C, D, NewC, NewD, E>(
    layers: Vec<ConvLayer<C, D>>,
    convolution: &impl Fn(C) -> Result<NewC, E>,
    depthwise: &impl Fn(D) -> Result<NewD, E>,
) -> Result<Vec<ConvLayer<NewC, NewD>>, E> {
    layers
        .into_iter()
        .map(|layer| {
            Ok(match layer {
                ConvLayer::Convolution(weights) => ConvLayer::Convolution(convolution(weights)?),
                ConvLayer::Depthwise(weights) => ConvLayer::Depthwise(depthwise(weights)?),
                ConvLayer::MaxPool(window) => ConvLayer::MaxPool(window),
                ConvLayer::GlobalAvgPool => ConvLayer::GlobalAvgPool,
                ConvLayer::Activation(activation) => ConvLayer::Activation(activation),
                ConvLayer::Residual { branch, shortcut } => ConvLayer::Residual {
                    branch: map_weights(branch, convolution, depthwise)?,
                    shortcut: map_weights(shortcut, convolution, depthwise)?,
                },
            })
        })
        .collect()
}

/// Weights of a layer, trained or not.
pub trait AsMatrix<D: Backend> {
    /// Their values.
    fn matrix(&self) -> &Matrix<D>;
}

impl<D: Backend> AsMatrix<D> for Matrix<D> {
    fn matrix(&self) -> &Matrix<D> {
        self
    }
}

impl<D: Backend> AsMatrix<D> for Parameter<D> {
    fn matrix(&self) -> &Matrix<D> {
        &self.value
    }
}

/// What the last of the layers gives, composed of the device's operations; weights may be [`Parameter`]s that are
/// trained.
///
/// # Errors
/// Those of the device, e.g. memory.
///
/// # Panics
/// Where the shapes do not fit together.
pub fn forward<D: Backend, T: Tape<f32, D>>(
    layers: &[ConvLayer<ConvWeights<impl AsMatrix<D>>>],
    maps: Images<D, T>,
) -> DeviceResult<D, Images<D, T>> {
    layers.iter().try_fold(maps, |maps, layer| match layer {
        ConvLayer::Convolution(ConvWeights {
            kernel,
            bias,
            convolution,
        }) => conv2d(maps, kernel.matrix(), bias.matrix(), *convolution),
        ConvLayer::Depthwise(ConvWeights {
            kernel,
            bias,
            convolution,
        }) => depthwise(maps, kernel.matrix(), bias.matrix(), *convolution),
        ConvLayer::MaxPool(window) => max_pool(maps, *window),
        ConvLayer::GlobalAvgPool => {
            let (images, _, _, channels) = *maps.shape();
            global_avg_pool(maps)?.try_reshape_like(&(images, 1, 1, channels))
        }
        ConvLayer::Activation(activation) => activation.composed(maps),
        ConvLayer::Residual { branch, shortcut } => {
            let (maps, tape) = maps.split_tape();
            let branch = forward(branch, maps.clone().put_tape(tape))?;
            branch.try_add(forward(shortcut, maps.put_tape(T::default()))?)
        }
    })
}
