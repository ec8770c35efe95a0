//! The fully connected layer for `Cpu`.
//!
//! Why it is fast: bias and ReLU go over the sums while they are in the cache, and gradients are added by the
//! products themselves to what is there already.

use super::{LinearKernel, Matrix, composed};
use crate::nn::MatrixResult;
use crate::nn::cpu::matmul::{MatRef, WriteMode, product};
use crate::nn::cpu::slices::{add_rows, scratch, take_gradient};
use crate::nn::ops::activation::Activation;
use crate::nn::tape::{contiguous, record};
use dfdx::prelude::*;
use rayon::prelude::*;

/// Rows whose sums a thread finishes at a time.
const PIECE: usize = 64;

impl LinearKernel for Cpu {
    fn try_linear<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        weight: &Matrix<Self>,
        bias: &Matrix<Self>,
        activation: Activation,
    ) -> MatrixResult<Self, T> {
        if !T::OWNS_TAPE {
            // dfdx reads the weights in place. For the few rows of captioning, copying them out would be most of the work.
            return composed(rows, weight, bias, activation);
        }
        let (rows, mut tape) = rows.try_contiguous()?.split_tape();
        let weight = contiguous(weight, &mut tape)?;
        let ((count, inputs), (_, outputs)) = (*rows.shape(), *weight.shape());
        assert_eq!(weight.shape().0, inputs, "rows of a weight matrix");
        assert_eq!(*bias.shape(), (1, outputs), "shape of a bias");
        let x = scratch(&rows);
        let w = scratch(&weight);
        let mut y = vec![0.0; count * outputs];
        product(
            &mut y,
            MatRef::new(&x, count, inputs),
            MatRef::new(&w, inputs, outputs),
            WriteMode::Overwrite,
        );
        let b = scratch(bias);
        y.par_chunks_mut((PIECE * outputs).max(1))
            .for_each(|y| activation.finish(y, &b));
        let y = rows.device().try_tensor_from_vec(y, (count, outputs))?;
        let bias = bias.clone();
        Ok(record(y, tape, move |gradients, y| {
            let mut output = take_gradient(gradients, y)?;
            if activation != Activation::None {
                activation.backward(&mut output, &scratch(y));
            }
            let output_view = MatRef::new(&output, count, outputs);
            product(
                gradients.get_or_alloc_mut(&weight)?,
                MatRef::new(&x, count, inputs).transposed(),
                output_view,
                WriteMode::Accumulate,
            );
            add_rows(gradients.get_or_alloc_mut(&bias)?, &output);
            product(
                gradients.get_or_alloc_mut(&rows)?,
                output_view,
                MatRef::new(&w, inputs, outputs).transposed(),
                WriteMode::Accumulate,
            );
            Ok(())
        }))
    }
}
