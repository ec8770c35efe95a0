//! The pieces of a recurrence on a GPU.
//!
//! Why they are fast: products read the rows of a weight in place and accumulate, in the backward pass directly into the
//! gradient itself; a cell is one kernel each way.

use super::{CellResult, Matrix};
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{DeviceBuffer, DeviceSlice, KernelDevice, Operand, Stream, elementwise};
use crate::nn::ops::lstm::cuda::Cell;
use dfdx::prelude::*;
use std::ops::Range;

#[cfg(feature = "cuda")]
impl super::RecurrenceKernel for Cuda {
    /// The whole weight, and which of its rows.
    type StepWeight = (Matrix<Cuda>, Range<usize>);

    fn try_step_weight<T: Tape<f32, Self>>(
        weight: &Matrix<Self>,
        rows: Range<usize>,
        _: usize,
        tape: &mut T,
    ) -> DeviceResult<Self, Self::StepWeight> {
        Ok((contiguous(weight, tape)?, rows))
    }

    fn try_add_products<T: Tape<f32, Self> + Merge<T>>(
        sums: Matrix<Self, T>,
        terms: &[(&Matrix<Self>, &Self::StepWeight)],
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        let terms: Vec<_> = terms
            .iter()
            .map(|(x, (weight, rows))| (*x, weight, rows.clone()))
            .collect();
        match sums.device().stream() {
            Some(stream) => products(stream, sums, &terms),
            None => super::composed_products(sums, &terms),
        }
    }

    fn try_lstm_cell<T: Tape<f32, Self> + Merge<T>>(
        gates: Matrix<Self, T>,
        cell: &Matrix<Self>,
    ) -> CellResult<Self, T> {
        match gates.device().stream() {
            Some(stream) => lstm_cell(stream, gates, cell),
            None => super::composed_cell(gates, cell),
        }
    }
}

/// The first rows of a matrix times some rows of another.
#[derive(Clone, Debug)]
struct Term<D: KernelDevice> {
    x: Matrix<D>,
    weight: Matrix<D>,
    rows: Range<usize>,
}

impl<D: KernelDevice> Term<D> {
    /// `live` rows of `x`, of the matrix itself or of its gradient.
    fn inputs(&self, x: DeviceSlice, live: usize) -> Operand {
        Operand::new(x, live, self.rows.len())
    }

    /// The rows of the weight, of the matrix itself or of its gradient.
    fn of_weight(&self, weight: DeviceSlice) -> DeviceSlice {
        weight.rows(self.rows.clone(), self.weight.shape().1)
    }

    fn weights(&self) -> Operand {
        let columns = self.weight.shape().1;
        Operand::new(self.of_weight(D::slice(&self.weight)), self.rows.len(), columns)
    }
}

/// [`composed_products`](super::composed_products) is what it computes.
pub(super) fn products<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    sums: Matrix<D, T>,
    terms: &[(&Matrix<D>, &Matrix<D>, Range<usize>)],
) -> DeviceResult<D, Matrix<D, T>> {
    let (sums, mut tape) = sums.split_tape();
    let sums = contiguous(&sums, &mut tape)?;
    let terms = terms
        .iter()
        .map(|(x, weight, rows)| {
            Ok(Term {
                x: contiguous(x, &mut tape)?,
                weight: contiguous(weight, &mut tape)?,
                rows: rows.clone(),
            })
        })
        .collect::<DeviceResult<D, Vec<Term<D>>>>()?;
    let shape @ (live, columns) = *sums.shape();
    let (y, out) = elementwise::alloc_tensor(sums.device(), shape)?;
    elementwise::copy(&stream, D::slice(&sums), out)?;
    for term in &terms {
        let x = term.inputs(D::slice(&term.x), live);
        stream.multiply(out, x, term.weights(), WriteMode::Accumulate)?;
    }
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        let down = Operand::new(gradient, live, columns);
        for term in &terms {
            let inputs = live * term.rows.len();
            let to_x = D::gradient(gradients, &term.x)?.part(0..inputs);
            stream.multiply(to_x, down, term.weights().transposed(), WriteMode::Accumulate)?;
            let to_weight = term.of_weight(D::gradient(gradients, &term.weight)?);
            let x = term.inputs(D::slice(&term.x), live);
            stream.multiply(to_weight, x.transposed(), down, WriteMode::Accumulate)?;
        }
        elementwise::add(&stream, gradient, D::gradient(gradients, &sums)?)
    });
    Ok(result.put_tape(tape))
}

/// [`RecurrenceKernel::try_lstm_cell`](super::RecurrenceKernel::try_lstm_cell).
pub(super) fn lstm_cell<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    gates: Matrix<D, T>,
    cell: &Matrix<D>,
) -> CellResult<D, T> {
    let (gates, mut tape) = gates.split_tape();
    let gates = contiguous(&gates, &mut tape)?;
    let cell = contiguous(cell, &mut tape)?;
    let (live, width) = *gates.shape();
    let hidden = width / 4;
    let activated = stream.alloc(live * width)?;
    elementwise::copy(&stream, D::slice(&gates), activated.slice())?;
    let (new_cell, cell_slice) = elementwise::alloc_tensor(gates.device(), (live, hidden))?;
    let (new_hidden, hidden_slice) = elementwise::alloc_tensor(gates.device(), (live, hidden))?;
    let step = Cell {
        gates: activated.slice(),
        before: Some(D::slice(&cell)),
        cell: cell_slice,
        hidden,
    };
    step.forward(&stream, None, hidden_slice)?;
    let result = (new_hidden.clone(), new_cell.clone());
    tape.add_backward_op(move |gradients| {
        let from_hidden = D::gradient(gradients, &new_hidden)?;
        let through = D::gradient(gradients, &new_cell)?;
        step.back(&stream, from_hidden, through)?;
        elementwise::add(&stream, activated.slice(), D::gradient(gradients, &gates)?)?;
        let to_cell = D::gradient(gradients, &cell)?.part(0..live * hidden);
        elementwise::add(&stream, through, to_cell)
    });
    Ok((result.0.put_tape(tape), result.1))
}
