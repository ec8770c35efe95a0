//! The fused LSTM kernel for `Cpu`.
//!
//! Why it is fast: the input projection of all time steps is one matrix product, as are the gradients of
//! both weight matrices; only the recurrent product runs step by step, over the sequences still alive. Each
//! thread takes some of the sequences from the first step to the last, so that none waits for another at every
//! step. The gates are activated in place.

use super::row::{activate, deactivate};
use super::{Lstm, LstmKernel, Matrix, PackedSequence};
use crate::nn::cpu::matmul::{MatMut, MatRef, WriteMode, product};
use crate::nn::cpu::packed_matrix::PackedMatrix;
use crate::nn::cpu::scratch::Scratch;
use crate::nn::cpu::slices::{add_rows, scratch, take_gradient};
use crate::nn::tape::record;
use dfdx::prelude::*;
use rayon::prelude::*;

impl LstmKernel for Cpu {
    fn try_lstm<T: Tape<f32, Self>>(
        inputs: Matrix<Self, T>,
        layer: &Lstm<Self>,
        packing: &PackedSequence,
    ) -> Result<Matrix<Self, T>, Self::Err> {
        let (inputs, tape) = inputs.try_contiguous()?.split_tape();
        let sizes = Sizes {
            rows: inputs.shape().0,
            inputs: inputs.shape().1,
            hidden: layer.hidden(),
        };
        assert_eq!(sizes.rows, packing.rows(), "the packing does not fit the rows");
        let x = scratch(&inputs);
        let weights = LstmWeights {
            input: scratch(&layer.input_weight.value),
            hidden: scratch(&layer.hidden_weight.value),
        };
        let Forward { gates, cells, hidden } =
            forward(&x, &weights, &scratch(&layer.bias.value), sizes, packing);
        let device = inputs.device().clone();
        if !T::OWNS_TAPE {
            return Ok(device
                .try_tensor_from_vec(hidden, (sizes.rows, sizes.hidden))?
                .put_tape(tape));
        }
        let output = device.try_tensor_from_vec(hidden.clone(), (sizes.rows, sizes.hidden))?;
        let run = Forward { gates, cells, hidden };
        let packing = packing.clone();
        let [input_weight, hidden_weight, bias] =
            [&layer.input_weight, &layer.hidden_weight, &layer.bias].map(|weight| weight.value.clone());
        Ok(record(output, tape, move |grads, output| {
            let hidden_grad = take_gradient(grads, output)?;
            let gate_grads =
                backward_through_time(run.gates, &run.cells, hidden_grad, &weights, sizes, &packing);
            let gates = MatRef::new(&gate_grads, sizes.rows, sizes.gates());
            product(
                grads.get_or_alloc_mut(&inputs)?,
                gates,
                MatRef::new(&weights.input, sizes.inputs, sizes.gates()).transposed(),
                WriteMode::Accumulate,
            );
            product(
                grads.get_or_alloc_mut(&input_weight)?,
                MatRef::new(&x, sizes.rows, sizes.inputs).transposed(),
                gates,
                WriteMode::Accumulate,
            );
            hidden_weight_grad(
                grads.get_or_alloc_mut(&hidden_weight)?,
                &run.hidden,
                &gate_grads,
                sizes,
                &packing,
            );
            add_rows(grads.get_or_alloc_mut(&bias)?, &gate_grads);
            Ok(())
        }))
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

struct LstmWeights {
    input: Scratch,
    hidden: Scratch,
}

/// What a forward pass leaves, in packed rows.
struct Forward {
    /// `[rows, 4 * hidden]`, after their activations
    gates: Scratch,
    /// `[rows, hidden]`
    cells: Scratch,
    /// `[rows, hidden]`
    hidden: Vec<f32>,
}

fn forward(
    x: &[f32],
    weights: &LstmWeights,
    bias: &[f32],
    sizes: Sizes,
    packing: &PackedSequence,
) -> Forward {
    let Sizes { rows, inputs, hidden } = sizes;
    let width = sizes.gates();
    let mut gates = Scratch::of(rows * width);
    product(
        &mut gates,
        MatRef::new(x, rows, inputs),
        MatRef::new(&weights.input, inputs, width),
        WriteMode::Overwrite,
    );
    let mut cells = Scratch::of(rows * hidden);
    let mut hiddens = vec![0.0; rows * hidden];
    let hidden_weight = PackedMatrix::new(MatRef::new(&weights.hidden, hidden, width));
    let runs = packing.runs(rayon::current_num_threads());
    packing
        .split(&runs, &mut gates, width)
        .into_par_iter()
        .zip(packing.split(&runs, &mut cells, hidden))
        .zip(packing.split(&runs, &mut hiddens, hidden))
        .for_each(|((gates, cells), hiddens)| {
            RunForward {
                gates,
                cells,
                hiddens,
            }
            .through_time(&hidden_weight, bias, hidden);
        });
    Forward {
        gates,
        cells,
        hidden: hiddens,
    }
}

/// Some of the sequences: what belongs to them at each step.
struct RunForward<'a> {
    gates: Vec<&'a mut [f32]>,
    cells: Vec<&'a mut [f32]>,
    hiddens: Vec<&'a mut [f32]>,
}

impl RunForward<'_> {
    fn through_time(mut self, hidden_weight: &PackedMatrix, bias: &[f32], hidden: usize) {
        let width = 4 * hidden;
        for step in 0..self.gates.len() {
            let gates = &mut *self.gates[step];
            let live = gates.len() / width;
            let (cells_before, cells) = self.cells.split_at_mut(step);
            let (hiddens_before, hiddens) = self.hiddens.split_at_mut(step);
            if let Some(before) = hiddens_before.last() {
                hidden_weight.product_into(
                    MatMut::new(gates, live, width),
                    MatRef::new(before, live, hidden),
                    WriteMode::Accumulate,
                );
            }
            let rows = gates
                .chunks_exact_mut(width)
                .zip(cells[0].chunks_exact_mut(hidden))
                .zip(hiddens[0].chunks_exact_mut(hidden));
            for (row, ((gates, cell), output)) in rows.enumerate() {
                let before = cells_before
                    .last()
                    .map(|cells| &cells[row * hidden..(row + 1) * hidden]);
                activate(gates, bias, before, cell, output);
            }
        }
    }
}

/// The gradients of the gates before their activations, `[rows, 4 * hidden]`, from those of the hidden
/// states, last step first. The activated gates are overwritten by their gradients.
fn backward_through_time(
    mut gates: Scratch,
    cells: &[f32],
    mut hidden_grad: Vec<f32>,
    weights: &LstmWeights,
    sizes: Sizes,
    packing: &PackedSequence,
) -> Scratch {
    let hidden = sizes.hidden;
    let width = sizes.gates();
    let hidden_weight = PackedMatrix::new(MatRef::new(&weights.hidden, hidden, width).transposed());
    let runs = packing.runs(rayon::current_num_threads());
    packing
        .split(&runs, &mut gates, width)
        .into_par_iter()
        .zip(packing.split(&runs, &mut hidden_grad, hidden))
        .zip(&runs)
        .for_each(|((gates, hidden_grads), run)| {
            let cells = (0..packing.steps())
                .map(|step| {
                    let rows = packing.rows_of_run(run, step);
                    &cells[rows.start * hidden..rows.end * hidden]
                })
                .collect();
            let run = RunBackward {
                gates,
                hidden_grads,
                cells,
                cell_grad: vec![0.0; run.len() * hidden],
            };
            run.through_time(&hidden_weight, hidden);
        });
    gates
}

/// Some of the sequences: what belongs to them at each step, and the gradient of their cells, which goes from step to
/// step.
struct RunBackward<'a> {
    gates: Vec<&'a mut [f32]>,
    hidden_grads: Vec<&'a mut [f32]>,
    cells: Vec<&'a [f32]>,
    cell_grad: Vec<f32>,
}

impl RunBackward<'_> {
    /// `hidden_weight` is `U` transposed, `[4 * hidden, hidden]`.
    fn through_time(mut self, hidden_weight: &PackedMatrix, hidden: usize) {
        let width = 4 * hidden;
        for step in (0..self.gates.len()).rev() {
            let gates = &mut *self.gates[step];
            let live = gates.len() / width;
            let (grads_before, grads) = self.hidden_grads.split_at_mut(step);
            let cells_before = step.checked_sub(1).map(|before| self.cells[before]);
            let rows = gates
                .chunks_exact_mut(width)
                .zip(self.cells[step].chunks_exact(hidden))
                .zip(grads[0].chunks_exact(hidden))
                .zip(self.cell_grad.chunks_exact_mut(hidden));
            for (row, (((gates, cell), hidden_grad), cell_grad)) in rows.enumerate() {
                let before = cells_before.map(|cells| &cells[row * hidden..(row + 1) * hidden]);
                deactivate(gates, cell, before, hidden_grad, cell_grad);
            }
            if let Some(before) = grads_before.last_mut() {
                hidden_weight.product_into(
                    MatMut::new(before, live, hidden),
                    MatRef::new(gates, live, width),
                    WriteMode::Accumulate,
                );
            }
        }
    }
}

/// `U`'s gradient: the previous hidden states of all rows but the first step's, gathered, make it one product.
fn hidden_weight_grad(
    grad: &mut [f32],
    hiddens: &[f32],
    gate_grads: &[f32],
    sizes: Sizes,
    packing: &PackedSequence,
) {
    let hidden = sizes.hidden;
    let first = packing.sequences();
    let rows = sizes.rows - first;
    let mut before = Scratch::of(rows * hidden);
    for step in 1..packing.steps() {
        let start = packing.rows_at(step - 1).start * hidden;
        let now = packing.rows_at(step);
        before[(now.start - first) * hidden..(now.end - first) * hidden]
            .copy_from_slice(&hiddens[start..start + now.len() * hidden]);
    }
    product(
        grad,
        MatRef::new(&before, rows, hidden).transposed(),
        MatRef::new(&gate_grads[first * sizes.gates()..], rows, sizes.gates()),
        WriteMode::Accumulate,
    );
}
