//! Tests of both convolutions: by their definition, the kernels of CPU and GPU against composed operations, by finite
//! differences.

use super::conv2d::{self, Convolution};
use super::depthwise;
use super::{activation::Activation, conv_geometry::ConvGeometry, conv_geometry::Padding};
use crate::nn::testing::maps::{activated, assert_close, differences, padded_pixel, random_window};
use crate::nn::testing::{ACTIVATIONS, assert_same, probe, random, rng, run};
use crate::nn::{Images, Matrix, Taped};
use dfdx::prelude::*;
use rand::RngExt;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Full,
    Depthwise,
}

#[derive(Debug)]
struct ConvCase {
    kind: Kind,
    x: Images<Cpu>,
    kernel: Matrix<Cpu>,
    bias: Matrix<Cpu>,
    convolution: Convolution,
}

impl ConvCase {
    fn new(
        seed: u64,
        window: ConvGeometry,
        (images, height, width): (usize, usize, usize),
        (inputs, outputs): (usize, usize),
        activation: Activation,
    ) -> Self {
        let mut rng = rng(seed);
        Self {
            kind: Kind::Full,
            // Large enough that Relu6 reaches its upper edge too.
            x: random((images, height, width, inputs), &mut rng) * 4.0,
            kernel: random((window.taps() * inputs, outputs), &mut rng),
            bias: random((1, outputs), &mut rng),
            convolution: Convolution { window, activation },
        }
    }

    fn depthwise(seed: u64, window: ConvGeometry, map: (usize, usize, usize), channels: usize) -> Self {
        let activation = ACTIVATIONS[seed as usize % 3];
        let case = Self::new(seed, window, map, (channels, channels), activation);
        Self {
            kind: Kind::Depthwise,
            kernel: random((window.taps(), channels), &mut rng(!seed)),
            ..case
        }
    }

    fn random(kind: Kind, seed: u64) -> Self {
        let mut rng = rng(seed);
        let (window, (height, width)) = random_window(&mut rng);
        let map = (rng.random_range(1..=3), height, width);
        match kind {
            Kind::Full => {
                let channels = (rng.random_range(1..=9), rng.random_range(1..=9));
                Self::new(seed, window, map, channels, ACTIVATIONS[seed as usize % 3])
            }
            // Below, at and beyond a block of channels.
            Kind::Depthwise => Self::depthwise(seed, window, map, rng.random_range(1..=70)),
        }
    }

    fn fused<T: Tape<f32, Cpu>>(&self, x: Images<Cpu, T>) -> Images<Cpu, T> {
        match self.kind {
            Kind::Full => conv2d::conv2d(x, &self.kernel, &self.bias, self.convolution),
            Kind::Depthwise => depthwise::depthwise(x, &self.kernel, &self.bias, self.convolution),
        }
        .unwrap()
    }

    fn composed<T: Tape<f32, Cpu>>(&self, x: Images<Cpu, T>) -> Images<Cpu, T> {
        let (kernel, bias) = (self.kernel.clone(), self.bias.clone());
        match self.kind {
            Kind::Full => conv2d::composed(x, kernel, bias, self.convolution),
            Kind::Depthwise => depthwise::composed(x, kernel, bias, self.convolution),
        }
        .unwrap()
    }

    /// The GPU's kernels, laying out at most `room` values.
    fn kernels<T: Tape<f32, Cpu>>(&self, x: Images<Cpu, T>, room: usize) -> Images<Cpu, T> {
        let (kernel, bias) = (self.kernel.clone(), self.bias.clone());
        match self.kind {
            Kind::Full => conv2d::cuda::fused(x, kernel, bias, self.convolution, room),
            Kind::Depthwise => depthwise::cuda::fused(x, kernel, bias, self.convolution),
        }
        .unwrap()
    }

    /// Values and gradients.
    fn run(&self, y: Images<Cpu, Taped<Cpu>>) -> Vec<Vec<f32>> {
        run(y, &[&self.x, &self.kernel, &self.bias])
    }

    fn check_fused_against_composed(&self) {
        let [fused, composed] = [
            self.fused(self.x.leaky_trace()),
            self.composed(self.x.leaky_trace()),
        ];
        assert_same(
            &format!("{:?}", self.kind),
            &self.run(fused),
            &self.run(composed),
            1e-5,
        );
    }

    /// The definition, loop by loop.
    fn by_definition(&self) -> Images<Cpu> {
        let ConvGeometry {
            kernel: (kernel_height, kernel_width),
            stride,
            padding,
        } = self.convolution.window;
        let (images, height, width, inputs) = *self.x.shape();
        let (_, outputs) = *self.kernel.shape();
        let (rows, columns) = self.convolution.window.output((height, width));
        let mut y = Cpu::default().zeros_like(&(images, rows, columns, outputs));
        let places = (0..images).flat_map(|image| (0..rows).map(move |row| (image, row)));
        for (image, row) in places {
            for (column, output) in (0..columns).flat_map(|column| (0..outputs).map(move |out| (column, out)))
            {
                let mut sum = self.bias[[0, output]];
                for tap in 0..kernel_height * kernel_width {
                    let iy = (row * stride + tap / kernel_width) as isize - padding.top as isize;
                    let ix = (column * stride + tap % kernel_width) as isize - padding.left as isize;
                    let mut add = |input: usize, weight: f32| {
                        sum += padded_pixel(&self.x, image, iy, ix, input).unwrap_or(0.0) * weight;
                    };
                    match self.kind {
                        Kind::Depthwise => add(output, self.kernel[[tap, output]]),
                        Kind::Full => {
                            (0..inputs)
                                .for_each(|input| add(input, self.kernel[[tap * inputs + input, output]]));
                        }
                    }
                }
                y[[image, row, column, output]] = activated(self.convolution.activation, sum);
            }
        }
        y
    }
}

/// Random cases of both kinds.
fn cases(seeds: std::ops::Range<u64>) -> impl Iterator<Item = ConvCase> {
    let both = |seed| [Kind::Full, Kind::Depthwise].map(|kind| ConvCase::random(kind, seed));
    seeds.flat_map(both)
}

#[test]
fn fused_and_composed_follow_the_definition() {
    for case in cases(0..60) {
        let expected = case.by_definition();
        assert_close("fused", &case.fused(case.x.clone()), &expected, 1e-5);
        assert_close("composed", &case.composed(case.x.clone()), &expected, 1e-5);
    }
}

#[test]
fn fused_equals_composed_on_small_shapes() {
    cases(100..160).for_each(|case| case.check_fused_against_composed());
}

#[test]
fn fused_equals_composed_over_several_tiles() {
    let same = ConvGeometry::square(3, 1, Padding::all(1));
    let pointwise = ConvGeometry::POINTWISE;
    for case in [
        ConvCase::new(1, same, (3, 19, 17), (5, 7), Activation::Relu),
        ConvCase::new(2, pointwise, (2, 21, 23), (6, 10), Activation::Relu6),
        // More images than pieces of the backward pass.
        ConvCase::new(3, same, (19, 4, 5), (2, 3), Activation::None),
    ] {
        case.check_fused_against_composed();
    }
}

/// Fused where no tape records, composed of the sums and an operation where one does, and in the kernels of a GPU.
#[test]
fn activations_whose_slope_needs_the_sums_are_the_same_with_and_without_a_tape() {
    let window = ConvGeometry::square(3, 1, Padding::all(1));
    for activation in [
        Activation::Sigmoid,
        Activation::Swish,
        Activation::HardSigmoid,
        Activation::HardSwish,
        Activation::Gelu,
    ] {
        let case = ConvCase::new(4, window, (2, 5, 4), (3, 6), activation);
        let expected = case.by_definition();
        let what = format!("{activation:?}");
        let fused = case.fused(case.x.clone());
        assert_close(&what, &fused, &expected, 1e-3);
        let taped = case.fused(case.x.leaky_trace());
        assert_close(&what, &taped.retaped(), &fused, 1e-6);
        assert_close(&what, &case.kernels(case.x.clone(), 1 << 20), &fused, 1e-6);
        let loss = |x: Images<Cpu>| probe(case.fused(x.leaky_trace())).array();
        let gradients = probe(case.fused(case.x.leaky_trace())).backward();
        assert_close(&what, &gradients.get(&case.x), &differences(&case.x, loss), 1e-2);
    }
}

#[test]
fn gradients_are_slopes() {
    let window = |top, left, bottom, right| {
        let padding = Padding {
            top,
            left,
            bottom,
            right,
        };
        ConvGeometry::square(3, 2, padding)
    };
    let full = |seed, window| ConvCase::new(seed, window, (2, 4, 5), (3, 2), Activation::None);
    for case in [
        full(0, ConvGeometry::POINTWISE),
        full(1, ConvGeometry::square(2, 1, Padding::NONE)),
        full(2, window(0, 1, 1, 0)),
        // The activation of this seed is `None`.
        ConvCase::depthwise(3, window(1, 0, 0, 1), (2, 4, 5), 3),
    ] {
        let gradients = probe(case.fused(case.x.leaky_trace())).backward();
        let loss = |changed: ConvCase| probe(changed.fused(changed.x.leaky_trace())).array();
        let copy = || ConvCase {
            x: case.x.clone(),
            kernel: case.kernel.clone(),
            bias: case.bias.clone(),
            ..case
        };
        let slopes = differences(&case.x, |x| loss(ConvCase { x, ..copy() }));
        assert_close("x", &gradients.get(&case.x), &slopes, 1e-3);
        let slopes = differences(&case.kernel, |kernel| loss(ConvCase { kernel, ..copy() }));
        assert_close("kernel", &gradients.get(&case.kernel), &slopes, 1e-3);
        let slopes = differences(&case.bias, |bias| loss(ConvCase { bias, ..copy() }));
        assert_close("bias", &gradients.get(&case.bias), &slopes, 1e-3);
    }
}

#[test]
fn gradients_add_up_where_a_tensor_is_used_twice() {
    let same = ConvGeometry::square(3, 1, Padding::all(1));
    let case = ConvCase::new(5, same, (2, 5, 4), (4, 4), Activation::Relu);
    let fused = case.run(case.fused(case.fused(case.x.leaky_trace())));
    let composed = case.run(case.composed(case.composed(case.x.leaky_trace())));
    assert_same("twice", &fused, &composed, 1e-5);
}

#[test]
fn strided_operands_are_read_in_logical_order() {
    let window = ConvGeometry::square(2, 1, Padding::NONE);
    let case = ConvCase::new(6, window, (2, 4, 3), (2, 3), Activation::None);
    let kernel: Matrix<Cpu> = random((3, 8), &mut rng(7)).permute::<_, Axes2<1, 0>>();
    let plain = Cpu::default().tensor_from_vec(kernel.as_vec(), (8, 3));
    let turned = || case.x.leaky_trace().permute::<_, Axes4<0, 2, 1, 3>>();
    let y = conv2d::conv2d(turned(), &kernel, &case.bias, case.convolution).unwrap();
    let expected = conv2d::composed(turned(), plain, case.bias.clone(), case.convolution).unwrap();
    assert_same("strided", &run(y, &[&case.x]), &run(expected, &[&case.x]), 1e-5);
}

#[test]
fn kernel_gradient_is_the_same_every_time() {
    let window = ConvGeometry::square(3, 2, Padding::all(1));
    let case = ConvCase::new(8, window, (9, 16, 16), (8, 16), Activation::Relu);
    let bits = |_| {
        let results = case.run(case.fused(case.x.leaky_trace()));
        results[2].iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let first = bits(0);
    assert!((1..5).map(bits).all(|again| again == first));
}

/// With room for all windows and for a few at a time.
#[test]
fn kernels_follow_the_definition() {
    let pointwise = ConvCase::new(1, ConvGeometry::POINTWISE, (2, 3, 5), (8, 3), Activation::Relu);
    // Channels that four divides have a kernel of their own.
    let by_four = (0..6).map(|seed| {
        let (window, (height, width)) = random_window(&mut rng(seed));
        let channels = (4 * (seed as usize % 3 + 1), 5);
        ConvCase::new(seed, window, (2, height, width), channels, Activation::Relu6)
    });
    for case in cases(200..220).chain([pointwise]).chain(by_four) {
        let expected = case.by_definition();
        let composed = case.run(case.composed(case.x.leaky_trace()));
        for room in [1 << 20, 300] {
            let kernels = case.kernels(case.x.leaky_trace(), room);
            assert_close("values", &kernels.retaped(), &expected, 1e-5);
            assert_same("kernels", &case.run(kernels), &composed, 1e-5);
        }
    }
}
