//! The product of two dense matrices at the non-zero places of a third one: a sampled
//! dense-dense matrix product.
//!
//! Why it is fast: a piece of a row of the left factor stays in registers while the listed columns of the right one are
//! read. They come from the second-level cache, which limits the speed.

use super::{BAND, CHAINS, Sparse, SparseBand};
use crate::nn::cpu::matmul::{MatRef, WriteMode};
use crate::nn::cpu::scratch::Scratch;
use pulp::{Arch, Simd, WithSimd};

impl Sparse {
    /// `a b` at every listed place, in the order of the lists, on the calling thread. The rows of `a` must be contiguous.
    pub(crate) fn sample_product(&self, samples: &mut [f32], a: MatRef<'_>, b: MatRef<'_>) {
        assert_eq!(a.shape().1, b.shape().0, "inner dimensions of a matrix product");
        assert_eq!(
            (self.rows, self.columns),
            (a.shape().0, b.shape().1),
            "a product's shape"
        );
        assert_eq!(samples.len(), self.len(), "a sample for every place");
        assert_ne!(a.shape().1, 0, "sums of something");
        Arch::new().dispatch(SampledProduct {
            samples,
            places: self,
            a,
            b,
        });
    }
}

struct SampledProduct<'a> {
    samples: &'a mut [f32],
    places: &'a Sparse,
    a: MatRef<'a>,
    b: MatRef<'a>,
}

/// One vector for each independent sum.
type Vectors<S> = [<S as Simd>::f32s; CHAINS];

impl WithSimd for SampledProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // With the sums, 32 registers of 32 or 12 of 16; the right factor is read by the multiplication itself.
        let most = if S::REGISTER_COUNT >= 32 { 7 } else { 2 };
        let groups = self.a.shape().1.div_ceil(CHAINS * S::F32_LANES);
        let pieces = groups.div_ceil(most);
        // With a constant number of vectors, the compiler keeps all of them in registers.
        match groups.div_ceil(pieces) {
            1 => self.in_pieces::<S, 1>(simd),
            2 => self.in_pieces::<S, 2>(simd),
            3 => self.in_pieces::<S, 3>(simd),
            4 => self.in_pieces::<S, 4>(simd),
            5 => self.in_pieces::<S, 5>(simd),
            6 => self.in_pieces::<S, 6>(simd),
            _ => self.in_pieces::<S, 7>(simd),
        }
    }
}

impl SampledProduct<'_> {
    /// Takes `GROUPS` groups of vectors of the summed dimension at a time.
    #[inline(always)]
    fn in_pieces<S: Simd, const GROUPS: usize>(self, simd: S) {
        let width = GROUPS * CHAINS * S::F32_LANES;
        let mut panel = Scratch::of(BAND.min(self.places.columns) * width);
        let mut mode = WriteMode::Overwrite;
        for (left, right) in self.a.column_blocks(width).zip(self.b.row_blocks(width)) {
            let mut rest = &mut *self.samples;
            for (band, right) in self.places.bands.iter().zip(right.column_blocks(BAND)) {
                let panel = &mut panel[..right.shape().1 * width];
                right.transposed().copy_into_rows_of(panel, width);
                let (samples, others) = rest.split_at_mut(band.values.len());
                rest = others;
                sample::<S, GROUPS>(simd, samples, band, left, panel, mode);
            }
            mode = WriteMode::Accumulate;
        }
    }
}

/// `left` times the rows of `panel` that the lists of `band` name.
#[inline(always)]
fn sample<S: Simd, const GROUPS: usize>(
    simd: S,
    samples: &mut [f32],
    band: &SparseBand,
    left: MatRef<'_>,
    panel: &[f32],
    mode: WriteMode,
) {
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<CHAINS>();
    let (panel, _) = panel.as_chunks::<GROUPS>();
    let mut samples = samples.iter_mut();
    for (row, list) in band.rows().enumerate() {
        let left = load::<S, GROUPS>(simd, left.row(row));
        for (column, sample) in list.columns.iter().zip(&mut samples) {
            let product = dot(simd, &left, &panel[usize::from(*column)]);
            *sample = match mode {
                WriteMode::Overwrite => product,
                WriteMode::Accumulate => *sample + product,
            };
        }
    }
}

/// Values as vectors, filled up with zeros.
#[inline(always)]
fn load<S: Simd, const GROUPS: usize>(simd: S, values: &[f32]) -> [Vectors<S>; GROUPS] {
    let mut loaded = [[simd.splat_f32s(0.0); CHAINS]; GROUPS];
    let (whole, rest) = S::as_simd_f32s(values);
    let mut places = loaded.as_flattened_mut().iter_mut();
    for (vector, place) in whole.iter().zip(&mut places) {
        *place = *vector;
    }
    if let (Some(place), false) = (places.next(), rest.is_empty()) {
        *place = simd.partial_load_f32s(rest);
    }
    loaded
}

#[inline(always)]
fn dot<S: Simd, const GROUPS: usize>(
    simd: S,
    left: &[Vectors<S>; GROUPS],
    right: &[Vectors<S>; GROUPS],
) -> f32 {
    let mut sums = [simd.splat_f32s(0.0); CHAINS];
    for (left, right) in left.iter().zip(right) {
        for chain in 0..CHAINS {
            sums[chain] = simd.mul_add_f32s(left[chain], right[chain], sums[chain]);
        }
    }
    let [first, second, third, fourth] = sums;
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(first, second), simd.add_f32s(third, fourth)))
}
