//! The element-wise work of Adam for `Cpu`: one pass over parameter, gradient and moments, on all threads.
//!
//! It is bound by memory: moments are plain vectors that are written to in place, and the gradient is taken out of
//! where it was summed up. Only the parameter, whose data dfdx keeps to itself, is copied out and back in.

use super::{Matrix, Moments, OptimiserKernel, Update};
use crate::nn::host::{put_gradient, take_gradient, values};
use dfdx::prelude::{Cpu, CpuError, Gradients, TensorFromVec};
use rayon::prelude::*;

/// Elements a thread takes at a time.
const PIECE: usize = 1 << 14;

impl OptimiserKernel for Cpu {
    type Moment = Vec<f32>;

    fn try_moment(matrix: &Matrix<Self>) -> Result<Vec<f32>, CpuError> {
        Ok(values(matrix))
    }

    fn try_moment_values(&self, moment: &Vec<f32>, shape: (usize, usize)) -> Result<Matrix<Self>, CpuError> {
        self.try_tensor_from_vec(moment.clone(), shape)
    }

    fn try_norm_squared(matrix: &Matrix<Self>) -> Result<f64, CpuError> {
        Ok(norm_squared(&values(matrix)))
    }

    fn try_gradient_norm_squared(
        gradients: &mut Gradients<f32, Self>,
        value: &Matrix<Self>,
    ) -> Result<f64, CpuError> {
        Ok(norm_squared(gradients.get_or_alloc_mut(value)?))
    }

    fn try_update(
        value: &mut Matrix<Self>,
        gradients: &mut Gradients<f32, Self>,
        moments: &mut Moments<Vec<f32>>,
        update: Update,
    ) -> Result<(), CpuError> {
        let gradient = take_gradient(gradients, value)?;
        let mut values = values(value);
        values
            .par_chunks_mut(PIECE)
            .zip(moments.first.par_chunks_mut(PIECE))
            .zip(moments.second.par_chunks_mut(PIECE))
            .zip(gradient.par_chunks(PIECE))
            .for_each(|(((values, first), second), gradient)| {
                for (((value, first), second), gradient) in
                    values.iter_mut().zip(first).zip(second).zip(gradient)
                {
                    let gradient = gradient * update.gradient_scale;
                    *first = update.beta1 * *first + (1.0 - update.beta1) * gradient;
                    *second = update.beta2 * *second + (1.0 - update.beta2) * gradient * gradient;
                    let scale = second.sqrt() * update.second_scale + update.epsilon;
                    *value = update.keep * *value - update.rate * *first / scale;
                }
            });
        value.copy_from(&values);
        put_gradient(gradients, value, gradient)
    }
}

fn norm_squared(values: &[f32]) -> f64 {
    let pieces: Vec<f64> = values
        .par_chunks(PIECE)
        .map(|piece| piece.iter().map(|&x| f64::from(x) * f64::from(x)).sum())
        .collect();
    // Summed in order: the same bits whatever thread was faster.
    pieces.iter().sum()
}
