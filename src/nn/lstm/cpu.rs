//! The fused LSTM kernel for `Cpu`.
//!
//! Why it is fast: the input projection of all time steps is one matrix product, as are the gradients of
//! both weight matrices; only the recurrent product runs step by step, over the sequences still alive; the
//! gates are activated where they lie.

use super::{Lstm, LstmKernel, Matrix, Packing};
use crate::nn::elementary::{sigmoid, tanh};
use crate::nn::host::{add_rows, contiguous, values};
use crate::nn::product::{Existing, View, product};
use dfdx::prelude::*;
use pulp::Arch;
use rayon::prelude::*;

impl LstmKernel for Cpu {
    fn try_lstm<T: Tape<f32, Self>>(
        inputs: Matrix<Self, T>,
        layer: &Lstm<Self>,
        packing: &Packing,
    ) -> Result<Matrix<Self, T>, Self::Err> {
        let (inputs, mut tape) = inputs.split_tape();
        let inputs = contiguous(&inputs, &mut tape)?;
        let sizes = Sizes {
            rows: inputs.shape().0,
            inputs: inputs.shape().1,
            hidden: layer.hidden(),
        };
        assert_eq!(sizes.rows, packing.rows(), "the packing does not fit the rows");
        let x = values(&inputs);
        let weights = Weights {
            input: values(&layer.input_weight.value),
            hidden: values(&layer.hidden_weight.value),
        };
        let Forward { gates, cells, hidden } =
            forward(&x, &weights, &values(&layer.bias.value), sizes, packing);
        let device = inputs.device().clone();
        if !T::OWNS_TAPE {
            return Ok(device
                .try_tensor_from_vec(hidden, (sizes.rows, sizes.hidden))?
                .put_tape(tape));
        }
        let output = device.try_tensor_from_vec(hidden.clone(), (sizes.rows, sizes.hidden))?;
        let record = Forward { gates, cells, hidden };
        let (packing, result) = (packing.clone(), output.clone());
        let (input_weight, hidden_weight, bias) = (
            layer.input_weight.value.clone(),
            layer.hidden_weight.value.clone(),
            layer.bias.value.clone(),
        );
        tape.add_backward_op(move |grads| {
            let hidden_grad = std::mem::take(&mut **grads.get_or_alloc_mut(&result)?);
            let gate_grads = backward_through_time(
                record.gates,
                &record.cells,
                hidden_grad,
                &weights,
                sizes,
                &packing,
            );
            let gates = View::new(&gate_grads, sizes.rows, sizes.gates());
            product(
                grads.get_or_alloc_mut(&inputs)?,
                gates,
                View::new(&weights.input, sizes.inputs, sizes.gates()).transposed(),
                Existing::Accumulate,
            );
            product(
                grads.get_or_alloc_mut(&input_weight)?,
                View::new(&x, sizes.rows, sizes.inputs).transposed(),
                gates,
                Existing::Accumulate,
            );
            hidden_weight_grad(
                grads.get_or_alloc_mut(&hidden_weight)?,
                &record.hidden,
                &gate_grads,
                sizes,
                &packing,
            );
            add_rows(grads.get_or_alloc_mut(&bias)?, &gate_grads);
            Ok(())
        });
        Ok(output.put_tape(tape))
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    inputs: usize,
    hidden: usize,
}

impl Sizes {
    /// Columns of the gates: input, forget, candidate, output.
    fn gates(self) -> usize {
        4 * self.hidden
    }
}

struct Weights {
    input: Vec<f32>,
    hidden: Vec<f32>,
}

/// What a forward pass leaves, in packed rows.
struct Forward {
    /// `[rows, 4 * hidden]`, after their activations
    gates: Vec<f32>,
    /// `[rows, hidden]`
    cells: Vec<f32>,
    /// `[rows, hidden]`
    hidden: Vec<f32>,
}

fn forward(x: &[f32], weights: &Weights, bias: &[f32], sizes: Sizes, packing: &Packing) -> Forward {
    let Sizes { rows, inputs, hidden } = sizes;
    let width = sizes.gates();
    let mut gates = bias.repeat(rows);
    let projection = View::new(&weights.input, inputs, width);
    product(
        &mut gates,
        View::new(x, rows, inputs),
        projection,
        Existing::Accumulate,
    );
    let mut cells = vec![0.0; rows * hidden];
    let mut hiddens = vec![0.0; rows * hidden];
    for step in 0..packing.steps() {
        let now = packing.rows_at(step);
        let gates = &mut gates[now.start * width..now.end * width];
        let (cells_before, cells) = cells[..now.end * hidden].split_at_mut(now.start * hidden);
        let (hidden_before, hiddens) = hiddens[..now.end * hidden].split_at_mut(now.start * hidden);
        let before = match step.checked_sub(1) {
            None => None,
            Some(previous) => {
                let start = packing.rows_at(previous).start * hidden;
                product(
                    gates,
                    View::new(&hidden_before[start..], now.len(), hidden),
                    View::new(&weights.hidden, hidden, width),
                    Existing::Accumulate,
                );
                Some(&cells_before[start..])
            }
        };
        gates
            .par_chunks_exact_mut(width)
            .zip(cells.par_chunks_exact_mut(hidden))
            .zip(hiddens.par_chunks_exact_mut(hidden))
            .with_min_len(8)
            .enumerate()
            .for_each(|(row, ((gates, cell), output))| {
                let before = before.map(|cells| &cells[row * hidden..(row + 1) * hidden]);
                activate(gates, before, cell, output);
            });
    }
    Forward {
        gates,
        cells,
        hidden: hiddens,
    }
}

/// One row of one step: activates the gates in place, writes cell and hidden state.
fn activate(gates: &mut [f32], before: Option<&[f32]>, cell: &mut [f32], output: &mut [f32]) {
    let hidden = cell.len();
    let (input, rest) = gates.split_at_mut(hidden);
    let (forget, rest) = rest.split_at_mut(hidden);
    let (candidate, out) = rest.split_at_mut(hidden);
    Arch::new().dispatch(|| {
        let [input, forget, candidate, out] = [input, forget, candidate, out].map(|gate| &mut gate[..hidden]);
        let (cell, output) = (&mut cell[..hidden], &mut output[..hidden]);
        for unit in 0..hidden {
            input[unit] = sigmoid(input[unit]);
            forget[unit] = sigmoid(forget[unit]);
            candidate[unit] = tanh(candidate[unit]);
            out[unit] = sigmoid(out[unit]);
        }
        match before {
            Some(before) => {
                let before = &before[..hidden];
                for unit in 0..hidden {
                    cell[unit] = forget[unit] * before[unit] + input[unit] * candidate[unit];
                }
            }
            None => {
                for unit in 0..hidden {
                    cell[unit] = input[unit] * candidate[unit];
                }
            }
        }
        for unit in 0..hidden {
            output[unit] = out[unit] * tanh(cell[unit]);
        }
    });
}

/// The gradients of the gates before their activations, `[rows, 4 * hidden]`, from those of the hidden
/// states, last step first. The activated gates are overwritten by their gradients.
fn backward_through_time(
    mut gates: Vec<f32>,
    cells: &[f32],
    mut hidden_grad: Vec<f32>,
    weights: &Weights,
    sizes: Sizes,
    packing: &Packing,
) -> Vec<f32> {
    let hidden = sizes.hidden;
    let width = sizes.gates();
    let mut cell_grad = vec![0.0; packing.sequences() * hidden];
    for step in (0..packing.steps()).rev() {
        let now = packing.rows_at(step);
        let previous = step
            .checked_sub(1)
            .map(|previous| packing.rows_at(previous).start * hidden);
        let gates = &mut gates[now.start * width..now.end * width];
        gates
            .par_chunks_exact_mut(width)
            .zip(cell_grad.par_chunks_exact_mut(hidden))
            .with_min_len(8)
            .enumerate()
            .for_each(|(row, (gates, cell_grad))| {
                let at = (now.start + row) * hidden;
                let before = previous.map(|start| &cells[start + row * hidden..][..hidden]);
                deactivate(
                    gates,
                    &cells[at..at + hidden],
                    before,
                    &hidden_grad[at..at + hidden],
                    cell_grad,
                );
            });
        if let Some(start) = previous {
            product(
                &mut hidden_grad[start..start + now.len() * hidden],
                View::new(gates, now.len(), width),
                View::new(&weights.hidden, hidden, width).transposed(),
                Existing::Accumulate,
            );
        }
    }
    gates
}

/// One row of one step, backwards: activated gates become gradients before the activation; `cell_grad`
/// becomes the gradient of the previous cell.
fn deactivate(
    gates: &mut [f32],
    cell: &[f32],
    before: Option<&[f32]>,
    hidden_grad: &[f32],
    cell_grad: &mut [f32],
) {
    let hidden = cell.len();
    let (input, rest) = gates.split_at_mut(hidden);
    let (forget, rest) = rest.split_at_mut(hidden);
    let (candidate, out) = rest.split_at_mut(hidden);
    Arch::new().dispatch(|| {
        let [input, forget, candidate, out] = [input, forget, candidate, out].map(|gate| &mut gate[..hidden]);
        let (cell, hidden_grad) = (&cell[..hidden], &hidden_grad[..hidden]);
        let cell_grad = &mut cell_grad[..hidden];
        for unit in 0..hidden {
            let (i, g, o) = (input[unit], candidate[unit], out[unit]);
            let squashed = tanh(cell[unit]);
            let through_cell = cell_grad[unit] + hidden_grad[unit] * o * (1.0 - squashed * squashed);
            input[unit] = through_cell * g * i * (1.0 - i);
            candidate[unit] = through_cell * i * (1.0 - g * g);
            out[unit] = hidden_grad[unit] * squashed * o * (1.0 - o);
            cell_grad[unit] = through_cell;
        }
        // The gradient that goes on to the cell before is through the forget gate.
        for unit in 0..hidden {
            let (f, through_cell) = (forget[unit], cell_grad[unit]);
            cell_grad[unit] = through_cell * f;
            forget[unit] = through_cell * f * (1.0 - f);
        }
        match before {
            Some(before) => {
                let before = &before[..hidden];
                for unit in 0..hidden {
                    forget[unit] *= before[unit];
                }
            }
            None => forget.fill(0.0),
        }
    });
}

/// `U`'s gradient: the previous hidden states of all rows but the first step's, gathered, make it one product.
fn hidden_weight_grad(
    grad: &mut [f32],
    hiddens: &[f32],
    gate_grads: &[f32],
    sizes: Sizes,
    packing: &Packing,
) {
    let hidden = sizes.hidden;
    let first = packing.sequences();
    let rows = sizes.rows - first;
    let mut before = Vec::with_capacity(rows * hidden);
    for step in 1..packing.steps() {
        let start = packing.rows_at(step - 1).start * hidden;
        before.extend_from_slice(&hiddens[start..start + packing.live(step) * hidden]);
    }
    product(
        grad,
        View::new(&before, rows, hidden).transposed(),
        View::new(&gate_grads[first * sizes.gates()..], rows, sizes.gates()),
        Existing::Accumulate,
    );
}
