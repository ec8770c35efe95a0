//! Tests of layers for inference against the layers that they copy.

use super::*;
use crate::nn::layers::parameter::Initialization;
use crate::nn::testing::{ACTIVATIONS, assert_close, fixed_cases, random_matrix, rng};
use dfdx::prelude::Cpu;
use proptest::prelude::*;

proptest! {
    #![proptest_config(fixed_cases())]
    #[test]
    fn inference_linear_equals_the_layer(
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
        let prepared = Cpu::inference_linear(&layer).unwrap();
        let found = Cpu::run_linear(&prepared, rows.clone(), activation).unwrap();
        let expected = layer.activated(rows, activation).unwrap();
        assert_close(&found.as_vec(), &expected.as_vec(), 1e-5);
    }

    #[test]
    fn inference_lstm_equals_the_layer(
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
        let prepared = Cpu::inference_lstm(&layer).unwrap();
        let found = Cpu::run_lstm_step(&prepared, x.clone(), state()).unwrap();
        let expected = layer.step(x, state()).unwrap();
        assert_close(&found.hidden.as_vec(), &expected.hidden.as_vec(), 1e-5);
        assert_close(&found.cell.as_vec(), &expected.cell.as_vec(), 1e-5);
    }
}
