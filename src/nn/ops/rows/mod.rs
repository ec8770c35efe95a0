//! Operations on whole rows of a matrix: gather, split, concatenate, average, activate, drop elements.

mod cpu;
#[cfg(any(test, feature = "cuda"))]
pub(in crate::nn) mod cuda;
#[cfg(test)]
mod tests;

use crate::nn::{Activation, DeviceResult, Mask, Matrix, MatrixResult};
use dfdx::prelude::*;

/// Operations on rows.
pub trait RowsKernel: Device<f32> {
    /// The listed rows of `table`, which may repeat: `[rows.len(), columns]`.
    fn gather_rows<T: Tape<f32, Self>>(table: Matrix<Self, T>, rows: &[usize]) -> MatrixResult<Self, T> {
        composed_gather(table, rows)
    }

    /// `sums` `[rows.len(), columns]`, with the listed row of `table` added to each of its rows.
    fn add_gathered<T: Tape<f32, Self>>(
        sums: Matrix<Self, T>,
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> MatrixResult<Self, T> {
        sums.try_add(composed_gather(table, rows)?)
    }

    /// The mean of each `size` neighboring rows: `[groups * size, columns]` to `[groups, columns]`.
    fn mean_of_groups<T: Tape<f32, Self>>(rows: Matrix<Self, T>, size: usize) -> MatrixResult<Self, T> {
        composed_mean(rows, size)
    }

    /// `activation` of each element.
    fn activated<T: Tape<f32, Self>>(rows: Matrix<Self, T>, activation: Activation) -> MatrixResult<Self, T> {
        activation.composed(rows)
    }

    /// Cuts a matrix between rows, into pieces of these heights; the history of all of them is the tape.
    fn split_rows<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        heights: &[usize],
    ) -> Result<(Vec<Matrix<Self>>, T), Self::Err> {
        composed_split(rows, heights)
    }

    /// Lays matrices under each other; `tape` is the history of all of them.
    fn concat_rows<T: Tape<f32, Self>>(parts: Vec<Matrix<Self>>, tape: T) -> MatrixResult<Self, T> {
        composed_concat(parts, tape)
    }

    /// Drops elements; the mask is as long as `x` has elements.
    fn drop_elements<T: Tape<f32, Self>>(x: Matrix<Self, T>, mask: &Mask) -> MatrixResult<Self, T> {
        Self::scale_elements(x, mask.factors())
    }

    /// Each element times its own constant, which has no gradient.
    fn scale_elements<T: Tape<f32, Self>>(x: Matrix<Self, T>, factors: Vec<f32>) -> MatrixResult<Self, T> {
        composed_scale(x, factors)
    }
}

/// The first `count` rows. By `gather`, because the gradient of dfdx 0.13's `slice` overwrites what other uses of the
/// same tensor have left there, where `gather`'s adds to it.
pub(in crate::nn) fn first_rows<D: RowsKernel, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    count: usize,
) -> MatrixResult<D, T> {
    let rows_taken: Vec<usize> = (0..count).collect();
    D::gather_rows(rows, &rows_taken)
}

/// The rows of each part, of these heights, of a whole.
fn row_ranges(heights: impl IntoIterator<Item = usize>) -> impl Iterator<Item = std::ops::Range<usize>> {
    heights.into_iter().scan(0, |end, height| {
        let first = *end;
        *end += height;
        Some(first..*end)
    })
}

fn composed_gather<D: Device<f32>, T: Tape<f32, D>>(
    table: Matrix<D, T>,
    rows: &[usize],
) -> MatrixResult<D, T> {
    let rows = table.device().try_tensor_from_vec(rows.to_vec(), (rows.len(),))?;
    table.try_gather(rows)
}

fn composed_split<D: Device<f32>, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    heights: &[usize],
) -> DeviceResult<D, (Vec<Matrix<D>>, T)> {
    let (rows, mut tape) = rows.split_tape();
    let mut parts = Vec::with_capacity(heights.len());
    for range in row_ranges(heights.iter().copied()) {
        let taken: Vec<usize> = range.collect();
        let (part, history) = composed_gather(rows.clone().put_tape(tape), &taken)?.split_tape();
        tape = history;
        parts.push(part);
    }
    Ok((parts, tape))
}

fn composed_concat<D: Device<f32>, T: Tape<f32, D>>(parts: Vec<Matrix<D>>, tape: T) -> MatrixResult<D, T> {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else {
        unreachable!("there is a part at least");
    };
    parts.try_fold(first.put_tape(tape), |rows, part| {
        (rows, part).try_concat_along(Axis::<0>)
    })
}

fn composed_scale<D: Device<f32>, T: Tape<f32, D>>(x: Matrix<D, T>, factors: Vec<f32>) -> MatrixResult<D, T> {
    let factors = x.device().try_tensor_from_vec(factors, *x.shape())?;
    x.try_mul(factors)
}

fn composed_mean<D: Device<f32>, T: Tape<f32, D>>(rows: Matrix<D, T>, size: usize) -> MatrixResult<D, T> {
    let (count, columns) = *rows.shape();
    rows.try_reshape_like(&(count / size, size, columns))?
        .try_mean::<(usize, usize), Axis<1>>()
}
