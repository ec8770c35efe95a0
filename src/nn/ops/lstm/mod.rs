//! The LSTM over packed sequences of different lengths; [`Lstm`] has the formula.

mod cpu;
#[cfg(any(test, feature = "cuda"))]
pub(in crate::nn) mod cuda;
pub(in crate::nn) mod row;
#[cfg(test)]
mod tests;

use crate::nn::ops::linear;
use crate::nn::ops::rows::first_rows;
use crate::nn::{Activation, Backend, DeviceResult, Lstm, LstmState, Matrix, MatrixResult, PackedSequence};
use dfdx::prelude::*;

/// An LSTM over whole packed sequences.
pub trait LstmKernel: Device<f32> {
    /// The hidden states `[rows, hidden]` of sequences packed in `inputs` (`[rows, inputs]`), each starting
    /// from a zero state.
    fn try_lstm<T: Tape<f32, Self>>(
        inputs: Matrix<Self, T>,
        layer: &Lstm<Self>,
        packing: &PackedSequence,
    ) -> MatrixResult<Self, T>
    where
        Self: Backend,
    {
        composed(inputs, layer, packing)
    }
}

/// `(h, c)` from the gates before their activations, `[rows, 4 * hidden]`, and the previous cell.
///
/// The history of both results travels with `h` alone: a tape that is handed out twice would run twice.
pub(in crate::nn) fn cell_update<D: Device<f32>, T: Tape<f32, D>>(
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
    packing: &PackedSequence,
) -> MatrixResult<D, T> {
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
