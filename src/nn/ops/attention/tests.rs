//! Tests of attention: fused against composed, values and gradients.

use super::*;
use crate::nn::cuda::emulated_stream;
use crate::nn::testing::{assert_close, probe, random_matrix};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

type Taped = OwnedTape<f32, Cpu>;

/// Context, weights and the gradients of queries, keys, values and score.
fn run(
    attend: impl Fn(Matrix<Cpu, Taped>) -> AttentionOutput<Cpu, Taped>,
    queries: &Matrix<Cpu>,
    (keys, values): (&Matrix<Cpu>, &Matrix<Cpu>),
    score: &Matrix<Cpu>,
) -> Vec<Vec<f32>> {
    let AttentionOutput { context, weights } = attend(queries.leaky_trace());
    let mut found = vec![context.as_vec(), weights.as_vec()];
    // Both results count, so that gradients come from either.
    let (context, tape) = context.split_tape();
    let seen = probe(context.put_tape(tape));
    let mut gradients = (seen + probe(weights.put_tape(Taped::default())) * 3.0).backward();
    for matrix in [queries, score, keys, values] {
        gradients.get_or_alloc_mut(matrix).unwrap();
        found.push(gradients.get(matrix).as_vec());
    }
    found
}

proptest! {
    // Fixed: a tolerance on rounding that fails once in ten thousand draws teaches nothing.
    #![proptest_config(ProptestConfig { cases: 48, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]
    #[test]
    fn fused_equals_composed(
        images in prop::collection::vec(0usize..3, 1..9),
        // With a single region nothing is left of most gradients but rounding.
        regions in 2usize..6,
        attention in 1usize..20,
        hidden in 1usize..20,
        seed: u64,
    ) {
        let (keys, values) = (random_matrix((3 * regions, attention), seed), random_matrix((3 * regions, hidden), !seed));
        let queries = random_matrix((images.len(), attention), seed ^ 1);
        let score = random_matrix((attention, 1), seed ^ 2);
        let memory = Cpu::prepare_memory(keys.clone(), values.clone(), regions).unwrap();
        let fused = |queries| Cpu::try_attend(queries, &memory, &score, &images).unwrap();
        let composed = |queries| composed_attention(queries, (&keys, &values), regions, &score, &images).unwrap();
        let found = run(fused, &queries, (&keys, &values), &score);
        let expected = run(composed, &queries, (&keys, &values), &score);
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, expected, 1e-5);
        }
    }
}

#[test]
fn weights_that_add_up_to_one_everywhere_cost_nothing() {
    let packing = PackedSequence::new(&[2, 2, 1]);
    let weights = |rows: Vec<f32>| Cpu::default().tensor_from_vec(rows, (5usize, 2usize));
    let penalty = |rows| coverage_penalty(weights(rows), &packing).unwrap().as_vec()[0];
    let even = vec![1.0, 0.0, 0.5, 0.5, 1.0, 1.0, 0.0, 1.0, 0.5, 0.5];
    assert_eq!(penalty(even.clone()), 0.0);
    // The third caption now looks at its first region only: 0² and 1² of six.
    let uneven = [&even[..4], &[1.0, 0.0], &even[6..]].concat();
    assert!((penalty(uneven) - 1.0 / 6.0).abs() < 1e-6);
}

/// The GPU's kernels on the CPU: one image with several queries, one without any.
#[test]
fn kernels_equal_composed() {
    let Some(stream) = emulated_stream() else { return };
    for (regions, attention, hidden) in [(2, 1, 1), (5, 19, 7), (3, 300, 260)] {
        let images = [3, 0, 3, 1, 3];
        let (keys, values) = (
            random_matrix((4 * regions, attention), 1),
            random_matrix((4 * regions, hidden), 2),
        );
        let queries = random_matrix((images.len(), attention), 3);
        let score = random_matrix((attention, 1), 4);
        let seen = (&keys, &values);
        let kernels = |queries| cuda::fused(stream.clone(), queries, seen, regions, &score, &images).unwrap();
        let composed =
            |queries| composed_attention(queries, (&keys, &values), regions, &score, &images).unwrap();
        let found = run(kernels, &queries, (&keys, &values), &score);
        let expected = run(composed, &queries, (&keys, &values), &score);
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, expected, 1e-5);
        }
    }
}
