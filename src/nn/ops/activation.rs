//! Activations, and bias and activation in one pass.

use crate::nn::cpu::elementary::{GELU_SCALE, GELU_SERIES, gelu, sigmoid, tanh};
use dfdx::prelude::{Device, PutTape, Shape, SplitTape, Tape, Tensor, TryAdd, TryDiv, TryMul, TrySub};
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
    /// The logistic function, `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x sigmoid(x)`, also called SiLU (Ramachandran et al. 2017).
    Swish,
    /// `min(max(x + 3, 0), 6) / 6` (Howard et al. 2019, section 5.2).
    HardSigmoid,
    /// `x hard_sigmoid(x)`.
    HardSwish,
    /// `x` times the normal distribution's cumulative function (Hendrycks & Gimpel 2016), without tanh's approximation.
    Gelu,
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
            Self::Sigmoid => 4,
            Self::Swish => 5,
            Self::HardSigmoid => 6,
            Self::HardSwish => 7,
            Self::Gelu => 8,
        }
    }

    /// Whether its slope follows from its output. The others rise and fall, so their slope needs the input.
    pub(crate) fn has_slope_of_output(self) -> bool {
        !matches!(self, Self::Swish | Self::HardSwish | Self::Gelu)
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
            Self::Sigmoid => x.try_sigmoid(),
            Self::HardSigmoid => x.try_add(3.0f32)?.try_clamp(0.0, 6.0)?.try_div(6.0f32),
            Self::Gelu => composed_gelu(x),
            Self::Swish | Self::HardSwish => {
                let gate = if self == Self::Swish {
                    Self::Sigmoid
                } else {
                    Self::HardSigmoid
                };
                let (x, tape) = x.split_tape();
                gate.composed(x.clone().put_tape(tape))?.try_mul(x)
            }
        }
    }

    /// Adds `bias` to every row of `values` and applies the nonlinearity.
    pub(crate) fn finish(self, values: &mut [f32], bias: &[f32]) {
        match self {
            Self::None => finish_rows(values, bias, |x| x),
            Self::Relu => finish_rows(values, bias, relu),
            Self::Relu6 => finish_rows(values, bias, relu6),
            Self::Tanh => finish_rows(values, bias, tanh),
            Self::Sigmoid => finish_rows(values, bias, sigmoid),
            Self::Swish => finish_rows(values, bias, swish),
            Self::HardSigmoid => finish_rows(values, bias, hard_sigmoid),
            Self::HardSwish => finish_rows(values, bias, hard_swish),
            Self::Gelu => finish_rows(values, bias, gelu),
        }
    }

    /// Activates the values.
    pub(crate) fn apply(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Relu => map(values, relu),
            Self::Relu6 => map(values, relu6),
            Self::Tanh => map(values, tanh),
            Self::Sigmoid => map(values, sigmoid),
            Self::Swish => map(values, swish),
            Self::HardSigmoid => map(values, hard_sigmoid),
            Self::HardSwish => map(values, hard_swish),
            Self::Gelu => map(values, gelu),
        }
    }

    /// Turns the gradient after the activation into that before it; `outputs` are the activation's.
    ///
    /// # Panics
    /// Unless [`has_slope_of_output`](Self::has_slope_of_output).
    pub(crate) fn backward(self, gradient: &mut [f32], outputs: &[f32]) {
        match self {
            Self::None => {}
            Self::Relu => keep_where(gradient, outputs, |y| y > 0.0),
            Self::Relu6 => keep_where(gradient, outputs, |y| y > 0.0 && y < 6.0),
            Self::Tanh => scale(gradient, outputs, |y| 1.0 - y * y),
            Self::Sigmoid => scale(gradient, outputs, |y| y * (1.0 - y)),
            Self::HardSigmoid => scale(gradient, outputs, |y| {
                if y > 0.0 && y < 1.0 { 1.0 / 6.0 } else { 0.0 }
            }),
            Self::Swish | Self::HardSwish | Self::Gelu => unreachable!("recorded by themselves"),
        }
    }
}

/// [`gelu`] of dfdx operations. The slope of dfdx's own `accurate_gelu` lacks a factor of `1 / sqrt(2)`.
fn composed_gelu<S: Shape, D: Device<f32>, T: Tape<f32, D>>(
    x: Tensor<S, f32, D, T>,
) -> Result<Tensor<S, f32, D, T>, D::Err> {
    let (x, tape) = x.split_tape();
    let (size, tape) = x.clone().put_tape(tape).try_abs()?.split_tape();
    let reciprocal = size
        .clone()
        .put_tape(tape)
        .try_mul(GELU_SCALE)?
        .try_add(1.0f32)?
        .try_recip()?;
    let (t, tape) = reciprocal.split_tape();
    let first = t.clone().put_tape(tape).try_mul(GELU_SERIES[0])?;
    let series = (GELU_SERIES[1..].iter()).try_fold(first, |sum, &coefficient| {
        sum.try_add(coefficient)?.try_mul(t.clone())
    })?;
    let bell = size.retaped::<T>().try_square()?.try_mul(-0.5f32)?.try_exp()?;
    let beyond = series.try_mul(bell)?.try_mul(size)?.try_mul(0.5f32)?;
    x.retaped::<T>().try_relu()?.try_sub(beyond)
}

/// Not `max`, which would turn a NaN into a harmless-looking 0.
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

fn relu6(x: f32) -> f32 {
    x.clamp(0.0, 6.0)
}

#[inline(always)]
fn swish(x: f32) -> f32 {
    x * sigmoid(x)
}

fn hard_sigmoid(x: f32) -> f32 {
    relu6(x + 3.0) / 6.0
}

fn hard_swish(x: f32) -> f32 {
    x * hard_sigmoid(x)
}

fn map(values: &mut [f32], each: impl Fn(f32) -> f32) {
    Arch::new().dispatch(|| {
        for value in values.iter_mut() {
            *value = each(*value);
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
