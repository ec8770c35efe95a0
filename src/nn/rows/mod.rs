//! What decoders do with whole rows of a matrix: look them up, lay them under others, drop some of their elements.

mod cpu;
#[cfg(test)]
mod tests;

use super::backend::{Backend, DeviceResult, Matrix};
use dfdx::prelude::*;

/// Operations on rows. The defaults are composed of dfdx operations and so run on any device; they say what a kernel of
/// a device's own must compute.
pub trait RowsKernel: Device<f32> {
    /// See [`gather_rows`].
    fn try_gather_rows<T: Tape<f32, Self>>(
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> Result<Matrix<Self, T>, Self::Err>
    where
        Self: Backend,
    {
        composed_gather(table, rows)
    }

    /// See [`add_gathered`].
    fn try_add_gathered<T: Tape<f32, Self> + Merge<T>>(
        sums: Matrix<Self, T>,
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> Result<Matrix<Self, T>, Self::Err>
    where
        Self: Backend,
    {
        sums.try_add(composed_gather(table, rows)?)
    }

    /// Each element times its own constant, which has no gradient.
    fn try_scale_elements<T: Tape<f32, Self>>(
        x: Matrix<Self, T>,
        factors: Vec<f32>,
    ) -> Result<Matrix<Self, T>, Self::Err>
    where
        Self: Backend,
    {
        let factors = x.device().try_tensor_from_vec(factors, *x.shape())?;
        x.try_mul(factors)
    }
}

/// The listed rows of `table`, which may repeat: `[rows.len(), columns]`.
pub fn gather_rows<D: Backend, T: Tape<f32, D>>(
    table: Matrix<D, T>,
    rows: &[usize],
) -> DeviceResult<D, Matrix<D, T>> {
    D::try_gather_rows(table, rows)
}

/// `sums` `[rows.len(), columns]`, with the listed row of `table` added to each of its rows.
pub fn add_gathered<D: Backend, T: Tape<f32, D> + Merge<T>>(
    sums: Matrix<D, T>,
    table: Matrix<D, T>,
    rows: &[usize],
) -> DeviceResult<D, Matrix<D, T>> {
    D::try_add_gathered(sums, table, rows)
}

/// See [`RowsKernel::try_scale_elements`].
pub(super) fn scale_elements<D: Backend, T: Tape<f32, D>>(
    x: Matrix<D, T>,
    factors: Vec<f32>,
) -> DeviceResult<D, Matrix<D, T>> {
    D::try_scale_elements(x, factors)
}

fn composed_gather<D: Backend, T: Tape<f32, D>>(
    table: Matrix<D, T>,
    rows: &[usize],
) -> DeviceResult<D, Matrix<D, T>> {
    let rows = table.device().try_tensor_from_vec(rows.to_vec(), (rows.len(),))?;
    table.try_gather(rows)
}
