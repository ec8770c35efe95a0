//! Tests of Adam: by its equations, fused against composed.

use super::*;
use crate::nn::cuda::KernelDevice;
use crate::nn::testing::{assert_close, random_matrix};

fn parameter(shape: (usize, usize), seed: u64) -> Parameter<Cpu> {
    Parameter {
        name: String::new(),
        value: random_matrix(shape, seed),
        rate: 1.0,
    }
}

/// Gradients of `sum(x^2) / 2`: the parameter itself.
fn gradients_of_half_square(parameter: &Parameter<Cpu>) -> Gradients<f32, Cpu> {
    parameter
        .value
        .leaky_trace()
        .square()
        .sum::<(), _>()
        .try_mul(0.5)
        .unwrap()
        .backward()
}

/// A parameter of half the rate is changed as at half the learning rate.
#[test]
fn a_rate_is_a_share_of_the_learning_rate() {
    let settings = AdamSettings {
        weight_decay: 0.1,
        ..Default::default()
    };
    let after = |rate, learning_rate| {
        let mut parameter = Parameter {
            rate,
            ..parameter((2, 3), 4)
        };
        let mut adam = Adam::new(settings, [&parameter]).unwrap();
        for _ in 0..3 {
            let mut gradients = gradients_of_half_square(&parameter);
            adam.update([&mut parameter], &mut gradients, learning_rate)
                .unwrap();
        }
        parameter.value.as_vec()
    };
    assert_close(&after(0.5, 0.02), &after(1.0, 0.01), 1e-6);
}

/// Algorithm 1 of the paper written out in f64 for one number.
#[test]
fn equals_the_paper() {
    let settings = AdamSettings {
        max_grad_norm: 0.0,
        weight_decay: 0.1,
        ..Default::default()
    };
    let mut parameter = parameter((2, 1), 4);
    let mut adam = Adam::new(settings, [&parameter]).unwrap();
    let mut expected: Vec<f64> = parameter.value.as_vec().into_iter().map(f64::from).collect();
    let mut moments = vec![(0.0f64, 0.0f64); 2];
    for step in 1..=20 {
        let mut gradients = gradients_of_half_square(&parameter);
        adam.update([&mut parameter], &mut gradients, 0.01).unwrap();
        for (x, (m, v)) in expected.iter_mut().zip(&mut moments) {
            let gradient = *x;
            *m = 0.9 * *m + 0.1 * gradient;
            *v = 0.999 * *v + 0.001 * gradient * gradient;
            let (m_hat, v_hat) = (*m / (1.0 - 0.9f64.powi(step)), *v / (1.0 - 0.999f64.powi(step)));
            *x = *x * (1.0 - 0.01 * 0.1) - 0.01 * m_hat / (v_hat.sqrt() + 1e-8);
        }
    }
    let expected: Vec<f32> = expected.into_iter().map(|x| x as f32).collect();
    assert_close(&parameter.value.as_vec(), &expected, 1e-5);
    assert_eq!(adam.step, 20);
}

const UPDATE: AdamStep = AdamStep {
    rate: 0.02,
    second_scale: 3.0,
    keep: 0.99,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
};

/// Value, gradient and moments of a parameter.
fn before(shape: (usize, usize)) -> (Matrix<Cpu>, Matrix<Cpu>, [Matrix<Cpu>; 2]) {
    let moments = [random_matrix(shape, 1), random_matrix(shape, 2).square()];
    (random_matrix(shape, 3), random_matrix(shape, 4), moments)
}

/// Value and moments after a composed update.
fn composed(shape: (usize, usize), scale: &DeviceScalar<Cpu>) -> [Vec<f32>; 3] {
    let (mut value, gradient, [mut first, mut second]) = before(shape);
    composed_update(&mut value, gradient, [&mut first, &mut second], scale, UPDATE).unwrap();
    [value, first, second].map(|matrix| matrix.as_vec())
}

#[test]
fn kernels_equal_composed() {
    let device = Cpu::default();
    let Some(stream) = device.stream() else { return };
    let on_device = DeviceScalar::OnDevice(device.tensor_from_vec(vec![0.7], ()));
    for (shape, scale) in [((1, 1), DeviceScalar::Known(0.7)), ((70, 301), on_device)] {
        let (mut found, gradient, moments) = before(shape);
        let buffers = moments
            .each_ref()
            .map(|moment| cuda::moment(&stream, moment).unwrap());
        let slices = buffers.each_ref().map(Cpu::buffer_slice);
        let mut gradients = (found.leaky_trace() * gradient).sum::<(), _>().backward();
        let norm = cuda::norm(&stream, &mut gradients, &[&found, &found]).unwrap();
        let plain = Cpu::try_gradient_norm(&mut gradients, &[&found, &found]).unwrap();
        assert_close(&norm.unwrap().as_vec(), &[plain.get()], 1e-5);
        let shared = found.clone();
        cuda::update(&stream, &mut found, slices, (&mut gradients, &scale), UPDATE).unwrap();
        assert_eq!(shared.as_vec(), before(shape).0.as_vec(), "shared tensors stay");
        let of_buffer = |buffer| cuda::moment_values(&stream, &device, buffer, shape).unwrap();
        let expected = composed(shape, &scale);
        let results = [found.clone(), of_buffer(&buffers[0]), of_buffer(&buffers[1])];
        for (found, expected) in results.iter().zip(&expected) {
            assert_close(&found.as_vec(), expected, 1e-5);
        }
        cuda::ema_update(&stream, slices[0], Cpu::slice(&found), 0.9).unwrap();
        let mut ema = results[1].clone();
        composed_ema(&mut ema, &found, 0.9).unwrap();
        assert_close(&of_buffer(&buffers[0]).as_vec(), &ema.as_vec(), 1e-5);
    }
}

#[test]
fn fused_equals_composed() {
    let (shape, scale) = ((70, 301), DeviceScalar::Known(0.7)); // more than one piece
    let (mut value, gradient, moments) = before(shape);
    let [first, second] = moments.map(|moment| moment.as_vec());
    let mut moments = Moments { first, second };
    let mut gradients = (value.leaky_trace() * gradient).sum::<(), _>().backward();
    let change = ParameterUpdate {
        value: &mut value,
        moments: &mut moments,
        update: UPDATE,
    };
    Cpu::try_update(vec![change], &scale, &mut gradients).unwrap();
    let found = [value.as_vec(), moments.first, moments.second];
    for (found, expected) in found.iter().zip(&composed(shape, &scale)) {
        assert_close(found, expected, 1e-5);
    }
}

#[test]
fn clips_by_the_global_norm() {
    let mut parameters = [parameter((3, 3), 1), parameter((1, 4), 2)];
    let squares: f32 = parameters
        .iter()
        .flat_map(|p| p.value.as_vec())
        .map(|x| x * x)
        .sum();
    let settings = AdamSettings {
        max_grad_norm: 0.5,
        ..Default::default()
    };
    let mut adam = Adam::new(settings, &parameters).unwrap();
    let [a, b] = parameters
        .each_ref()
        .map(|p| p.value.leaky_trace().square().sum::<(), _>());
    let mut gradients = (a + b).try_mul(0.5).unwrap().backward();
    let [a, b] = &mut parameters;
    let norm = adam.update([a, b], &mut gradients, 0.0).unwrap();
    assert_close(&[norm.get()], &[squares.sqrt()], 1e-6);
    let first: f32 = adam
        .moments
        .iter()
        .flat_map(|m| m.first.iter())
        .map(|x| x * x)
        .sum();
    assert_close(&[first.sqrt()], &[0.5 * 0.1], 1e-5);
}

/// Clipping by a norm that is still on the device equals clipping by a known norm.
#[test]
fn clipping_by_a_norm_on_the_device_is_the_same() {
    let device = Cpu::default();
    for (length, highest) in [(10.0, 0.5), (0.1, 0.5), (10.0, 0.0)] {
        let parameters = [parameter((3, 3), 1), parameter((1, 4), 2)];
        let values = parameters.each_ref().map(|parameter| &parameter.value);
        let loss = values.map(|value| value.leaky_trace().square().sum::<(), _>());
        let [a, b] = loss;
        let mut gradients = (a + b).try_mul(length).unwrap().backward();
        let known = Cpu::try_gradient_norm(&mut gradients, &values).unwrap();
        let norm = composed_norm(&mut gradients, &values).unwrap().unwrap();
        let unread = DeviceScalar::OnDevice(norm);
        assert_eq!((unread.try_get(), known.try_get()), (None, Some(known.get())));
        assert_close(&[unread.get()], &[known.get()], 1e-6);
        let factors = [&known, &unread].map(|norm| norm.clip_factor(highest).unwrap());
        assert_close(&[factors[1].get()], &[factors[0].get()], 1e-6);

        let mut adam = Adam::new(AdamSettings::default(), &parameters).unwrap();
        adam.step = 1;
        let update = adam.numbers(0.1);
        let updated = factors.map(|scale| {
            let mut moments = Moments {
                first: random_matrix((3, 3), 5),
                second: random_matrix((3, 3), 6).square(),
            };
            let mut value = device.tensor_from_vec(values[0].as_vec(), (3, 3));
            let Moments { first, second } = &mut moments;
            composed_update(
                &mut value,
                gradients.get(values[0]),
                [first, second],
                &scale,
                update,
            )
            .unwrap();
            value.as_vec()
        });
        assert_close(&updated[1], &updated[0], 1e-5);
    }
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let mut parameter = parameter((2, 2), 1);
    let before = parameter.value.as_vec();
    let mut adam = Adam::new(AdamSettings::default(), [&parameter]).unwrap();
    let mut gradients = (parameter.value.leaky_trace() * f32::INFINITY)
        .sum::<(), _>()
        .backward();
    let norm = adam.update([&mut parameter], &mut gradients, 0.1).unwrap();
    assert!(!norm.get().is_finite());
    assert_eq!(parameter.value.as_vec(), before);
    assert_eq!(adam.step, 0);
}

#[test]
fn ema_follows_the_weights_and_exchanges_with_them() {
    let device = Cpu::default();
    let mut parameter = Parameter::from_values(&device, "", (1, 2), vec![1.0, 10.0]).unwrap();
    let mut ema = Ema::new(0.5, [&parameter]).unwrap();
    parameter.value = device.tensor_from_vec(vec![3.0, 20.0], (1, 2));
    // At first it forgets faster: 1/10 is kept.
    ema.update([&parameter], 0).unwrap();
    assert_close(&ema.weights[0], &[2.8, 19.0], 1e-6);
    ema.update([&parameter], 1000).unwrap();
    ema.exchange([&mut parameter]).unwrap();
    assert_close(&parameter.value.as_vec(), &[2.9, 19.5], 1e-6);
    ema.exchange([&mut parameter]).unwrap();
    assert_eq!(parameter.value.as_vec(), [3.0, 20.0]);
}
