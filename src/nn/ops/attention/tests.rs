//! Tests of attention: the kernels of CPU and GPU against composed operations, values and gradients.

use super::*;
use crate::nn::Taped;
use crate::nn::testing::{assert_same, fixed_cases, gradients_of, probe, random_matrix};
use proptest::prelude::*;

/// Context, weights and the gradients of queries, keys, values and score, each way to compute them.
fn check(images: &[usize], (regions, attention, hidden): (usize, usize, usize), seed: u64) {
    let count = images.iter().max().unwrap() + 2;
    check_padded(images, (regions, attention, hidden), None, seed);
    // Of a single region nothing is left of most gradients but rounding.
    let counts: Vec<usize> = (0..count)
        .map(|image| (2 + (image + seed as usize % 7) % regions).min(regions))
        .collect();
    check_padded(images, (regions, attention, hidden), Some(&counts), seed);
}

fn check_padded(
    images: &[usize],
    (regions, attention, hidden): (usize, usize, usize),
    counts: Option<&[usize]>,
    seed: u64,
) {
    let count = images.iter().max().unwrap() + 2;
    let keys = random_matrix((count * regions, attention), seed);
    let values = random_matrix((count * regions, hidden), !seed);
    let queries = random_matrix((images.len(), attention), seed ^ 1);
    let score = random_matrix((attention, 1), seed ^ 2);
    let run = |output: DeviceResult<Cpu, AttentionOutput<Cpu, Taped<Cpu>>>| {
        let AttentionOutput { context, weights } = output.unwrap();
        let mut results = vec![context.as_vec(), weights.as_vec()];
        // Both results count, so that gradients come from either.
        let loss = probe(context) + probe(weights.put_tape(Taped::default())) * 3.0;
        results.extend(gradients_of(loss, &[&queries, &score, &keys, &values]));
        results
    };
    let memory = Cpu::prepare_memory(keys.clone(), values.clone(), regions, counts.map(Into::into)).unwrap();
    let fused = run(Cpu::try_attend(queries.leaky_trace(), &memory, &score, images));
    let [composed, kernels] = [composed_attention, cuda::fused].map(|attend| {
        run(attend(
            queries.leaky_trace(),
            (&keys, &values),
            regions,
            counts,
            &score,
            images,
        ))
    });
    for (row, &image) in fused[1].chunks_exact(regions).zip(images) {
        let padding = &row[counts.map_or(regions, |counts| counts[image])..];
        assert!(padding.iter().all(|&weight| weight == 0.0), "weights of padding");
    }
    assert_same("fused", &fused, &composed, 1e-5);
    assert_same("kernels", &kernels, &composed, 1e-5);
}

proptest! {
    #![proptest_config(fixed_cases())]
    #[test]
    fn kernels_equal_composed(
        images in prop::collection::vec(0usize..3, 1..9),
        // With a single region nothing is left of most gradients but rounding.
        regions in 2usize..6,
        attention in 1usize..20,
        hidden in 1usize..20,
        seed: u64,
    ) {
        check(&images, (regions, attention, hidden), seed);
    }
}

#[test]
fn weights_that_add_up_to_one_everywhere_cost_nothing() {
    let packing = PackedSequence::new(&[2, 2, 1]);
    let weights = |rows: Vec<f32>| Cpu::default().tensor_from_vec(rows, (5usize, 2usize));
    let penalty = |rows| coverage_penalty(weights(rows), &packing, None).unwrap().as_vec()[0];
    let even = vec![1.0, 0.0, 0.5, 0.5, 1.0, 1.0, 0.0, 1.0, 0.5, 0.5];
    assert_eq!(penalty(even.clone()), 0.0);
    // The third caption now attends to its first region only: 0² and 1² of six.
    let uneven = [&even[..4], &[1.0, 0.0], &even[6..]].concat();
    assert!((penalty(uneven) - 1.0 / 6.0).abs() < 1e-6);
}

/// One image with several queries, one without any.
#[test]
fn kernels_equal_composed_at_the_edges() {
    for sizes in [(2, 1, 1), (5, 19, 7), (3, 300, 260)] {
        check(&[3, 0, 3, 1, 3], sizes, 1);
    }
}
