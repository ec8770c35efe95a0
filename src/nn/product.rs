//! Matrix products on plain slices, for the CPU kernels: a thin, safe face on the `gemm` crate.

use gemm::Parallelism;

/// A matrix inside a slice. Strides are in elements.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
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

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// What becomes of the values that the destination already holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Overwrite,
    Accumulate,
}

/// `out = a b`, or `out += a b`; `out` is row-major without gaps.
///
/// Deterministic for a given number of threads: the work is split over rows and columns of `out`, never
/// over the summed dimension.
pub(crate) fn product(out: &mut [f32], a: View<'_>, b: View<'_>, existing: Existing) {
    product_on(out, a, b, existing, Parallelism::Rayon(0));
}

/// [`product`] on the calling thread alone, for callers that already run one piece per thread.
pub(crate) fn product_on_one_thread(out: &mut [f32], a: View<'_>, b: View<'_>, existing: Existing) {
    product_on(out, a, b, existing, Parallelism::None);
}

fn product_on(out: &mut [f32], a: View<'_>, b: View<'_>, existing: Existing, parallelism: Parallelism) {
    assert_eq!(a.columns, b.rows, "inner dimensions of a matrix product");
    assert!(
        fits(out.len(), a.rows, b.columns, b.columns),
        "matrix product beyond its destination"
    );
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    // SAFETY: `View` and the assertion above keep every access inside the three slices, and `out` is
    // borrowed mutably, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            existing == Existing::Accumulate,
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
            parallelism,
        );
    }
}

fn fits(len: usize, rows: usize, columns: usize, row_stride: usize) -> bool {
    rows == 0 || columns == 0 || (columns <= row_stride && (rows - 1) * row_stride + columns <= len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_views_and_transposes() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2x3
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]; // 3x2
        let mut out = [0.0; 4];
        product(
            &mut out,
            View::new(&a, 2, 3),
            View::new(&b, 3, 2),
            Existing::Overwrite,
        );
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        product(
            &mut out,
            View::new(&a, 2, 3),
            View::new(&b, 3, 2),
            Existing::Accumulate,
        );
        assert_eq!(out, [10.0, 22.0, 28.0, 46.0]);
        let mut gram = [0.0; 9];
        let view = View::new(&a, 2, 3);
        product_on_one_thread(&mut gram, view.transposed(), view, Existing::Overwrite);
        assert_eq!(gram, [17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
    }
}
