//! The fused LSTM kernel for `Cpu`.
//!
//! Why it is fast: the input projection of all time steps is one matrix product, as are the gradients of
//! both weight matrices; only the recurrent product runs step by step, over the sequences still alive. Each
//! thread takes some of the sequences from the first step to the last, so that none waits for another at every
//! step. The gates are activated in place.

use super::row::{activate, deactivate};
use super::{Lstm, LstmKernel, Matrix, PackedSequence};
use crate::nn::MatrixResult;
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
    ) -> MatrixResult<Self, T> {
        let (inputs, tape) = inputs.try_contiguous()?.split_tape();
        let ((rows, width), hidden) = (*inputs.shape(), layer.hidden());
        assert_eq!(rows, packing.rows(), "the packing does not fit the rows");
        let pass = LstmPass {
            packing: packing.clone(),
            rows,
            inputs: width,
            hidden,
            x: scratch(&inputs),
            input_weight: scratch(&layer.input_weight.value),
            hidden_weight: scratch(&layer.hidden_weight.value),
        };
        let (gates, cells, hiddens) = pass.forward(&scratch(&layer.bias.value));
        let device = inputs.device().clone();
        if !T::OWNS_TAPE {
            return Ok(device
                .try_tensor_from_vec(hiddens, (rows, hidden))?
                .put_tape(tape));
        }
        let output = device.try_tensor_from_vec(hiddens.clone(), (rows, hidden))?;
        let weights = [&layer.input_weight, &layer.hidden_weight, &layer.bias];
        let [input_weight, hidden_weight, bias] = weights.map(|weight| weight.value.clone());
        Ok(record(output, tape, move |grads, output| {
            let hidden_grad = take_gradient(grads, output)?;
            let gate_grads = pass.backward_through_time(gates, &cells, hidden_grad);
            let gates = MatRef::new(&gate_grads, rows, 4 * hidden);
            let w = MatRef::new(&pass.input_weight, width, 4 * hidden).transposed();
            let to_inputs = grads.get_or_alloc_mut(&inputs)?;
            product(to_inputs, gates, w, WriteMode::Accumulate);
            let x = MatRef::new(&pass.x, rows, width).transposed();
            let to_weight = grads.get_or_alloc_mut(&input_weight)?;
            product(to_weight, x, gates, WriteMode::Accumulate);
            pass.hidden_weight_grad(grads.get_or_alloc_mut(&hidden_weight)?, &hiddens, &gate_grads);
            add_rows(grads.get_or_alloc_mut(&bias)?, &gate_grads);
            Ok(())
        }))
    }
}

/// The inputs of a pass over packed sequences.
struct LstmPass {
    packing: PackedSequence,
    rows: usize,
    inputs: usize,
    hidden: usize,
    /// `[rows, inputs]`
    x: Scratch,
    /// `W`: `[inputs, 4 * hidden]`
    input_weight: Scratch,
    /// `U`: `[hidden, 4 * hidden]`
    hidden_weight: Scratch,
}

impl LstmPass {
    /// Activated gates `[rows, 4 * hidden]`, cells and hidden states `[rows, hidden]`, in packed rows.
    fn forward(&self, bias: &[f32]) -> (Scratch, Scratch, Vec<f32>) {
        let (rows, hidden, width) = (self.rows, self.hidden, 4 * self.hidden);
        let mut gates = Scratch::of(rows * width);
        let x = MatRef::new(&self.x, rows, self.inputs);
        let w = MatRef::new(&self.input_weight, self.inputs, width);
        product(&mut gates, x, w, WriteMode::Overwrite);
        let mut cells = Scratch::of(rows * hidden);
        let mut hiddens = vec![0.0; rows * hidden];
        let u = PackedMatrix::new(MatRef::new(&self.hidden_weight, hidden, width));
        let runs = self.packing.runs(rayon::current_num_threads());
        self.packing
            .split(&runs, &mut gates, width)
            .into_par_iter()
            .zip(self.packing.split(&runs, &mut cells, hidden))
            .zip(self.packing.split(&runs, &mut hiddens, hidden))
            .for_each(|((gates, cells), hiddens)| run_forward(gates, cells, hiddens, &u, bias, hidden));
        (gates, cells, hiddens)
    }

    /// The gradients of the gates before their activations, `[rows, 4 * hidden]`, from those of the hidden states, last
    /// step first. They overwrite the activated gates.
    fn backward_through_time(&self, mut gates: Scratch, cells: &[f32], mut hidden_grad: Vec<f32>) -> Scratch {
        let (packing, hidden, width) = (&self.packing, self.hidden, 4 * self.hidden);
        let u = PackedMatrix::new(MatRef::new(&self.hidden_weight, hidden, width).transposed());
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
                run_backward(
                    gates,
                    hidden_grads,
                    cells,
                    vec![0.0; run.len() * hidden],
                    &u,
                    hidden,
                );
            });
        gates
    }

    /// `U`'s gradient: the previous hidden states of all rows but the first step's, gathered, make it one product.
    fn hidden_weight_grad(&self, grad: &mut [f32], hiddens: &[f32], gate_grads: &[f32]) {
        let (packing, hidden, width) = (&self.packing, self.hidden, 4 * self.hidden);
        let first = packing.sequences();
        let rows = self.rows - first;
        let mut before = Scratch::of(rows * hidden);
        for step in 1..packing.steps() {
            let start = packing.rows_at(step - 1).start * hidden;
            let now = packing.rows_at(step);
            before[(now.start - first) * hidden..(now.end - first) * hidden]
                .copy_from_slice(&hiddens[start..start + now.len() * hidden]);
        }
        let before = MatRef::new(&before, rows, hidden).transposed();
        let gates = MatRef::new(&gate_grads[first * width..], rows, width);
        product(grad, before, gates, WriteMode::Accumulate);
    }
}

/// Some of the sequences, from the first step to the last; each argument has a slice for every step.
fn run_forward(
    mut gates: Vec<&mut [f32]>,
    mut cells: Vec<&mut [f32]>,
    mut hiddens: Vec<&mut [f32]>,
    hidden_weight: &PackedMatrix,
    bias: &[f32],
    hidden: usize,
) {
    let width = 4 * hidden;
    for (step, gates) in gates.iter_mut().enumerate() {
        let live = gates.len() / width;
        let (cells_before, cells) = cells.split_at_mut(step);
        let (hiddens_before, hiddens) = hiddens.split_at_mut(step);
        if let Some(before) = hiddens_before.last() {
            let (out, before) = (MatMut::new(gates, live, width), MatRef::new(before, live, hidden));
            hidden_weight.product_into(out, before, WriteMode::Accumulate);
        }
        let rows = gates
            .chunks_exact_mut(width)
            .zip(cells[0].chunks_exact_mut(hidden))
            .zip(hiddens[0].chunks_exact_mut(hidden));
        for (row, ((gates, cell), output)) in rows.enumerate() {
            let before = cells_before.last();
            let before = before.map(|cells| &cells[row * hidden..(row + 1) * hidden]);
            activate(gates, bias, before, cell, output);
        }
    }
}

/// The backward pass of [`run_forward`]. The gradient of the cells goes from step to step; `hidden_weight` is `U`
/// transposed, `[4 * hidden, hidden]`.
fn run_backward(
    mut gates: Vec<&mut [f32]>,
    mut hidden_grads: Vec<&mut [f32]>,
    cells: Vec<&[f32]>,
    mut cell_grad: Vec<f32>,
    hidden_weight: &PackedMatrix,
    hidden: usize,
) {
    let width = 4 * hidden;
    for (step, gates) in gates.iter_mut().enumerate().rev() {
        let live = gates.len() / width;
        let (grads_before, grads) = hidden_grads.split_at_mut(step);
        let cells_before = step.checked_sub(1).map(|before| cells[before]);
        let rows = gates
            .chunks_exact_mut(width)
            .zip(cells[step].chunks_exact(hidden))
            .zip(grads[0].chunks_exact(hidden))
            .zip(cell_grad.chunks_exact_mut(hidden));
        for (row, (((gates, cell), hidden_grad), cell_grad)) in rows.enumerate() {
            let before = cells_before.map(|cells| &cells[row * hidden..(row + 1) * hidden]);
            deactivate(gates, cell, before, hidden_grad, cell_grad);
        }
        if let Some(before) = grads_before.last_mut() {
            let (out, gates) = (MatMut::new(before, live, hidden), MatRef::new(gates, live, width));
            hidden_weight.product_into(out, gates, WriteMode::Accumulate);
        }
    }
}
