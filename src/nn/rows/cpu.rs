//! Operations on rows for `Cpu`.
//!
//! Why they are fast: rows are copied and added whole, where dfdx works out the place of every single element.

use super::{Matrix, RowsKernel, composed_gather};
use crate::nn::host::{add, contiguous, put_gradient, take_gradient, values};
use dfdx::prelude::*;
use pulp::Arch;

impl RowsKernel for Cpu {
    fn try_gather_rows<T: Tape<f32, Self>>(
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> Result<Matrix<Self, T>, CpuError> {
        let (table, mut tape) = table.split_tape();
        let table = contiguous(&table, &mut tape)?;
        let (_, columns) = *table.shape();
        let gathered = if rows.len() < table.shape().0 {
            // Of a long table dfdx reads a few elements where they lie, which takes less time than to copy it out.
            composed_gather(table.clone(), rows)?
        } else {
            let source = values(&table);
            let of_row = |row: &usize| &source[row * columns..(row + 1) * columns];
            let gathered = rows.iter().flat_map(of_row).copied().collect();
            table
                .device()
                .try_tensor_from_vec(gathered, (rows.len(), columns))?
        };
        let (result, rows) = (gathered.clone(), rows.to_vec());
        tape.add_backward_op(move |gradients| {
            let gradient = take_gradient(gradients, &gathered)?;
            add_to_rows(gradients.get_or_alloc_mut(&table)?, &gradient, &rows, columns);
            Ok(())
        });
        Ok(result.put_tape(tape))
    }

    fn try_add_gathered<T: Tape<f32, Self> + Merge<T>>(
        sums: Matrix<Self, T>,
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> Result<Matrix<Self, T>, CpuError> {
        let (sums, tape) = sums.split_tape();
        let (table, tape_of_table) = table.split_tape();
        let mut tape = tape.merge(tape_of_table);
        let sums = contiguous(&sums, &mut tape)?;
        let table = contiguous(&table, &mut tape)?;
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
        let (result, rows) = (added.clone(), rows.to_vec());
        tape.add_backward_op(move |gradients| {
            let gradient = take_gradient(gradients, &added)?;
            add_to_rows(gradients.get_or_alloc_mut(&table)?, &gradient, &rows, columns);
            let mut whole = take_gradient(gradients, &sums)?;
            Arch::new().dispatch(|| add(&mut whole, &gradient));
            put_gradient(gradients, &sums, whole)
        });
        Ok(result.put_tape(tape))
    }

    fn try_scale_elements<T: Tape<f32, Self>>(
        x: Matrix<Self, T>,
        factors: Vec<f32>,
    ) -> Result<Matrix<Self, T>, CpuError> {
        let (x, mut tape) = x.split_tape();
        let x = contiguous(&x, &mut tape)?;
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
        let result = scaled.clone();
        tape.add_backward_op(move |gradients| {
            let gradient = take_gradient(gradients, &scaled)?;
            let sums = gradients.get_or_alloc_mut(&x)?;
            Arch::new().dispatch(|| {
                for ((sum, gradient), factor) in sums.iter_mut().zip(&gradient).zip(&factors) {
                    *sum += gradient * factor;
                }
            });
            Ok(())
        });
        Ok(result.put_tape(tape))
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
