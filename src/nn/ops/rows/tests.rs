//! Tests of operations on rows: the kernels of CPU and GPU against composed operations.

use super::*;
use crate::nn::testing::{ACTIVATIONS, assert_same, random_matrix, run};
use proptest::prelude::*;

type Taped = Matrix<Cpu, OwnedTape<f32, Cpu>>;

/// A table of up to eight rows and five columns, and some of its rows.
fn table_and_rows() -> impl Strategy<Value = (Matrix<Cpu>, Vec<usize>)> {
    (1usize..9, 1usize..6, any::<u64>()).prop_flat_map(|(height, columns, seed)| {
        let rows = prop::collection::vec(0..height, 1..12);
        (Just(random_matrix((height, columns), seed)), rows)
    })
}

proptest! {
    /// The table is used twice, so that a gradient must be added to one that is there already.
    #[test]
    fn gather_kernels_equal_composed((table, rows) in table_and_rows(), seed: u64) {
        let sums = random_matrix((rows.len(), table.shape().1), seed);
        let twice = |gathered: Taped, add: fn(Taped, Taped, &[usize]) -> DeviceResult<Cpu, Taped>| {
            let both = gathered.try_add(sums.leaky_trace()).unwrap();
            run(add(both, table.leaky_trace(), &rows).unwrap(), &[&table, &sums])
        };
        let composed = twice(composed_gather(table.leaky_trace(), &rows).unwrap(), |sums, table, rows| {
            sums.try_add(composed_gather(table, rows)?)
        });
        let fused = twice(Cpu::gather_rows(table.leaky_trace(), &rows).unwrap(), Cpu::add_gathered);
        assert_same("fused", &fused, &composed, 1e-5);
        let kernels = twice(cuda::gather(table.leaky_trace(), &rows).unwrap(), cuda::add_gathered);
        assert_same("kernels", &kernels, &composed, 1e-5);
    }

    #[test]
    fn scaling_kernels_equal_composed(rows in 1usize..9, columns in 1usize..9, seed: u64) {
        let x = random_matrix((rows, columns), seed);
        let factors = random_matrix((rows, columns), !seed);
        let composed = run(x.leaky_trace().try_mul(factors.clone()).unwrap(), &[&x]);
        let fused = Cpu::scale_elements(x.leaky_trace(), factors.as_vec()).unwrap();
        assert_same("fused", &run(fused, &[&x]), &composed, 1e-5);
        let kernels = cuda::scale_elements(x.leaky_trace(), factors.as_vec()).unwrap();
        assert_same("kernels", &run(kernels, &[&x]), &composed, 1e-5);
    }

    #[test]
    fn split_kernels_are_undone_by_join_kernels(heights in prop::collection::vec(0usize..4, 1..6), columns in 1usize..6, seed: u64) {
        let count = heights.iter().sum::<usize>().max(1);
        let heights = if heights.iter().sum::<usize>() == 0 { vec![1] } else { heights };
        let x = random_matrix((count, columns), seed);
        let factors = random_matrix((count, columns), !seed);
        let scaled = || composed_scale(x.leaky_trace(), factors.as_vec()).unwrap();
        let expected = run(scaled(), &[&x]);
        let (parts, tape) = Cpu::split_rows(scaled(), &heights).unwrap();
        prop_assert_eq!(parts.iter().map(|part| part.shape().0).collect::<Vec<_>>(), heights.clone());
        assert_same("fused", &run(Cpu::concat_rows(parts, tape).unwrap(), &[&x]), &expected, 1e-5);
        let (parts, tape) = cuda::split(scaled(), &heights).unwrap();
        prop_assert_eq!(parts.iter().map(|part| part.shape().0).collect::<Vec<_>>(), heights);
        assert_same("kernels", &run(cuda::concat(parts, tape).unwrap(), &[&x]), &expected, 1e-5);
    }

    #[test]
    fn mean_and_activation_kernels_equal_composed(groups in 1usize..5, size in 1usize..13, columns in 1usize..6, seed: u64) {
        let x = random_matrix((groups * size, columns), seed);
        let composed = run(composed_mean(x.leaky_trace(), size).unwrap(), &[&x]);
        for means in [Cpu::mean_of_groups, cuda::means] {
            assert_same("mean", &run(means(x.leaky_trace(), size).unwrap(), &[&x]), &composed, 1e-5);
        }
        for activation in ACTIVATIONS {
            let composed = run(activation.composed(x.leaky_trace()).unwrap(), &[&x]);
            for activated in [Cpu::activated, cuda::activated] {
                let found = run(activated(x.leaky_trace(), activation).unwrap(), &[&x]);
                assert_same(&format!("{activation:?}"), &found, &composed, 1e-5);
            }
        }
    }
}

/// From the beginning of a random stream, and from within a block of it.
#[test]
fn dropout_kernel_equals_composed() {
    for (drawn, shape) in [(0, (1, 1)), (5, (3, 21)), (47, (40, 33))] {
        let x = random_matrix(shape, 1);
        let mut random = crate::nn::random_stream(3, "test", 0);
        random.set_word_pos(drawn);
        let mask = Mask::new(0.3, &mut random, shape.0 * shape.1);
        let kernels = cuda::drop_elements(x.leaky_trace(), &mask).unwrap();
        let composed = composed_scale(x.leaky_trace(), mask.factors()).unwrap();
        assert_same("dropout", &run(kernels, &[&x]), &run(composed, &[&x]), 1e-5);
    }
}
