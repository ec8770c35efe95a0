//! Operations on rows for `Cpu`.
//!
//! Why they are fast: rows are copied and added whole, where dfdx computes the index of every element.

use super::{Matrix, RowsKernel, composed_gather};
use crate::nn::MatrixResult;
use crate::nn::cpu::slices::{add, put_gradient, take_gradient, values};
use crate::nn::ops::activation::Activation;
use crate::nn::tape::record;
use dfdx::prelude::*;
use pulp::Arch;
use rayon::prelude::*;

/// Values that a thread takes at a time.
const PIECE: usize = 1 << 14;

impl RowsKernel for Cpu {
    fn gather_rows<T: Tape<f32, Self>>(table: Matrix<Self, T>, rows: &[usize]) -> MatrixResult<Self, T> {
        let (table, tape) = table.try_contiguous()?.split_tape();
        let (_, columns) = *table.shape();
        let gathered = if rows.len() < table.shape().0 {
            // dfdx gathers in place, which is faster than copying a long table out for a few rows.
            composed_gather(table.clone(), rows)?
        } else {
            let source = values(&table);
            let of_row = |row: &usize| &source[row * columns..(row + 1) * columns];
            let gathered = rows.iter().flat_map(of_row).copied().collect();
            table
                .device()
                .try_tensor_from_vec(gathered, (rows.len(), columns))?
        };
        let rows = rows.to_vec();
        Ok(record(gathered, tape, move |gradients, gathered| {
            let gradient = take_gradient(gradients, gathered)?;
            add_to_rows(gradients.get_or_alloc_mut(&table)?, &gradient, &rows, columns);
            Ok(())
        }))
    }

    fn add_gathered<T: Tape<f32, Self>>(
        sums: Matrix<Self, T>,
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> MatrixResult<Self, T> {
        let (sums, tape) = sums.try_contiguous()?.split_tape();
        let (table, table_tape) = table.try_contiguous()?.split_tape();
        let shape @ (count, columns) = *sums.shape();
        assert_eq!(
            (count, columns),
            (rows.len(), table.shape().1),
            "rows to be added"
        );
        let (mut added, source) = (values(&sums), values(&table));
        Arch::new().dispatch(|| {
            for (sum, row) in added.chunks_exact_mut(columns.max(1)).zip(rows) {
                add(sum, &source[row * columns..(row + 1) * columns]);
            }
        });
        let added = sums.device().try_tensor_from_vec(added, shape)?;
        let rows = rows.to_vec();
        Ok(record(added, tape.merge(table_tape), move |gradients, added| {
            let gradient = take_gradient(gradients, added)?;
            add_to_rows(gradients.get_or_alloc_mut(&table)?, &gradient, &rows, columns);
            let mut whole = take_gradient(gradients, &sums)?;
            Arch::new().dispatch(|| add(&mut whole, &gradient));
            put_gradient(gradients, &sums, whole)
        }))
    }

    fn mean_of_groups<T: Tape<f32, Self>>(rows: Matrix<Self, T>, size: usize) -> MatrixResult<Self, T> {
        let (rows, tape) = rows.try_contiguous()?.split_tape();
        let (count, columns) = *rows.shape();
        let share = 1.0 / size as f32;
        let mut means = vec![0.0; count / size * columns];
        means
            .par_chunks_mut(columns)
            .zip(values(&rows).par_chunks(size * columns))
            .for_each(|(mean, group)| {
                Arch::new().dispatch(|| {
                    group.chunks_exact(columns).for_each(|row| add(mean, row));
                    mean.iter_mut().for_each(|mean| *mean *= share);
                });
            });
        let means = rows
            .device()
            .try_tensor_from_vec(means, (count / size, columns))?;
        Ok(record(means, tape, move |gradients, means| {
            let mut gradient = take_gradient(gradients, means)?;
            gradient.iter_mut().for_each(|gradient| *gradient *= share);
            gradients
                .get_or_alloc_mut(&rows)?
                .par_chunks_mut(size * columns)
                .zip(gradient.par_chunks(columns))
                .for_each(|(group, gradient)| {
                    Arch::new()
                        .dispatch(|| group.chunks_exact_mut(columns).for_each(|row| add(row, gradient)));
                });
            Ok(())
        }))
    }

    fn activated<T: Tape<f32, Self>>(rows: Matrix<Self, T>, activation: Activation) -> MatrixResult<Self, T> {
        let (rows, tape) = rows.try_contiguous()?.split_tape();
        let mut y = values(&rows);
        y.par_chunks_mut(PIECE).for_each(|y| activation.apply(y));
        let y = rows.device().try_tensor_from_vec(y, *rows.shape())?;
        Ok(record(y, tape, move |gradients, y| {
            let mut gradient = take_gradient(gradients, y)?;
            activation.backward(&mut gradient, &values(y));
            let sums = gradients.get_or_alloc_mut(&rows)?;
            Arch::new().dispatch(|| add(sums, &gradient));
            Ok(())
        }))
    }

    fn split_rows<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        heights: &[usize],
    ) -> Result<(Vec<Matrix<Self>>, T), CpuError> {
        let (rows, mut tape) = rows.try_contiguous()?.split_tape();
        let (count, columns) = *rows.shape();
        assert_eq!(count, heights.iter().sum::<usize>(), "rows to be divided");
        let source = values(&rows);
        let mut rest = source.as_slice();
        let mut parts = Vec::with_capacity(heights.len());
        for &height in heights {
            let (part, below) = rest.split_at(height * columns);
            parts.push(
                rows.device()
                    .try_tensor_from_vec(part.to_vec(), (height, columns))?,
            );
            rest = below;
        }
        let results = parts.clone();
        tape.add_backward_op(move |gradients| {
            let mut whole = take_gradient(gradients, &rows)?;
            let mut rest = whole.as_mut_slice();
            for part in &results {
                let gradient = take_gradient(gradients, part)?;
                let (sums, below) = rest.split_at_mut(gradient.len());
                Arch::new().dispatch(|| add(sums, &gradient));
                rest = below;
            }
            put_gradient(gradients, &rows, whole)
        });
        Ok((parts, tape))
    }

    fn concat_rows<T: Tape<f32, Self>>(parts: Vec<Matrix<Self>>, tape: T) -> MatrixResult<Self, T> {
        let columns = parts.first().map_or(0, |part| part.shape().1);
        let count = parts.iter().map(|part| part.shape().0).sum();
        let whole = parts.iter().flat_map(values).collect();
        let whole = Cpu::default().try_tensor_from_vec(whole, (count, columns))?;
        Ok(record(whole, tape, move |gradients, whole| {
            let gradient = take_gradient(gradients, whole)?;
            let mut rest = gradient.as_slice();
            for part in &parts {
                let sums = gradients.get_or_alloc_mut(part)?;
                let (terms, below) = rest.split_at(sums.len());
                Arch::new().dispatch(|| add(sums, terms));
                rest = below;
            }
            Ok(())
        }))
    }

    fn scale_elements<T: Tape<f32, Self>>(x: Matrix<Self, T>, factors: Vec<f32>) -> MatrixResult<Self, T> {
        let (x, tape) = x.try_contiguous()?.split_tape();
        assert_eq!(
            factors.len(),
            x.shape().num_elements(),
            "a factor for every element"
        );
        let mut scaled = values(&x);
        Arch::new().dispatch(|| {
            for (value, factor) in scaled.iter_mut().zip(&factors) {
                *value *= factor;
            }
        });
        let scaled = x.device().try_tensor_from_vec(scaled, *x.shape())?;
        Ok(record(scaled, tape, move |gradients, scaled| {
            let gradient = take_gradient(gradients, scaled)?;
            let sums = gradients.get_or_alloc_mut(&x)?;
            Arch::new().dispatch(|| {
                for ((sum, gradient), factor) in sums.iter_mut().zip(&gradient).zip(&factors) {
                    *sum += gradient * factor;
                }
            });
            Ok(())
        }))
    }
}

/// Adds each of `terms` to the row of `table` that is listed for it, one after the other.
fn add_to_rows(table: &mut [f32], terms: &[f32], rows: &[usize], columns: usize) {
    Arch::new().dispatch(|| {
        for (term, row) in terms.chunks_exact(columns.max(1)).zip(rows) {
            add(&mut table[row * columns..(row + 1) * columns], term);
        }
    });
}
