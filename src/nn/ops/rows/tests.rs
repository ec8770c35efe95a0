//! Tests of operations on rows: fused against composed.

use super::*;
use crate::nn::testing::{assert_close, probe, random_matrix};
use proptest::prelude::*;

type Taped = Matrix<Cpu, OwnedTape<f32, Cpu>>;

/// Values of `output`, and the gradients of `inputs`.
fn run(output: Taped, inputs: &[&Matrix<Cpu>]) -> Vec<Vec<f32>> {
    let values = output.as_vec();
    let mut gradients = probe(output).backward();
    let gradient = |tensor: &&Matrix<Cpu>| {
        gradients.get_or_alloc_mut(*tensor).unwrap();
        gradients.get(*tensor).as_vec()
    };
    std::iter::once(values)
        .chain(inputs.iter().map(gradient))
        .collect()
}

#[track_caller]
fn assert_same(fused: Vec<Vec<f32>>, composed: Vec<Vec<f32>>) {
    for (fused, composed) in fused.iter().zip(&composed) {
        assert_close(fused, composed, 1e-5);
    }
}

/// A table of up to eight rows and five columns, and some of its rows.
fn table_and_rows() -> impl Strategy<Value = (Matrix<Cpu>, Vec<usize>)> {
    (1usize..9, 1usize..6, any::<u64>()).prop_flat_map(|(height, columns, seed)| {
        let rows = prop::collection::vec(0..height, 1..12);
        (Just(random_matrix((height, columns), seed)), rows)
    })
}

proptest! {
    #[test]
    fn gathering((table, rows) in table_and_rows()) {
        // The table is used twice, so that a gradient must be added to one that is there already.
        let twice = |taped: Taped, again: Taped| taped.try_add(again).unwrap();
        let fused = twice(
            gather_rows(table.leaky_trace(), &rows).unwrap(),
            gather_rows(table.leaky_trace(), &rows).unwrap(),
        );
        let composed = twice(
            composed_gather(table.leaky_trace(), &rows).unwrap(),
            composed_gather(table.leaky_trace(), &rows).unwrap(),
        );
        assert_same(run(fused, &[&table]), run(composed, &[&table]));
    }

    #[test]
    fn adding_what_is_gathered((table, rows) in table_and_rows(), seed: u64) {
        let sums = random_matrix((rows.len(), table.shape().1), seed);
        let fused = add_gathered(sums.leaky_trace(), table.leaky_trace(), &rows).unwrap();
        let gathered = composed_gather(table.leaky_trace(), &rows).unwrap();
        let composed = sums.leaky_trace().try_add(gathered).unwrap();
        assert_same(run(fused, &[&sums, &table]), run(composed, &[&sums, &table]));
    }

    #[test]
    fn scaling_elements(rows in 1usize..9, columns in 1usize..9, seed: u64) {
        let x = random_matrix((rows, columns), seed);
        let factors = random_matrix((rows, columns), !seed);
        let fused = scale_elements(x.leaky_trace(), factors.as_vec()).unwrap();
        let composed = x.leaky_trace().try_mul(factors).unwrap();
        assert_same(run(fused, &[&x]), run(composed, &[&x]));
    }

    #[test]
    fn splitting_and_joining_again(heights in prop::collection::vec(0usize..4, 1..6), columns in 1usize..6, seed: u64) {
        let count = heights.iter().sum::<usize>().max(1);
        let heights = if heights.iter().sum::<usize>() == 0 { vec![1] } else { heights };
        let x = random_matrix((count, columns), seed);
        let factors = random_matrix((count, columns), !seed);
        let scaled = |x: Taped| scale_elements(x, factors.as_vec()).unwrap();
        let (parts, tape) = split_rows(scaled(x.leaky_trace()), &heights).unwrap();
        prop_assert_eq!(parts.iter().map(|part| part.shape().0).collect::<Vec<_>>(), heights.clone());
        let fused = run(concat_rows(parts, tape).unwrap(), &[&x]);
        assert_same(fused, run(scaled(x.leaky_trace()), &[&x]));
    }

    #[test]
    fn means_and_activations(groups in 1usize..5, size in 1usize..5, columns in 1usize..6, seed: u64) {
        let x = random_matrix((groups * size, columns), seed);
        let fused = mean_of_groups(x.leaky_trace(), size).unwrap();
        assert_same(run(fused, &[&x]), run(composed_mean(x.leaky_trace(), size).unwrap(), &[&x]));
        for activation in [Activation::None, Activation::Relu, Activation::Relu6, Activation::Tanh] {
            let fused = activated(x.leaky_trace(), activation).unwrap();
            assert_same(run(fused, &[&x]), run(activation.composed(x.leaky_trace()).unwrap(), &[&x]));
        }
    }
}

/// The GPU's kernels, run on the CPU. Every tensor is used twice, so that a gradient must be added to one that is there.
mod kernels {
    use super::*;
    use crate::nn::cuda::emulated_stream;

    #[test]
    fn gather_and_scatter() {
        let Some(stream) = emulated_stream() else { return };
        let rows = [3, 0, 3, 6, 1, 3];
        let table = random_matrix((7, 5), 1);
        let sums = random_matrix((6, 5), 2);
        let kernels = {
            let gathered = cuda::gather(stream.clone(), table.leaky_trace(), &rows).unwrap();
            cuda::add_gathered(
                stream,
                gathered.try_add(sums.clone()).unwrap(),
                table.leaky_trace(),
                &rows,
            )
            .unwrap()
        };
        let composed = {
            let gathered = composed_gather(table.leaky_trace(), &rows).unwrap();
            let twice = gathered.try_add(sums.clone()).unwrap();
            twice
                .try_add(composed_gather(table.leaky_trace(), &rows).unwrap())
                .unwrap()
        };
        assert_same(run(kernels, &[&table, &sums]), run(composed, &[&table, &sums]));
    }

    #[test]
    fn split_and_join() {
        let Some(stream) = emulated_stream() else { return };
        let x = random_matrix((6, 3), 1);
        let factors = random_matrix((6, 3), 2).as_vec();
        let scaled = cuda::scale_elements(stream.clone(), x.leaky_trace(), factors.clone()).unwrap();
        let (parts, tape) = cuda::split(stream.clone(), scaled, &[3, 1, 2]).unwrap();
        assert_eq!(parts[1].shape(), &(1, 3));
        let kernels = cuda::concat(stream, parts, tape).unwrap();
        let composed = composed_scale(x.leaky_trace(), factors).unwrap();
        assert_same(run(kernels, &[&x]), run(composed, &[&x]));
    }

    #[test]
    fn means_and_nonlinearities() {
        let Some(stream) = emulated_stream() else { return };
        let x = random_matrix((12, 5), 1);
        for size in [1, 3, 12] {
            let kernels = cuda::means(stream.clone(), x.leaky_trace(), size).unwrap();
            let composed = composed_mean(x.leaky_trace(), size).unwrap();
            assert_same(run(kernels, &[&x]), run(composed, &[&x]));
        }
        for activation in [
            Activation::None,
            Activation::Relu,
            Activation::Relu6,
            Activation::Tanh,
        ] {
            let kernels = cuda::activated(stream.clone(), x.leaky_trace(), activation).unwrap();
            let composed = activation.composed(x.leaky_trace()).unwrap();
            assert_same(run(kernels, &[&x]), run(composed, &[&x]));
        }
    }

    /// From the beginning of a stream, and from within a block of it.
    #[test]
    fn dropping() {
        let Some(stream) = emulated_stream() else { return };
        for (drawn, shape) in [(0, (1, 1)), (5, (3, 21)), (47, (40, 33))] {
            let x = random_matrix(shape, 1);
            let mut random = crate::nn::random_stream(3, "test", 0);
            random.set_word_pos(drawn);
            let mask = Mask::new(0.3, &mut random, shape.0 * shape.1);
            let kernels = cuda::drop_elements(stream.clone(), x.leaky_trace(), &mask).unwrap();
            let composed = composed_scale(x.leaky_trace(), mask.factors()).unwrap();
            assert_same(run(kernels, &[&x]), run(composed, &[&x]));
        }
    }
}
