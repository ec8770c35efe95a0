//! Matrix products by a left factor many of whose values are zeros.
//!
//! A rectifier lets about half of its inputs through and dropout half of those: three in four of the values that come
//! to the merge decoder's output layer are zeros, and a product spends three quarters of its time on adding nothing.
//! Here the others are listed, row by row, each with its column, and a row of the result is the sum of the rows of the
//! right factor that its list names.
//!
//! Why it is fast: the right factor is taken in panels that fit in the cache nearest to the processor, and the sums of a
//! row stay in registers while its list goes by. A multiplication takes up to twice as long as in a dense product, which
//! makes several of each value that it loads; [`MOST_LISTED`] says when that still pays.

use super::product::{Existing, View, ViewMut, product_into};
use super::scratch::Scratch;
use pulp::{Arch, Simd, WithSimd};

/// The left factor of products, in the form in which they are fastest.
pub(crate) enum Factor<'a> {
    Dense(View<'a>),
    Sparse(Sparse),
}

impl<'a> Factor<'a> {
    /// Without its zeros, where there are enough of them.
    pub(crate) fn of(matrix: View<'a>) -> Self {
        let (rows, columns) = matrix.shape();
        let mut values = Scratch::of(rows * columns);
        matrix.copy_into_rows_of(&mut values, columns);
        let listed = values.iter().filter(|&&value| value != 0.0).count();
        if listed as f32 > MOST_LISTED * values.len() as f32 {
            return Self::Dense(matrix);
        }
        Self::Sparse(Sparse::of(&values, columns))
    }

    /// `out = self b`, or `out += self b`, on the calling thread.
    pub(crate) fn product_into(&self, out: ViewMut<'_>, b: View<'_>, existing: Existing) {
        match self {
            Self::Dense(a) => product_into(out, *a, b, existing),
            Self::Sparse(a) => a.product_into(out, b, existing),
        }
    }
}

/// The share of a factor's values, at most, that may be other than zero for a list to pay: with half of them it is a
/// fifth faster than a dense product where that was measured. A little more, since dropout at a half leaves now less,
/// now more.
const MOST_LISTED: f32 = 0.52;

/// Columns of the left factor, and rows of the right one, that are taken together. A byte tells them apart.
const BAND: usize = 1 << u8::BITS;

/// Columns of the right factor that are taken together: a panel of a whole band is 32 KiB.
const WIDTH: usize = 32;

/// Sums of a row that are made side by side, so that one need not wait for another; lists are filled up to a multiple
/// of so many.
const CHAINS: usize = 4;

/// A matrix without its zeros.
pub(crate) struct Sparse {
    rows: usize,
    columns: usize,
    bands: Vec<Band>,
}

/// The values other than zero of some columns.
#[derive(Default)]
struct Band {
    /// Row after row, in the order of the columns.
    values: Vec<f32>,
    /// Of each value, counted from the first of the band.
    columns: Vec<u8>,
    /// Where each row's values end.
    ends: Vec<usize>,
}

impl Sparse {
    /// Of a matrix of so many columns, row after row.
    fn of(values: &[f32], columns: usize) -> Self {
        let rows = || values.chunks_exact(columns.max(1));
        let bands = (0..columns).step_by(BAND).map(|first| {
            let mut band = Band::default();
            rows().for_each(|row| band.push(&row[first..columns.min(first + BAND)]));
            band
        });
        Self {
            rows: rows().len(),
            columns,
            bands: bands.collect(),
        }
    }

    fn product_into(&self, out: ViewMut<'_>, b: View<'_>, existing: Existing) {
        assert_eq!(self.columns, b.shape().0, "inner dimensions of a matrix product");
        assert_eq!(out.shape(), (self.rows, b.shape().1), "a product's shape");
        let mut existing = existing;
        let mut out = out;
        let mut panel = Panel::new();
        for (band, right) in self.bands.iter().zip(b.row_blocks(BAND)) {
            for (place, columns) in right.column_blocks(WIDTH).enumerate() {
                panel.fill(columns);
                Arch::new().dispatch(PanelProduct {
                    out: &mut out,
                    first: place * WIDTH,
                    columns: columns.shape().1,
                    band,
                    panel: &panel,
                    existing,
                });
            }
            existing = Existing::Accumulate;
        }
    }
}

impl Band {
    fn push(&mut self, row: &[f32]) {
        let start = self.values.len();
        let room = start + row.len().next_multiple_of(CHAINS);
        self.values.resize(room, 0.0);
        self.columns.resize(room, 0);
        let (values, columns) = (&mut self.values[start..], &mut self.columns[start..]);
        // All are written, the zeros to be written over: no branch could be foretold here.
        let mut listed = 0;
        for (column, &value) in row.iter().enumerate() {
            values[listed] = value;
            columns[listed] = column as u8;
            listed += usize::from(value != 0.0);
        }
        let filled = listed.next_multiple_of(CHAINS);
        values[listed..filled].fill(0.0);
        self.values.truncate(start + filled);
        self.columns.truncate(start + filled);
        self.ends.push(start + filled);
    }

    /// The lists of all rows.
    fn rows(&self) -> impl Iterator<Item = List<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| List {
            values: &self.values[start..end],
            columns: &self.columns[start..end],
        })
    }
}

/// The values other than zero of a row, within a band.
struct List<'a> {
    values: &'a [f32],
    columns: &'a [u8],
}

/// [`WIDTH`] values side by side, in lines of the cache of their own.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct PanelRow([f32; WIDTH]);

/// Some columns of a band of the right factor, the last filled up with zeros.
struct Panel(Box<[PanelRow; BAND]>);

impl Panel {
    fn new() -> Self {
        Self(Box::new([PanelRow([0.0; WIDTH]); BAND]))
    }

    fn fill(&mut self, columns: View<'_>) {
        let (rows, width) = columns.shape();
        for (row, copies) in self.0.iter_mut().take(rows).enumerate() {
            columns.copy_row_into(row, &mut copies.0[..width]);
            copies.0[width..].fill(0.0);
        }
    }
}

/// What a band adds to the result, by one panel.
struct PanelProduct<'a, 'b> {
    out: &'a mut ViewMut<'b>,
    /// Columns of the result.
    first: usize,
    columns: usize,
    band: &'a Band,
    panel: &'a Panel,
    existing: Existing,
}

impl WithSimd for PanelProduct<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // So that the compiler knows how many vectors there are and keeps all sums in registers.
        match WIDTH / S::F32_LANES {
            2 => self.with_vectors::<S, 2>(simd),
            4 => self.with_vectors::<S, 4>(simd),
            8 => self.with_vectors::<S, 8>(simd),
            _ => self.with_vectors::<S, WIDTH>(simd),
        }
    }
}

impl PanelProduct<'_, '_> {
    #[inline(always)]
    fn with_vectors<S: Simd, const VECTORS: usize>(self, simd: S) {
        for (row, list) in self.band.rows().enumerate() {
            let sums = sums::<S, VECTORS>(simd, &list, self.panel);
            let out = &mut self.out.row_mut(row)[self.first..][..self.columns];
            match self.existing {
                Existing::Overwrite => out.copy_from_slice(&sums.0[..self.columns]),
                Existing::Accumulate => super::host::add(out, &sums.0),
            }
        }
    }
}

/// The rows of `panel` that `list` names, each multiplied by its value, added up.
#[inline(always)]
fn sums<S: Simd, const VECTORS: usize>(simd: S, list: &List<'_>, panel: &Panel) -> PanelRow {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; CHAINS];
    let (values, columns) = (
        list.values.as_chunks::<CHAINS>().0,
        list.columns.as_chunks::<CHAINS>().0,
    );
    for (values, columns) in values.iter().zip(columns) {
        for chain in 0..CHAINS {
            let value = simd.splat_f32s(values[chain]);
            let (right, _) = S::as_simd_f32s(&panel.0[usize::from(columns[chain])].0);
            for vector in 0..VECTORS {
                sums[chain][vector] = simd.mul_add_f32s(value, right[vector], sums[chain][vector]);
            }
        }
    }
    let mut row = PanelRow([0.0; WIDTH]);
    let (vectors, _) = S::as_mut_simd_f32s(&mut row.0);
    for vector in 0..VECTORS {
        vectors[vector] = sums
            .iter()
            .skip(1)
            .fold(sums[0][vector], |sum, chain| simd.add_f32s(sum, chain[vector]));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::super::product::product_on_one_thread;
    use super::*;
    use crate::nn::testing::{assert_close, random_matrix};
    use proptest::prelude::*;

    /// `[rows, columns]`, of which about so large a share is other than zero.
    fn matrix(shape: (usize, usize), share: f32, seed: u64) -> Vec<f32> {
        let (values, draws) = (random_matrix(shape, seed), random_matrix(shape, seed ^ 5));
        let pairs = values.as_vec().into_iter().zip(draws.as_vec());
        pairs
            .map(|(value, draw)| if draw < 2.0 * share - 1.0 { value } else { 0.0 })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Factors read either way, rows without values and full ones, results that are overwritten or added to, of
        /// one band and several, of whole panels and narrower ones.
        #[test]
        fn products_are_those_of_the_library(
            rows in 1usize..30,
            depth in prop_oneof![1usize..40, 250usize..270, 500usize..800],
            columns in 1usize..110,
            share in prop_oneof![Just(0.0f32), Just(1.0f32), 0.0f32..1.0],
            turned: [bool; 2],
            accumulate: bool,
            seed: u64,
        ) {
            let left = matrix((rows, depth), share, seed);
            let right = random_matrix((depth, columns), !seed).as_vec();
            let a = if turned[0] { View::new(&left, depth, rows).transposed() } else { View::new(&left, rows, depth) };
            let b = if turned[1] { View::new(&right, columns, depth).transposed() } else { View::new(&right, depth, columns) };
            let existing = if accumulate { Existing::Accumulate } else { Existing::Overwrite };
            let before = random_matrix((rows, columns), seed ^ 7).as_vec();
            let mut expected = before.clone();
            product_on_one_thread(&mut expected, a, b, existing);
            let mut listed = vec![0.0; rows * depth];
            a.copy_into_rows_of(&mut listed, depth);
            let sparse = Factor::Sparse(Sparse::of(&listed, depth));
            for factor in [sparse, Factor::of(a)] {
                let mut found = before.clone();
                factor.product_into(ViewMut::new(&mut found, rows, columns), b, existing);
                assert_close(&found, &expected, 1e-5);
            }
        }
    }

    #[test]
    fn factors_of_few_zeros_stay_as_they_are() {
        let is_sparse = |share| {
            let values = matrix((40, 50), share, 1);
            matches!(Factor::of(View::new(&values, 40, 50)), Factor::Sparse(_))
        };
        assert_eq!([0.1, 0.45, 0.6, 1.0].map(is_sparse), [true, true, false, false]);
    }
}
