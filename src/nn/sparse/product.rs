//! The product of a matrix without its zeros with a dense one.
//!
//! Why it is fast: the right factor is taken in panels that fit in the cache nearest to the processor, and the sums of a
//! row stay in registers while its list goes by. A multiplication takes up to twice as long as in a dense product, which
//! makes several of each value that it loads: [`MOST_LISTED`](super::MOST_LISTED) says when that still pays.

use super::{BAND, Band, CHAINS, List, Sparse};
use crate::nn::host::add;
use crate::nn::product::{Existing, View, ViewMut};
use pulp::{Arch, Simd, WithSimd};

/// Columns of the right factor that are taken together: a panel of a whole band is 32 KiB.
const WIDTH: usize = 32;

impl Sparse {
    /// `out = self b`, or `out += self b`, on the calling thread.
    pub(super) fn product_into(&self, out: ViewMut<'_>, b: View<'_>, existing: Existing) {
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
                Existing::Accumulate => add(out, &sums.0),
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
