//! Tests of the fully connected layer: fused against composed, by finite differences.

use super::*;
use crate::nn::cuda::emulated_stream;
use crate::nn::testing::{assert_close, check_gradients, probe, random_matrix};
use crate::nn::{Initialization, Layer, Linear};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

fn layer(inputs: usize, outputs: usize) -> Linear<Cpu> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let uniform = Initialization::Uniform(1.0);
    let mut layer = Linear::new(&Cpu::default(), "", (inputs, outputs), uniform, &mut rng).unwrap();
    layer.bias.value = random_matrix((1, outputs), 6);
    layer
}

#[test]
fn gradients_equal_finite_differences() {
    let rows = random_matrix((5, 3), 1);
    for activation in ACTIVATIONS {
        check_gradients(
            &mut layer(3, 4),
            |layer| layer.parameters_mut(),
            |layer| probe(layer.activated(rows.leaky_trace(), activation).unwrap()),
            2e-3,
        );
    }
}

type Taped = Matrix<Cpu, OwnedTape<f32, Cpu>>;

/// Values and all gradients of one formulation.
fn run(output: Taped, rows: &Matrix<Cpu>, layer: &Linear<Cpu>) -> [Vec<f32>; 4] {
    let values = output.as_vec();
    let mut gradients = probe(output).backward();
    let mut gradient = |tensor: &Matrix<Cpu>| {
        gradients.get_or_alloc_mut(tensor).unwrap();
        gradients.get(tensor).as_vec()
    };
    [
        values,
        gradient(rows),
        gradient(&layer.weight.value),
        gradient(&layer.bias.value),
    ]
}

proptest! {
    // Fixed: a tolerance on rounding that fails once in ten thousand draws teaches nothing.
    #![proptest_config(ProptestConfig { cases: 48, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]
    #[test]
    fn fused_equals_composed(
        // beyond one piece too
        rows in prop_oneof![1usize..20, 60usize..300],
        inputs in 1usize..70,
        outputs in 1usize..70,
        activation in prop::sample::select(&ACTIVATIONS),
        seed: u64,
    ) {
        let layer = layer(inputs, outputs);
        let rows = random_matrix((rows, inputs), seed);
        let (weight, bias) = (&layer.weight.value, &layer.bias.value);
        let fused = run(layer.activated(rows.leaky_trace(), activation).unwrap(), &rows, &layer);
        let expected = run(composed(rows.leaky_trace(), weight, bias, activation).unwrap(), &rows, &layer);
        for (fused, expected) in fused.iter().zip(&expected) {
            assert_close(fused, expected, 1e-5);
        }
    }
}

/// The GPU's kernels, run on the CPU.
#[test]
fn kernels_equal_composed() {
    let Some(stream) = emulated_stream() else { return };
    let every = [
        Activation::None,
        Activation::Relu,
        Activation::Relu6,
        Activation::Tanh,
    ];
    // The last has more rows than a block adds up.
    for (seed, sizes @ (count, inputs, outputs)) in
        [(1, 1, 1), (7, 5, 33), (300, 3, 40)].into_iter().enumerate()
    {
        for activation in every {
            let layer = layer(inputs, outputs);
            let rows = random_matrix((count, inputs), seed as u64);
            let (weight, bias) = (&layer.weight.value, &layer.bias.value);
            let kernels = cuda::fused(stream.clone(), rows.leaky_trace(), weight, bias, activation).unwrap();
            let composed = composed(rows.leaky_trace(), weight, bias, activation).unwrap();
            let (kernels, composed) = (run(kernels, &rows, &layer), run(composed, &rows, &layer));
            for (what, (found, expected)) in kernels.iter().zip(&composed).enumerate() {
                eprintln!("{sizes:?} {activation:?} {what}");
                assert_close(found, expected, 1e-5);
            }
        }
    }
}
