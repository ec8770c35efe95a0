//! Tests of frozen networks against the same layers one by one.

use super::*;
use crate::nn::activation::Activation;
use crate::nn::testing::maps::assert_close;
use crate::nn::testing::{random, rng};
use crate::nn::window::Padding;

fn sums(window: Window, inputs: usize, outputs: usize, activation: Activation) -> FrozenSums {
    let mut rng = rng((inputs * 10 + outputs) as u64);
    FrozenSums {
        kernel: random((window.taps() * inputs, outputs), &mut rng).as_vec(),
        bias: random((1, outputs), &mut rng).as_vec(),
        convolution: Convolution { window, activation },
    }
}

/// Every kind of layer, a residual branch that begins in the input and one within another.
fn layers() -> Vec<FrozenLayer> {
    let same = Window::square(3, 1, Padding::all(1));
    let halve = Window::square(3, 2, Padding::all(1));
    let narrow = || FrozenLayer::Convolution(sums(Window::POINTWISE, 40, 40, Activation::None));
    let deep = || FrozenLayer::Depthwise(sums(same, 1, 40, Activation::Relu6));
    vec![
        FrozenLayer::Residual(vec![FrozenLayer::Convolution(sums(same, 3, 3, Activation::Relu))]),
        FrozenLayer::Convolution(sums(halve, 3, 40, Activation::Relu6)),
        FrozenLayer::Residual(vec![narrow(), FrozenLayer::Residual(vec![deep()]), narrow()]),
        FrozenLayer::Residual(Vec::new()),
        FrozenLayer::MaxPool(Window::square(2, 2, Padding::NONE)),
        FrozenLayer::GlobalMean,
    ]
}

#[test]
fn buffers_that_are_used_again_leave_no_trace() {
    let cpu = Cpu::default();
    for depth in 0..=layers().len() {
        let layers = || layers().into_iter().take(depth).collect::<Vec<_>>();
        let (network, composed) = (
            cpu.freeze(layers()).unwrap(),
            Frozen::new(&cpu, layers()).unwrap(),
        );
        for (seed, photos) in [(1, 2), (2, 5), (3, 1)] {
            let photos = random((photos, 12, 10, 3), &mut rng(seed));
            let expected = composed.run(photos.clone()).unwrap();
            assert_close("output", &Cpu::run(&network, photos).unwrap(), &expected, 1e-5);
        }
    }
}
