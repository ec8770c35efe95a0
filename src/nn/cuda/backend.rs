//! What of Cutline's operations a CUDA GPU composes of others; those with kernels of their own are beside the
//! operation, as `src/nn/ops/*/cuda.rs`.

use crate::nn::backend::{Backend, DeviceResult, Images, Matrix, Scalar};
use crate::nn::device::scalar::{Figure, Pace};
use crate::nn::inference::network::{Frozen, FrozenKernel, FrozenLayer};
use crate::nn::inference::step::FixedKernel;
use crate::nn::layers::linear::Linear;
use crate::nn::layers::lstm::{Lstm, LstmState};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::linear::LinearKernel;
use crate::nn::ops::recurrence::RecurrenceKernel;
use dfdx::prelude::*;
use std::num::NonZeroUsize;

impl Backend for Cuda {}

impl Pace for Cuda {
    /// At a few milliseconds an update, some readings a second.
    const STEPS_UNREAD: usize = 16;
    /// Fewer leave a large GPU idle; many more only take memory.
    const IMAGES: NonZeroUsize = NonZeroUsize::new(64).unwrap();
    /// Images that take long to decode shall not be waited for.
    const BATCHES_AHEAD: usize = 3;

    fn figure(scalar: Scalar<Self>) -> Figure<Self> {
        Figure::OnDevice(scalar)
    }
}

impl FixedKernel for Cuda {
    type FixedLinear = Linear<Cuda>;
    type FixedLstm = Lstm<Cuda>;

    fn fix_linear(layer: &Linear<Self>) -> DeviceResult<Self, Linear<Cuda>> {
        Ok(layer.clone())
    }

    fn fix_lstm(layer: &Lstm<Self>) -> DeviceResult<Self, Lstm<Cuda>> {
        Ok(layer.clone())
    }

    fn fixed_linear(
        layer: &Linear<Cuda>,
        rows: Matrix<Self>,
        activation: Activation,
    ) -> DeviceResult<Self, Matrix<Self>> {
        layer.activated(rows, activation)
    }

    fn fixed_step(
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
        let recurrent = (layer.hidden_weight.value.clone(), 0..layer.hidden());
        let gates = Self::try_add_products(gates, &[(&state.hidden, &recurrent)])?;
        let (hidden, cell) = Self::try_lstm_cell(gates, &state.cell)?;
        Ok(LstmState { hidden, cell })
    }
}

impl FrozenKernel for Cuda {
    type Network = Frozen<Cuda>;

    fn freeze(&self, layers: Vec<FrozenLayer>) -> DeviceResult<Self, Frozen<Cuda>> {
        Frozen::new(self, layers)
    }

    fn run(network: &Frozen<Cuda>, maps: Images<Self>) -> DeviceResult<Self, Images<Self>> {
        network.run(maps)
    }
}
