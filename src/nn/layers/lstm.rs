//! The long short-term memory layer.
//!
//! Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, no peepholes:
//!
//! ```text
//! i, f, g, o = x W + h' U + b          gates in this order, as in PyTorch
//! c = sigmoid(f) c' + sigmoid(i) tanh(g)
//! h = sigmoid(o) tanh(c)
//! ```

use crate::nn::layers::layer::impl_layer;
use crate::nn::ops::lstm::cell_update;
use crate::nn::{
    Activation, Backend, DeviceResult, Initialization, Linear, Matrix, MatrixResult, PackedSequence,
    Parameter,
};
use dfdx::prelude::*;
use rand::Rng;

/// The parameters of an LSTM layer with `inputs` inputs and `hidden` units.
#[derive(Clone, Debug)]
pub struct Lstm<D: Backend> {
    /// `W`: `[inputs, 4 * hidden]`
    pub input_weight: Parameter<D>,
    /// `U`: `[hidden, 4 * hidden]`
    pub hidden_weight: Parameter<D>,
    /// `b`: `[1, 4 * hidden]`
    pub bias: Parameter<D>,
}

/// Hidden state and memory cell of an LSTM, both `[rows, hidden]`.
#[derive(Clone, Debug)]
pub struct LstmState<D: Backend> {
    /// `h`
    pub hidden: Matrix<D>,
    /// `c`
    pub cell: Matrix<D>,
}

impl<D: Backend> LstmState<D> {
    /// Before the first step.
    pub fn zeros(device: &D, shape: (usize, usize)) -> DeviceResult<D, Self> {
        let zeros = device.try_zeros_like(&shape)?;
        Ok(Self {
            hidden: zeros.clone(),
            cell: zeros,
        })
    }
}

impl<D: Backend> Lstm<D> {
    /// Weights uniform within `1 / sqrt(hidden)`; biases zero but for the forget gate's, which start at one
    /// (Jozefowicz et al. 2015, section 4).
    pub fn new(
        device: &D,
        name: &str,
        inputs: usize,
        hidden: usize,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        let uniform = Initialization::Uniform(1.0 / (hidden as f32).sqrt());
        let mut weight = |part: &str, rows: usize| {
            Parameter::new(device, format!("{name}.{part}"), (rows, 4 * hidden), uniform, rng)
        };
        let mut bias = vec![0.0; 4 * hidden];
        bias[hidden..2 * hidden].fill(1.0);
        Ok(Self {
            input_weight: weight("input_weight", inputs)?,
            hidden_weight: weight("hidden_weight", hidden)?,
            bias: Parameter::from_values(device, format!("{name}.bias"), (1, 4 * hidden), bias)?,
        })
    }

    /// The number of units.
    pub fn hidden(&self) -> usize {
        self.hidden_weight.shape().0
    }

    /// The layer from inputs to gates, for a recurrence step by step.
    pub fn input_layer(&self) -> Linear<D> {
        Linear {
            weight: self.input_weight.clone(),
            bias: self.bias.clone(),
        }
    }

    /// See [`LstmKernel::try_lstm`](crate::nn::LstmKernel::try_lstm).
    pub fn forward<T: Tape<f32, D>>(
        &self,
        inputs: Matrix<D, T>,
        packing: &PackedSequence,
    ) -> MatrixResult<D, T> {
        D::try_lstm(inputs, self, packing)
    }

    /// A state of zeros for `rows` sequences.
    pub fn zero_state(&self, rows: usize) -> DeviceResult<D, LstmState<D>> {
        LstmState::zeros(self.bias.value.device(), (rows, self.hidden()))
    }

    /// One time step of every row, without gradients: `inputs` is `[rows, inputs]`.
    pub fn step(&self, inputs: Matrix<D>, state: LstmState<D>) -> DeviceResult<D, LstmState<D>> {
        let projected = D::try_linear(
            inputs,
            &self.input_weight.value,
            &self.bias.value,
            Activation::None,
        )?;
        let gates = projected.try_add(state.hidden.try_matmul(self.hidden_weight.value.clone())?)?;
        let (hidden, cell) = cell_update(gates, state.cell, self.hidden())?;
        Ok(LstmState { hidden, cell })
    }
}

impl_layer!(Lstm: input_weight, hidden_weight, bias);
