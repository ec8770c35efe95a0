//! The long short-term memory layer, over packed sequences of different lengths.
//!
//! Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, no peepholes:
//!
//! ```text
//! i, f, g, o = x W + h' U + b          gates in this order, as in PyTorch
//! c = sigmoid(f) c' + sigmoid(i) tanh(g)
//! h = sigmoid(o) tanh(c)
//! ```

mod cpu;
#[cfg(any(test, feature = "cuda"))]
pub(super) mod cuda;
pub(super) mod row;
#[cfg(test)]
mod tests;

use super::activation::Activation;
use super::backend::{Backend, DeviceResult, Matrix};
use super::layer::Layer;
use super::linear::{self, Linear};
use super::packing::Packing;
use super::parameter::{Initialization, Parameter};
use super::rows::first_rows;
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

/// An LSTM over whole packed sequences.
pub trait LstmKernel: Device<f32> {
    /// The hidden states `[rows, hidden]` of sequences packed in `inputs` (`[rows, inputs]`), each starting
    /// from a zero state.
    ///
    /// The default is composed of dfdx operations and so runs on any device; it says what a kernel of a
    /// device's own must compute.
    fn try_lstm<T: Tape<f32, Self>>(
        inputs: Matrix<Self, T>,
        layer: &Lstm<Self>,
        packing: &Packing,
    ) -> Result<Matrix<Self, T>, Self::Err>
    where
        Self: Backend,
    {
        composed(inputs, layer, packing)
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
        let mut bias = vec![0.0; 4 * hidden];
        bias[hidden..2 * hidden].fill(1.0);
        Ok(Self {
            input_weight: Parameter::new(
                device,
                format!("{name}.input_weight"),
                (inputs, 4 * hidden),
                uniform,
                rng,
            )?,
            hidden_weight: Parameter::new(
                device,
                format!("{name}.hidden_weight"),
                (hidden, 4 * hidden),
                uniform,
                rng,
            )?,
            bias: Parameter::from_values(device, format!("{name}.bias"), (1, 4 * hidden), bias)?,
        })
    }

    /// How many numbers a layer of this shape learns.
    pub fn size(inputs: usize, hidden: usize) -> usize {
        let rows = inputs.saturating_add(hidden).saturating_add(1);
        rows.saturating_mul(hidden).saturating_mul(4)
    }

    /// The number of units.
    pub fn hidden(&self) -> usize {
        self.hidden_weight.shape().0
    }

    /// What the inputs add to the gates, for those who write the recurrence out step by step.
    pub fn input_layer(&self) -> Linear<D> {
        Linear {
            weight: self.input_weight.clone(),
            bias: self.bias.clone(),
        }
    }

    /// See [`LstmKernel::try_lstm`].
    pub fn forward<T: Tape<f32, D>>(
        &self,
        inputs: Matrix<D, T>,
        packing: &Packing,
    ) -> DeviceResult<D, Matrix<D, T>> {
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

impl<D: Backend> Layer<D> for Lstm<D> {
    fn parameters(&self) -> Vec<&Parameter<D>> {
        vec![&self.input_weight, &self.hidden_weight, &self.bias]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![&mut self.input_weight, &mut self.hidden_weight, &mut self.bias]
    }
}

/// `(h, c)` from the gates before their activations, `[rows, 4 * hidden]`, and the previous cell.
///
/// The history of both results travels with `h` alone: a tape that is handed out twice would run twice.
pub(super) fn cell_update<D: Backend, T: Tape<f32, D>>(
    gates: Matrix<D, T>,
    cell: Matrix<D>,
    hidden: usize,
) -> DeviceResult<D, (Matrix<D, T>, Matrix<D>)> {
    let (gates, tape) = gates.split_tape();
    // Slices of one tensor are safe as long as they do not overlap; see [`first_rows`].
    let gate = |tape: T, index: usize| {
        gates
            .clone()
            .put_tape(tape)
            .try_slice((.., index * hidden..(index + 1) * hidden))
    };
    let input = gate(tape, 0)?.try_sigmoid()?;
    let forget = gate(T::default(), 1)?.try_sigmoid()?;
    let candidate = gate(T::default(), 2)?.try_tanh()?;
    let output = gate(T::default(), 3)?.try_sigmoid()?;
    let cell = input.try_mul(candidate)?.try_add(forget.try_mul(cell)?)?;
    let (cell, tape) = cell.split_tape();
    let squashed = cell.clone().put_tape(tape).try_tanh()?;
    Ok((squashed.try_mul(output)?, cell))
}

/// [`LstmKernel::try_lstm`] composed of dfdx operations.
fn composed<D: Backend, T: Tape<f32, D>>(
    inputs: Matrix<D, T>,
    layer: &Lstm<D>,
    packing: &Packing,
) -> DeviceResult<D, Matrix<D, T>> {
    let (gates, mut tape) = linear::composed(
        inputs,
        &layer.input_weight.value,
        &layer.bias.value,
        Activation::None,
    )?
    .split_tape();
    let mut state: Option<LstmState<D>> = None;
    let mut outputs = Vec::with_capacity(packing.steps());
    for step in 0..packing.steps() {
        let live = packing.live(step);
        let mut now = gates
            .clone()
            .put_tape(tape)
            .try_slice((packing.rows_at(step), ..))?;
        let cell = match state {
            None => layer.zero_state(live)?.cell,
            Some(LstmState { hidden, cell }) => {
                let hidden = first_rows(hidden.put_tape(T::default()), live)?;
                now = now.try_add(hidden.try_matmul(layer.hidden_weight.value.clone())?)?;
                let (cell, slicing) = first_rows(cell.put_tape(T::default()), live)?.split_tape();
                let (rows, history) = now.split_tape();
                now = rows.put_tape(history.merge(slicing));
                cell
            }
        };
        let (hidden, cell) = cell_update(now, cell, layer.hidden())?;
        let (hidden, history) = hidden.split_tape();
        tape = history;
        outputs.push(hidden.clone());
        state = Some(LstmState { hidden, cell });
    }
    let mut outputs = outputs.into_iter();
    let Some(first) = outputs.next() else {
        return Ok(gates.put_tape(tape));
    };
    outputs.try_fold(first.put_tape(tape), |rows, step| {
        (rows, step).try_concat_along(Axis::<0>)
    })
}
