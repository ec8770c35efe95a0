//! Tests of pooling: by its definition, the kernels of CPU and GPU against composed operations, by finite differences.

use super::*;
use crate::nn::ops::conv_geometry::Padding;
use crate::nn::testing::maps::{assert_close, differences, padded_pixel, random_window};
use crate::nn::testing::{assert_same, probe, random, rng, run};
use rand::RngExt;
use rand::seq::SliceRandom;

/// Values a tenth apart in random order: no ties, and no finite difference changes which is largest.
fn distinct(shape: (usize, usize, usize, usize), rng: &mut rand_chacha::ChaCha8Rng) -> Images<Cpu> {
    let mut values: Vec<f32> = (0..shape.num_elements()).map(|i| i as f32 * 0.1).collect();
    values.shuffle(rng);
    Cpu::default().tensor_from_vec(values, shape)
}

fn random_case(seed: u64) -> (Images<Cpu>, ConvGeometry) {
    let mut rng = rng(seed);
    let (mut window, (height, width)) = random_window(&mut rng);
    // A window wholly in the padding has no maximum.
    window.padding = Padding {
        top: window.padding.top.min(window.kernel.0 - 1),
        left: window.padding.left.min(window.kernel.1 - 1),
        bottom: window.padding.bottom.min(window.kernel.0 - 1),
        right: window.padding.right.min(window.kernel.1 - 1),
    };
    let shape = (rng.random_range(1..=3), height, width, rng.random_range(1..=20));
    (distinct(shape, &mut rng), window)
}

fn by_definition(x: &Images<Cpu>, window: ConvGeometry) -> Images<Cpu> {
    let (images, height, width, channels) = *x.shape();
    let (rows, columns) = window.output((height, width));
    let mut y = Cpu::default().zeros_like(&(images, rows, columns, channels));
    for image in 0..images {
        for row in 0..rows {
            for column in 0..columns {
                for channel in 0..channels {
                    let top = (row * window.stride) as isize - window.padding.top as isize;
                    let left = (column * window.stride) as isize - window.padding.left as isize;
                    y[[image, row, column, channel]] = (top..top + window.kernel.0 as isize)
                        .flat_map(|y| (left..left + window.kernel.1 as isize).map(move |x| (y, x)))
                        .filter_map(|(row, column)| padded_pixel(x, image, row, column, channel))
                        .fold(f32::NEG_INFINITY, f32::max);
                }
            }
        }
    }
    y
}

#[test]
fn maximum_kernels_follow_the_definition() {
    for seed in 0..40 {
        let (x, window) = random_case(seed);
        let expected = by_definition(&x, window);
        assert_close("fused", &max_pool(x.clone(), window).unwrap(), &expected, 0.0);
        assert_close(
            "kernels",
            &cuda::max_pool(x.clone(), window).unwrap(),
            &expected,
            0.0,
        );
        assert_close("composed", &composed_max(x, window).unwrap(), &expected, 0.0);
    }
}

#[test]
fn maximum_kernels_have_the_composed_gradient() {
    for seed in 100..140 {
        let (x, window) = random_case(seed);
        let composed = run(composed_max(x.leaky_trace(), window).unwrap(), &[&x]);
        for max_pool in [max_pool, cuda::max_pool] {
            assert_same(
                "maximum",
                &run(max_pool(x.leaky_trace(), window).unwrap(), &[&x]),
                &composed,
                1e-6,
            );
        }
    }
}

#[test]
fn maximum_kernels_give_the_gradient_to_the_first_of_equals() {
    let x: Images<Cpu> = Cpu::default().tensor_from_vec(vec![1.0, 3.0, 3.0, 3.0], (1, 2, 2, 1));
    for max_pool in [max_pool, cuda::max_pool] {
        let y = max_pool(x.leaky_trace(), ConvGeometry::square(2, 2, Padding::NONE)).unwrap();
        let gradient = y.reshape_like(&(1,)).sum::<(), _>().backward().get(&x);
        assert_eq!(gradient.as_vec(), [0.0, 1.0, 0.0, 0.0]);
    }
}

#[test]
fn mean_kernels_equal_composed() {
    for (seed, shape) in [(1, (1, 1, 1, 5)), (2, (3, 4, 5, 7)), (3, (2, 7, 7, 40))] {
        let x = random(shape, &mut rng(seed));
        let composed = run(composed_mean(x.leaky_trace()).unwrap(), &[&x]);
        for mean in [global_avg_pool, cuda::global_avg_pool] {
            assert_same(
                "mean",
                &run(mean(x.leaky_trace()).unwrap(), &[&x]),
                &composed,
                1e-5,
            );
        }
    }
}

#[test]
fn gradients_are_slopes() {
    let x = distinct((2, 5, 4, 2), &mut rng(4));
    let window = ConvGeometry::square(3, 2, Padding::all(1));
    let largest = |x: Images<Cpu>| probe(max_pool(x.leaky_trace(), window).unwrap());
    let slopes = differences(&x, |x| largest(x).array());
    assert_close("maximum", &largest(x.clone()).backward().get(&x), &slopes, 1e-3);
    let mean = |x: Images<Cpu>| probe(global_avg_pool(x.leaky_trace()).unwrap());
    let slopes = differences(&x, |x| mean(x).array());
    assert_close("mean", &mean(x.clone()).backward().get(&x), &slopes, 1e-3);
}
