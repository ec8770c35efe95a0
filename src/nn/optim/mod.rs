//! Adam, with moments that can be saved.
//!
//! Kingma & Ba 2015, algorithm 1; weight decay decoupled from the gradient as in Loshchilov & Hutter 2019,
//! algorithm 2 (AdamW); gradients clipped by their global norm (Pascanu et al. 2013, algorithm 1).
//! dfdx has an Adam, but keeps its moments private, so that a training could not be resumed exactly.

mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
mod ema;
#[cfg(test)]
mod tests;

use crate::nn::{AsyncDevice, Backend, DeviceResult, DeviceScalar, Matrix, MatrixResult, Parameter, Scalar};
use dfdx::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;

pub use ema::Ema;

/// The settings of [`Adam`] that stay the same during a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamSettings {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Fraction of every weight matrix subtracted at each step, times the learning rate. Biases and other
    /// single rows do not decay.
    pub weight_decay: f32,
    /// Gradients are scaled down to this global norm; zero: no clipping.
    pub max_grad_norm: f32,
}

impl Default for AdamSettings {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 5.0,
        }
    }
}

/// Running moments of one parameter's gradient, of the parameter's shape; see [`OptimizerKernel::Moment`].
#[derive(Clone, Debug)]
pub struct Moments<M> {
    /// Mean of the gradient.
    pub first: M,
    /// Mean of its square.
    pub second: M,
}

/// The Adam optimizer over a fixed list of parameters.
#[derive(Clone, Debug)]
pub struct Adam<D: Backend> {
    /// The settings.
    pub settings: AdamSettings,
    /// Steps made so far.
    pub step: u64,
    /// One for every parameter, in the order of the list.
    pub moments: Vec<Moments<D::Moment>>,
}

/// One update's numbers, the same for every element.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// Learning rate over the first moment's bias correction.
    pub rate: f32,
    /// One over the root of the second moment's bias correction.
    pub second_scale: f32,
    /// The factor of a decaying element.
    pub keep: f32,
    /// See [`AdamSettings::beta1`].
    pub beta1: f32,
    /// See [`AdamSettings::beta2`].
    pub beta2: f32,
    /// See [`AdamSettings::eps`].
    pub eps: f32,
}

/// The element-wise work of [`Adam`].
pub trait OptimizerKernel: AsyncDevice {
    /// The storage of a running moment: a matrix, or memory that is written to in place.
    type Moment: Clone + fmt::Debug;

    /// A moment of these values.
    fn try_moment(values: &Matrix<Self>) -> Result<Self::Moment, Self::Err>;

    /// The values of a moment, `[rows, columns]`.
    fn try_moment_values(&self, moment: &Self::Moment, shape: (usize, usize)) -> MatrixResult<Self>;

    /// The sum of the squares of a matrix.
    fn try_norm_squared(matrix: &Matrix<Self>) -> Result<f64, Self::Err> {
        let sum: Tensor<(), f32, Self> = matrix.clone().try_square()?.try_sum()?;
        Ok(f64::from(sum.as_vec()[0]))
    }

    /// The norm of the gradients of all these parameters together.
    fn try_gradient_norm(
        gradients: &mut Gradients<f32, Self>,
        values: &[&Matrix<Self>],
    ) -> Result<DeviceScalar<Self>, Self::Err>;

    /// `ema = keep * ema + (1 - keep) * value`
    fn try_ema(ema: &mut Self::Moment, value: &Matrix<Self>, keep: f32) -> Result<(), Self::Err>;

    /// Makes all changes of a step, of the gradients times `scale`. Gradients are used up.
    fn try_update(
        changes: Vec<ParameterUpdate<'_, Self>>,
        scale: &DeviceScalar<Self>,
        gradients: &mut Gradients<f32, Self>,
    ) -> Result<(), Self::Err>;
}

/// The change of one parameter in a step.
#[derive(Debug)]
pub struct ParameterUpdate<'a, D: OptimizerKernel> {
    /// The parameter.
    pub value: &'a mut Matrix<D>,
    /// Its moments.
    pub moments: &'a mut Moments<D::Moment>,
    /// By what it changes.
    pub update: AdamStep,
}

impl<D: Backend> Adam<D> {
    /// All moments zero.
    pub fn new<'a>(
        settings: AdamSettings,
        parameters: impl IntoIterator<Item = &'a Parameter<D>>,
    ) -> DeviceResult<D, Self> {
        let moments = parameters
            .into_iter()
            .map(|parameter| {
                let zeros = parameter.value.device().try_zeros_like(parameter.value.shape())?;
                let zeros = D::try_moment(&zeros)?;
                Ok(Moments {
                    first: zeros.clone(),
                    second: zeros,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            settings,
            step: 0,
            moments,
        })
    }

    /// Updates all parameters from their gradients. Returns the gradients' global norm before clipping. If the host
    /// knows at once that it is not finite, nothing is changed; if it reads that later, the parameters are lost.
    ///
    /// The parameters must come in the order given to [`Adam::new`].
    pub fn update<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = &'a mut Parameter<D>>,
        gradients: &mut Gradients<f32, D>,
        learning_rate: f32,
    ) -> DeviceResult<D, DeviceScalar<D>> {
        let parameters: Vec<_> = parameters.into_iter().collect();
        let values: Vec<&Matrix<D>> = parameters.iter().map(|parameter| &parameter.value).collect();
        let norm = D::try_gradient_norm(gradients, &values)?;
        if norm.try_get().is_some_and(|norm| !norm.is_finite()) {
            return Ok(norm);
        }
        self.step += 1;
        let scale = norm.clip_factor(self.settings.max_grad_norm)?;
        let update = self.numbers(learning_rate);
        let changes = parameters
            .into_iter()
            .zip(&mut self.moments)
            .map(|(parameter, moments)| {
                let rate = parameter.rate;
                let keep = match parameter.shape() {
                    (1, _) => 1.0,
                    _ => 1.0 - rate * (1.0 - update.keep),
                };
                ParameterUpdate {
                    value: &mut parameter.value,
                    moments,
                    update: AdamStep {
                        keep,
                        rate: update.rate * rate,
                        ..update
                    },
                }
            })
            .collect();
        D::try_update(changes, &scale, gradients)?;
        Ok(norm)
    }

    fn numbers(&self, learning_rate: f32) -> AdamStep {
        let AdamSettings {
            beta1,
            beta2,
            eps,
            weight_decay,
            max_grad_norm: _,
        } = self.settings;
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(self.step as f64);
        AdamStep {
            rate: (f64::from(learning_rate) / correction(beta1)) as f32,
            second_scale: (1.0 / correction(beta2).sqrt()) as f32,
            keep: 1.0 - learning_rate * weight_decay,
            beta1,
            beta2,
            eps,
        }
    }
}

/// [`OptimizerKernel::try_gradient_norm`] composed of dfdx operations: nothing leaves the device.
pub fn composed_norm<D: Device<f32>>(
    gradients: &mut Gradients<f32, D>,
    values: &[&Matrix<D>],
) -> DeviceResult<D, Option<Scalar<D>>> {
    let mut squares: Option<Scalar<D>> = None;
    for value in values {
        gradients.get_or_alloc_mut(*value)?;
        let square = gradients.get(*value).try_square()?.try_sum()?;
        squares = Some(match squares {
            None => square,
            Some(squares) => squares.try_add(square)?,
        });
    }
    squares.map(Scalar::<D>::try_sqrt).transpose()
}

/// [`OptimizerKernel::try_ema`], composed of dfdx operations.
#[cfg(any(test, feature = "cuda"))]
fn composed_ema<D: Device<f32>>(ema: &mut Matrix<D>, value: &Matrix<D>, keep: f32) -> DeviceResult<D, ()> {
    let new = value.clone().try_mul(1.0 - keep)?;
    *ema = ema.clone().try_mul(keep)?.try_add(new)?;
    Ok(())
}

/// An update composed of dfdx operations: the plain formulation, for any device that keeps moments, first and second, in
/// matrices.
pub fn composed_update<D: Device<f32>>(
    value: &mut Matrix<D>,
    gradient: Matrix<D>,
    [first, second]: [&mut Matrix<D>; 2],
    scale: &DeviceScalar<D>,
    update: AdamStep,
) -> DeviceResult<D, ()> {
    let AdamStep {
        rate,
        second_scale,
        keep,
        beta1,
        beta2,
        eps,
    } = update;
    let gradient = match scale {
        DeviceScalar::Known(scale) => gradient.try_mul(*scale)?,
        DeviceScalar::OnDevice(scale) => {
            let scale = scale.clone().try_broadcast_like(gradient.shape())?;
            gradient.try_mul(scale)?
        }
    };
    let squared = gradient.clone().try_square()?.try_mul(1.0 - beta2)?;
    *first = first
        .clone()
        .try_mul(beta1)?
        .try_add(gradient.try_mul(1.0 - beta1)?)?;
    *second = second.clone().try_mul(beta2)?.try_add(squared)?;
    let scale = second.clone().try_sqrt()?.try_mul(second_scale)?.try_add(eps)?;
    let change = first.clone().try_mul(rate)?.try_div(scale)?;
    *value = value.clone().try_mul(keep)?.try_sub(change)?;
    Ok(())
}
