//! Tests of convolution: by its definition, fused against composed, by finite differences.

use super::*;
use crate::nn::Taped;
use crate::nn::cuda::emulated_stream;
use crate::nn::ops::conv_geometry::Padding;
use crate::nn::testing::maps::{activated, assert_close, differences, padded_pixel, random_window};
use crate::nn::testing::{probe, random, rng};
use rand::RngExt;

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

/// The definition, loop by loop.
fn by_definition(
    x: &Images<Cpu>,
    kernel: &Matrix<Cpu>,
    bias: &Matrix<Cpu>,
    convolution: Convolution,
) -> Images<Cpu> {
    let ConvGeometry {
        kernel: (kernel_height, kernel_width),
        stride,
        padding,
    } = convolution.window;
    let (images, height, width, inputs) = *x.shape();
    let (_, outputs) = *kernel.shape();
    let (rows, columns) = convolution.window.output((height, width));
    let mut y = Cpu::default().zeros_like(&(images, rows, columns, outputs));
    for image in 0..images {
        for row in 0..rows {
            for column in 0..columns {
                for output in 0..outputs {
                    let mut sum = bias[[0, output]];
                    for ky in 0..kernel_height {
                        for kx in 0..kernel_width {
                            for input in 0..inputs {
                                let iy = (row * stride + ky) as isize - padding.top as isize;
                                let ix = (column * stride + kx) as isize - padding.left as isize;
                                let weight = kernel[[(ky * kernel_width + kx) * inputs + input, output]];
                                sum += padded_pixel(x, image, iy, ix, input).unwrap_or(0.0) * weight;
                            }
                        }
                    }
                    y[[image, row, column, output]] = activated(convolution.activation, sum);
                }
            }
        }
    }
    y
}

struct Conv2dCase {
    x: Images<Cpu>,
    kernel: Matrix<Cpu>,
    bias: Matrix<Cpu>,
    convolution: Convolution,
}

impl Conv2dCase {
    fn new(
        seed: u64,
        window: ConvGeometry,
        (images, height, width): (usize, usize, usize),
        (inputs, outputs): (usize, usize),
        activation: Activation,
    ) -> Self {
        let mut rng = rng(seed);
        Self {
            // Large enough that Relu6 reaches its upper edge too.
            x: random((images, height, width, inputs), &mut rng) * 4.0,
            kernel: random((window.taps() * inputs, outputs), &mut rng),
            bias: random((1, outputs), &mut rng),
            convolution: Convolution { window, activation },
        }
    }

    fn random(seed: u64) -> Self {
        let mut rng = rng(seed);
        let (window, (height, width)) = random_window(&mut rng);
        let images = rng.random_range(1..=3);
        let channels = (rng.random_range(1..=9), rng.random_range(1..=9));
        let activation = ACTIVATIONS[seed as usize % 3];
        Self::new(seed, window, (images, height, width), channels, activation)
    }

    fn fused<T: Tape<f32, Cpu>>(&self, x: Images<Cpu, T>) -> Images<Cpu, T> {
        conv2d(x, &self.kernel, &self.bias, self.convolution).unwrap()
    }

    fn composed<T: Tape<f32, Cpu>>(&self, x: Images<Cpu, T>) -> Images<Cpu, T> {
        composed(x, self.kernel.clone(), self.bias.clone(), self.convolution).unwrap()
    }

    fn gradients(&self, y: Images<Cpu, Taped<Cpu>>) -> (Images<Cpu>, Matrix<Cpu>, Matrix<Cpu>) {
        let gradients = probe(y).backward();
        (
            gradients.get(&self.x),
            gradients.get(&self.kernel),
            gradients.get(&self.bias),
        )
    }

    fn check_fused_against_composed(&self) {
        let (fused, composed) = (
            self.fused(self.x.leaky_trace()),
            self.composed(self.x.leaky_trace()),
        );
        assert_close("values", &fused.retaped(), &composed.retaped(), 1e-5);
        let (fused, composed) = (self.gradients(fused), self.gradients(composed));
        assert_close("input gradient", &fused.0, &composed.0, 1e-5);
        assert_close("kernel gradient", &fused.1, &composed.1, 1e-5);
        assert_close("bias gradient", &fused.2, &composed.2, 1e-5);
    }
}

#[test]
fn both_follow_the_definition() {
    for seed in 0..60 {
        let case = Conv2dCase::random(seed);
        let expected = by_definition(&case.x, &case.kernel, &case.bias, case.convolution);
        assert_close("fused", &case.fused(case.x.clone()), &expected, 1e-5);
        assert_close("composed", &case.composed(case.x.clone()), &expected, 1e-5);
    }
}

#[test]
fn fused_equals_composed_on_small_shapes() {
    for seed in 100..160 {
        Conv2dCase::random(seed).check_fused_against_composed();
    }
}

#[test]
fn fused_equals_composed_over_several_tiles() {
    let same = ConvGeometry::square(3, 1, Padding::all(1));
    Conv2dCase::new(1, same, (3, 19, 17), (5, 7), Activation::Relu).check_fused_against_composed();
    Conv2dCase::new(
        2,
        ConvGeometry::POINTWISE,
        (2, 21, 23),
        (6, 10),
        Activation::Relu6,
    )
    .check_fused_against_composed();
    // More images than pieces of the backward pass.
    Conv2dCase::new(3, same, (19, 4, 5), (2, 3), Activation::None).check_fused_against_composed();
}

#[test]
fn gradients_are_slopes() {
    let windows = [
        ConvGeometry::POINTWISE,
        ConvGeometry::square(2, 1, Padding::NONE),
        ConvGeometry::square(
            3,
            2,
            Padding {
                top: 0,
                left: 1,
                bottom: 1,
                right: 0,
            },
        ),
    ];
    for (seed, window) in windows.into_iter().enumerate() {
        let case = Conv2dCase::new(seed as u64, window, (2, 4, 5), (3, 2), Activation::None);
        let Conv2dCase {
            x,
            kernel,
            bias,
            convolution,
        } = &case;
        let loss = |x: &Images<Cpu>, kernel: &Matrix<Cpu>, bias: &Matrix<Cpu>| {
            probe(conv2d(x.leaky_trace(), kernel, bias, *convolution).unwrap()).array()
        };
        let gradients = case.gradients(case.fused(x.leaky_trace()));
        assert_close(
            "x",
            &gradients.0,
            &differences(x, |x| loss(&x, kernel, bias)),
            1e-3,
        );
        assert_close(
            "kernel",
            &gradients.1,
            &differences(kernel, |k| loss(x, &k, bias)),
            1e-3,
        );
        assert_close(
            "bias",
            &gradients.2,
            &differences(bias, |b| loss(x, kernel, &b)),
            1e-3,
        );
    }
}

#[test]
fn gradients_add_up_where_a_tensor_is_used_twice() {
    let case = Conv2dCase::new(
        5,
        ConvGeometry::square(3, 1, Padding::all(1)),
        (2, 5, 4),
        (4, 4),
        Activation::Relu,
    );
    let twice = case.gradients(case.fused(case.fused(case.x.leaky_trace())));
    let composed = case.gradients(case.composed(case.composed(case.x.leaky_trace())));
    assert_close("input gradient", &twice.0, &composed.0, 1e-5);
    assert_close("kernel gradient", &twice.1, &composed.1, 1e-5);
    assert_close("bias gradient", &twice.2, &composed.2, 1e-5);
}

#[test]
fn strided_operands_are_read_in_logical_order() {
    let case = Conv2dCase::new(
        6,
        ConvGeometry::square(2, 1, Padding::NONE),
        (2, 4, 3),
        (2, 3),
        Activation::None,
    );
    let turned = random((3, 8), &mut rng(7));
    let kernel: Matrix<Cpu> = turned.clone().permute::<_, Axes2<1, 0>>();
    let plain = Cpu::default().tensor_from_vec(kernel.as_vec(), (8, 3));
    let turn = |x: Images<Cpu, Taped<Cpu>>| x.permute::<_, Axes4<0, 2, 1, 3>>();
    let y = conv2d(turn(case.x.leaky_trace()), &kernel, &case.bias, case.convolution).unwrap();
    let expected = composed(
        turn(case.x.leaky_trace()),
        plain,
        case.bias.clone(),
        case.convolution,
    )
    .unwrap();
    assert_close("values", &y.retaped(), &expected.retaped(), 1e-5);
    let (ours, theirs) = (probe(y).backward(), probe(expected).backward());
    assert_close("input gradient", &ours.get(&case.x), &theirs.get(&case.x), 1e-5);
}

#[test]
fn the_same_every_time() {
    let case = Conv2dCase::new(
        8,
        ConvGeometry::square(3, 2, Padding::all(1)),
        (9, 16, 16),
        (8, 16),
        Activation::Relu,
    );
    let bits = |_| {
        let gradients = case.gradients(case.fused(case.x.leaky_trace()));
        gradients
            .1
            .as_vec()
            .into_iter()
            .map(f32::to_bits)
            .collect::<Vec<_>>()
    };
    let first = bits(0);
    assert!((1..5).map(bits).all(|again| again == first));
}

/// The GPU's kernels, run on the CPU, with room for all windows and for a few at a time.
#[test]
fn kernels_follow_the_definition() {
    let Some(stream) = emulated_stream() else { return };
    let cases = (0..20).map(Conv2dCase::random).chain([Conv2dCase::new(
        1,
        ConvGeometry::POINTWISE,
        (2, 3, 5),
        (8, 3),
        Activation::Relu,
    )]);
    // Channels that four divides have a kernel of their own.
    let by_four = (0..6).map(|seed| {
        let mut rng = rng(seed);
        let (window, (height, width)) = random_window(&mut rng);
        Conv2dCase::new(
            seed,
            window,
            (2, height, width),
            (4 * (seed as usize % 3 + 1), 5),
            Activation::Relu6,
        )
    });
    for case in cases.chain(by_four) {
        for room in [1 << 20, 300] {
            let kernels = |x| {
                let (kernel, bias) = (case.kernel.clone(), case.bias.clone());
                cuda::fused(stream.clone(), x, kernel, bias, case.convolution, room).unwrap()
            };
            let expected = by_definition(&case.x, &case.kernel, &case.bias, case.convolution);
            let found = kernels(case.x.leaky_trace());
            assert_close("values", &found.retaped(), &expected, 1e-5);
            let found = case.gradients(found);
            let composed = case.gradients(case.composed(case.x.leaky_trace()));
            assert_close("input gradient", &found.0, &composed.0, 1e-5);
            assert_close("kernel gradient", &found.1, &composed.1, 1e-5);
            assert_close("bias gradient", &found.2, &composed.2, 1e-5);
        }
    }
}
