//! Random inputs, closeness and finite differences for tests of operations.

pub(crate) mod maps;

use super::{Activation, Matrix, Parameter, Scalar, Taped};
use dfdx::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) const ACTIVATIONS: [Activation; 4] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::Tanh,
];

/// Fixed draws: a tolerance on rounding that fails once in ten thousand draws teaches nothing.
pub(crate) fn fixed_cases() -> Config {
    Config {
        cases: 48,
        rng_seed: RngSeed::Fixed(1),
        ..Config::default()
    }
}

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Uniform in `[-1, 1]`.
pub(crate) fn random<S: Shape>(shape: S, rng: &mut ChaCha8Rng) -> Tensor<S, f32, Cpu> {
    let values = (0..shape.num_elements())
        .map(|_| rng.random::<f32>() * 2.0 - 1.0)
        .collect();
    Cpu::default().tensor_from_vec(values, shape)
}

/// `[rows, columns]` uniform in `[-1, 1]`.
pub(crate) fn random_matrix(shape: (usize, usize), seed: u64) -> Matrix<Cpu> {
    random(shape, &mut rng(seed))
}

/// A random matrix with about this fraction of non-zero values.
pub(crate) fn sparse_matrix(shape: (usize, usize), share: f32, seed: u64) -> Matrix<Cpu> {
    let draws = random_matrix(shape, seed ^ 5).as_vec();
    let values = random_matrix(shape, seed).as_vec().into_iter().zip(draws);
    let kept = values.map(|(value, draw)| if draw < 2.0 * share - 1.0 { value } else { 0.0 });
    Cpu::default().tensor_from_vec(kept.collect(), shape)
}

/// Below this, numbers are what is left of sums of larger ones, and rounding is all that they differ by: inputs are of
/// order 1, where a rounding is 6e-8, and the tightest tolerance, 1e-5, of this is 1e-7.
const SMALLEST_SCALE: f32 = 1e-2;

/// Holds two lists of numbers together, to `tolerance` of the largest of either.
#[track_caller]
pub(crate) fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_all_close("element", found, expected, tolerance);
}

#[track_caller]
fn assert_all_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = found
        .iter()
        .chain(expected)
        .fold(SMALLEST_SCALE, |most, x| most.max(x.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * scale,
            "{what}[{at}]: {found} instead of {expected}, scale {scale}"
        );
    }
}

/// A loss in which every element of `values` counts in its own way, so that no gradient can hide.
pub(crate) fn probe<S: Shape>(values: Tensor<S, f32, Cpu, Taped<Cpu>>) -> Scalar<Cpu, Taped<Cpu>> {
    let weights = random(*values.shape(), &mut rng(99));
    let length = values.shape().num_elements();
    (values * weights).reshape_like(&(length,)).sum()
}

/// A tensor whose gradient a test compares.
pub(crate) trait Differentiated {
    fn gradient(&self, gradients: &mut Gradients<f32, Cpu>) -> Vec<f32>;
}

impl<S: Shape> Differentiated for Tensor<S, f32, Cpu> {
    fn gradient(&self, gradients: &mut Gradients<f32, Cpu>) -> Vec<f32> {
        gradients.get_or_alloc_mut(self).unwrap();
        gradients.get(self).as_vec()
    }
}

/// The gradients of `loss` with respect to `inputs`.
pub(crate) fn gradients_of(loss: Scalar<Cpu, Taped<Cpu>>, inputs: &[&dyn Differentiated]) -> Vec<Vec<f32>> {
    let mut gradients = loss.backward();
    inputs
        .iter()
        .map(|input| input.gradient(&mut gradients))
        .collect()
}

impl Differentiated for Parameter<Cpu> {
    fn gradient(&self, gradients: &mut Gradients<f32, Cpu>) -> Vec<f32> {
        self.value.gradient(gradients)
    }
}

/// The values of `output`, then the gradients of its [`probe`] with respect to `inputs`.
pub(crate) fn run<S: Shape>(
    output: Tensor<S, f32, Cpu, Taped<Cpu>>,
    inputs: &[&dyn Differentiated],
) -> Vec<Vec<f32>> {
    let mut results = vec![output.as_vec()];
    results.extend(gradients_of(probe(output), inputs));
    results
}

/// Compares the results of [`run`].
#[track_caller]
pub(crate) fn assert_same(case: &str, found: &[Vec<f32>], expected: &[Vec<f32>], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{case}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_all_close(&format!("{case}, result {i}"), found, expected, tolerance);
    }
}

/// Holds the gradient of every listed parameter of `model` against central differences of `loss`.
///
/// A long step drowns rounding, but may reach over the kink of a ReLU; then a short one must agree.
pub(crate) fn check_gradients<M>(
    model: &mut M,
    parameters: impl Fn(&mut M) -> Vec<&mut Parameter<Cpu>>,
    loss: impl Fn(&M) -> Scalar<Cpu, Taped<Cpu>>,
    tolerance: f32,
) {
    const STEPS: [f32; 2] = [1e-2, 2e-3];
    let value = |model: &M| loss(model).as_vec()[0];
    // The effect of rounding the loss on the difference of two losses.
    let rounding = 4.0 * f32::EPSILON * value(model).abs();
    let mut gradients = loss(model).backward();
    for at in 0..parameters(model).len() {
        let tensor = parameters(model)[at].value.clone();
        gradients.get_or_alloc_mut(&tensor).unwrap();
        let found = gradients.get(&tensor).as_vec();
        let scale = found.iter().fold(0f32, |most, x| most.max(x.abs()));
        let values = tensor.as_vec();
        for (index, &found) in found.iter().enumerate() {
            let mut shifted = |by: f32| {
                let mut values = values.clone();
                values[index] += by;
                parameters(model)[at].value.copy_from(&values);
                value(model)
            };
            let differences = STEPS.map(|step| (shifted(step) - shifted(-step)) / (2.0 * step));
            let agrees = differences
                .iter()
                .zip(STEPS)
                .any(|(near, step)| (found - near).abs() <= tolerance * scale + rounding / step);
            assert!(
                agrees,
                "parameter {at}, element {index}: {found}, but differences {differences:?}"
            );
        }
        parameters(model)[at].value.copy_from(&values);
    }
}
