//! What several operations have kernels do around their matrix products.

use super::{Call, Engine, Own, Room, Span};
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::Existing;
use crate::nn::ops::activation::Activation;
use dfdx::prelude::{Shape, Tensor};

/// A tensor for a kernel to write to, and where.
pub(crate) fn fresh<S: Shape, D: Own>(device: &D, shape: S) -> DeviceResult<D, (Tensor<S, f32, D>, Span)> {
    let tensor = device.try_zeros_like(&shape)?;
    let span = D::span(&tensor);
    Ok((tensor, span))
}

/// `to = from`
pub(crate) fn copy<E: Engine>(engine: &E, from: Span, to: Span) -> Result<(), E::Error> {
    engine.run(between("copy_values", from, to))
}

/// `to += from`
pub(crate) fn add<E: Engine>(engine: &E, from: Span, to: Span) -> Result<(), E::Error> {
    engine.run(between("add_values", from, to))
}

fn between(kernel: &'static str, from: Span, to: Span) -> Call {
    let count = to.len();
    Call::of_values(kernel, count)
        .values(from, count)
        .values(to, count)
        .count(count)
}

/// `to += scale from`, where `scale` is a single number on the device.
pub(crate) fn add_scaled<E: Engine>(engine: &E, from: Span, scale: Span, to: Span) -> Result<(), E::Error> {
    engine.run(with_factors("add_scaled", from, (scale, 1), to))
}

/// `to = scale from`, where `scale` is a single number on the device.
pub(crate) fn scale<E: Engine>(engine: &E, from: Span, scale: Span, to: Span) -> Result<(), E::Error> {
    engine.run(with_factors("scale_values", from, (scale, 1), to))
}

/// `to = from factors`, value by value.
pub(crate) fn multiply<E: Engine>(engine: &E, from: Span, factors: Span, to: Span) -> Result<(), E::Error> {
    engine.run(with_factors(
        "multiply_values",
        from,
        (factors, factors.len()),
        to,
    ))
}

/// `to += from factors`, value by value.
pub(crate) fn add_multiplied<E: Engine>(
    engine: &E,
    from: Span,
    factors: Span,
    to: Span,
) -> Result<(), E::Error> {
    engine.run(with_factors("add_multiplied", from, (factors, to.len()), to))
}

fn with_factors(kernel: &'static str, from: Span, (factors, needed): (Span, usize), to: Span) -> Call {
    let count = to.len();
    Call::of_values(kernel, count)
        .values(from, count)
        .values(factors, needed)
        .values(to, count)
        .count(count)
}

/// `to = activation(from)`
pub(crate) fn activate<E: Engine>(
    engine: &E,
    from: Span,
    to: Span,
    activation: Activation,
) -> Result<(), E::Error> {
    let count = to.len();
    engine.run(
        Call::of_values("activate", count)
            .values(from, count)
            .values(to, count)
            .activation(activation)
            .count(count),
    )
}

/// Adds `bias` to every row of `values` and applies the nonlinearity, in place.
pub(crate) fn finish_rows<E: Engine>(
    engine: &E,
    values: Span,
    bias: Span,
    activation: Activation,
) -> Result<(), E::Error> {
    let (count, columns) = (values.len(), bias.len());
    engine.run(
        Call::of_values("finish_rows", count)
            .values(values, count)
            .values(bias, columns)
            .size(columns)
            .activation(activation)
            .count(count),
    )
}

/// The gradient after an activation, whose outputs these are, becomes that before it.
pub(crate) fn undo_activation<E: Engine>(
    engine: &E,
    gradient: Span,
    outputs: Span,
    activation: Activation,
) -> Result<(), E::Error> {
    if activation == Activation::None {
        return Ok(());
    }
    let count = gradient.len();
    engine.run(
        Call::of_values("undo_activation", count)
            .values(gradient, count)
            .values(outputs, count)
            .activation(activation)
            .count(count),
    )
}

/// Columns of a block, `SIDE_BY_SIDE` in the source.
const SIDE_BY_SIDE: usize = 32;

/// Rows that a block adds up before others take over.
const BAND: usize = 128;

/// The sums of the columns of `rows`, as many as `sums` has values, written there or added to what is there.
///
/// In bands side by side, then the sums of the bands: always in the same order.
pub(crate) fn column_sums<E: Engine>(
    engine: &E,
    rows: Span,
    sums: Span,
    existing: Existing,
) -> Result<(), E::Error> {
    let columns = sums.len();
    let height = rows.len() / columns.max(1);
    let bands = height.div_ceil(BAND);
    if bands <= 1 {
        return engine.run(bands_of_columns(rows, sums, (height, columns), existing));
    }
    let parts = engine.room(bands * columns)?;
    engine.run(bands_of_columns(
        rows,
        parts.span(),
        (height, columns),
        Existing::Overwrite,
    ))?;
    column_sums(engine, parts.span(), sums, existing)
}

fn bands_of_columns(rows: Span, sums: Span, (height, columns): (usize, usize), existing: Existing) -> Call {
    let blocks = [
        columns.div_ceil(SIDE_BY_SIDE).max(1),
        height.div_ceil(BAND).max(1),
    ];
    Call::of_blocks("column_sums", blocks)
        .values(rows, height * columns)
        .values(sums, blocks[1] * columns)
        .size(height)
        .size(columns)
        .size(BAND)
        .size(usize::from(existing == Existing::Accumulate))
}

/// `gathered = table[rows]`, where `rows` are as many indices as rows are wanted.
pub(crate) fn gather_rows<E: Engine>(
    engine: &E,
    table: Span,
    rows: Span,
    gathered: Span,
    columns: usize,
) -> Result<(), E::Error> {
    let count = gathered.len();
    engine.run(
        Call::of_values("gather_rows", count)
            .values(table, 0)
            .values(rows, count / columns.max(1))
            .values(gathered, count)
            .size(columns)
            .count(count),
    )
}

/// `sum = scale` times the sum of all values.
pub(crate) fn total<E: Engine>(engine: &E, values: Span, scale: f32, sum: Span) -> Result<(), E::Error> {
    engine.run(
        Call::of_blocks("total", [1, 1])
            .values(values, values.len())
            .values(sum, 1)
            .number(scale)
            .count(values.len()),
    )
}
