//! Convolution with kernels of 3 x 3 by minimal filtering: Winograd's F(2x2, 3x3) as in A. Lavin & S. Gray, *Fast
//! Algorithms for Convolutional Neural Networks*, 2016, section 4.1.
//!
//! Why it is fast: four outputs of a channel take 16 multiplications for each channel that goes in, where the plain
//! sums take 36. Tiles of 4 x 4 pixels, two apart, are transformed by additions alone; what then remains are 16 matrix
//! products, and additions again. A band of tiles goes through all of it on one thread while it is in the cache.

use crate::nn::cpu::matmul::{MatMut, MatRef, WriteMode};
use crate::nn::cpu::packed_matrix::PackedMatrix;
use crate::nn::cpu::partitions::partitions;
use crate::nn::cpu::scratch::Scratch;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv_geometry::{ConvGeometry, SlidingWindow};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Side of the tiles that go in, and their pixels: as many products are made.
const SIDE: usize = 4;
const PRODUCTS: usize = SIDE * SIDE;

/// Side of the tiles that come out.
const STEP: usize = 2;

/// Tiles of a band: enough rows for good matrix products, few enough to stay in the cache.
const TILES: usize = 64;

/// Channels must come in multiples of this, which is one of every vector's length.
const CHANNELS: usize = 16;

/// A layer's kernels, transformed and ready to be multiplied with.
#[derive(Debug)]
pub(in crate::nn) struct Winograd {
    inputs: usize,
    outputs: usize,
    /// `[inputs, outputs]` for each pixel of a tile.
    kernels: Vec<PackedMatrix>,
}

impl Winograd {
    /// Whether it supports a convolution of this geometry and these channels.
    pub(in crate::nn) fn suits(window: ConvGeometry, inputs: usize, outputs: usize) -> bool {
        let channels = |count: usize| count > 0 && count.is_multiple_of(CHANNELS);
        window.kernel == (3, 3) && window.stride == 1 && channels(inputs) && channels(outputs)
    }

    /// `kernel` is `[3 * 3 * inputs, outputs]`.
    pub(in crate::nn) fn new(kernel: &[f32], inputs: usize, outputs: usize) -> Self {
        let taps: Vec<&[f32]> = kernel.chunks_exact(inputs * outputs).collect();
        let kernels = (0..PRODUCTS)
            .into_par_iter()
            .map(|place| {
                let weights = tap_weights(place);
                let mut sums = Scratch::zeros(inputs * outputs);
                for (tap, weight) in taps.iter().zip(weights) {
                    for (sum, value) in sums.iter_mut().zip(*tap) {
                        *sum += weight * value;
                    }
                }
                PackedMatrix::new(MatRef::new(&sums, inputs, outputs))
            })
            .collect();
        Self {
            inputs,
            outputs,
            kernels,
        }
    }

    /// Overwrites `y`.
    pub(in crate::nn) fn forward(
        &self,
        sliding: &SlidingWindow,
        x: &[f32],
        bias: &[f32],
        activation: Activation,
        y: &mut [f32],
    ) {
        let rows = rows_of_a_band(sliding);
        let (height, width) = sliding.output;
        let band = (rows * STEP * width * self.outputs).max(1);
        let bands: Vec<(TileBand, &mut [f32])> = y
            .chunks_exact_mut((height * width * self.outputs).max(1))
            .enumerate()
            .flat_map(|(image, y)| {
                y.chunks_mut(band).enumerate().map(move |(at, y)| {
                    let first = at * rows * STEP;
                    (TileBand { image, first }, y)
                })
            })
            .collect();
        bands
            .into_par_iter()
            .for_each(|(band, y)| self.convolve(sliding, band, x, bias, activation, y));
    }

    fn convolve(
        &self,
        sliding: &SlidingWindow,
        band: TileBand,
        x: &[f32],
        bias: &[f32],
        activation: Activation,
        y: &mut [f32],
    ) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (_, width) = sliding.output;
        let lines = y.len() / (width * outputs);
        let places: Vec<(usize, usize)> = (0..lines)
            .step_by(STEP)
            .flat_map(|line| (0..width).step_by(STEP).map(move |column| (line, column)))
            .collect();
        let tiles = places.len();
        let mut left = Scratch::of(PRODUCTS * tiles * inputs);
        let nothing = Scratch::zeros(inputs);
        for (tile, &(line, column)) in places.iter().enumerate() {
            let pixels = std::array::from_fn(|at| {
                let place = (band.first + line + at / SIDE, column + at % SIDE);
                pixel(sliding, band.image, place)
                    .map_or(&*nothing, |pixel| &x[pixel * inputs..(pixel + 1) * inputs])
            });
            let mut planes = left.chunks_exact_mut(tiles * inputs);
            let transformed = std::array::from_fn(|_| {
                let plane = planes.next().unwrap_or_default();
                &mut plane[tile * inputs..(tile + 1) * inputs]
            });
            Arch::new().dispatch(TransformTile { pixels, transformed });
        }
        let mut sums = Scratch::of(PRODUCTS * tiles * outputs);
        let planes = left
            .chunks_exact(tiles * inputs)
            .zip(sums.chunks_exact_mut(tiles * outputs));
        for (kernel, (left, sums)) in self.kernels.iter().zip(planes) {
            kernel.product_into(
                MatMut::new(sums, tiles, outputs),
                MatRef::new(left, tiles, inputs),
                WriteMode::Overwrite,
            );
        }
        let mut four = Scratch::of(STEP * STEP * outputs);
        for (tile, &(line, column)) in places.iter().enumerate() {
            let products = std::array::from_fn(|at| &sums[(at * tiles + tile) * outputs..][..outputs]);
            Arch::new().dispatch(OutputTransform {
                products,
                sums: &mut four,
            });
            activation.finish(&mut four, bias);
            for (at, pixel) in four.chunks_exact(outputs).enumerate() {
                let (line, column) = (line + at / STEP, column + at % STEP);
                // At the lower and right edge of an odd map a tile reaches beyond it.
                if line < lines && column < width {
                    let start = (line * width + column) * outputs;
                    y[start..start + outputs].copy_from_slice(pixel);
                }
            }
        }
    }
}

/// Rows of an image's output from `first` on.
#[derive(Clone, Copy)]
struct TileBand {
    image: usize,
    first: usize,
}

/// Rows of tiles that a band has: about [`TILES`] tiles, but no fewer bands than [`partitions`], and all of about one height.
fn rows_of_a_band(sliding: &SlidingWindow) -> usize {
    let (height, width) = sliding.output;
    let rows = height.div_ceil(STEP).max(1);
    let for_good_products = TILES.div_ceil(width.div_ceil(STEP).max(1));
    let bands_of_an_image = rows
        .div_ceil(for_good_products)
        .max(partitions().div_ceil(sliding.images.max(1)));
    rows.div_ceil(bands_of_an_image)
}

/// The input pixel at a place of the padded map of an image; `None` in the padding.
fn pixel(sliding: &SlidingWindow, image: usize, (line, column): (usize, usize)) -> Option<usize> {
    let (height, width) = sliding.input;
    let line = line
        .checked_sub(sliding.window.padding.top)
        .filter(|&line| line < height)?;
    let column = column
        .checked_sub(sliding.window.padding.left)
        .filter(|&column| column < width)?;
    Some((image * height + line) * width + column)
}

/// How much each of the nine taps counts in the transformed kernel of a place: `G g Gᵀ`.
fn tap_weights(place: usize) -> [f32; 9] {
    const G: [[f32; 3]; SIDE] = [
        [1.0, 0.0, 0.0],
        [0.5, 0.5, 0.5],
        [0.5, -0.5, 0.5],
        [0.0, 0.0, 1.0],
    ];
    let (row, column) = (G[place / SIDE], G[place % SIDE]);
    std::array::from_fn(|tap| row[tap / 3] * column[tap % 3])
}

/// `Bᵀ d B` of every channel of a tile.
struct TransformTile<'a> {
    pixels: [&'a [f32]; PRODUCTS],
    transformed: [&'a mut [f32]; PRODUCTS],
}

impl WithSimd for TransformTile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let pixels = self.pixels.map(|pixel| S::as_simd_f32s(pixel).0);
        let transformed = self.transformed.map(|plane| S::as_mut_simd_f32s(plane).0);
        for channel in 0..pixels[0].len() {
            let d: [S::f32s; PRODUCTS] = std::array::from_fn(|at| pixels[at][channel]);
            let mut rows = d;
            for column in 0..SIDE {
                let d = |row: usize| d[row * SIDE + column];
                rows[column] = simd.sub_f32s(d(0), d(2));
                rows[SIDE + column] = simd.add_f32s(d(1), d(2));
                rows[2 * SIDE + column] = simd.sub_f32s(d(2), d(1));
                rows[3 * SIDE + column] = simd.sub_f32s(d(1), d(3));
            }
            for row in 0..SIDE {
                let at = row * SIDE;
                transformed[at][channel] = simd.sub_f32s(rows[at], rows[at + 2]);
                transformed[at + 1][channel] = simd.add_f32s(rows[at + 1], rows[at + 2]);
                transformed[at + 2][channel] = simd.sub_f32s(rows[at + 2], rows[at + 1]);
                transformed[at + 3][channel] = simd.sub_f32s(rows[at + 1], rows[at + 3]);
            }
        }
    }
}

/// `Aᵀ m A` of every channel of a tile: four pixels, one after the other.
struct OutputTransform<'a> {
    products: [&'a [f32]; PRODUCTS],
    sums: &'a mut [f32],
}

impl WithSimd for OutputTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let products = self.products.map(|plane| S::as_simd_f32s(plane).0);
        let channels = products[0].len();
        let (sums, _) = S::as_mut_simd_f32s(self.sums);
        for channel in 0..channels {
            let m: [S::f32s; PRODUCTS] = std::array::from_fn(|at| products[at][channel]);
            let first = |a, b, c| simd.add_f32s(simd.add_f32s(a, b), c);
            let second = |a, b, c| simd.sub_f32s(simd.sub_f32s(a, b), c);
            let upper: [S::f32s; SIDE] =
                std::array::from_fn(|at| first(m[at], m[at + SIDE], m[at + 2 * SIDE]));
            let lower: [S::f32s; SIDE] =
                std::array::from_fn(|at| second(m[at + SIDE], m[at + 2 * SIDE], m[at + 3 * SIDE]));
            sums[channel] = first(upper[0], upper[1], upper[2]);
            sums[channels + channel] = second(upper[1], upper[2], upper[3]);
            sums[2 * channels + channel] = first(lower[0], lower[1], lower[2]);
            sums[3 * channels + channel] = second(lower[1], lower[2], lower[3]);
        }
    }
}
