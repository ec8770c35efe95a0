//! Layers and networks whose weights no longer change: published CNNs, and a decoder while it writes captions.
//!
//! Without gradients nothing between two layers need outlive them. A device may lay weights out once, in the order in
//! which its kernels read them, and reuse the memory of one map for the next. Later training does not reach the copies.

mod attention_pool;
mod conv_layer;
#[cfg(test)]
mod conv_tests;
mod cpu;
mod cpu_conv_net;
#[cfg(test)]
mod tests;

pub use attention_pool::AttentionPool;
pub use conv_layer::{ComposedConvNet, ConvLayer, ConvWeights, forward, map_weights};
#[cfg(test)]
pub(crate) use conv_tests::every_layer;

use crate::nn::{Activation, Backend, DeviceResult, Images, Linear, Lstm, LstmState, Matrix, MatrixResult};
use dfdx::prelude::Device;
use std::fmt::Debug;

/// A device that runs layers without gradients. All errors are the device's, e.g. out of memory.
pub trait InferenceKernel: Device<f32> {
    /// A convolutional network as the device stores it; [`ComposedConvNet`] where it has no kernels. Clones share the
    /// weights.
    type ConvNet: Clone + Debug;

    /// A fully connected layer as the device stores it; [`Linear`] where it has no kernels.
    type InferenceLinear: Debug;

    /// An LSTM as the device stores it; [`Lstm`] where it has no kernels.
    type InferenceLstm: Debug;

    /// Uploads the layers of a convolutional network.
    fn inference_conv_net(&self, layers: Vec<ConvLayer>) -> DeviceResult<Self, Self::ConvNet>;

    /// Copies the current weights of `layer`.
    fn inference_linear(layer: &Linear<Self>) -> DeviceResult<Self, Self::InferenceLinear>
    where
        Self: Backend;

    /// Copies the current weights of `layer`.
    fn inference_lstm(layer: &Lstm<Self>) -> DeviceResult<Self, Self::InferenceLstm>
    where
        Self: Backend;

    /// `[images, height, width, channels]` to the output of the last layer, of the same layout.
    ///
    /// # Panics
    /// If the shapes of layers and maps do not match.
    fn run_conv_net(network: &Self::ConvNet, maps: Images<Self>) -> DeviceResult<Self, Images<Self>>;

    /// See [`Linear::activated`].
    fn run_linear(
        layer: &Self::InferenceLinear,
        rows: Matrix<Self>,
        activation: Activation,
    ) -> MatrixResult<Self>;

    /// See [`Lstm::step`].
    fn run_lstm_step(
        layer: &Self::InferenceLstm,
        inputs: Matrix<Self>,
        state: LstmState<Self>,
    ) -> DeviceResult<Self, LstmState<Self>>
    where
        Self: Backend;
}
