//! The operations that a CUDA GPU composes of others. Those with kernels are in `src/nn/ops/*/cuda.rs`.

use crate::nn::{
    Activation, AsyncDevice, Backend, ComposedConvNet, ConvLayer, DeviceResult, DeviceScalar, Images,
    InferenceKernel, Linear, LinearKernel, Lstm, LstmState, Matrix, MatrixResult, RecurrenceKernel, Scalar,
};
use dfdx::prelude::*;
use std::num::NonZeroUsize;

impl Backend for Cuda {}

impl AsyncDevice for Cuda {
    /// At a few milliseconds per step, some read-backs a second.
    const STEPS_IN_FLIGHT: usize = 16;
    /// Fewer leave a large GPU idle; many more only take memory.
    const INFERENCE_BATCH: NonZeroUsize = NonZeroUsize::new(64).unwrap();
    /// Slow images do not stall the GPU.
    const PREFETCHED_BATCHES: usize = 3;

    fn device_scalar(scalar: Scalar<Self>) -> DeviceScalar<Self> {
        DeviceScalar::OnDevice(scalar)
    }
}

impl InferenceKernel for Cuda {
    type ConvNet = ComposedConvNet<Cuda>;
    type InferenceLinear = Linear<Cuda>;
    type InferenceLstm = Lstm<Cuda>;

    fn inference_conv_net(&self, layers: Vec<ConvLayer>) -> DeviceResult<Self, ComposedConvNet<Cuda>> {
        ComposedConvNet::new(self, layers)
    }

    fn run_conv_net(network: &ComposedConvNet<Cuda>, maps: Images<Self>) -> DeviceResult<Self, Images<Self>> {
        network.run(maps)
    }

    fn inference_linear(layer: &Linear<Self>) -> DeviceResult<Self, Linear<Cuda>> {
        Ok(layer.clone())
    }

    fn inference_lstm(layer: &Lstm<Self>) -> DeviceResult<Self, Lstm<Cuda>> {
        Ok(layer.clone())
    }

    fn run_linear(layer: &Linear<Cuda>, rows: Matrix<Self>, activation: Activation) -> MatrixResult<Self> {
        layer.activated(rows, activation)
    }

    fn run_lstm_step(
        layer: &Lstm<Cuda>,
        inputs: Matrix<Self>,
        state: LstmState<Self>,
    ) -> DeviceResult<Self, LstmState<Self>> {
        let gates = Self::try_linear(
            inputs,
            &layer.input_weight.value,
            &layer.bias.value,
            Activation::None,
        )?;
        let gates = Self::add_products(gates, &[(&state.hidden, &layer.hidden_weight.value)])?;
        let (hidden, cell) = Self::try_lstm_cell(gates, &state.cell)?;
        Ok(LstmState { hidden, cell })
    }
}
