//! The element-wise work of Adam for `Cpu`: one pass over parameter, gradient and moments, on all threads.

use super::{Matrix, Moments, OptimiserKernel, Update};
use crate::nn::host::values;
use dfdx::prelude::Cpu;
use rayon::prelude::*;

/// Elements a thread takes at a time.
const PIECE: usize = 1 << 14;

impl OptimiserKernel for Cpu {
    fn try_norm_squared(gradient: &Matrix<Self>) -> Result<f64, Self::Err> {
        let pieces: Vec<f64> = values(gradient)
            .par_chunks(PIECE)
            .map(|piece| piece.iter().map(|&x| f64::from(x) * f64::from(x)).sum())
            .collect();
        // Summed in order: the same bits whatever thread was faster.
        Ok(pieces.iter().sum())
    }

    fn try_update(
        value: &mut Matrix<Self>,
        gradient: Matrix<Self>,
        moments: &mut Moments<Self>,
        update: Update,
    ) -> Result<(), Self::Err> {
        let gradient = values(&gradient);
        let (mut values, mut first, mut second) =
            (values(value), values(&moments.first), values(&moments.second));
        values
            .par_chunks_mut(PIECE)
            .zip(first.par_chunks_mut(PIECE))
            .zip(second.par_chunks_mut(PIECE))
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
        moments.first.copy_from(&first);
        moments.second.copy_from(&second);
        Ok(())
    }
}
