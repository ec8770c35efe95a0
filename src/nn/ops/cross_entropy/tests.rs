//! Tests of the loss: by hand, the kernels of CPU and GPU against composed operations, by finite differences.

use super::*;
use crate::nn::testing::{
    assert_close, assert_same, check_gradients, fixed_cases, gradients_of, random_matrix, rng, sparse_matrix,
};
use crate::nn::{Initialization, Layer, Taped};
use proptest::prelude::*;

/// Its logits are of order 1, however many inputs there are: a rounding of large ones is a large one of their softmax.
fn layer(inputs: usize, outputs: usize) -> Linear<Cpu> {
    let uniform = Initialization::Uniform(1.0 / (inputs as f32).sqrt());
    let mut layer = Linear::new(&Cpu::default(), "", (inputs, outputs), uniform, &mut rng(5)).unwrap();
    layer.bias.value = random_matrix((1, outputs), 6);
    layer
}

#[test]
fn a_loss_worked_out_by_hand() {
    let device = Cpu::default();
    let mut layer = layer(1, 3);
    layer.weight.value = device.tensor_from_vec(vec![0.0, 1.0f32.ln(), 2.0f32.ln()], (1, 3));
    layer.bias.value = device.tensor_from_vec(vec![0.0; 3], (1, 3));
    // logits 0, ln 1, ln 2: probabilities 1/4, 1/4, 1/2
    let row = || device.tensor_from_vec(vec![1.0], (1, 1));
    let loss = cross_entropy(row(), &layer, Targets::plain(&[2]))
        .unwrap()
        .as_vec()[0];
    assert_close(&[loss], &[2.0f32.ln()], 1e-6);
    let smoothing = Targets {
        smoothing: 0.3,
        ..Targets::plain(&[2])
    };
    let smoothed = cross_entropy(row(), &layer, smoothing).unwrap().as_vec()[0];
    let spread = (2.0 * 4.0f32.ln() + 2.0f32.ln()) / 3.0;
    assert_close(&[smoothed], &[0.7 * 2.0f32.ln() + 0.3 * spread], 1e-6);
}

#[test]
fn gradients_equal_finite_differences() {
    let rows = random_matrix((5, 3), 1);
    let weights = [1.0, -0.5, 2.0, 0.0, 0.3];
    for (smoothing, weights) in [(0.0, None), (0.2, None), (0.2, Some(weights.as_slice()))] {
        let targets = Targets {
            columns: &[0, 3, 1, 1, 2],
            weights,
            smoothing,
        };
        check_gradients(
            &mut layer(3, 4),
            |layer| layer.parameters_mut(),
            |layer| cross_entropy(rows.leaky_trace(), layer, targets).unwrap(),
            2e-3,
        );
    }
}

/// The loss, and the gradients of two and a half of it.
fn run(loss: Scalar<Cpu, Taped<Cpu>>, rows: &Matrix<Cpu>, layer: &Linear<Cpu>) -> Vec<Vec<f32>> {
    let mut results = vec![loss.as_vec()];
    let inputs: [&dyn crate::nn::testing::Differentiated; 3] = [rows, &layer.weight.value, &layer.bias.value];
    results.extend(gradients_of(loss.try_mul(2.5).unwrap(), &inputs));
    results
}

/// Sets the gradient to zero where `rows` is zero.
fn dead(gradient: &mut [f32], rows: &Matrix<Cpu>) {
    for (gradient, value) in gradient.iter_mut().zip(rows.as_vec()) {
        assert!(gradient.is_finite());
        *gradient *= f32::from(value != 0.0);
    }
}

proptest! {
    #![proptest_config(fixed_cases())]
    #[test]
    fn fused_equals_composed(
        // beyond one tile too
        rows in prop_oneof![1usize..20, 500usize..1100],
        inputs in prop_oneof![1usize..6, 250usize..265],
        // of one block and several
        outputs in prop_oneof![2usize..40, 450usize..1000],
        smoothing in prop_oneof![Just(0.0f32), 0.01f32..0.5],
        weighted: bool,
        // dense, after ReLU, after ReLU and dropout
        share in prop_oneof![Just(1.0), Just(0.5), Just(0.25)],
        seed: u64,
    ) {
        // Gradients of rows are sums over all words in different orders; their terms cancel.
        let tolerance = if outputs < 40 { 1e-5 } else { 3e-5 };
        let layer = layer(inputs, outputs);
        let columns: Vec<usize> = (0..rows).map(|row| (row * 7 + seed as usize % 5) % outputs).collect();
        let weights: Vec<f32> = random_matrix((rows, 1), !seed).as_vec().iter().map(|weight| weight + 1.5).collect();
        let targets = Targets { columns: &columns, weights: weighted.then_some(&weights), smoothing };
        let rows = sparse_matrix((rows, inputs), share, seed);
        let run = |loss| run(loss, &rows, &layer);
        let expected = run(composed(rows.leaky_trace(), &layer, targets).unwrap());
        for is_masked in [false, true] {
            let inputs = match is_masked {
                false => rows.leaky_trace().into(),
                true => OutputInputs::masked(rows.leaky_trace()),
            };
            let mut fused = run(cross_entropy(inputs, &layer, targets).unwrap());
            let mut expected = expected.clone();
            if is_masked {
                for gradient in [&mut fused[1], &mut expected[1]] {
                    dead(gradient, &rows);
                }
            }
            assert_same("fused", &fused, &expected, tolerance);
        }
        let untaped = cross_entropy(rows.clone(), &layer, targets).unwrap().as_vec();
        assert_close(&untaped, &expected[0], tolerance);
    }
}

/// With more words than a block has threads, and fewer.
#[test]
fn kernels_equal_composed() {
    // Sums over 200 rows, in another order.
    const TOLERANCE: f32 = 3e-5;
    for (count, inputs, outputs) in [(1, 1, 2), (5, 3, 40), (3, 4, 600), (200, 2, 7)] {
        let layer = layer(inputs, outputs);
        let rows = random_matrix((count, inputs), 3);
        let columns: Vec<usize> = (0..count).map(|row| (row * 7 + 1) % outputs).collect();
        let weights = random_matrix((count, 1), 4).as_vec();
        for (smoothing, weights) in [(0.0, None), (0.1, None), (0.3, Some(weights.as_slice()))] {
            let targets = Targets {
                columns: &columns,
                weights,
                smoothing,
            };
            let kernels = cuda::fused(rows.leaky_trace().into(), &layer, targets).unwrap();
            let composed = composed(rows.leaky_trace(), &layer, targets).unwrap();
            let [kernels, expected] = [kernels, composed].map(|loss| run(loss, &rows, &layer));
            assert_same("kernels", &kernels, &expected, TOLERANCE);
            let untaped = cuda::fused(rows.clone().into(), &layer, targets).unwrap();
            assert_close(&untaped.as_vec(), &expected[0], TOLERANCE);
        }
    }
}

/// A row whose logits are far apart: exponentials alone would overflow.
#[test]
fn kernels_bear_large_logits() {
    let mut layer = layer(1, 3);
    layer.weight.value = Cpu::default().tensor_from_vec(vec![-300.0, 0.0, 300.0], (1, 3));
    let row = random_matrix((1, 1), 1) * 0.0 + 1.0;
    let losses = [cuda::fused, Cpu::try_cross_entropy]
        .map(|cross_entropy| cross_entropy(row.leaky_trace().into(), &layer, Targets::plain(&[0])).unwrap());
    let [kernels, expected] = losses.map(|loss| run(loss, &row, &layer));
    assert_same("kernels", &kernels, &expected, 1e-5);
}
