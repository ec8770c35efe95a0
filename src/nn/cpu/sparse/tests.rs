//! Tests of products with zeros left out: against the library's products.

use super::*;
use crate::nn::cpu::matmul::product_on_one_thread;
use crate::nn::testing::{assert_close, random_matrix, sparse_matrix};
use proptest::prelude::*;

/// `[rows, columns]`, or the transpose of `[columns, rows]`.
fn turned(values: &[f32], (rows, columns): (usize, usize), turned: bool) -> MatRef<'_> {
    if turned {
        MatRef::new(values, columns, rows).transposed()
    } else {
        MatRef::new(values, rows, columns)
    }
}

/// Columns beside those that a product is of, and makes.
const BESIDE: usize = 3;

/// The first columns of rows that have others beside.
fn left_of(values: &mut [f32], rows: usize, columns: usize) -> MatMut<'_> {
    let mut blocks = MatMut::new(values, rows, columns + BESIDE).column_blocks(columns);
    blocks.next().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Left factors read either way, rows without values and full ones, results that are overwritten or added to, of
    /// one band and several, of whole panels and narrower ones. Values beside them stay.
    #[test]
    fn products_are_those_of_the_library(
        rows in 1usize..30,
        depth in prop_oneof![1usize..40, 250usize..270, 500usize..800],
        columns in 1usize..110,
        share in prop_oneof![Just(0.0f32), Just(1.0f32), 0.0f32..1.0],
        on_its_side: bool,
        accumulate: bool,
        seed: u64,
    ) {
        let left = sparse_matrix((rows, depth), share, seed).as_vec();
        let right = random_matrix((depth, columns + BESIDE), !seed).as_vec();
        let a = turned(&left, (rows, depth), on_its_side);
        let b = MatRef::with_row_stride(&right, depth, columns, columns + BESIDE);
        let mode = if accumulate { WriteMode::Accumulate } else { WriteMode::Overwrite };
        let before = random_matrix((rows, columns + BESIDE), seed ^ 7).as_vec();
        let mut expected = before.clone();
        product_into(left_of(&mut expected, rows, columns), a, b, mode);
        let mut listed = vec![0.0; rows * depth];
        a.copy_into_rows_of(&mut listed, depth);
        let sparse = Factor::Sparse(Sparse::of(&listed, depth));
        for factor in [sparse, Factor::of(a)] {
            let mut found = before.clone();
            factor.product_into(left_of(&mut found, rows, columns), b, mode);
            assert_close(&found, &expected, 1e-5);
        }
    }

    /// Places of one band and several, sums of one piece and several, of whole vectors and others.
    #[test]
    fn sampled_products_are_those_of_the_library(
        rows in 1usize..20,
        depth in prop_oneof![1usize..100, 400usize..500, 900usize..1000],
        columns in prop_oneof![1usize..40, 250usize..270, 500usize..600],
        share in prop_oneof![Just(0.0f32), Just(1.0f32), 0.0f32..1.0],
        on_its_side: bool,
        seed: u64,
    ) {
        let places = sparse_matrix((rows, columns), share, seed).as_vec();
        let (left, right) = (random_matrix((rows, depth), !seed), random_matrix((depth, columns), seed ^ 3));
        let (left, right) = (left.as_vec(), right.as_vec());
        let a = MatRef::new(&left, rows, depth);
        let b = turned(&right, (depth, columns), on_its_side);
        let mut expected = vec![0.0; rows * columns];
        product_on_one_thread(&mut expected, a, b, WriteMode::Overwrite);
        for (value, place) in expected.iter_mut().zip(&places) {
            *value *= f32::from(*place != 0.0);
        }
        let sparse = Sparse::of(&places, columns);
        let mut samples = vec![f32::NAN; sparse.len()];
        sparse.sample_product(&mut samples, a, b);
        let mut found = vec![f32::NAN; rows * columns];
        sparse.scatter(&samples, &mut found);
        assert_close(&found, &expected, 1e-5);
    }
}

#[test]
fn factors_of_few_zeros_stay_as_they_are() {
    let forms = |share| {
        let values = sparse_matrix((40, 50), share, 1).as_vec();
        let factor = Factor::of(MatRef::new(&values, 40, 50));
        (matches!(factor, Factor::Sparse(_)), factor.sampling().is_some())
    };
    assert_eq!(
        [0.1, 0.3, 0.46, 0.6, 1.0].map(forms),
        [
            (true, true),
            (true, true),
            (true, false),
            (false, false),
            (false, false)
        ]
    );
}
