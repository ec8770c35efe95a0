//! What several operations have kernels do around their matrix products.

use super::{DeviceBuffer, DeviceSlice, KernelDevice, Launch, Stream};
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::ops::activation::Activation;
use dfdx::prelude::{Shape, Tensor};

/// A tensor for a kernel to write to, and where.
pub(crate) fn alloc_tensor<S: Shape, D: KernelDevice>(
    device: &D,
    shape: S,
) -> DeviceResult<D, (Tensor<S, f32, D>, DeviceSlice)> {
    let tensor = device.try_zeros_like(&shape)?;
    let slice = D::slice(&tensor);
    Ok((tensor, slice))
}

/// `to = from`
pub(crate) fn copy<E: Stream>(stream: &E, from: DeviceSlice, to: DeviceSlice) -> Result<(), E::Error> {
    stream.run(between("copy_values", from, to))
}

/// `to += from`
pub(crate) fn add<E: Stream>(stream: &E, from: DeviceSlice, to: DeviceSlice) -> Result<(), E::Error> {
    stream.run(between("add_values", from, to))
}

fn between(kernel: &'static str, from: DeviceSlice, to: DeviceSlice) -> Launch {
    let count = to.len();
    Launch::per_value(kernel, count)
        .values(from, count)
        .values(to, count)
        .count(count)
}

/// `to += scale from`, where `scale` is a single number on the device.
pub(crate) fn add_scaled<E: Stream>(
    stream: &E,
    from: DeviceSlice,
    scale: DeviceSlice,
    to: DeviceSlice,
) -> Result<(), E::Error> {
    stream.run(with_factors("add_scaled", from, (scale, 1), to))
}

/// `to = scale from`, where `scale` is a single number on the device.
pub(crate) fn scale<E: Stream>(
    stream: &E,
    from: DeviceSlice,
    scale: DeviceSlice,
    to: DeviceSlice,
) -> Result<(), E::Error> {
    stream.run(with_factors("scale_values", from, (scale, 1), to))
}

/// `to = from factors`, value by value.
pub(crate) fn multiply<E: Stream>(
    stream: &E,
    from: DeviceSlice,
    factors: DeviceSlice,
    to: DeviceSlice,
) -> Result<(), E::Error> {
    stream.run(with_factors(
        "multiply_values",
        from,
        (factors, factors.len()),
        to,
    ))
}

/// `to += from factors`, value by value.
pub(crate) fn add_multiplied<E: Stream>(
    stream: &E,
    from: DeviceSlice,
    factors: DeviceSlice,
    to: DeviceSlice,
) -> Result<(), E::Error> {
    stream.run(with_factors("add_multiplied", from, (factors, to.len()), to))
}

fn with_factors(
    kernel: &'static str,
    from: DeviceSlice,
    (factors, needed): (DeviceSlice, usize),
    to: DeviceSlice,
) -> Launch {
    let count = to.len();
    Launch::per_value(kernel, count)
        .values(from, count)
        .values(factors, needed)
        .values(to, count)
        .count(count)
}

/// `to = activation(from)`
pub(crate) fn activate<E: Stream>(
    stream: &E,
    from: DeviceSlice,
    to: DeviceSlice,
    activation: Activation,
) -> Result<(), E::Error> {
    let count = to.len();
    stream.run(
        Launch::per_value("activate", count)
            .values(from, count)
            .values(to, count)
            .activation(activation)
            .count(count),
    )
}

/// Adds `bias` to every row of `values` and applies the nonlinearity, in place.
pub(crate) fn finish_rows<E: Stream>(
    stream: &E,
    values: DeviceSlice,
    bias: DeviceSlice,
    activation: Activation,
) -> Result<(), E::Error> {
    let (count, columns) = (values.len(), bias.len());
    stream.run(
        Launch::per_value("finish_rows", count)
            .values(values, count)
            .values(bias, columns)
            .size(columns)
            .activation(activation)
            .count(count),
    )
}

/// The gradient after an activation, whose outputs these are, becomes that before it.
pub(crate) fn activation_backward<E: Stream>(
    stream: &E,
    gradient: DeviceSlice,
    outputs: DeviceSlice,
    activation: Activation,
) -> Result<(), E::Error> {
    if activation == Activation::None {
        return Ok(());
    }
    let count = gradient.len();
    stream.run(
        Launch::per_value("activation_backward", count)
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
pub(crate) fn column_sums<E: Stream>(
    stream: &E,
    rows: DeviceSlice,
    sums: DeviceSlice,
    mode: WriteMode,
) -> Result<(), E::Error> {
    let columns = sums.len();
    let height = rows.len() / columns.max(1);
    let bands = height.div_ceil(BAND);
    if bands <= 1 {
        return stream.run(bands_of_columns(rows, sums, (height, columns), mode));
    }
    let parts = stream.alloc(bands * columns)?;
    stream.run(bands_of_columns(
        rows,
        parts.slice(),
        (height, columns),
        WriteMode::Overwrite,
    ))?;
    column_sums(stream, parts.slice(), sums, mode)
}

fn bands_of_columns(
    rows: DeviceSlice,
    sums: DeviceSlice,
    (height, columns): (usize, usize),
    mode: WriteMode,
) -> Launch {
    let blocks = [
        columns.div_ceil(SIDE_BY_SIDE).max(1),
        height.div_ceil(BAND).max(1),
    ];
    Launch::of_blocks("column_sums", blocks)
        .values(rows, height * columns)
        .values(sums, blocks[1] * columns)
        .size(height)
        .size(columns)
        .size(BAND)
        .size(usize::from(mode == WriteMode::Accumulate))
}

/// `gathered = table[rows]`, where `rows` are as many indices as rows are wanted.
pub(crate) fn gather_rows<E: Stream>(
    stream: &E,
    table: DeviceSlice,
    rows: DeviceSlice,
    gathered: DeviceSlice,
    columns: usize,
) -> Result<(), E::Error> {
    let count = gathered.len();
    stream.run(
        Launch::per_value("gather_rows", count)
            .values(table, 0)
            .values(rows, count / columns.max(1))
            .values(gathered, count)
            .size(columns)
            .count(count),
    )
}

/// `sum = scale` times the sum of all values.
pub(crate) fn total<E: Stream>(
    stream: &E,
    values: DeviceSlice,
    scale: f32,
    sum: DeviceSlice,
) -> Result<(), E::Error> {
    stream.run(
        Launch::of_blocks("total", [1, 1])
            .values(values, values.len())
            .values(sum, 1)
            .number(scale)
            .count(values.len()),
    )
}
