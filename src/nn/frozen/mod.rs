//! Networks that are run but never trained: published CNNs.
//!
//! Without gradients nothing between two layers need outlive them, so a device may keep weights as it likes and
//! use the room of one map for the next.

mod cpu;
#[cfg(test)]
mod tests;

use super::activation::Activation;
use super::backend::{Backend, DeviceResult, Images, Matrix};
use super::conv2d::{Convolution, conv2d};
use super::depthwise::depthwise;
use super::pool::{global_mean, max_pool};
use super::window::Window;
use dfdx::prelude::*;

/// A layer with its weights: `C` are those of a convolution, `D` those of a depthwise one.
#[derive(Clone, Debug)]
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

    /// What the last layer gives: `[photos, height, width, channels]` throughout.
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

/// The same layers with their weights as `convolution` and `depthwise` make them.
fn with_weights<C, D, NewC, NewD, E>(
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

fn forward<D: Backend>(
    layers: &[FrozenLayer<FrozenSums<Matrix<D>>>],
    maps: Images<D>,
) -> DeviceResult<D, Images<D>> {
    layers.iter().try_fold(maps, |maps, layer| match layer {
        FrozenLayer::Convolution(sums) => conv2d(maps, &sums.kernel, &sums.bias, sums.convolution),
        FrozenLayer::Depthwise(sums) => depthwise(maps, &sums.kernel, &sums.bias, sums.convolution),
        FrozenLayer::MaxPool(window) => max_pool(maps, *window),
        FrozenLayer::GlobalMean => {
            let (photos, _, _, channels) = *maps.shape();
            global_mean(maps)?.try_reshape_like(&(photos, 1, 1, channels))
        }
        FrozenLayer::Rectifier(activation) => activation.composed(maps),
        FrozenLayer::Residual { branch, shortcut } => {
            forward(branch, maps.clone())?.try_add(forward(shortcut, maps)?)
        }
    })
}
