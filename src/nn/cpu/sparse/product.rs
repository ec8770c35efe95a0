//! The product of a matrix without its zeros with a dense one.
//!
//! Why it is fast: the right factor is copied into panels as large as the cache nearest to the processor, and the sums of
//! a row stay in registers while its list is read. A multiplication takes up to twice as long as in a dense product, which
//! uses each loaded value several times: [`MOST_LISTED`](super::MOST_LISTED) says when that still pays.

use super::{BAND, CHAINS, List, Sparse, SparseBand};
use crate::nn::cpu::matmul::{MatMut, MatRef, WriteMode};
use crate::nn::cpu::scratch::Scratch;
use crate::nn::cpu::vectorized;
use pulp::{Arch, Simd, WithSimd, bytemuck};
use std::ops::Range;

/// Columns of the right factor that are taken together: a panel of a whole band is 32 KiB.
const WIDTH: usize = 32;

impl Sparse {
    /// `out = self b`, or `out += self b`, on the calling thread. The rows of `b` must be contiguous.
    pub(super) fn product_into(&self, out: MatMut<'_>, b: MatRef<'_>, mode: WriteMode) {
        assert_eq!(self.columns, b.shape().0, "inner dimensions of a matrix product");
        assert_eq!(out.shape(), (self.rows, b.shape().1), "a product's shape");
        let mut mode = mode;
        let mut out = out;
        let mut panels = Panels::new(b.shape().1);
        for (band, right) in self.bands.iter().zip(b.row_blocks(BAND)) {
            fill(panels.all_mut(), right);
            for (place, panel) in panels.all().iter().enumerate() {
                let first = place * WIDTH;
                Arch::new().dispatch(PanelProduct {
                    out: &mut out,
                    columns: first..(first + WIDTH).min(b.shape().1),
                    band,
                    panel,
                    mode,
                });
            }
            mode = WriteMode::Accumulate;
        }
    }
}

/// Some columns of a band of the right factor.
type Panel = [PanelRow; BAND];
type PanelRow = [f32; WIDTH];

/// A band of the right factor, cut into panels, the last of which is filled up with zeros.
struct Panels(Scratch);

impl Panels {
    fn new(columns: usize) -> Self {
        Self(Scratch::of(columns.div_ceil(WIDTH) * BAND * WIDTH))
    }

    fn all(&self) -> &[Panel] {
        self.0.as_chunks::<WIDTH>().0.as_chunks::<BAND>().0
    }

    fn all_mut(&mut self) -> &mut [Panel] {
        self.0.as_chunks_mut::<WIDTH>().0.as_chunks_mut::<BAND>().0
    }
}

vectorized! {
/// Copies a band into its panels, row by row: panel by panel, each row would be visited for a line of the cache or two.
fn fill(panels: &mut [Panel], band: MatRef<'_>) {
    for row in 0..band.shape().0 {
        let (pieces, rest) = band.row(row).as_chunks::<WIDTH>();
        let mut panels = panels.iter_mut();
        for (piece, panel) in pieces.iter().zip(&mut panels) {
            panel[row] = *piece;
        }
        if let Some(last) = panels.next() {
            let (values, filling) = last[row].split_at_mut(rest.len());
            values.copy_from_slice(rest);
            filling.fill(0.0);
        }
    }
}
}

/// The part of a band in the result, for one panel.
struct PanelProduct<'a, 'b> {
    out: &'a mut MatMut<'b>,
    /// Of the result.
    columns: Range<usize>,
    band: &'a SparseBand,
    panel: &'a Panel,
    mode: WriteMode,
}

impl WithSimd for PanelProduct<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // So that the compiler knows how many vectors there are, and keeps them in registers: of each, as many sums
        // side by side as half of the registers hold.
        match WIDTH / S::F32_LANES {
            2 => self.with_vectors::<S, 2, 4>(simd),
            4 => self.with_vectors::<S, 4, 2>(simd),
            8 => self.with_vectors::<S, 8, 1>(simd),
            _ => self.with_vectors::<S, WIDTH, 1>(simd),
        }
    }
}

impl PanelProduct<'_, '_> {
    #[inline(always)]
    fn with_vectors<S: Simd, const VECTORS: usize, const SUMS: usize>(self, simd: S) {
        for (row, list) in self.band.rows().enumerate() {
            let sums = sums::<S, VECTORS, SUMS>(simd, &list, self.panel);
            let out = &mut self.out.row_mut(row)[self.columns.clone()];
            let (places, _) = S::as_mut_simd_f32s(out);
            if let Ok(places) = <&mut [S::f32s; VECTORS]>::try_from(places) {
                join(simd, self.mode, places, &sums);
                continue;
            }
            // A panel that reaches beyond the last column.
            let mut whole = [simd.splat_f32s(0.0); VECTORS];
            let values = &mut bytemuck::cast_slice_mut(&mut whole)[..out.len()];
            values.copy_from_slice(out);
            join(simd, self.mode, &mut whole, &sums);
            out.copy_from_slice(&bytemuck::cast_slice(&whole)[..out.len()]);
        }
    }
}

/// Sums become, or are added to, what is there.
#[inline(always)]
fn join<S: Simd, const VECTORS: usize>(
    simd: S,
    mode: WriteMode,
    places: &mut [S::f32s; VECTORS],
    sums: &[S::f32s; VECTORS],
) {
    for (place, sum) in places.iter_mut().zip(sums) {
        *place = match mode {
            WriteMode::Overwrite => *sum,
            WriteMode::Accumulate => simd.add_f32s(*place, *sum),
        };
    }
}

/// The rows of `panel` that `list` names, each multiplied by its value, added up.
#[inline(always)]
fn sums<S: Simd, const VECTORS: usize, const SUMS: usize>(
    simd: S,
    list: &List<'_>,
    panel: &Panel,
) -> [S::f32s; VECTORS] {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; SUMS];
    let (values, columns) = (
        list.values.as_chunks::<CHAINS>().0,
        list.columns.as_chunks::<CHAINS>().0,
    );
    for (values, columns) in values.iter().zip(columns) {
        for chain in 0..CHAINS {
            let value = simd.splat_f32s(values[chain]);
            let (right, _) = S::as_simd_f32s(&panel[usize::from(columns[chain])]);
            for vector in 0..VECTORS {
                let sum = &mut sums[chain % SUMS][vector];
                *sum = simd.mul_add_f32s(value, right[vector], *sum);
            }
        }
    }
    std::array::from_fn(|vector| {
        let chains = sums.iter().map(|chain| chain[vector]);
        chains
            .reduce(|sum, chain| simd.add_f32s(sum, chain))
            .unwrap_or(sums[0][vector])
    })
}
