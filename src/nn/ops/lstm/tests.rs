//! Tests of the LSTM: against ONNX Runtime, the kernels of CPU and GPU against composed operations, by finite differences.

use super::*;
use crate::nn::testing::{
    assert_close, assert_same, check_gradients, fixed_cases, probe, random_matrix, rng, run,
};
use crate::nn::{Layer, Parameter};
use proptest::prelude::*;

fn layer(inputs: usize, hidden: usize) -> Lstm<Cpu> {
    Lstm::new(&Cpu::default(), "lstm", inputs, hidden, &mut rng(3)).unwrap()
}

/// `sin(0.7 i + phase) * 0.8`
fn wave(rows: usize, columns: usize, phase: f32) -> Vec<f32> {
    (0..rows * columns)
        .map(|i| (0.7 * i as f32 + phase).sin() * 0.8)
        .collect()
}

/// Against the LSTM operator of ONNX Runtime 1.32 with the same weights (its gates reordered) and sequence
/// lengths 4 and 2.
#[test]
fn equals_onnx_runtime() {
    let device = Cpu::default();
    let parameter = |shape: (usize, usize), phase| {
        Parameter::from_values(&device, "", shape, wave(shape.0, shape.1, phase)).unwrap()
    };
    let layer = Lstm {
        input_weight: parameter((3, 8), 0.1),
        hidden_weight: parameter((2, 8), 1.1),
        bias: parameter((1, 8), 2.1),
    };
    let inputs = device.tensor_from_vec(wave(6, 3, 3.1), (6, 3));
    #[rustfmt::skip]
    let expected = [
        -0.3289866, -0.3587127,
        -0.2870235, -0.0496464,
        -0.1184667, -0.0863752,
        -0.3972808, -0.301483,
        -0.3098103, -0.0394872,
        -0.0493374, -0.0133712,
    ];
    let packing = PackedSequence::new(&[4, 2]);
    assert_close(
        &layer.forward(inputs.clone(), &packing).unwrap().as_vec(),
        &expected,
        1e-6,
    );
    assert_close(
        &composed(inputs, &layer, &packing).unwrap().as_vec(),
        &expected,
        1e-6,
    );
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = random_matrix((7, 3), 1);
    let packing = PackedSequence::new(&[3, 2, 2]);
    check_gradients(
        &mut layer(3, 4),
        |layer| layer.parameters_mut(),
        |layer| probe(layer.forward(inputs.leaky_trace(), &packing).unwrap()),
        2e-3,
    );
    let mut inputs = Parameter {
        name: "inputs".into(),
        value: inputs,
        rate: 1.0,
    };
    let layer = layer(3, 4);
    check_gradients(
        &mut inputs,
        |inputs| vec![inputs],
        |inputs| probe(layer.forward(inputs.value.leaky_trace(), &packing).unwrap()),
        2e-3,
    );
}

fn check(lengths: &[usize], inputs: usize, hidden: usize, seed: u64) {
    let packing = PackedSequence::new(lengths);
    let layer = layer(inputs, hidden);
    let inputs = random_matrix((packing.rows(), inputs), seed);
    let weights = [&layer.input_weight, &layer.hidden_weight, &layer.bias].map(|weight| &weight.value);
    let run = |output| run(output, &[&inputs, weights[0], weights[1], weights[2]]);
    let expected = run(composed(inputs.leaky_trace(), &layer, &packing).unwrap());
    let fused = run(layer.forward(inputs.leaky_trace(), &packing).unwrap());
    assert_same("fused", &fused, &expected, 1e-5);
    let kernels = run(cuda::fused(inputs.leaky_trace(), &layer, &packing).unwrap());
    assert_same("kernels", &kernels, &expected, 1e-5);
    // Without a tape: the same values.
    let kernels = cuda::fused(inputs.clone(), &layer, &packing).unwrap();
    for untaped in [layer.forward(inputs, &packing).unwrap(), kernels] {
        assert_close(&untaped.as_vec(), &expected[0], 1e-5);
    }
}

proptest! {
    #![proptest_config(fixed_cases())]
    #[test]
    fn kernels_equal_composed(
        mut lengths in proptest::collection::vec(1usize..6, 1..7),
        inputs in 1usize..6,
        hidden in 1usize..10,
        seed: u64,
    ) {
        lengths.sort_by(|a, b| b.cmp(a));
        check(&lengths, inputs, hidden, seed);
    }
}

#[test]
fn kernels_equal_composed_at_the_edges() {
    let cases: [(&[usize], usize, usize); 4] = [
        (&[1], 1, 1),
        (&[4, 2, 2, 1], 3, 5),
        (&[1, 1, 1], 2, 3),
        (&[6, 6], 5, 67),
    ];
    for (seed, (lengths, inputs, hidden)) in cases.into_iter().enumerate() {
        check(lengths, inputs, hidden, seed as u64);
    }
}

#[test]
fn steps_equal_the_whole_sequence() {
    let layer = layer(3, 5);
    let inputs = random_matrix((8, 3), 9); // two sequences of four steps
    let whole = layer
        .forward(inputs.clone(), &PackedSequence::new(&[4, 4]))
        .unwrap()
        .as_vec();
    let mut state = layer.zero_state(2).unwrap();
    for step in 0..4 {
        let rows = inputs.clone().slice((step * 2..step * 2 + 2, ..));
        state = layer.step(rows, state).unwrap();
        assert_close(&state.hidden.as_vec(), &whole[step * 10..step * 10 + 10], 1e-6);
    }
}
