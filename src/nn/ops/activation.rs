//! Activations, and bias and activation in one pass.

use crate::nn::cpu::elementary::tanh;
use dfdx::prelude::{Device, Shape, Tape, Tensor};
use pulp::Arch;
use serde::{Deserialize, Serialize};

/// The nonlinearity at the end of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The sums as they are.
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)` (Howard et al. 2017, MobileNets).
    Relu6,
    /// The hyperbolic tangent, tanh.
    Tanh,
}

impl Activation {
    /// The number of the activation in kernels (`src/nn/cuda/common.cu`).
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn code(self) -> usize {
        match self {
            Self::None => 0,
            Self::Relu => 1,
            Self::Relu6 => 2,
            Self::Tanh => 3,
        }
    }

    /// Composed of dfdx operations.
    pub(crate) fn composed<S: Shape, D: Device<f32>, T: Tape<f32, D>>(
        self,
        x: Tensor<S, f32, D, T>,
    ) -> Result<Tensor<S, f32, D, T>, D::Err> {
        match self {
            Self::None => Ok(x),
            Self::Relu => x.try_relu(),
            Self::Relu6 => x.try_clamp(0.0, 6.0),
            Self::Tanh => x.try_tanh(),
        }
    }

    /// Adds `bias` to every row of `values` and applies the nonlinearity.
    pub(crate) fn finish(self, values: &mut [f32], bias: &[f32]) {
        match self {
            Self::None => finish_rows(values, bias, |x| x),
            Self::Relu => finish_rows(values, bias, relu),
            Self::Relu6 => finish_rows(values, bias, relu6),
            Self::Tanh => finish_rows(values, bias, tanh),
        }
    }

    /// Writes the activated `values` to `out`.
    pub(crate) fn apply(self, values: &[f32], out: &mut [f32]) {
        match self {
            Self::None => out.copy_from_slice(values),
            Self::Relu => map(values, out, relu),
            Self::Relu6 => map(values, out, relu6),
            Self::Tanh => map(values, out, tanh),
        }
    }

    /// Turns the gradient after the activation into that before it; `outputs` are the activation's.
    pub(crate) fn backward(self, gradient: &mut [f32], outputs: &[f32]) {
        match self {
            Self::None => {}
            Self::Relu => keep_where(gradient, outputs, |y| y > 0.0),
            Self::Relu6 => keep_where(gradient, outputs, |y| y > 0.0 && y < 6.0),
            Self::Tanh => scale(gradient, outputs, |y| 1.0 - y * y),
        }
    }
}

/// Not `max`, which would turn a NaN into a harmless-looking 0.
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

fn relu6(x: f32) -> f32 {
    x.clamp(0.0, 6.0)
}

fn map(values: &[f32], out: &mut [f32], each: impl Fn(f32) -> f32) {
    Arch::new().dispatch(|| {
        for (out, &value) in out.iter_mut().zip(values) {
            *out = each(value);
        }
    });
}

fn finish_rows(values: &mut [f32], bias: &[f32], each: impl Fn(f32) -> f32) {
    Arch::new().dispatch(|| {
        for row in values.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value = each(*value + bias);
            }
        }
    });
}

fn scale(gradient: &mut [f32], outputs: &[f32], factor: impl Fn(f32) -> f32) {
    Arch::new().dispatch(|| {
        for (gradient, &output) in gradient.iter_mut().zip(outputs) {
            *gradient *= factor(output);
        }
    });
}

fn keep_where(gradient: &mut [f32], outputs: &[f32], kept: impl Fn(f32) -> bool) {
    Arch::new().dispatch(|| {
        for (gradient, &output) in gradient.iter_mut().zip(outputs) {
            *gradient = if kept(output) { *gradient } else { 0.0 };
        }
    });
}
