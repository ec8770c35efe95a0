//! Operations on rows on a GPU.
//!
//! Why they are fast: plain copies with neighboring threads at neighboring values. What goes back to the same row of a
//! table is listed on the host, and added up by one thread in order: no two wait for each other, and sums are the same
//! each time.

use super::Matrix;
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{DeviceBuffer, DeviceSlice, KernelDevice, Launch, Stream, elementwise};
use crate::nn::layers::dropout::Mask;
use crate::nn::ops::activation::Activation;
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::RowsKernel for Cuda {
    fn try_gather_rows<T: Tape<f32, Self>>(
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match table.device().stream() {
            Some(stream) => gather(stream, table, rows),
            None => super::composed_gather(table, rows),
        }
    }

    fn try_add_gathered<T: Tape<f32, Self> + Merge<T>>(
        sums: Matrix<Self, T>,
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match table.device().stream() {
            Some(stream) => add_gathered(stream, sums, table, rows),
            None => sums.try_add(super::composed_gather(table, rows)?),
        }
    }

    fn try_mean_of_groups<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        size: usize,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match rows.device().stream() {
            Some(stream) => means(stream, rows, size),
            None => super::composed_mean(rows, size),
        }
    }

    fn try_activated<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        activation: Activation,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match rows.device().stream() {
            Some(stream) => activated(stream, rows, activation),
            None => activation.composed(rows),
        }
    }

    fn try_split_rows<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        heights: &[usize],
    ) -> DeviceResult<Self, (Vec<Matrix<Self>>, T)> {
        match rows.device().stream() {
            Some(stream) => split(stream, rows, heights),
            None => super::composed_split(rows, heights),
        }
    }

    fn try_concat_rows<T: Tape<f32, Self> + Merge<T>>(
        parts: Vec<Matrix<Self>>,
        tape: T,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match parts.first().and_then(|first| first.device().stream()) {
            Some(stream) => concat(stream, parts, tape),
            None => super::composed_concat(parts, tape),
        }
    }

    fn try_drop<T: Tape<f32, Self>>(x: Matrix<Self, T>, mask: &Mask) -> DeviceResult<Self, Matrix<Self, T>> {
        match x.device().stream() {
            Some(stream) => drop_elements(stream, x, mask),
            None => super::composed_scale(x, mask.factors()),
        }
    }

    fn try_scale_elements<T: Tape<f32, Self>>(
        x: Matrix<Self, T>,
        factors: Vec<f32>,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match x.device().stream() {
            Some(stream) => scale_elements(stream, x, factors),
            None => super::composed_scale(x, factors),
        }
    }
}

pub(super) fn gather<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    table: Matrix<D, T>,
    rows: &[usize],
) -> DeviceResult<D, Matrix<D, T>> {
    let (table, mut tape) = table.split_tape();
    let table = contiguous(&table, &mut tape)?;
    let (height, columns) = *table.shape();
    assert!(
        rows.iter().all(|&row| row < height),
        "rows of a table of {height}"
    );
    let (gathered, out) = elementwise::alloc_tensor(table.device(), (rows.len(), columns))?;
    let index = stream.upload_indices(rows)?;
    elementwise::gather_rows(&stream, D::slice(&table), index.slice(), out, columns)?;
    let (result, rows) = (gathered.clone(), rows.to_vec());
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &gathered)?;
        scatter(&stream, gradient, D::gradient(gradients, &table)?, &rows, columns)
    });
    Ok(result.put_tape(tape))
}

pub(super) fn add_gathered<D: KernelDevice, T: Tape<f32, D> + Merge<T>>(
    stream: D::Stream,
    sums: Matrix<D, T>,
    table: Matrix<D, T>,
    rows: &[usize],
) -> DeviceResult<D, Matrix<D, T>> {
    let (sums, tape) = sums.split_tape();
    let (table, tape_of_table) = table.split_tape();
    let mut tape = tape.merge(tape_of_table);
    let sums = contiguous(&sums, &mut tape)?;
    let table = contiguous(&table, &mut tape)?;
    let (height, columns) = *table.shape();
    assert_eq!(*sums.shape(), (rows.len(), columns), "rows to be added");
    assert!(
        rows.iter().all(|&row| row < height),
        "rows of a table of {height}"
    );
    let (added, out) = elementwise::alloc_tensor(sums.device(), *sums.shape())?;
    let index = stream.upload_indices(rows)?;
    stream.run(
        Launch::per_value("add_gathered_rows", out.len())
            .values(D::slice(&table), height * columns)
            .values(index.slice(), rows.len())
            .values(D::slice(&sums), out.len())
            .values(out, out.len())
            .size(columns)
            .count(out.len()),
    )?;
    let (result, rows) = (added.clone(), rows.to_vec());
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &added)?;
        scatter(&stream, gradient, D::gradient(gradients, &table)?, &rows, columns)?;
        elementwise::add(&stream, gradient, D::gradient(gradients, &sums)?)
    });
    Ok(result.put_tape(tape))
}

/// Adds each row of `terms` to the row of `table` that is listed for it.
fn scatter<E: Stream>(
    stream: &E,
    terms: DeviceSlice,
    table: DeviceSlice,
    rows: &[usize],
    columns: usize,
) -> Result<(), E::Error> {
    let InverseIndex {
        unique,
        starts,
        positions,
    } = InverseIndex::new(rows);
    let count = unique.len() * columns;
    let (unique, starts, positions) = (
        stream.upload_indices(&unique)?,
        stream.upload_indices(&starts)?,
        stream.upload_indices(&positions)?,
    );
    stream.run(
        Launch::per_value("scatter_rows", count)
            .values(terms, rows.len() * columns)
            .values(table, 0)
            .values(unique.slice(), unique.slice().len())
            .values(starts.slice(), starts.slice().len())
            .values(positions.slice(), rows.len())
            .size(columns)
            .count(count),
    )
}

/// Which places of a list name the same row.
pub(in crate::nn) struct InverseIndex {
    /// The rows that are named, each once.
    pub(in crate::nn) unique: Vec<usize>,
    /// Offsets into `positions`: those of the i-th unique row start at `starts[i]` and end at `starts[i + 1]`.
    pub(in crate::nn) starts: Vec<usize>,
    /// Places, by the row they name.
    pub(in crate::nn) positions: Vec<usize>,
}

impl InverseIndex {
    pub(in crate::nn) fn new(rows: &[usize]) -> Self {
        let mut positions: Vec<usize> = (0..rows.len()).collect();
        positions.sort_by_key(|&place| rows[place]);
        let (mut unique, mut starts) = (Vec::new(), Vec::new());
        for (at, &place) in positions.iter().enumerate() {
            if unique.last() != Some(&rows[place]) {
                unique.push(rows[place]);
                starts.push(at);
            }
        }
        starts.push(rows.len());
        Self {
            unique,
            starts,
            positions,
        }
    }
}

pub(super) fn means<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    rows: Matrix<D, T>,
    size: usize,
) -> DeviceResult<D, Matrix<D, T>> {
    let (rows, mut tape) = rows.split_tape();
    let rows = contiguous(&rows, &mut tape)?;
    let (count, columns) = *rows.shape();
    let (means, out) = elementwise::alloc_tensor(rows.device(), (count / size, columns))?;
    mean_of_groups(&stream, D::slice(&rows), out, size, columns)?;
    let result = means.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &means)?;
        spread_to_groups(&stream, gradient, D::gradient(gradients, &rows)?, size, columns)
    });
    Ok(result.put_tape(tape))
}

/// The mean of each `size` neighboring rows.
pub(in crate::nn) fn mean_of_groups<E: Stream>(
    stream: &E,
    rows: DeviceSlice,
    means: DeviceSlice,
    size: usize,
    columns: usize,
) -> Result<(), E::Error> {
    stream.run(grouped(
        "mean_of_groups",
        (rows, means),
        means.len(),
        size,
        columns,
    ))
}

/// The backward pass of [`mean_of_groups`]: adds to the gradient of the rows.
pub(in crate::nn) fn spread_to_groups<E: Stream>(
    stream: &E,
    means: DeviceSlice,
    rows: DeviceSlice,
    size: usize,
    columns: usize,
) -> Result<(), E::Error> {
    stream.run(grouped(
        "spread_to_groups",
        (means, rows),
        rows.len(),
        size,
        columns,
    ))
}

fn grouped(
    kernel: &'static str,
    (from, to): (DeviceSlice, DeviceSlice),
    count: usize,
    size: usize,
    columns: usize,
) -> Launch {
    Launch::per_value(kernel, count)
        .values(from, from.len())
        .values(to, to.len())
        .size(size)
        .size(columns)
        .count(count)
}

pub(super) fn activated<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    rows: Matrix<D, T>,
    activation: Activation,
) -> DeviceResult<D, Matrix<D, T>> {
    let (rows, mut tape) = rows.split_tape();
    let rows = contiguous(&rows, &mut tape)?;
    let (y, out) = elementwise::alloc_tensor(rows.device(), *rows.shape())?;
    elementwise::activate(&stream, D::slice(&rows), out, activation)?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        elementwise::activation_backward(&stream, gradient, out, activation)?;
        elementwise::add(&stream, gradient, D::gradient(gradients, &rows)?)
    });
    Ok(result.put_tape(tape))
}

pub(super) fn split<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    rows: Matrix<D, T>,
    heights: &[usize],
) -> DeviceResult<D, (Vec<Matrix<D>>, T)> {
    let (rows, mut tape) = rows.split_tape();
    let rows = contiguous(&rows, &mut tape)?;
    let (count, columns) = *rows.shape();
    assert_eq!(count, heights.iter().sum::<usize>(), "rows to be divided");
    let mut first = 0;
    let mut parts = Vec::with_capacity(heights.len());
    for &height in heights {
        let (part, out) = elementwise::alloc_tensor(rows.device(), (height, columns))?;
        elementwise::copy(&stream, D::slice(&rows).rows(first..first + height, columns), out)?;
        parts.push(part);
        first += height;
    }
    let results = parts.clone();
    tape.add_backward_op(move |gradients| {
        let whole = D::gradient(gradients, &rows)?;
        let mut first = 0;
        for part in &results {
            let end = first + part.shape().0;
            elementwise::add(
                &stream,
                D::gradient(gradients, part)?,
                whole.rows(first..end, columns),
            )?;
            first = end;
        }
        Ok(())
    });
    Ok((parts, tape))
}

pub(super) fn concat<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    parts: Vec<Matrix<D>>,
    mut tape: T,
) -> DeviceResult<D, Matrix<D, T>> {
    let parts = parts
        .iter()
        .map(|part| contiguous(part, &mut tape))
        .collect::<DeviceResult<D, Vec<_>>>()?;
    let Some(columns) = parts.first().map(|part| part.shape().1) else {
        unreachable!("there is a part at least");
    };
    let count = parts.iter().map(|part| part.shape().0).sum();
    let (whole, out) = elementwise::alloc_tensor(parts[0].device(), (count, columns))?;
    let mut first = 0;
    for part in &parts {
        let end = first + part.shape().0;
        elementwise::copy(&stream, D::slice(part), out.rows(first..end, columns))?;
        first = end;
    }
    let result = whole.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &whole)?;
        let mut first = 0;
        for part in &parts {
            let end = first + part.shape().0;
            let of_part = gradient.rows(first..end, columns);
            elementwise::add(&stream, of_part, D::gradient(gradients, part)?)?;
            first = end;
        }
        Ok(())
    });
    Ok(result.put_tape(tape))
}

pub(super) fn scale_elements<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    x: Matrix<D, T>,
    factors: Vec<f32>,
) -> DeviceResult<D, Matrix<D, T>> {
    let (x, mut tape) = x.split_tape();
    let x = contiguous(&x, &mut tape)?;
    let factors = stream.upload(factors)?;
    let (scaled, out) = elementwise::alloc_tensor(x.device(), *x.shape())?;
    elementwise::multiply(&stream, D::slice(&x), factors.slice(), out)?;
    let result = scaled.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &scaled)?;
        elementwise::add_multiplied(&stream, gradient, factors.slice(), D::gradient(gradients, &x)?)
    });
    Ok(result.put_tape(tape))
}

/// Drops what the mask's stream would draw, which the kernel draws itself, and again in the backward pass: a mask of a batch is
/// millions of numbers, more than a host draws in the time of a step.
pub(super) fn drop_elements<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    x: Matrix<D, T>,
    mask: &Mask,
) -> DeviceResult<D, Matrix<D, T>> {
    let (x, mut tape) = x.split_tape();
    let x = contiguous(&x, &mut tape)?;
    let (kept, out) = elementwise::alloc_tensor(x.device(), *x.shape())?;
    assert_eq!(out.len(), mask.len, "a draw for every element");
    let drawn = Drawn {
        key: stream.upload_indices(&key_of(mask))?,
        mask: mask.clone(),
        stream,
    };
    drawn.drop(D::slice(&x), out, WriteMode::Overwrite)?;
    let result = kept.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &kept)?;
        drawn.drop(gradient, D::gradient(gradients, &x)?, WriteMode::Accumulate)
    });
    Ok(result.put_tape(tape))
}

/// A mask, and the key of its stream on the device.
struct Drawn<E: Stream> {
    stream: E,
    key: E::Buffer,
    mask: Mask,
}

impl<E: Stream> Drawn<E> {
    /// `to = from` or `to += from`, but for what is dropped.
    fn drop(&self, from: DeviceSlice, to: DeviceSlice, mode: WriteMode) -> Result<(), E::Error> {
        let (count, key) = (to.len(), self.key.slice());
        // A thread for each block of the stream, which has 16 words.
        self.stream.run(
            Launch::per_value("drop_values", count.div_ceil(32) + 1)
                .values(from, count)
                .values(to, count)
                .values(key, key.len())
                .count(self.mask.stream.get_word_pos() as usize)
                .size(self.mask.drop_below() as usize)
                .number(self.mask.kept())
                .size(usize::from(mode == WriteMode::Accumulate))
                .count(count),
        )
    }
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
