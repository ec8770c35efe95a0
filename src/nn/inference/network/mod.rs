//! Networks that are run but never trained: published CNNs.
//!
//! Without gradients nothing between two layers need outlive them, so a device may keep weights as it likes and
//! use the room of one map for the next.

mod cpu;
#[cfg(test)]
mod tests;

use crate::nn::backend::{Backend, DeviceResult, Images, Matrix};
use crate::nn::layers::parameter::Parameter;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::Window;
use crate::nn::ops::conv2d::{Convolution, conv2d};
use crate::nn::ops::depthwise::depthwise;
use crate::nn::ops::pool::{global_mean, max_pool};
use dfdx::prelude::*;
use serde::{Deserialize, Serialize};

/// A layer with its weights: `C` are those of a convolution, `D` those of a depthwise one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrozenLayer<C = FrozenSums, D = C> {
    /// See [`conv2d`].
    Convolution(C),
    /// See [`depthwise`].
    Depthwise(D),
    /// See [`max_pool`].
    MaxPool(Window),
    /// See [`global_mean`]; a map of 1 x 1 comes out.
    GlobalMean,
    /// A rectifier on its own.
    Rectifier(Activation),
    /// The sum of what the branch and what the shortcut make of the same map.
    Residual {
        /// In order.
        branch: Vec<FrozenLayer<C, D>>,
        /// In order; the map itself where there are none.
        shortcut: Vec<FrozenLayer<C, D>>,
    },
}

impl<W> FrozenLayer<W> {
    /// Its weights and those of the layers within it, in order.
    pub fn weights(&self) -> Vec<&W> {
        match self {
            Self::Convolution(weights) | Self::Depthwise(weights) => vec![weights],
            Self::Residual { branch, shortcut } => {
                branch.iter().chain(shortcut).flat_map(Self::weights).collect()
            }
            Self::MaxPool(_) | Self::GlobalMean | Self::Rectifier(_) => Vec::new(),
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
            Self::MaxPool(_) | Self::GlobalMean | Self::Rectifier(_) => Vec::new(),
        }
    }
}

/// The weights of a convolution: row after row on the host, or a matrix on a device.
#[derive(Clone, Debug)]
pub struct FrozenSums<W = Vec<f32>> {
    /// `[kernel height * kernel width * inputs, outputs]`, or `[kernel height * kernel width, channels]`.
    pub kernel: W,
    /// `[1, outputs]`
    pub bias: W,
    /// Window and activation.
    pub convolution: Convolution,
}

/// A device that can run networks without training them.
pub trait FrozenKernel: Device<f32> {
    /// A network as the device keeps it; [`Frozen`] where it has no way of its own. Clones share the weights.
    type Network: Clone + std::fmt::Debug;

    /// Takes the layers to the device.
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    fn freeze(&self, layers: Vec<FrozenLayer>) -> DeviceResult<Self, Self::Network>;

    /// What the last layer gives: `[images, height, width, channels]` throughout.
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    ///
    /// # Panics
    /// Where the shapes do not fit together.
    fn run(network: &Self::Network, maps: Images<Self>) -> DeviceResult<Self, Images<Self>>;
}

/// A network composed of the device's operations.
#[derive(Clone, Debug)]
pub struct Frozen<D: Backend> {
    layers: Vec<FrozenLayer<FrozenSums<Matrix<D>>>>,
}

impl<D: Backend> Frozen<D> {
    /// Takes the layers to the device.
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    pub fn new(device: &D, layers: Vec<FrozenLayer>) -> DeviceResult<D, Self> {
        Ok(Self {
            layers: upload(device, layers)?,
        })
    }

    /// See [`FrozenKernel::run`].
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    pub fn run(&self, maps: Images<D>) -> DeviceResult<D, Images<D>> {
        forward(&self.layers, maps)
    }
}

fn upload<D: Backend>(
    device: &D,
    layers: Vec<FrozenLayer>,
) -> DeviceResult<D, Vec<FrozenLayer<FrozenSums<Matrix<D>>>>> {
    let matrix = |values: Vec<f32>, columns: usize| {
        let shape = (values.len() / columns, columns);
        device.try_tensor_from_vec(values, shape)
    };
    let sums = |sums: FrozenSums| {
        let outputs = sums.bias.len();
        Ok(FrozenSums {
            kernel: matrix(sums.kernel, outputs)?,
            bias: matrix(sums.bias, outputs)?,
            convolution: sums.convolution,
        })
    };
    with_weights(layers, &sums, &sums)
}

/// The same layers with their weights as `convolution` and `depthwise` make them, in order.
pub fn with_weights<C, D, NewC, NewD, E>(
    layers: Vec<FrozenLayer<C, D>>,
    convolution: &impl Fn(C) -> Result<NewC, E>,
    depthwise: &impl Fn(D) -> Result<NewD, E>,
) -> Result<Vec<FrozenLayer<NewC, NewD>>, E> {
    layers
        .into_iter()
        .map(|layer| {
            Ok(match layer {
                FrozenLayer::Convolution(weights) => FrozenLayer::Convolution(convolution(weights)?),
                FrozenLayer::Depthwise(weights) => FrozenLayer::Depthwise(depthwise(weights)?),
                FrozenLayer::MaxPool(window) => FrozenLayer::MaxPool(window),
                FrozenLayer::GlobalMean => FrozenLayer::GlobalMean,
                FrozenLayer::Rectifier(activation) => FrozenLayer::Rectifier(activation),
                FrozenLayer::Residual { branch, shortcut } => FrozenLayer::Residual {
                    branch: with_weights(branch, convolution, depthwise)?,
                    shortcut: with_weights(shortcut, convolution, depthwise)?,
                },
            })
        })
        .collect()
}

/// Weights of a layer, trained or not.
pub trait Weight<D: Backend> {
    /// Their values.
    fn matrix(&self) -> &Matrix<D>;
}

impl<D: Backend> Weight<D> for Matrix<D> {
    fn matrix(&self) -> &Matrix<D> {
        self
    }
}

impl<D: Backend> Weight<D> for Parameter<D> {
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
pub fn forward<D: Backend, T: Tape<f32, D> + Merge<T>>(
    layers: &[FrozenLayer<FrozenSums<impl Weight<D>>>],
    maps: Images<D, T>,
) -> DeviceResult<D, Images<D, T>> {
    layers.iter().try_fold(maps, |maps, layer| match layer {
        FrozenLayer::Convolution(FrozenSums {
            kernel,
            bias,
            convolution,
        }) => conv2d(maps, kernel.matrix(), bias.matrix(), *convolution),
        FrozenLayer::Depthwise(FrozenSums {
            kernel,
            bias,
            convolution,
        }) => depthwise(maps, kernel.matrix(), bias.matrix(), *convolution),
        FrozenLayer::MaxPool(window) => max_pool(maps, *window),
        FrozenLayer::GlobalMean => {
            let (images, _, _, channels) = *maps.shape();
            global_mean(maps)?.try_reshape_like(&(images, 1, 1, channels))
        }
        FrozenLayer::Rectifier(activation) => activation.composed(maps),
        FrozenLayer::Residual { branch, shortcut } => {
            let (maps, tape) = maps.split_tape();
            let branch = forward(branch, maps.clone().put_tape(tape))?;
            branch.try_add(forward(shortcut, maps.put_tape(T::default()))?)
        }
    })
}
