//! Tests of layers for inference: against the layers that they were made of.

use super::*;
use crate::nn::layers::parameter::Initialization;
use crate::nn::testing::{assert_close, random_matrix, rng};
use dfdx::prelude::Cpu;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

proptest! {
    // Fixed: a tolerance on rounding that fails once in ten thousand draws teaches nothing.
    #![proptest_config(ProptestConfig { cases: 48, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]
    #[test]
    fn a_fixed_layer_gives_what_the_layer_gives(
        rows in 1usize..20,
        inputs in 1usize..70,
        outputs in 1usize..150,
        activation in prop::sample::select(&ACTIVATIONS),
        seed: u64,
    ) {
        let uniform = Initialization::Uniform(1.0);
        let mut layer = Linear::new(&Cpu::default(), "", (inputs, outputs), uniform, &mut rng(seed)).unwrap();
        layer.bias.value = random_matrix((1, outputs), seed);
        let rows = random_matrix((rows, inputs), !seed);
        let fixed = Cpu::inference_linear(&layer).unwrap();
        let found = Cpu::run_linear(&fixed, rows.clone(), activation).unwrap();
        let expected = layer.activated(rows, activation).unwrap();
        assert_close(&found.as_vec(), &expected.as_vec(), 1e-5);
    }

    #[test]
    fn a_fixed_lstm_steps_as_the_layer_does(
        rows in 1usize..20,
        inputs in 1usize..40,
        hidden in 1usize..50,
        seed: u64,
    ) {
        let layer = Lstm::new(&Cpu::default(), "", inputs, hidden, &mut rng(seed)).unwrap();
        let x = random_matrix((rows, inputs), seed);
        let state = || LstmState {
            hidden: random_matrix((rows, hidden), !seed),
            cell: random_matrix((rows, hidden), seed ^ 7),
        };
        let fixed = Cpu::inference_lstm(&layer).unwrap();
        let found = Cpu::run_lstm_step(&fixed, x.clone(), state()).unwrap();
        let expected = layer.step(x, state()).unwrap();
        assert_close(&found.hidden.as_vec(), &expected.hidden.as_vec(), 1e-5);
        assert_close(&found.cell.as_vec(), &expected.cell.as_vec(), 1e-5);
    }
}
