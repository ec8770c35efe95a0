//! What decoders do with whole rows of a matrix: look them up, lay them under others, drop some of their elements.

mod cpu;
#[cfg(any(test, feature = "cuda"))]
pub(in crate::nn) mod cuda;
#[cfg(test)]
mod tests;

use crate::nn::backend::{Backend, DeviceResult, Matrix};
use crate::nn::layers::dropout::Mask;
use crate::nn::ops::activation::Activation;
use dfdx::prelude::*;

/// Operations on rows. The defaults are composed of dfdx operations and so run on any device; they say what a kernel of
/// a device's own must compute.
pub trait RowsKernel: Device<f32> {
    /// See [`gather_rows`].
    fn try_gather_rows<T: Tape<f32, Self>>(
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> Result<Matrix<Self, T>, Self::Err> {
        composed_gather(table, rows)
    }

    /// See [`add_gathered`].
    fn try_add_gathered<T: Tape<f32, Self>>(
        sums: Matrix<Self, T>,
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> Result<Matrix<Self, T>, Self::Err> {
        sums.try_add(composed_gather(table, rows)?)
    }

    /// See [`mean_of_groups`].
    fn try_mean_of_groups<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        size: usize,
    ) -> Result<Matrix<Self, T>, Self::Err> {
        composed_mean(rows, size)
    }

    /// See [`activated`].
    fn try_activated<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        activation: Activation,
    ) -> Result<Matrix<Self, T>, Self::Err> {
        activation.composed(rows)
    }

    /// See [`split_rows`].
    fn try_split_rows<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        heights: &[usize],
    ) -> Result<(Vec<Matrix<Self>>, T), Self::Err> {
        composed_split(rows, heights)
    }

    /// See [`concat_rows`].
    fn try_concat_rows<T: Tape<f32, Self>>(
        parts: Vec<Matrix<Self>>,
        tape: T,
    ) -> Result<Matrix<Self, T>, Self::Err> {
        composed_concat(parts, tape)
    }

    /// Drops elements; the mask is as long as `x` has elements.
    fn try_drop<T: Tape<f32, Self>>(x: Matrix<Self, T>, mask: &Mask) -> Result<Matrix<Self, T>, Self::Err> {
        Self::try_scale_elements(x, mask.factors())
    }

    /// Each element times its own constant, which has no gradient.
    fn try_scale_elements<T: Tape<f32, Self>>(
        x: Matrix<Self, T>,
        factors: Vec<f32>,
    ) -> Result<Matrix<Self, T>, Self::Err> {
        composed_scale(x, factors)
    }
}

/// The first `count` rows. By `gather`, because the gradient of dfdx 0.13's `slice` overwrites what other uses of the
/// same tensor have left there, where `gather`'s adds to it.
pub(in crate::nn) fn first_rows<D: Backend, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    count: usize,
) -> DeviceResult<D, Matrix<D, T>> {
    let rows_taken: Vec<usize> = (0..count).collect();
    gather_rows(rows, &rows_taken)
}

/// The mean of each `size` neighboring rows: `[groups * size, columns]` to `[groups, columns]`.
pub fn mean_of_groups<D: Backend, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    size: usize,
) -> DeviceResult<D, Matrix<D, T>> {
    D::try_mean_of_groups(rows, size)
}

/// What `activation` makes of each element.
pub fn activated<D: Backend, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    activation: Activation,
) -> DeviceResult<D, Matrix<D, T>> {
    D::try_activated(rows, activation)
}

/// Cuts a matrix between rows, into pieces of these heights; the history of all of them is the tape.
pub fn split_rows<D: Backend, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    heights: &[usize],
) -> DeviceResult<D, (Vec<Matrix<D>>, T)> {
    D::try_split_rows(rows, heights)
}

/// Lays matrices under each other; `tape` is the history of all of them.
pub fn concat_rows<D: Backend, T: Tape<f32, D>>(
    parts: Vec<Matrix<D>>,
    tape: T,
) -> DeviceResult<D, Matrix<D, T>> {
    D::try_concat_rows(parts, tape)
}

/// The listed rows of `table`, which may repeat: `[rows.len(), columns]`.
pub fn gather_rows<D: Backend, T: Tape<f32, D>>(
    table: Matrix<D, T>,
    rows: &[usize],
) -> DeviceResult<D, Matrix<D, T>> {
    D::try_gather_rows(table, rows)
}

/// `sums` `[rows.len(), columns]`, with the listed row of `table` added to each of its rows.
pub fn add_gathered<D: Backend, T: Tape<f32, D>>(
    sums: Matrix<D, T>,
    table: Matrix<D, T>,
    rows: &[usize],
) -> DeviceResult<D, Matrix<D, T>> {
    D::try_add_gathered(sums, table, rows)
}

fn composed_gather<D: Device<f32>, T: Tape<f32, D>>(
    table: Matrix<D, T>,
    rows: &[usize],
) -> DeviceResult<D, Matrix<D, T>> {
    let rows = table.device().try_tensor_from_vec(rows.to_vec(), (rows.len(),))?;
    table.try_gather(rows)
}

fn composed_split<D: Device<f32>, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    heights: &[usize],
) -> DeviceResult<D, (Vec<Matrix<D>>, T)> {
    let (rows, mut tape) = rows.split_tape();
    let mut first = 0;
    let mut parts = Vec::with_capacity(heights.len());
    for height in heights {
        let taken: Vec<usize> = (first..first + height).collect();
        let (part, history) = composed_gather(rows.clone().put_tape(tape), &taken)?.split_tape();
        tape = history;
        parts.push(part);
        first += height;
    }
    Ok((parts, tape))
}

fn composed_concat<D: Device<f32>, T: Tape<f32, D>>(
    parts: Vec<Matrix<D>>,
    tape: T,
) -> DeviceResult<D, Matrix<D, T>> {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else {
        unreachable!("there is a part at least");
    };
    parts.try_fold(first.put_tape(tape), |rows, part| {
        (rows, part).try_concat_along(Axis::<0>)
    })
}

fn composed_scale<D: Device<f32>, T: Tape<f32, D>>(
    x: Matrix<D, T>,
    factors: Vec<f32>,
) -> DeviceResult<D, Matrix<D, T>> {
    let factors = x.device().try_tensor_from_vec(factors, *x.shape())?;
    x.try_mul(factors)
}

fn composed_mean<D: Device<f32>, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    size: usize,
) -> DeviceResult<D, Matrix<D, T>> {
    let (count, columns) = *rows.shape();
    rows.try_reshape_like(&(count / size, size, columns))?
        .try_mean::<(usize, usize), Axis<1>>()
}
