//! Operations on rows on a GPU.
//!
//! Why they are fast: plain copies with neighboring threads at neighboring values. What goes back to the same row of a
//! table is listed on the host, and added up by one thread in order: no two wait for each other, and sums are the same
//! each time.

use super::Matrix;
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::Existing;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{Call, Engine, Own, Room, Span, elementwise};
use crate::nn::layers::dropout::Mask;
use crate::nn::ops::activation::Activation;
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::RowsKernel for Cuda {
    fn try_gather_rows<T: Tape<f32, Self>>(
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match table.device().engine() {
            Some(engine) => gather(engine, table, rows),
            None => super::composed_gather(table, rows),
        }
    }

    fn try_add_gathered<T: Tape<f32, Self> + Merge<T>>(
        sums: Matrix<Self, T>,
        table: Matrix<Self, T>,
        rows: &[usize],
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match table.device().engine() {
            Some(engine) => add_gathered(engine, sums, table, rows),
            None => sums.try_add(super::composed_gather(table, rows)?),
        }
    }

    fn try_mean_of_groups<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        size: usize,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match rows.device().engine() {
            Some(engine) => means(engine, rows, size),
            None => super::composed_mean(rows, size),
        }
    }

    fn try_activated<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        activation: Activation,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match rows.device().engine() {
            Some(engine) => activated(engine, rows, activation),
            None => activation.composed(rows),
        }
    }

    fn try_split_rows<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        heights: &[usize],
    ) -> DeviceResult<Self, (Vec<Matrix<Self>>, T)> {
        match rows.device().engine() {
            Some(engine) => split(engine, rows, heights),
            None => super::composed_split(rows, heights),
        }
    }

    fn try_concat_rows<T: Tape<f32, Self> + Merge<T>>(
        parts: Vec<Matrix<Self>>,
        tape: T,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match parts.first().and_then(|first| first.device().engine()) {
            Some(engine) => concat(engine, parts, tape),
            None => super::composed_concat(parts, tape),
        }
    }

    fn try_drop<T: Tape<f32, Self>>(x: Matrix<Self, T>, mask: &Mask) -> DeviceResult<Self, Matrix<Self, T>> {
        match x.device().engine() {
            Some(engine) => drop_elements(engine, x, mask),
            None => super::composed_scale(x, mask.factors()),
        }
    }

    fn try_scale_elements<T: Tape<f32, Self>>(
        x: Matrix<Self, T>,
        factors: Vec<f32>,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match x.device().engine() {
            Some(engine) => scale_elements(engine, x, factors),
            None => super::composed_scale(x, factors),
        }
    }
}

pub(super) fn gather<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
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
    let (gathered, out) = elementwise::fresh(table.device(), (rows.len(), columns))?;
    let index = engine.upload_indices(rows)?;
    elementwise::gather_rows(&engine, D::span(&table), index.span(), out, columns)?;
    let (result, rows) = (gathered.clone(), rows.to_vec());
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &gathered)?;
        scatter(&engine, gradient, D::gradient(gradients, &table)?, &rows, columns)
    });
    Ok(result.put_tape(tape))
}

pub(super) fn add_gathered<D: Own, T: Tape<f32, D> + Merge<T>>(
    engine: D::Engine,
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
    let (added, out) = elementwise::fresh(sums.device(), *sums.shape())?;
    let index = engine.upload_indices(rows)?;
    engine.run(
        Call::of_values("add_gathered_rows", out.len())
            .values(D::span(&table), height * columns)
            .values(index.span(), rows.len())
            .values(D::span(&sums), out.len())
            .values(out, out.len())
            .size(columns)
            .count(out.len()),
    )?;
    let (result, rows) = (added.clone(), rows.to_vec());
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &added)?;
        scatter(&engine, gradient, D::gradient(gradients, &table)?, &rows, columns)?;
        elementwise::add(&engine, gradient, D::gradient(gradients, &sums)?)
    });
    Ok(result.put_tape(tape))
}

/// Adds each row of `terms` to the row of `table` that is listed for it.
fn scatter<E: Engine>(
    engine: &E,
    terms: Span,
    table: Span,
    rows: &[usize],
    columns: usize,
) -> Result<(), E::Error> {
    let Listed {
        wanted,
        starts,
        order,
    } = Listed::new(rows);
    let count = wanted.len() * columns;
    let (wanted, starts, order) = (
        engine.upload_indices(&wanted)?,
        engine.upload_indices(&starts)?,
        engine.upload_indices(&order)?,
    );
    engine.run(
        Call::of_values("scatter_rows", count)
            .values(terms, rows.len() * columns)
            .values(table, 0)
            .values(wanted.span(), wanted.span().len())
            .values(starts.span(), starts.span().len())
            .values(order.span(), rows.len())
            .size(columns)
            .count(count),
    )
}

/// Which places of a list name the same row.
pub(in crate::nn) struct Listed {
    /// The rows that are named, each once.
    pub(in crate::nn) wanted: Vec<usize>,
    /// Where the places of the i-th of them begin in `order`; where the last ones end.
    pub(in crate::nn) starts: Vec<usize>,
    /// Places, by the row they name.
    pub(in crate::nn) order: Vec<usize>,
}

impl Listed {
    pub(in crate::nn) fn new(rows: &[usize]) -> Self {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&place| rows[place]);
        let (mut wanted, mut starts) = (Vec::new(), Vec::new());
        for (at, &place) in order.iter().enumerate() {
            if wanted.last() != Some(&rows[place]) {
                wanted.push(rows[place]);
                starts.push(at);
            }
        }
        starts.push(rows.len());
        Self {
            wanted,
            starts,
            order,
        }
    }
}

pub(super) fn means<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
    rows: Matrix<D, T>,
    size: usize,
) -> DeviceResult<D, Matrix<D, T>> {
    let (rows, mut tape) = rows.split_tape();
    let rows = contiguous(&rows, &mut tape)?;
    let (count, columns) = *rows.shape();
    let (means, out) = elementwise::fresh(rows.device(), (count / size, columns))?;
    mean_of_groups(&engine, D::span(&rows), out, size, columns)?;
    let result = means.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &means)?;
        spread_to_groups(&engine, gradient, D::gradient(gradients, &rows)?, size, columns)
    });
    Ok(result.put_tape(tape))
}

/// The mean of each `size` neighboring rows.
pub(in crate::nn) fn mean_of_groups<E: Engine>(
    engine: &E,
    rows: Span,
    means: Span,
    size: usize,
    columns: usize,
) -> Result<(), E::Error> {
    engine.run(grouped(
        "mean_of_groups",
        (rows, means),
        means.len(),
        size,
        columns,
    ))
}

/// The way back of [`mean_of_groups`]: adds to the gradient of the rows.
pub(in crate::nn) fn spread_to_groups<E: Engine>(
    engine: &E,
    means: Span,
    rows: Span,
    size: usize,
    columns: usize,
) -> Result<(), E::Error> {
    engine.run(grouped(
        "spread_to_groups",
        (means, rows),
        rows.len(),
        size,
        columns,
    ))
}

fn grouped(
    kernel: &'static str,
    (from, to): (Span, Span),
    count: usize,
    size: usize,
    columns: usize,
) -> Call {
    Call::of_values(kernel, count)
        .values(from, from.len())
        .values(to, to.len())
        .size(size)
        .size(columns)
        .count(count)
}

pub(super) fn activated<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
    rows: Matrix<D, T>,
    activation: Activation,
) -> DeviceResult<D, Matrix<D, T>> {
    let (rows, mut tape) = rows.split_tape();
    let rows = contiguous(&rows, &mut tape)?;
    let (y, out) = elementwise::fresh(rows.device(), *rows.shape())?;
    elementwise::activate(&engine, D::span(&rows), out, activation)?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        elementwise::undo_activation(&engine, gradient, out, activation)?;
        elementwise::add(&engine, gradient, D::gradient(gradients, &rows)?)
    });
    Ok(result.put_tape(tape))
}

pub(super) fn split<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
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
        let (part, out) = elementwise::fresh(rows.device(), (height, columns))?;
        elementwise::copy(&engine, D::span(&rows).rows(first..first + height, columns), out)?;
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
                &engine,
                D::gradient(gradients, part)?,
                whole.rows(first..end, columns),
            )?;
            first = end;
        }
        Ok(())
    });
    Ok((parts, tape))
}

pub(super) fn concat<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
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
    let (whole, out) = elementwise::fresh(parts[0].device(), (count, columns))?;
    let mut first = 0;
    for part in &parts {
        let end = first + part.shape().0;
        elementwise::copy(&engine, D::span(part), out.rows(first..end, columns))?;
        first = end;
    }
    let result = whole.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &whole)?;
        let mut first = 0;
        for part in &parts {
            let end = first + part.shape().0;
            let of_part = gradient.rows(first..end, columns);
            elementwise::add(&engine, of_part, D::gradient(gradients, part)?)?;
            first = end;
        }
        Ok(())
    });
    Ok(result.put_tape(tape))
}

pub(super) fn scale_elements<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
    x: Matrix<D, T>,
    factors: Vec<f32>,
) -> DeviceResult<D, Matrix<D, T>> {
    let (x, mut tape) = x.split_tape();
    let x = contiguous(&x, &mut tape)?;
    let factors = engine.upload(factors)?;
    let (scaled, out) = elementwise::fresh(x.device(), *x.shape())?;
    elementwise::multiply(&engine, D::span(&x), factors.span(), out)?;
    let result = scaled.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &scaled)?;
        elementwise::add_multiplied(&engine, gradient, factors.span(), D::gradient(gradients, &x)?)
    });
    Ok(result.put_tape(tape))
}

/// Drops what the mask's stream would draw, which the kernel draws itself, on the way back again: a mask of a batch is
/// millions of numbers, more than a host draws in the time of a step.
pub(super) fn drop_elements<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
    x: Matrix<D, T>,
    mask: &Mask,
) -> DeviceResult<D, Matrix<D, T>> {
    let (x, mut tape) = x.split_tape();
    let x = contiguous(&x, &mut tape)?;
    let (kept, out) = elementwise::fresh(x.device(), *x.shape())?;
    assert_eq!(out.len(), mask.len, "a draw for every element");
    let drawn = Drawn {
        key: engine.upload_indices(&key_of(mask))?,
        mask: mask.clone(),
        engine,
    };
    drawn.drop(D::span(&x), out, Existing::Overwrite)?;
    let result = kept.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &kept)?;
        drawn.drop(gradient, D::gradient(gradients, &x)?, Existing::Accumulate)
    });
    Ok(result.put_tape(tape))
}

/// A mask, and the key of its stream on the device.
struct Drawn<E: Engine> {
    engine: E,
    key: E::Room,
    mask: Mask,
}

impl<E: Engine> Drawn<E> {
    /// `to = from` or `to += from`, but for what is dropped.
    fn drop(&self, from: Span, to: Span, existing: Existing) -> Result<(), E::Error> {
        let (count, key) = (to.len(), self.key.span());
        // A thread for each block of the stream, which has 16 words.
        self.engine.run(
            Call::of_values("drop_values", count.div_ceil(32) + 1)
                .values(from, count)
                .values(to, count)
                .values(key, key.len())
                .count(self.mask.stream.get_word_pos() as usize)
                .size(self.mask.drop_below() as usize)
                .number(self.mask.kept())
                .size(usize::from(existing == Existing::Accumulate))
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
