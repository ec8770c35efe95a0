//! Tests of the fully connected layer: the kernels of CPU and GPU against composed operations, by finite differences.

use super::*;
use crate::nn::testing::{
    ACTIVATIONS, assert_same, check_gradients, fixed_cases, probe, random_matrix, rng, run,
};
use crate::nn::{Initialization, Layer, Linear};
use proptest::prelude::*;

fn layer(inputs: usize, outputs: usize) -> Linear<Cpu> {
    let uniform = Initialization::Uniform(1.0);
    let mut layer = Linear::new(&Cpu::default(), "", (inputs, outputs), uniform, &mut rng(5)).unwrap();
    layer.bias.value = random_matrix((1, outputs), 6);
    layer
}

#[test]
fn gradients_equal_finite_differences() {
    let rows = random_matrix((5, 3), 1);
    for activation in &ACTIVATIONS[..3] {
        check_gradients(
            &mut layer(3, 4),
            |layer| layer.parameters_mut(),
            |layer| probe(layer.activated(rows.leaky_trace(), *activation).unwrap()),
            2e-3,
        );
    }
}

fn check((count, inputs, outputs): (usize, usize, usize), activation: Activation, seed: u64) {
    let layer = layer(inputs, outputs);
    let (weight, bias) = (&layer.weight.value, &layer.bias.value);
    let rows = random_matrix((count, inputs), seed);
    let run = |output| run(output, &[&rows, weight, bias]);
    let expected = run(composed(rows.leaky_trace(), weight, bias, activation).unwrap());
    let fused = layer.activated(rows.leaky_trace(), activation).unwrap();
    let kernels = cuda::fused(rows.leaky_trace(), weight, bias, activation).unwrap();
    for (name, found) in [("fused", fused), ("kernels", kernels)] {
        let case = format!("{name} {count} {inputs} {outputs} {activation:?}");
        assert_same(&case, &run(found), &expected, 1e-5);
    }
}

proptest! {
    #![proptest_config(fixed_cases())]
    #[test]
    fn kernels_equal_composed(
        // beyond one piece too
        rows in prop_oneof![1usize..20, 60usize..300],
        inputs in 1usize..70,
        outputs in 1usize..70,
        activation in prop::sample::select(&ACTIVATIONS),
        seed: u64,
    ) {
        check((rows, inputs, outputs), activation, seed);
    }
}

#[test]
fn kernels_equal_composed_at_the_edges() {
    // The last has more rows than a block adds up.
    for (seed, sizes) in [(1, 1, 1), (7, 5, 33), (300, 3, 40)].into_iter().enumerate() {
        for activation in ACTIVATIONS {
            check(sizes, activation, seed as u64);
        }
    }
}
