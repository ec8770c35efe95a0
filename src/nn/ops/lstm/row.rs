//! The loops of an LSTM: one row of one step.

use crate::nn::cpu::elementary::{sigmoid, tanh};
use crate::nn::cpu::vectorized;

vectorized! {
/// Adds the bias to the gates and activates them in place, writes cell and hidden state.
pub(in crate::nn) fn activate(
    gates: &mut [f32],
    bias: &[f32],
    before: Option<&[f32]>,
    cell: &mut [f32],
    output: &mut [f32],
) {
    let hidden = cell.len();
    let [input, forget, candidate, out] = gates_of(gates, hidden);
    let (input_bias, rest) = bias.split_at(hidden);
    let (forget_bias, rest) = rest.split_at(hidden);
    let (candidate_bias, out_bias) = rest.split_at(hidden);
    let out_bias = &out_bias[..hidden];
    let (cell, output) = (&mut cell[..hidden], &mut output[..hidden]);
    for unit in 0..hidden {
        input[unit] = sigmoid(input[unit] + input_bias[unit]);
        forget[unit] = sigmoid(forget[unit] + forget_bias[unit]);
        candidate[unit] = tanh(candidate[unit] + candidate_bias[unit]);
        out[unit] = sigmoid(out[unit] + out_bias[unit]);
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
}
}

vectorized! {
/// The backward pass: activated gates become gradients before the activation; `cell_grad` becomes the gradient of the
/// previous cell.
pub(in crate::nn) fn deactivate(
    gates: &mut [f32],
    cell: &[f32],
    before: Option<&[f32]>,
    hidden_grad: &[f32],
    cell_grad: &mut [f32],
) {
    let hidden = cell.len();
    let [input, forget, candidate, out] = gates_of(gates, hidden);
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
    // The previous cell gets its gradient through the forget gate.
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
}
}

/// Input, forget, candidate and output gate, in memory order.
#[inline(always)]
fn gates_of(row: &mut [f32], hidden: usize) -> [&mut [f32]; 4] {
    let (input, rest) = row.split_at_mut(hidden);
    let (forget, rest) = rest.split_at_mut(hidden);
    let (candidate, out) = rest.split_at_mut(hidden);
    [input, forget, candidate, &mut out[..hidden]]
}
