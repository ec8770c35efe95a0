//! The element-wise work of Adam for `Cpu`: one pass over parameter, gradient and moments, on all threads.
//!
//! It is bound by memory: moments are plain vectors that are written to in place, and the gradient is taken out of
//! where it was summed up. Only the parameter, whose data dfdx keeps to itself, is copied out. Its new values are
//! written over the gradient, whose vector dfdx takes without another copy.

use super::{AdamStep, Matrix, OptimizerKernel, ParameterUpdate};
use crate::nn::MatrixResult;
use crate::nn::cpu::slices::{scratch, take_gradient, values};
use crate::nn::device::scalar::DeviceScalar;
use dfdx::prelude::{Cpu, CpuError, Gradients, HasShape, TensorFromVec};
use pulp::Arch;
use rayon::prelude::*;

/// Elements a thread takes at a time.
const PIECE: usize = 1 << 14;

impl OptimizerKernel for Cpu {
    type Moment = Vec<f32>;

    fn try_moment(matrix: &Matrix<Self>) -> Result<Vec<f32>, CpuError> {
        Ok(values(matrix))
    }

    fn try_moment_values(&self, moment: &Vec<f32>, shape: (usize, usize)) -> MatrixResult<Self> {
        self.try_tensor_from_vec(moment.clone(), shape)
    }

    fn try_norm_squared(matrix: &Matrix<Self>) -> Result<f64, CpuError> {
        Ok(norm_squared(&scratch(matrix)))
    }

    fn try_gradient_norm(
        gradients: &mut Gradients<f32, Self>,
        values: &[&Matrix<Self>],
    ) -> Result<DeviceScalar<Self>, CpuError> {
        let mut squares = 0.0;
        for value in values {
            squares += norm_squared(gradients.get_or_alloc_mut(*value)?);
        }
        Ok(DeviceScalar::Known(squares.sqrt() as f32))
    }

    fn try_ema(ema: &mut Vec<f32>, value: &Matrix<Self>, keep: f32) -> Result<(), CpuError> {
        ema.par_chunks_mut(PIECE)
            .zip(scratch(value).par_chunks(PIECE))
            .for_each(|(ema, values)| {
                Arch::new().dispatch(|| {
                    for (ema, value) in ema.iter_mut().zip(values) {
                        *ema = keep * *ema + (1.0 - keep) * value;
                    }
                });
            });
        Ok(())
    }

    fn try_update(
        changes: Vec<ParameterUpdate<'_, Self>>,
        scale: &DeviceScalar<Self>,
        gradients: &mut Gradients<f32, Self>,
    ) -> Result<(), CpuError> {
        let gradients: Vec<Vec<f32>> = changes
            .iter()
            .map(|change| take_gradient(gradients, change.value))
            .collect::<Result<_, _>>()?;
        let scale = scale.get();
        // Side by side: while one thread copies a parameter out, another works on the next.
        changes
            .into_par_iter()
            .zip(gradients)
            .try_for_each(|(change, gradient)| change.make(gradient, scale))
    }
}

impl ParameterUpdate<'_, Cpu> {
    fn make(self, mut gradient: Vec<f32>, scale: f32) -> Result<(), CpuError> {
        let Self {
            value,
            moments,
            update,
        } = self;
        let before = scratch(value);
        gradient
            .par_chunks_mut(PIECE)
            .zip(moments.first.par_chunks_mut(PIECE))
            .zip(moments.second.par_chunks_mut(PIECE))
            .zip(before.par_chunks(PIECE))
            .for_each(|(((gradient, first), second), before)| {
                Arch::new().dispatch(|| update.apply((gradient, scale), first, second, before));
            });
        let after = gradient;
        *value = value.device().try_tensor_from_vec(after, *value.shape())?;
        Ok(())
    }
}

impl AdamStep {
    /// Updates the moments by the gradients times a number, and writes the parameter's new values over the gradients.
    #[inline(always)]
    fn apply(
        self,
        (gradients, scale_of_gradients): (&mut [f32], f32),
        first: &mut [f32],
        second: &mut [f32],
        before: &[f32],
    ) {
        for (((place, first), second), before) in gradients.iter_mut().zip(first).zip(second).zip(before) {
            let gradient = *place * scale_of_gradients;
            *first = self.beta1 * *first + (1.0 - self.beta1) * gradient;
            *second = self.beta2 * *second + (1.0 - self.beta2) * gradient * gradient;
            let scale = second.sqrt() * self.second_scale + self.eps;
            *place = self.keep * before - self.rate * *first / scale;
        }
    }
}

fn norm_squared(values: &[f32]) -> f64 {
    let pieces: Vec<f64> = values
        .par_chunks(PIECE)
        .map(|piece| Arch::new().dispatch(|| sum_of_squares(piece)))
        .collect();
    // Summed in order: the same bits whatever thread was faster.
    pieces.iter().sum()
}

/// In several sums side by side, since one alone would wait for itself at every step.
#[inline(always)]
fn sum_of_squares(values: &[f32]) -> f64 {
    const LANES: usize = 32;
    let mut lanes = [0.0; LANES];
    let pieces = values.chunks_exact(LANES);
    let rest = pieces.remainder().iter();
    for piece in pieces {
        for (lane, &value) in lanes.iter_mut().zip(piece) {
            *lane += f64::from(value) * f64::from(value);
        }
    }
    let rest: f64 = rest.map(|&value| f64::from(value) * f64::from(value)).sum();
    lanes.iter().sum::<f64>() + rest
}
