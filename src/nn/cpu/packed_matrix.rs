//! Matrix products by a factor that is used many times over.
//!
//! A product's right factor must be stored in a special order for the processor to multiply at full rate, and a library
//! reorders it again for every product. For the few rows of one step of an LSTM that
//! takes longer than to multiply. Here it is laid out once.
//!
//! The arithmetic is that of Goto & van de Geijn 2008 ("Anatomy of high-performance matrix multiplication"): a tile of
//! the result stays in registers while a column of the left factor and a row of the right one go by.

use crate::nn::cpu::matmul::{MatMut, MatRef, WriteMode};
use crate::nn::cpu::scratch::Scratch;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Vectors side by side in a tile: with eight rows they leave four of 32 registers for the factors.
const VECTORS: usize = 3;

/// Rows of a tile at most.
const ROWS: usize = 8;

/// Summands between two visits of the result: so much of both factors stays in the cache near the processor.
const DEPTH: usize = 512;

/// The right factor of a product, laid out in panels of as many columns as a tile has, row after row.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    rows: usize,
    columns: usize,
    /// Columns of a panel; the last is padded with zeros.
    width: usize,
    panels: Scratch,
}

impl PackedMatrix {
    /// On all threads.
    pub(crate) fn new(factor: MatRef<'_>) -> Self {
        let (rows, columns) = factor.shape();
        let width = Arch::new().dispatch(TileWidth);
        let mut panels = Scratch::of(columns.div_ceil(width) * rows * width);
        panels
            .par_chunks_mut((rows * width).max(1))
            .zip(factor.column_blocks(width).collect::<Vec<_>>())
            .for_each(|(panel, columns)| columns.copy_into_rows_of(panel, width));
        Self {
            rows,
            columns,
            width,
            panels,
        }
    }

    /// `out = a self`, or `out += a self`, on the calling thread.
    pub(crate) fn product_into(&self, mut out: MatMut<'_>, a: MatRef<'_>, mode: WriteMode) {
        self.all_columns().product_into(&mut out, a, mode);
    }

    fn all_columns(&self) -> PanelBlock<'_> {
        PanelBlock {
            rows: self.rows,
            columns: self.columns,
            width: self.width,
            panels: &self.panels,
        }
    }

    /// The columns in pieces of `panels` panels, the last of which may have fewer.
    fn column_blocks(&self, panels: usize) -> impl Iterator<Item = PanelBlock<'_>> {
        let taken = panels * self.width;
        let pieces = self.panels.chunks((taken * self.rows).max(1)).enumerate();
        pieces.map(move |(piece, panels)| PanelBlock {
            columns: taken.min(self.columns - piece * taken),
            panels,
            ..self.all_columns()
        })
    }
}

/// Values of the right factors that are worth a thread of their own, for as many rows as a tile has.
const PIECE: usize = 1 << 18;

/// `out`, row after row, becomes the sum of products `a b`, all of one shape. On all threads where it is worth their
/// waking up: each makes some columns of the sum.
pub(crate) fn sum_of_products(out: &mut [f32], terms: &[(MatRef<'_>, &PackedMatrix)]) {
    match terms {
        [] => out.fill(0.0),
        terms => products_into(out, terms, WriteMode::Overwrite),
    }
}

/// As [`sum_of_products`], but what `out` holds is added to.
pub(crate) fn add_products(out: &mut [f32], terms: &[(MatRef<'_>, &PackedMatrix)]) {
    products_into(out, terms, WriteMode::Accumulate);
}

fn products_into(out: &mut [f32], terms: &[(MatRef<'_>, &PackedMatrix)], mode: WriteMode) {
    let Some((a, b)) = terms.first() else {
        return;
    };
    let (rows, columns, width) = (a.shape().0, b.columns, b.width);
    let values: usize = terms.iter().map(|(_, b)| b.panels.len()).sum();
    let pieces = (values * rows.div_ceil(ROWS) / PIECE).clamp(1, rayon::current_num_threads());
    let panels = columns.div_ceil(width).div_ceil(pieces).max(1);
    let mut work: Vec<_> = MatMut::new(out, rows, columns)
        .column_blocks(panels * width)
        .map(|out| (out, Vec::with_capacity(terms.len())))
        .collect();
    for (a, b) in terms {
        for ((_, terms), b) in work.iter_mut().zip(b.column_blocks(panels)) {
            terms.push((*a, b));
        }
    }
    // A single piece stays on this thread.
    work.into_par_iter().for_each(|(mut out, terms)| {
        let mut mode = mode;
        for (a, b) in terms {
            b.product_into(&mut out, a, mode);
            mode = WriteMode::Accumulate;
        }
    });
}

/// Some columns of a factor, as they are laid out.
#[derive(Clone, Copy)]
struct PanelBlock<'a> {
    rows: usize,
    columns: usize,
    width: usize,
    panels: &'a [f32],
}

impl PanelBlock<'_> {
    /// `out = a self`, or `out += a self`, on the calling thread.
    fn product_into(self, out: &mut MatMut<'_>, a: MatRef<'_>, mode: WriteMode) {
        assert_eq!(a.shape().1, self.rows, "inner dimensions of a matrix product");
        assert_eq!(out.shape(), (a.shape().0, self.columns), "a product's shape");
        Arch::new().dispatch(Product {
            out,
            a,
            b: self,
            mode,
        });
    }
}

struct TileWidth;

impl WithSimd for TileWidth {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        VECTORS * S::F32_LANES
    }
}

struct Product<'a, 'b> {
    out: &'b mut MatMut<'a>,
    a: MatRef<'b>,
    b: PanelBlock<'b>,
    mode: WriteMode,
}

impl WithSimd for Product<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // With half as many registers, tiles of half as many rows.
        let tallest = if S::REGISTER_COUNT >= 32 { ROWS } else { ROWS / 2 };
        let (rows, depth) = self.a.shape();
        for first in (0..depth).step_by(DEPTH) {
            let taken = DEPTH.min(depth - first);
            for panel in 0..self.b.columns.div_ceil(self.b.width) {
                for row in (0..rows).step_by(tallest) {
                    let place = TilePosition {
                        row,
                        rows: tallest.min(rows - row),
                        panel,
                        first,
                        taken,
                    };
                    self.tile(simd, place);
                }
            }
        }
    }
}

/// A tile of the result, and which of the summands are added to it now.
#[derive(Clone, Copy)]
struct TilePosition {
    row: usize,
    rows: usize,
    panel: usize,
    first: usize,
    taken: usize,
}

impl Product<'_, '_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, simd: S, place: TilePosition) {
        // With a constant number of rows, the compiler keeps all sums in registers.
        match place.rows {
            1 => self.tile_of::<S, 1>(simd, place),
            2 => self.tile_of::<S, 2>(simd, place),
            3 => self.tile_of::<S, 3>(simd, place),
            4 => self.tile_of::<S, 4>(simd, place),
            5 => self.tile_of::<S, 5>(simd, place),
            6 => self.tile_of::<S, 6>(simd, place),
            7 => self.tile_of::<S, 7>(simd, place),
            _ => self.tile_of::<S, ROWS>(simd, place),
        }
    }

    #[inline(always)]
    fn tile_of<S: Simd, const N: usize>(&self, simd: S, place: TilePosition) {
        let TilePosition {
            row,
            panel,
            first,
            taken,
            ..
        } = place;
        let b = self.b;
        let rows_of_panel = &b.panels[panel * b.rows * b.width..(panel + 1) * b.rows * b.width];
        let right = &rows_of_panel[first * b.width..(first + taken) * b.width];
        let accumulate = self.mode == WriteMode::Accumulate || first > 0;
        let column = panel * b.width;
        if column + b.width <= b.columns {
            // SAFETY: the tile is inside `out`, which no other thread can reach.
            unsafe {
                let out = self.out.at(row, column);
                let stride = self.out.row_stride();
                multiply::<S, N>(
                    simd,
                    &self.a.elements(row, first, taken),
                    right,
                    out,
                    stride,
                    accumulate,
                );
            }
            return;
        }
        // A tile that reaches beyond the last column is made aside.
        let mut aside = [0.0; ROWS * MOST_LANES * VECTORS];
        // SAFETY: `aside` has room for the tallest tile of the widest vectors.
        unsafe {
            let out = aside.as_mut_ptr();
            multiply::<S, N>(
                simd,
                &self.a.elements(row, first, taken),
                right,
                out,
                b.width,
                false,
            );
        }
        for (at, sums) in aside.chunks_exact(b.width).take(N).enumerate() {
            for (offset, sum) in sums.iter().enumerate().take(b.columns - column) {
                // SAFETY: `row + at` and `column + offset` are a row and a column of `out`.
                unsafe {
                    let out = self.out.at(row + at, column + offset);
                    *out = if accumulate { *out + sum } else { *sum };
                }
            }
        }
    }
}

/// `f32`s of the widest vectors there are.
const MOST_LANES: usize = 16;

/// The rows of a left factor from some place on, for a number of columns.
pub(in crate::nn) struct Elements<const N: usize> {
    rows: [*const f32; N],
    column_stride: usize,
}

impl MatRef<'_> {
    /// `N` rows from `row` on, for columns `first..first + taken`.
    #[inline(always)]
    fn elements<const N: usize>(&self, row: usize, first: usize, taken: usize) -> Elements<N> {
        let (rows, columns) = self.shape();
        assert!(
            row + N <= rows && first + taken <= columns,
            "rows beyond a matrix"
        );
        let [row_stride, column_stride] = self.strides();
        Elements {
            rows: std::array::from_fn(|at| {
                self.data()[(row + at) * row_stride + first * column_stride..].as_ptr()
            }),
            column_stride,
        }
    }
}

/// A tile of `N` rows: `left` times `right`, whose rows are [`VECTORS`] vectors each.
///
/// # Safety
/// `left` has as many columns as `right` has rows; `out` may be written to for `N` rows of [`VECTORS`] vectors,
/// `row_stride` apart.
#[inline(always)]
unsafe fn multiply<S: Simd, const N: usize>(
    simd: S,
    left: &Elements<N>,
    right: &[f32],
    out: *mut f32,
    row_stride: usize,
    accumulate: bool,
) {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; N];
    let (right, _) = S::as_simd_f32s(right);
    let (right, _) = right.as_chunks::<VECTORS>();
    for (column, right) in right.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(left.rows) {
            // SAFETY: `column` is a column of `left`.
            let left = simd.splat_f32s(unsafe { *row.add(column * left.column_stride) });
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = simd.mul_add_f32s(left, *right, *sum);
            }
        }
    }
    for (at, sums) in sums.into_iter().enumerate() {
        for (vector, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise; vectors need not be aligned.
            unsafe {
                let out = out.add(at * row_stride + vector * S::F32_LANES).cast::<S::f32s>();
                let sum = if accumulate {
                    simd.add_f32s(sum, out.read_unaligned())
                } else {
                    sum
                };
                out.write_unaligned(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::cpu::matmul::product_on_one_thread;
    use crate::nn::testing::{assert_close, random_matrix};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Factors read either way, results that are overwritten or added to, every height and width of tile.
        #[test]
        fn products_are_those_of_the_library(
            rows in 1usize..30,
            depth in prop_oneof![1usize..40, 500usize..1100],
            columns in 1usize..110,
            turned: [bool; 2],
            accumulate: bool,
            seed: u64,
        ) {
            let (left, right) = (random_matrix((rows, depth), seed), random_matrix((depth, columns), !seed));
            let (left, right) = (left.as_vec(), right.as_vec());
            let a = if turned[0] { MatRef::new(&left, depth, rows).transposed() } else { MatRef::new(&left, rows, depth) };
            let b = if turned[1] { MatRef::new(&right, columns, depth).transposed() } else { MatRef::new(&right, depth, columns) };
            let mode = if accumulate { WriteMode::Accumulate } else { WriteMode::Overwrite };
            let before = random_matrix((rows, columns), seed ^ 7).as_vec();
            let [mut found, mut expected] = [before.clone(), before];
            PackedMatrix::new(b).product_into(MatMut::new(&mut found, rows, columns), a, mode);
            product_on_one_thread(&mut expected, a, b, mode);
            assert_close(&found, &expected, 1e-5);
        }

        /// Sums computed by one thread, and sums divided among threads.
        #[test]
        fn sums_of_products_are_those_of_the_library(
            rows in 1usize..20,
            depths in prop::collection::vec(1usize..300, 1..4),
            columns in prop_oneof![1usize..100, 500usize..900],
            seed: u64,
        ) {
            let lefts: Vec<_> = depths.iter().map(|&depth| random_matrix((rows, depth), seed).as_vec()).collect();
            let rights: Vec<_> = depths.iter().map(|&depth| random_matrix((depth, columns), !seed).as_vec()).collect();
            let factors = || depths.iter().zip(&lefts).zip(&rights).map(|((&depth, left), right)| {
                (MatRef::new(left, rows, depth), MatRef::new(right, depth, columns))
            });
            let mut expected = vec![0.0; rows * columns];
            factors().for_each(|(a, b)| product_on_one_thread(&mut expected, a, b, WriteMode::Accumulate));
            let packed: Vec<_> = factors().map(|(_, b)| PackedMatrix::new(b)).collect();
            let terms: Vec<_> = factors().map(|(a, _)| a).zip(&packed).collect();
            let mut found = vec![f32::NAN; rows * columns];
            sum_of_products(&mut found, &terms);
            assert_close(&found, &expected, 1e-5);
        }
    }
}
