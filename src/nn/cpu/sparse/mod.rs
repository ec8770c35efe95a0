//! Products with sparse matrices.
//!
//! A ReLU leaves about half of its inputs and dropout half of those: three in four inputs of the merge decoder's output
//! layer are zeros, and a dense product spends three quarters of its time on them. Here the other values are listed, row by
//! row, each with its column, for products with such a matrix ([`Factor::product_into`]) and for products that are needed
//! at the listed places alone ([`Sparse::sample_product`]).

mod product;
mod sampled;
#[cfg(test)]
mod tests;

use crate::nn::cpu::matmul::{MatMut, MatRef, WriteMode, product_into};
use crate::nn::cpu::scratch::Scratch;

/// The left factor of products, in the form in which they are fastest.
pub(crate) enum Factor<'a> {
    Dense(MatRef<'a>),
    Sparse(Sparse),
}

/// The largest fraction of non-zero values of a factor for which a list pays: with half of them it is a
/// fifth faster than a dense product where that was measured. A little more, since dropout at a half leaves now less,
/// now more.
const MOST_LISTED: f32 = 0.52;

/// The share of its places, at most, that may be listed for sampling a product there to pay, with those that fill lists
/// up: with a quarter it takes half of a dense product's time.
const MOST_SAMPLED: f32 = 0.4;

impl<'a> Factor<'a> {
    /// Without its zeros, where there are enough of them.
    pub(crate) fn of(matrix: MatRef<'a>) -> Self {
        let (rows, columns) = matrix.shape();
        let mut values = Scratch::of(rows * columns);
        matrix.copy_into_rows_of(&mut values, columns);
        let listed = values.iter().filter(|&&value| value != 0.0).count();
        if values.is_empty() || listed as f32 > MOST_LISTED * values.len() as f32 {
            return Self::Dense(matrix);
        }
        Self::Sparse(Sparse::of(&values, columns))
    }

    /// `out = self b`, or `out += self b`, on the calling thread. The rows of `b` must be contiguous.
    pub(crate) fn product_into(&self, out: MatMut<'_>, b: MatRef<'_>, mode: WriteMode) {
        match self {
            Self::Dense(a) => product_into(out, *a, b, mode),
            Self::Sparse(a) => a.product_into(out, b, mode),
        }
    }

    /// Its list, where there are so few values that sampling a product at their places pays.
    pub(crate) fn sampling(&self) -> Option<&Sparse> {
        match self {
            Self::Sparse(list) if list.share() <= MOST_SAMPLED => Some(list),
            _ => None,
        }
    }
}

/// Columns that are listed together. A byte holds the index of one.
const BAND: usize = 1 << u8::BITS;

/// Independent sums, so that none waits for another; lists are padded to a multiple of it, with zeros at the first column
/// of their band.
const CHAINS: usize = 4;

/// A matrix without its zeros: compressed sparse rows, in bands of columns.
pub(crate) struct Sparse {
    rows: usize,
    columns: usize,
    bands: Vec<SparseBand>,
}

/// The non-zero values of some columns.
#[derive(Default)]
struct SparseBand {
    /// Row after row, in the order of the columns.
    values: Vec<f32>,
    /// Of each value, counted from the first of the band.
    columns: Vec<u8>,
    /// The end of each row's values.
    ends: Vec<usize>,
}

/// The non-zero values of a row, within a band.
#[derive(Clone, Copy)]
struct List<'a> {
    values: &'a [f32],
    columns: &'a [u8],
}

impl Sparse {
    /// From the values of a matrix with at least one column, row after row.
    fn of(values: &[f32], columns: usize) -> Self {
        let rows = || values.chunks_exact(columns);
        let bands = (0..columns).step_by(BAND).map(|first| {
            let mut band = SparseBand::default();
            rows().for_each(|row| band.push(&row[first..columns.min(first + BAND)]));
            band
        });
        Self {
            rows: rows().len(),
            columns,
            bands: bands.collect(),
        }
    }

    /// How many places are listed.
    pub(crate) fn len(&self) -> usize {
        self.bands.iter().map(|band| band.values.len()).sum()
    }

    fn share(&self) -> f32 {
        self.len() as f32 / (self.rows * self.columns) as f32
    }

    /// A matrix, row after row, of what was sampled at the listed places; zeros elsewhere.
    pub(crate) fn scatter(&self, samples: &[f32], matrix: &mut [f32]) {
        matrix.fill(0.0);
        let mut samples = samples.iter();
        for (band, first) in self.bands.iter().zip((0..).step_by(BAND)) {
            for (list, row) in band.rows().zip(matrix.chunks_exact_mut(self.columns)) {
                let places = list.values.iter().zip(list.columns);
                for ((&value, &column), sample) in places.zip(&mut samples) {
                    // Padding.
                    if value != 0.0 {
                        row[first + usize::from(column)] = *sample;
                    }
                }
            }
        }
    }
}

impl SparseBand {
    fn push(&mut self, row: &[f32]) {
        let start = self.values.len();
        let room = start + row.len().next_multiple_of(CHAINS);
        self.values.resize(room, 0.0);
        self.columns.resize(room, 0);
        let (values, columns) = (&mut self.values[start..], &mut self.columns[start..]);
        // All are written, the zeros to be written over: a branch would be mispredicted half of the time.
        let mut listed = 0;
        for (column, &value) in row.iter().enumerate() {
            values[listed] = value;
            columns[listed] = column as u8;
            listed += usize::from(value != 0.0);
        }
        let filled = listed.next_multiple_of(CHAINS);
        values[listed..filled].fill(0.0);
        columns[listed..filled].fill(0);
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
