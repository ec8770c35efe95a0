//! The kernels around matrix products that several operations share.

use super::{DeviceBuffer, DeviceSlice, GradientTarget, Grid, Stream, launch};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::ops::activation::Activation;

/// Columns of a block, `SIDE_BY_SIDE` in the source.
const SIDE_BY_SIDE: usize = 32;

/// Rows that a block of [`Elementwise::column_sums`] adds up.
const BAND: usize = 128;

/// Operations on whole buffers. Lengths are those of the destination; every one is checked.
pub(crate) trait Elementwise: Stream {
    /// `to = from`
    fn copy(&self, from: DeviceSlice, to: DeviceSlice) -> Result<(), Self::Error> {
        launch!(self => copy_values[to.len()](from.first(to.len()), to, to.len()))
    }

    /// `to += from`
    fn add(&self, from: DeviceSlice, to: DeviceSlice) -> Result<(), Self::Error> {
        launch!(self => add_values[to.len()](from.first(to.len()), to, to.len()))
    }

    /// `to = from`, or `to += from`.
    fn write(&self, from: DeviceSlice, (to, mode): GradientTarget) -> Result<(), Self::Error> {
        match mode {
            WriteMode::Overwrite => self.copy(from, to),
            WriteMode::Accumulate => self.add(from, to),
        }
    }

    /// `to = scale from`, or `to += scale from`; see [`scale`](Self::scale).
    fn write_scaled(
        &self,
        from: DeviceSlice,
        scale: DeviceSlice,
        (to, mode): GradientTarget,
    ) -> Result<(), Self::Error> {
        match mode {
            WriteMode::Overwrite => self.scale(from, scale, to),
            WriteMode::Accumulate => self.add_scaled(from, scale, to),
        }
    }

    /// `to = from factors`, or `to += from factors`, value by value.
    fn write_multiplied(
        &self,
        from: DeviceSlice,
        factors: DeviceSlice,
        (to, mode): GradientTarget,
    ) -> Result<(), Self::Error> {
        match mode {
            WriteMode::Overwrite => self.multiply(from, factors, to),
            WriteMode::Accumulate => self.add_multiplied(from, factors, to),
        }
    }

    /// `to += scale from`, where `scale` is a single number on the device.
    fn add_scaled(&self, from: DeviceSlice, scale: DeviceSlice, to: DeviceSlice) -> Result<(), Self::Error> {
        launch!(self => add_scaled[to.len()](from.first(to.len()), scale.first(1), to, to.len()))
    }

    /// `to = scale from`, where `scale` is a single number on the device.
    fn scale(&self, from: DeviceSlice, scale: DeviceSlice, to: DeviceSlice) -> Result<(), Self::Error> {
        launch!(self => scale_values[to.len()](from.first(to.len()), scale.first(1), to, to.len()))
    }

    /// `to = from factors`, value by value.
    fn multiply(&self, from: DeviceSlice, factors: DeviceSlice, to: DeviceSlice) -> Result<(), Self::Error> {
        let count = to.len();
        launch!(self => multiply_values[count](from.first(count), factors.first(count), to, count))
    }

    /// `to += from factors`, value by value.
    fn add_multiplied(
        &self,
        from: DeviceSlice,
        factors: DeviceSlice,
        to: DeviceSlice,
    ) -> Result<(), Self::Error> {
        let count = to.len();
        launch!(self => add_multiplied[count](from.first(count), factors.first(count), to, count))
    }

    /// `to = activation(from)`
    fn activate(
        &self,
        from: DeviceSlice,
        to: DeviceSlice,
        activation: Activation,
    ) -> Result<(), Self::Error> {
        launch!(self => activate[to.len()](from.first(to.len()), to, activation, to.len()))
    }

    /// Adds `bias` to every row of `values` and applies the activation, in place.
    fn finish_rows(
        &self,
        values: DeviceSlice,
        bias: DeviceSlice,
        activation: Activation,
    ) -> Result<(), Self::Error> {
        let (count, columns) = (values.len(), bias.len());
        launch!(self => finish_rows[count](values, bias, columns, activation, count))
    }

    /// Turns the gradient after an activation with these outputs into the gradient before it.
    fn activation_backward(
        &self,
        gradient: DeviceSlice,
        outputs: DeviceSlice,
        activation: Activation,
    ) -> Result<(), Self::Error> {
        if activation == Activation::None {
            return Ok(());
        }
        let count = gradient.len();
        launch!(self => activation_backward[count](gradient, outputs.first(count), activation, count))
    }

    /// The sums of the columns of `rows`, as many as `sums` has values.
    ///
    /// In bands side by side, then the sums of the bands: always in the same order.
    fn column_sums(&self, rows: DeviceSlice, sums: DeviceSlice, mode: WriteMode) -> Result<(), Self::Error> {
        let columns = sums.len();
        let height = rows.len() / columns.max(1);
        let bands = height.div_ceil(BAND).max(1);
        let grid = Grid::blocks(bands, columns.div_ceil(SIDE_BY_SIDE).max(1));
        let rows = rows.first(height * columns);
        if bands == 1 {
            return launch!(self => column_sums[grid](rows, sums, height, columns, BAND, mode));
        }
        let parts = self.alloc(bands * columns)?;
        launch!(self => column_sums[grid](rows, parts.slice(), height, columns, BAND, WriteMode::Overwrite))?;
        self.column_sums(parts.slice(), sums, mode)
    }

    /// `gathered = table[rows]`, where `rows` are indices.
    fn gather_rows(
        &self,
        table: DeviceSlice,
        rows: DeviceSlice,
        gathered: DeviceSlice,
        columns: usize,
    ) -> Result<(), Self::Error> {
        let count = gathered.len();
        let rows = rows.first(count / columns.max(1));
        launch!(self => gather_rows[count](table, rows, gathered, columns, count))
    }

    /// `sum = scale` times the sum of all values.
    fn total(&self, values: DeviceSlice, scale: f32, sum: DeviceSlice) -> Result<(), Self::Error> {
        launch!(self => total[Grid::blocks(1, 1)](values, sum.first(1), scale, values.len()))
    }
}

impl<E: Stream> Elementwise for E {}
