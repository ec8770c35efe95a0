//! The pieces of a recurrence for `Cpu`.
//!
//! Why they are fast: a weight is laid out once for the products of all steps, and its gradient is one product over
//! the rows of all steps, where each step on its own would read and write the whole of it.

use super::{CellResult, Matrix, RecurrenceKernel};
use crate::nn::MatrixResult;
use crate::nn::cpu::matmul::{MatRef, WriteMode, product};
use crate::nn::cpu::packed_matrix::{PackedMatrix, add_products};
use crate::nn::cpu::scratch::Scratch;
use crate::nn::cpu::slices::{add, put_gradient, take_gradient, values};
use crate::nn::ops::lstm::row::{activate, deactivate};
use crate::nn::tape::record;
use dfdx::prelude::*;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of gates that a thread activates at a time, at least.
const PIECE: usize = 8;

/// A weight, laid out for the forward pass and, with a tape, for the backward pass.
#[derive(Clone, Debug)]
pub struct CpuStepWeight {
    forward: Arc<PackedMatrix>,
    back: Option<Arc<PackedMatrix>>,
    /// Rows and columns.
    shape: (usize, usize),
    uses: Arc<Mutex<Uses>>,
}

/// The factors of the weight's gradient: the multiplied rows, and the gradients of the products.
#[derive(Debug)]
struct Uses {
    rows: usize,
    inputs: Scratch,
    outputs: Scratch,
}

impl CpuStepWeight {
    /// Keeps the rows of `x` and `gradient` for the weight gradient, which is computed once for all steps.
    fn note(&self, x: &[f32], gradient: &[f32]) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let first = uses.rows;
        let (inputs, outputs) = self.shape;
        uses.inputs[first * inputs..][..x.len()].copy_from_slice(x);
        uses.outputs[first * outputs..][..gradient.len()].copy_from_slice(gradient);
        uses.rows += gradient.len() / outputs;
    }

    /// Adds the gradient of all uses to `sums`.
    fn add_gradient(&self, sums: &mut [f32]) {
        let uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let (inputs, outputs) = self.shape;
        product(
            sums,
            MatRef::new(&uses.inputs[..uses.rows * inputs], uses.rows, inputs).transposed(),
            MatRef::new(&uses.outputs[..uses.rows * outputs], uses.rows, outputs),
            WriteMode::Accumulate,
        );
    }
}

impl RecurrenceKernel for Cpu {
    type StepWeight = CpuStepWeight;

    fn step_weight<T: Tape<f32, Self>>(
        weight: &Matrix<Self>,
        uses: usize,
        tape: &mut T,
    ) -> Result<CpuStepWeight, CpuError> {
        let shape = *weight.shape();
        let copied = values(weight);
        let view = MatRef::new(&copied, shape.0, shape.1);
        let room = if T::OWNS_TAPE { uses } else { 0 };
        let step_weight = CpuStepWeight {
            forward: Arc::new(PackedMatrix::new(view)),
            back: T::OWNS_TAPE.then(|| Arc::new(PackedMatrix::new(view.transposed()))),
            shape,
            uses: Arc::new(Mutex::new(Uses {
                rows: 0,
                inputs: Scratch::of(room * shape.0),
                outputs: Scratch::of(room * shape.1),
            })),
        };
        let (weight, noted) = (weight.clone(), step_weight.clone());
        // Tape rule: recorded before any step, so the backward pass runs it after all steps have noted their use.
        tape.add_backward_op(move |gradients| {
            noted.add_gradient(gradients.get_or_alloc_mut(&weight)?);
            Ok(())
        });
        Ok(step_weight)
    }

    fn add_products<T: Tape<f32, Self>>(
        sums: Matrix<Self, T>,
        terms: &[(&Matrix<Self>, &CpuStepWeight)],
    ) -> MatrixResult<Self, T> {
        let (sums, tape) = sums.split_tape();
        let shape @ (live, columns) = *sums.shape();
        let inputs: Vec<Vec<f32>> = terms.iter().map(|(x, _)| values(*x)).collect();
        let mut y = values(&sums);
        let products: Vec<_> = terms
            .iter()
            .zip(&inputs)
            .map(|((_, weight), x)| {
                (
                    MatRef::new(&x[..live * weight.shape.0], live, weight.shape.0),
                    &*weight.forward,
                )
            })
            .collect();
        add_products(&mut y, &products);
        let y = sums.device().try_tensor_from_vec(y, shape)?;
        let terms: Vec<_> = terms
            .iter()
            .zip(inputs)
            .map(|((tensor, weight), x)| ((*tensor).clone(), (*weight).clone(), x))
            .collect();
        Ok(record(y, tape, move |gradients, y| {
            let gradient = take_gradient(gradients, y)?;
            for (tensor, weight, x) in &terms {
                let used = live * weight.shape.0;
                weight.note(&x[..used], &gradient);
                if let Some(back) = &weight.back {
                    let down = &mut gradients.get_or_alloc_mut(tensor)?[..used];
                    add_products(down, &[(MatRef::new(&gradient, live, columns), &**back)]);
                }
            }
            let mut whole = take_gradient(gradients, &sums)?;
            add(&mut whole, &gradient);
            put_gradient(gradients, &sums, whole)
        }))
    }

    fn try_lstm_cell<T: Tape<f32, Self>>(gates: Matrix<Self, T>, cell: &Matrix<Self>) -> CellResult<Self, T> {
        let (gates, tape) = gates.split_tape();
        let (live, width) = *gates.shape();
        let hidden = width / 4;
        let mut activated = values(&gates);
        let before = values(cell);
        let no_bias = vec![0.0; width];
        let [mut cells, mut hiddens] = [vec![0.0; live * hidden], vec![0.0; live * hidden]];
        (
            activated.par_chunks_mut(width),
            before[..live * hidden].par_chunks(hidden),
            cells.par_chunks_mut(hidden),
            hiddens.par_chunks_mut(hidden),
        )
            .into_par_iter()
            .with_min_len(PIECE)
            .for_each(|(gates, before, cell, output)| activate(gates, &no_bias, Some(before), cell, output));
        let device = gates.device().clone();
        let matrix = |values| device.try_tensor_from_vec(values, (live, hidden));
        let (new_cell, new_hidden) = (matrix(cells)?, matrix(hiddens)?);
        let (result, cell) = (new_cell.clone(), cell.clone());
        let new_hidden = record(new_hidden, tape, move |gradients, new_hidden| {
            let from_hidden = take_gradient(gradients, new_hidden)?;
            let mut through_cell = take_gradient(gradients, &new_cell)?;
            (
                activated.par_chunks_mut(width),
                values(&new_cell).par_chunks(hidden),
                before[..live * hidden].par_chunks(hidden),
                from_hidden.par_chunks(hidden),
                through_cell.par_chunks_mut(hidden),
            )
                .into_par_iter()
                .with_min_len(PIECE)
                .for_each(|(gates, cell, before, from_hidden, through_cell)| {
                    deactivate(gates, cell, Some(before), from_hidden, through_cell);
                });
            add(gradients.get_or_alloc_mut(&gates)?, &activated);
            let to_cell = &mut gradients.get_or_alloc_mut(&cell)?[..live * hidden];
            add(to_cell, &through_cell);
            Ok(())
        });
        Ok((new_hidden, result))
    }
}
