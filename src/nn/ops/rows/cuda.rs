//! Operations on rows on a GPU.
//!
//! Why they are fast: plain copies, neighboring threads at neighboring values. The host lists the terms of each row of a
//! table's gradient, and one thread adds them up in order: no two wait for each other, and sums are the same each time.

use super::{Matrix, row_ranges};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cuda::{DeviceBuffer, DeviceSlice, Elementwise, KernelDevice, Stream, launch};
use crate::nn::tape::{contiguous, record};
use crate::nn::{Activation, DeviceResult, Mask, MatrixResult};
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
crate::nn::cuda::impl_for_cuda! { super::RowsKernel:
    fn gather_rows(table: Matrix<Self, T>, rows: &[usize]) -> Matrix<Self, T> = gather;
    fn add_gathered(sums: Matrix<Self, T>, table: Matrix<Self, T>, rows: &[usize]) -> Matrix<Self, T> = add_gathered;
    fn mean_of_groups(rows: Matrix<Self, T>, size: usize) -> Matrix<Self, T> = means;
    fn activated(rows: Matrix<Self, T>, activation: Activation) -> Matrix<Self, T> = activated;
    fn split_rows(rows: Matrix<Self, T>, heights: &[usize]) -> (Vec<Matrix<Self>>, T) = split;
    fn concat_rows(parts: Vec<Matrix<Self>>, tape: T) -> Matrix<Self, T> = concat;
    fn drop_elements(x: Matrix<Self, T>, mask: &Mask) -> Matrix<Self, T> = drop_elements;
    fn scale_elements(x: Matrix<Self, T>, factors: Vec<f32>) -> Matrix<Self, T> = scale_elements;
}

pub(super) fn gather<D: KernelDevice, T: Tape<f32, D>>(
    table: Matrix<D, T>,
    rows: &[usize],
) -> MatrixResult<D, T> {
    let Some(stream) = table.device().stream() else {
        return super::composed_gather(table, rows);
    };
    let (table, tape) = table.try_contiguous()?.split_tape();
    let (height, columns) = *table.shape();
    assert!(
        rows.iter().all(|&row| row < height),
        "rows of a table of {height}"
    );
    let (gathered, out) = table.device().alloc_tensor((rows.len(), columns))?;
    let index = stream.upload_indices(rows)?;
    stream.gather_rows(D::slice(&table), index.slice(), out, columns)?;
    let rows = rows.to_vec();
    Ok(record(gathered, tape, move |gradients, gathered| {
        let gradient = D::gradient(gradients, gathered)?;
        scatter(&stream, gradient, D::gradient(gradients, &table)?, &rows, columns)
    }))
}

pub(super) fn add_gathered<D: KernelDevice, T: Tape<f32, D>>(
    sums: Matrix<D, T>,
    table: Matrix<D, T>,
    rows: &[usize],
) -> MatrixResult<D, T> {
    let Some(stream) = table.device().stream() else {
        return sums.try_add(super::composed_gather(table, rows)?);
    };
    let (sums, tape) = sums.try_contiguous()?.split_tape();
    let (table, table_tape) = table.try_contiguous()?.split_tape();
    let (height, columns) = *table.shape();
    assert_eq!(*sums.shape(), (rows.len(), columns), "rows to be added");
    assert!(
        rows.iter().all(|&row| row < height),
        "rows of a table of {height}"
    );
    let (added, out) = sums.device().alloc_tensor(*sums.shape())?;
    let index = stream.upload_indices(rows)?;
    let (from, count) = (D::slice(&table).first(height * columns), out.len());
    let terms = D::slice(&sums).first(count);
    launch!(stream => add_gathered_rows[count](from, index.slice(), terms, out, columns, count))?;
    let rows = rows.to_vec();
    Ok(record(added, tape.merge(table_tape), move |gradients, added| {
        let gradient = D::gradient(gradients, added)?;
        scatter(&stream, gradient, D::gradient(gradients, &table)?, &rows, columns)?;
        stream.write(gradient, D::gradient_target(gradients, &sums)?)
    }))
}

/// Adds each row of `terms` to the row of `table` that is listed for it.
fn scatter<E: Stream>(
    stream: &E,
    terms: DeviceSlice,
    table: DeviceSlice,
    rows: &[usize],
    columns: usize,
) -> Result<(), E::Error> {
    let index = InverseIndex::new(stream, rows)?;
    let [unique, starts, positions] = index.slices();
    let (terms, count) = (terms.first(rows.len() * columns), index.unique_count * columns);
    launch!(stream => scatter_rows[count](terms, table, unique, starts, positions, columns, count))
}

/// For a list of rows, the positions of each row, on the device.
pub(in crate::nn) struct InverseIndex<B> {
    /// How many different rows the list names.
    pub(in crate::nn) unique_count: usize,
    buffers: [B; 3],
}

impl<B: DeviceBuffer> InverseIndex<B> {
    pub(in crate::nn) fn new<E: Stream<Buffer = B>>(stream: &E, rows: &[usize]) -> Result<Self, E::Error> {
        let mut positions: Vec<usize> = (0..rows.len()).collect();
        positions.sort_by_key(|&position| rows[position]);
        let (mut unique, mut starts) = (Vec::new(), Vec::new());
        for (i, &position) in positions.iter().enumerate() {
            if unique.last() != Some(&rows[position]) {
                unique.push(rows[position]);
                starts.push(i);
            }
        }
        starts.push(rows.len());
        Ok(Self {
            unique_count: unique.len(),
            buffers: [
                stream.upload_indices(&unique)?,
                stream.upload_indices(&starts)?,
                stream.upload_indices(&positions)?,
            ],
        })
    }

    /// The unique rows; offsets into the positions, `starts[i]..starts[i + 1]` for the i-th of them; the positions.
    pub(in crate::nn) fn slices(&self) -> [DeviceSlice; 3] {
        self.buffers.each_ref().map(DeviceBuffer::slice)
    }
}

pub(super) fn means<D: KernelDevice, T: Tape<f32, D>>(rows: Matrix<D, T>, size: usize) -> MatrixResult<D, T> {
    let Some(stream) = rows.device().stream() else {
        return super::composed_mean(rows, size);
    };
    let (rows, tape) = rows.try_contiguous()?.split_tape();
    let (count, columns) = *rows.shape();
    let (means, out) = rows.device().alloc_tensor((count / size, columns))?;
    mean_of_groups(&stream, D::slice(&rows), out, size, columns)?;
    Ok(record(means, tape, move |gradients, means| {
        let gradient = D::gradient(gradients, means)?;
        spread_to_groups(&stream, gradient, D::gradient(gradients, &rows)?, size, columns)
    }))
}

/// The mean of each `size` neighboring rows.
pub(in crate::nn) fn mean_of_groups<E: Stream>(
    stream: &E,
    rows: DeviceSlice,
    means: DeviceSlice,
    size: usize,
    columns: usize,
) -> Result<(), E::Error> {
    launch!(stream => mean_of_groups[means.len()](rows, means, size, columns, means.len()))
}

/// The backward pass of [`mean_of_groups`]: adds to the gradient of the rows.
pub(in crate::nn) fn spread_to_groups<E: Stream>(
    stream: &E,
    means: DeviceSlice,
    rows: DeviceSlice,
    size: usize,
    columns: usize,
) -> Result<(), E::Error> {
    launch!(stream => spread_to_groups[rows.len()](means, rows, size, columns, rows.len()))
}

pub(super) fn activated<D: KernelDevice, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    activation: Activation,
) -> MatrixResult<D, T> {
    let Some(stream) = rows.device().stream() else {
        return activation.composed(rows);
    };
    let (rows, tape) = rows.try_contiguous()?.split_tape();
    let (y, out) = rows.device().alloc_tensor(*rows.shape())?;
    stream.activate(D::slice(&rows), out, activation)?;
    Ok(record(y, tape, move |gradients, y| {
        let gradient = D::gradient(gradients, y)?;
        stream.activation_backward(gradient, out, activation)?;
        stream.write(gradient, D::gradient_target(gradients, &rows)?)
    }))
}

pub(super) fn split<D: KernelDevice, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    heights: &[usize],
) -> DeviceResult<D, (Vec<Matrix<D>>, T)> {
    let Some(stream) = rows.device().stream() else {
        return super::composed_split(rows, heights);
    };
    let (rows, mut tape) = rows.try_contiguous()?.split_tape();
    let (count, columns) = *rows.shape();
    assert_eq!(count, heights.iter().sum::<usize>(), "rows to be divided");
    let mut parts = Vec::with_capacity(heights.len());
    for range in row_ranges(heights.iter().copied()) {
        let (part, out) = rows.device().alloc_tensor((range.len(), columns))?;
        stream.copy(D::slice(&rows).rows(range, columns), out)?;
        parts.push(part);
    }
    let results = parts.clone();
    tape.add_backward_op(move |gradients| {
        let whole = D::gradient(gradients, &rows)?;
        for (part, range) in results.iter().zip(row_ranges(heights_of(&results))) {
            stream.add(D::gradient(gradients, part)?, whole.rows(range, columns))?;
        }
        Ok(())
    });
    Ok((parts, tape))
}

fn heights_of<D: KernelDevice>(parts: &[Matrix<D>]) -> impl Iterator<Item = usize> + '_ {
    parts.iter().map(|part| part.shape().0)
}

pub(super) fn concat<D: KernelDevice, T: Tape<f32, D>>(
    parts: Vec<Matrix<D>>,
    mut tape: T,
) -> MatrixResult<D, T> {
    let Some(stream) = parts.first().and_then(|first| first.device().stream()) else {
        return super::composed_concat(parts, tape);
    };
    let parts = parts
        .iter()
        .map(|part| contiguous(part, &mut tape))
        .collect::<DeviceResult<D, Vec<_>>>()?;
    let columns = parts[0].shape().1;
    let count = heights_of(&parts).sum();
    let (whole, out) = parts[0].device().alloc_tensor((count, columns))?;
    for (part, range) in parts.iter().zip(row_ranges(heights_of(&parts))) {
        stream.copy(D::slice(part), out.rows(range, columns))?;
    }
    Ok(record(whole, tape, move |gradients, whole| {
        let gradient = D::gradient(gradients, whole)?;
        for (part, range) in parts.iter().zip(row_ranges(heights_of(&parts))) {
            stream.write(
                gradient.rows(range, columns),
                D::gradient_target(gradients, part)?,
            )?;
        }
        Ok(())
    }))
}

pub(super) fn scale_elements<D: KernelDevice, T: Tape<f32, D>>(
    x: Matrix<D, T>,
    factors: Vec<f32>,
) -> MatrixResult<D, T> {
    let Some(stream) = x.device().stream() else {
        return super::composed_scale(x, factors);
    };
    let (x, tape) = x.try_contiguous()?.split_tape();
    let factors = stream.upload(factors)?;
    let (scaled, out) = x.device().alloc_tensor(*x.shape())?;
    stream.multiply(D::slice(&x), factors.slice(), out)?;
    Ok(record(scaled, tape, move |gradients, scaled| {
        let gradient = D::gradient(gradients, scaled)?;
        stream.write_multiplied(gradient, factors.slice(), D::gradient_target(gradients, &x)?)
    }))
}

/// Drops elements. The kernel draws the mask itself, and again in the backward pass: a mask of a batch is millions of
/// numbers, more than a host draws in the time of a step.
pub(super) fn drop_elements<D: KernelDevice, T: Tape<f32, D>>(
    x: Matrix<D, T>,
    mask: &Mask,
) -> MatrixResult<D, T> {
    let Some(stream) = x.device().stream() else {
        return super::composed_scale(x, mask.factors());
    };
    let (x, tape) = x.try_contiguous()?.split_tape();
    let (kept, out) = x.device().alloc_tensor(*x.shape())?;
    assert_eq!(out.len(), mask.len, "a draw for every element");
    let (key, mask) = (stream.upload_indices(&key_of(mask))?, mask.clone());
    let drop = move |from: DeviceSlice, to: DeviceSlice, mode: WriteMode| {
        let (count, drawn) = (to.len(), mask.stream.get_word_pos() as usize);
        let (from, drop_below) = (from.first(count), mask.drop_below() as usize);
        // A thread for each block of the random stream, which has 16 words for two values each.
        launch!(stream => drop_values[count.div_ceil(32) + 1](
            from, to, key.slice(), drawn, drop_below, mask.scale(), mode, count))
    };
    drop(D::slice(&x), out, WriteMode::Overwrite)?;
    Ok(record(kept, tape, move |gradients, kept| {
        let gradient = D::gradient(gradients, kept)?;
        let (to_x, mode) = D::gradient_target(gradients, &x)?;
        drop(gradient, to_x, mode)
    }))
}

/// The eight words of a stream's key, and the two of its number.
fn key_of(mask: &Mask) -> Vec<usize> {
    let number = mask.stream.get_stream();
    let seed = mask.stream.get_seed();
    let (words, _) = seed.as_chunks::<4>();
    let key = words.iter().map(|word| u32::from_le_bytes(*word));
    let number = [number as u32, (number >> 32) as u32];
    key.chain(number).map(|word| word as usize).collect()
}
