//! Matrix products on plain slices, for the CPU kernels: a thin, safe face on the `gemm` crate.

use super::partitions::partitions;
use gemm::Parallelism;
use rayon::prelude::*;
use std::marker::PhantomData;

/// A matrix inside a slice. Strides are in elements.
#[derive(Clone, Copy)]
pub(crate) struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> MatRef<'a> {
    /// `rows` x `columns`, row after row without gaps.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::with_row_stride(data, rows, columns, columns)
    }

    /// `rows` x `columns`, the rows `row_stride` elements apart.
    pub(crate) fn with_row_stride(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            fits(data.len(), rows, columns, row_stride),
            "matrix view beyond its slice"
        );
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// Rows and columns.
    pub(in crate::nn) fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// From row to row, and from column to column.
    pub(in crate::nn) fn strides(&self) -> [usize; 2] {
        [self.row_stride, self.column_stride]
    }

    /// The slice that holds the matrix.
    pub(in crate::nn) fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Copies the matrix into `rows` of `width` values each, which are no fewer than its columns, and fills them up
    /// with zeros.
    pub(in crate::nn) fn copy_into_rows_of(&self, rows: &mut [f32], width: usize) {
        if self.column_stride == 1 {
            for (row, copies) in rows.chunks_exact_mut(width).enumerate() {
                let (values, rest) = copies.split_at_mut(self.columns);
                values.copy_from_slice(&self.data[row * self.row_stride..][..self.columns]);
                rest.fill(0.0);
            }
            return;
        }
        for (band, rows) in rows.chunks_mut(BAND * width).enumerate() {
            let first = band * BAND * self.row_stride;
            for column in 0..width {
                let place = first + column * self.column_stride;
                for (row, copies) in rows.chunks_exact_mut(width).enumerate() {
                    copies[column] = if column < self.columns {
                        self.data[place + row * self.row_stride]
                    } else {
                        0.0
                    };
                }
            }
        }
    }

    /// The values of a row. They must be contiguous.
    pub(in crate::nn) fn row(&self, row: usize) -> &'a [f32] {
        assert_eq!(self.column_stride, 1, "a row in one piece");
        &self.data[row * self.row_stride..][..self.columns]
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// The matrix in pieces of `height` rows, the last of which may be lower.
    pub(crate) fn row_blocks(self, height: usize) -> impl Iterator<Item = Self> {
        (0..self.rows).step_by(height).map(move |first| Self {
            data: &self.data[first * self.row_stride..],
            rows: height.min(self.rows - first),
            ..self
        })
    }

    /// The matrix in pieces of `width` columns, the last of which may be narrower.
    pub(crate) fn column_blocks(self, width: usize) -> impl Iterator<Item = Self> {
        (0..self.columns).step_by(width).map(move |first| Self {
            data: &self.data[first * self.column_stride..],
            columns: width.min(self.columns - first),
            ..self
        })
    }
}

/// Rows that are copied side by side: as many as a line of the cache has values, so that each line is read once.
const BAND: usize = 16;

/// Whether a result replaces the destination's values or is added to them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteMode {
    Overwrite,
    Accumulate,
}

/// A mutable matrix inside a slice. Its rows may be strided, so that several threads can share a slice by columns.
pub(crate) struct MatMut<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: a view is the only way to its elements for as long as it borrows them, as a mutable slice would be.
unsafe impl Send for MatMut<'_> {}

impl<'a> MatMut<'a> {
    /// `rows` x `columns`, row after row without gaps.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert!(
            fits(data.len(), rows, columns, columns),
            "matrix view beyond its slice"
        );
        Self {
            start: data.as_mut_ptr(),
            rows,
            columns,
            row_stride: columns,
            slice: PhantomData,
        }
    }

    /// Rows and columns.
    pub(in crate::nn) fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// From row to row.
    pub(in crate::nn) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// The values of a row.
    pub(in crate::nn) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "a row beyond a matrix");
        // SAFETY: the row is one of the matrix, which no other view can reach.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.row_stride), self.columns) }
    }

    /// The address of an element.
    ///
    /// # Safety
    /// The matrix must have it.
    pub(in crate::nn) unsafe fn at(&self, row: usize, column: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.start.add(row * self.row_stride + column) }
    }

    /// The matrix in pieces of `width` columns, the last of which may be narrower.
    pub(crate) fn column_blocks(self, width: usize) -> impl Iterator<Item = Self> {
        (0..self.columns).step_by(width).map(move |first| Self {
            // SAFETY: `first` is a column, so this stays inside; no two blocks have a column in common.
            start: unsafe { self.start.add(first) },
            columns: width.min(self.columns - first),
            ..self
        })
    }

    /// The matrix in pieces of `height` rows, the last of which may be lower.
    pub(crate) fn row_blocks(self, height: usize) -> impl Iterator<Item = Self> {
        (0..self.rows).step_by(height).map(move |first| Self {
            // SAFETY: `first` is a row, so this stays inside; no two blocks have a row in common.
            start: unsafe { self.start.add(first * self.row_stride) },
            rows: height.min(self.rows - first),
            ..self
        })
    }
}

/// `out = a b`, or `out += a b`, on all threads; `out` is row-major without gaps.
///
/// Each thread makes a block of `out` on its own: with the library's own division of the work, threads wait for
/// each other to pack the factors, and reach three quarters of the rate. The same bits for any number of threads: the
/// blocks depend on [`partitions`] alone, and the summed dimension is never divided.
pub(crate) fn product(out: &mut [f32], a: MatRef<'_>, b: MatRef<'_>, mode: WriteMode) {
    let partitions = partitions();
    if a.rows * a.columns * b.columns < SMALLEST_DIVIDED {
        return product_on_one_thread(out, a, b, mode);
    }
    let out = MatMut::new(out, a.rows, b.columns);
    if a.rows > b.columns {
        let height = a.rows.div_ceil(partitions).next_multiple_of(ROW_UNIT);
        out.row_blocks(height)
            .zip(a.row_blocks(height))
            .collect::<Vec<_>>()
            .into_par_iter()
            .for_each(|(out, a)| product_into(out, a, b, mode));
    } else {
        let width = b.columns.div_ceil(partitions).next_multiple_of(COLUMN_UNIT);
        out.column_blocks(width)
            .zip(b.column_blocks(width))
            .collect::<Vec<_>>()
            .into_par_iter()
            .for_each(|(out, b)| product_into(out, a, b, mode));
    }
}

/// Multiplications below which threads would take longer to wake than to work.
const SMALLEST_DIVIDED: usize = 1 << 19;

/// What `gemm` computes at a time with the widest vectors: other blocks would leave some of its rows or columns
/// unused.
const ROW_UNIT: usize = 8;
const COLUMN_UNIT: usize = 48;

/// [`product`] on the calling thread alone, for callers that already run one piece per thread.
pub(crate) fn product_on_one_thread(out: &mut [f32], a: MatRef<'_>, b: MatRef<'_>, mode: WriteMode) {
    product_into(MatMut::new(out, a.rows, b.columns), a, b, mode);
}

/// [`product_on_one_thread`] into a matrix whose rows may be strided.
pub(crate) fn product_into(out: MatMut<'_>, a: MatRef<'_>, b: MatRef<'_>, mode: WriteMode) {
    assert_eq!(a.columns, b.rows, "inner dimensions of a matrix product");
    assert_eq!((out.rows, out.columns), (a.rows, b.columns), "a product's shape");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    // SAFETY: the views keep every access inside their slices, and `out` borrows its own mutably, so it overlaps
    // neither factor.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.start,
            1,
            out.row_stride as isize,
            mode == WriteMode::Accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

fn fits(len: usize, rows: usize, columns: usize, row_stride: usize) -> bool {
    if rows == 0 || columns == 0 {
        return true;
    }
    // A product that wraps would let the kernels read and write beyond the slice.
    let end = (rows - 1)
        .checked_mul(row_stride)
        .and_then(|start| start.checked_add(columns));
    columns <= row_stride && end.is_some_and(|end| end <= len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_whose_size_overflows_are_refused() {
        assert!(fits(7, 2, 3, 4) && !fits(6, 2, 3, 4) && !fits(9, 2, 4, 3));
        assert!(!fits(7, usize::MAX, 2, 2));
        assert!(!fits(7, 2, usize::MAX, usize::MAX));
    }

    #[test]
    fn blocks_reach_every_element_once() {
        let mut values = [0.0; 35];
        let columns = MatMut::new(&mut values, 5, 7).column_blocks(3);
        // All at the same time, as threads have them.
        let mut blocks: Vec<_> = columns.flat_map(|columns| columns.row_blocks(2)).collect();
        assert_eq!(blocks.len(), 9);
        for block in &mut blocks {
            for row in 0..block.shape().0 {
                block.row_mut(row).iter_mut().for_each(|value| *value += 1.0);
            }
        }
        assert_eq!(values, [1.0; 35]);
    }

    #[test]
    fn products_of_views_and_transposes() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2x3
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]; // 3x2
        let mut out = [0.0; 4];
        product(
            &mut out,
            MatRef::new(&a, 2, 3),
            MatRef::new(&b, 3, 2),
            WriteMode::Overwrite,
        );
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        product(
            &mut out,
            MatRef::new(&a, 2, 3),
            MatRef::new(&b, 3, 2),
            WriteMode::Accumulate,
        );
        assert_eq!(out, [10.0, 22.0, 28.0, 46.0]);
        let mut gram = [0.0; 9];
        let view = MatRef::new(&a, 2, 3);
        product_on_one_thread(&mut gram, view.transposed(), view, WriteMode::Overwrite);
        assert_eq!(gram, [17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
    }

    /// Products large enough to be divided among threads, by rows and by columns, of factors read either way.
    #[test]
    fn divided_products_are_those_of_one_thread() {
        let values = |len: usize| -> Vec<f32> { (0..len).map(|i| ((i * 37) % 101) as f32 - 50.0).collect() };
        for (rows, depth, columns) in [(301, 60, 97), (61, 97, 301)] {
            let (a, b) = (values(rows * depth), values(depth * columns));
            let ways = [
                (MatRef::new(&a, rows, depth), MatRef::new(&b, depth, columns)),
                (
                    MatRef::new(&a, depth, rows).transposed(),
                    MatRef::new(&b, columns, depth).transposed(),
                ),
            ];
            for (a, b) in ways {
                let [mut divided, mut whole] = [vec![1.0; rows * columns], vec![1.0; rows * columns]];
                product(&mut divided, a, b, WriteMode::Accumulate);
                product_on_one_thread(&mut whole, a, b, WriteMode::Accumulate);
                assert_eq!(divided, whole, "{rows} x {depth} x {columns}");
            }
        }
    }
}
