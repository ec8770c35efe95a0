//! Addresses in a device's memory.

use std::ops::Range;

/// Contiguous values. The address means something only to the device; the host never dereferences it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceSlice {
    address: u64,
    len: usize,
}

impl DeviceSlice {
    /// `len` values from `address` on.
    ///
    /// # Safety
    /// The device has these values there, until all work with this slice or a part of it has been queued on the stream
    /// that frees them.
    pub(super) unsafe fn new(address: u64, len: usize) -> Self {
        Self { address, len }
    }

    pub(crate) fn address(self) -> u64 {
        self.address
    }

    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Some of the values.
    ///
    /// # Panics
    /// If there are fewer values.
    pub(crate) fn part(self, values: Range<usize>) -> Self {
        assert!(
            values.start <= values.end && values.end <= self.len,
            "{values:?} of {} values",
            self.len
        );
        Self {
            address: self.address + (values.start * size_of::<f32>()) as u64,
            len: values.len(),
        }
    }

    /// The first `len` values.
    ///
    /// # Panics
    /// If there are fewer values.
    pub(crate) fn first(self, len: usize) -> Self {
        self.part(0..len)
    }

    /// Some rows of a matrix of `columns` columns.
    pub(crate) fn rows(self, rows: Range<usize>, columns: usize) -> Self {
        self.part(values_of(rows.start, columns)..values_of(rows.end, columns))
    }
}

/// A factor of a matrix product: row-major values, read as stored or transposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    pub(super) slice: DeviceSlice,
    /// Rows and columns as stored.
    pub(super) stored: (usize, usize),
    pub(super) is_transposed: bool,
}

impl Operand {
    /// # Panics
    /// If there are fewer values.
    pub(crate) fn new(slice: DeviceSlice, rows: usize, columns: usize) -> Self {
        Self {
            slice: slice.first(values_of(rows, columns)),
            stored: (rows, columns),
            is_transposed: false,
        }
    }

    pub(crate) fn transposed(self) -> Self {
        let is_transposed = !self.is_transposed;
        Self {
            is_transposed,
            ..self
        }
    }

    /// Rows and columns after transposition.
    pub(super) fn shape(self) -> (usize, usize) {
        let (rows, columns) = self.stored;
        if self.is_transposed {
            (columns, rows)
        } else {
            (rows, columns)
        }
    }
}

/// Rows, inner dimension and columns of a product.
///
/// # Panics
/// If the shapes of factors and product do not match.
pub(super) fn product_shape(out: DeviceSlice, a: Operand, b: Operand) -> (usize, usize, usize) {
    let ((rows, inner), (depth, columns)) = (a.shape(), b.shape());
    assert_eq!(inner, depth, "inner dimensions of a matrix product");
    assert_eq!(out.len(), values_of(rows, columns), "room for a product");
    (rows, inner, columns)
}

/// The number of values of a matrix.
///
/// # Panics
/// If it overflows: a kernel would reach beyond memory that is shorter than it seems.
fn values_of(rows: usize, columns: usize) -> usize {
    let values = rows.checked_mul(columns);
    assert!(values.is_some(), "{rows} x {columns} values");
    values.unwrap_or_default()
}
