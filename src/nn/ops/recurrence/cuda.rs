//! The pieces of a recurrence on a GPU.
//!
//! Why they are fast: products read the rows of a weight in place and accumulate, in the backward pass directly into the
//! gradient itself; a cell is one kernel each way.

use super::{CellResult, Matrix};
use crate::nn::backend::{Backend, DeviceResult};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cuda::{DeviceBuffer, DeviceSlice, Elementwise, KernelDevice, Operand, Stream};
use crate::nn::ops::lstm::cuda::Cell;
use crate::nn::tape::{contiguous, record};
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

    fn try_add_products<T: Tape<f32, Self>>(
        sums: Matrix<Self, T>,
        terms: &[(&Matrix<Self>, &Self::StepWeight)],
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        let terms: Vec<_> = terms
            .iter()
            .map(|(x, (weight, rows))| (*x, weight, rows.clone()))
            .collect();
        products(sums, &terms)
    }

    fn try_lstm_cell<T: Tape<f32, Self>>(gates: Matrix<Self, T>, cell: &Matrix<Self>) -> CellResult<Self, T> {
        lstm_cell(gates, cell)
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
    fn inputs(&self, live: usize) -> Operand {
        Operand::new(D::slice(&self.x), live, self.rows.len())
    }

    /// The rows of the weight or of its gradient.
    fn of_weight(&self, weight: DeviceSlice) -> DeviceSlice {
        weight.rows(self.rows.clone(), self.weight.shape().1)
    }

    fn weights(&self) -> Operand {
        let columns = self.weight.shape().1;
        Operand::new(self.of_weight(D::slice(&self.weight)), self.rows.len(), columns)
    }
}

/// See [`composed_products`](super::composed_products).
pub(super) fn products<D: KernelDevice + Backend, T: Tape<f32, D>>(
    sums: Matrix<D, T>,
    terms: &[(&Matrix<D>, &Matrix<D>, Range<usize>)],
) -> DeviceResult<D, Matrix<D, T>> {
    let Some(stream) = sums.device().stream() else {
        return super::composed_products(sums, terms);
    };
    let (sums, mut tape) = sums.try_contiguous()?.split_tape();
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
    let (y, out) = sums.device().alloc_tensor(shape)?;
    stream.copy(D::slice(&sums), out)?;
    for term in &terms {
        stream.matmul(out, term.inputs(live), term.weights(), WriteMode::Accumulate)?;
    }
    Ok(record(y, tape, move |gradients, y| {
        let gradient = D::gradient(gradients, y)?;
        let down = Operand::new(gradient, live, columns);
        for term in &terms {
            let to_x = D::gradient(gradients, &term.x)?.first(live * term.rows.len());
            stream.matmul(to_x, down, term.weights().transposed(), WriteMode::Accumulate)?;
            let to_weight = term.of_weight(D::gradient(gradients, &term.weight)?);
            stream.matmul(
                to_weight,
                term.inputs(live).transposed(),
                down,
                WriteMode::Accumulate,
            )?;
        }
        stream.add(gradient, D::gradient(gradients, &sums)?)
    }))
}

/// [`RecurrenceKernel::try_lstm_cell`](super::RecurrenceKernel::try_lstm_cell).
pub(super) fn lstm_cell<D: KernelDevice + Backend, T: Tape<f32, D>>(
    gates: Matrix<D, T>,
    cell: &Matrix<D>,
) -> CellResult<D, T> {
    let Some(stream) = gates.device().stream() else {
        return super::composed_cell(gates, cell);
    };
    let (gates, mut tape) = gates.try_contiguous()?.split_tape();
    let cell = contiguous(cell, &mut tape)?;
    let (live, width) = *gates.shape();
    let hidden = width / 4;
    let activated = stream.alloc(live * width)?;
    stream.copy(D::slice(&gates), activated.slice())?;
    let (new_cell, cell_slice) = gates.device().alloc_tensor((live, hidden))?;
    let (new_hidden, hidden_slice) = gates.device().alloc_tensor((live, hidden))?;
    let step = Cell {
        gates: activated.slice(),
        before: Some(D::slice(&cell)),
        cell: cell_slice,
        hidden,
    };
    step.forward(&stream, None, hidden_slice)?;
    let result = new_cell.clone();
    let new_hidden = record(new_hidden, tape, move |gradients, new_hidden| {
        let from_hidden = D::gradient(gradients, new_hidden)?;
        let through = D::gradient(gradients, &new_cell)?;
        step.back(&stream, from_hidden, through)?;
        stream.add(activated.slice(), D::gradient(gradients, &gates)?)?;
        stream.add(through, D::gradient(gradients, &cell)?.first(live * hidden))
    });
    Ok((new_hidden, result))
}
