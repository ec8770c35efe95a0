//! The fully connected layer on a GPU.
//!
//! Why it is fast: a product, and one pass over what comes of it for bias and nonlinearity; gradients are added by the
//! products themselves to what is there already.

use super::Matrix;
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::Existing;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{Engine, Operand, Own, elementwise};
use crate::nn::ops::activation::Activation;
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::LinearKernel for Cuda {
    fn try_linear<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        weight: &Matrix<Self>,
        bias: &Matrix<Self>,
        activation: Activation,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match rows.device().engine() {
            Some(engine) => fused(engine, rows, weight, bias, activation),
            None => super::composed(rows, weight, bias, activation),
        }
    }
}

/// [`LinearKernel::try_linear`](super::LinearKernel::try_linear).
pub(super) fn fused<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
    rows: Matrix<D, T>,
    weight: &Matrix<D>,
    bias: &Matrix<D>,
    activation: Activation,
) -> DeviceResult<D, Matrix<D, T>> {
    let (rows, mut tape) = rows.split_tape();
    let rows = contiguous(&rows, &mut tape)?;
    let weight = contiguous(weight, &mut tape)?;
    let bias = contiguous(bias, &mut tape)?;
    let ((count, inputs), (_, outputs)) = (*rows.shape(), *weight.shape());
    let (y, out) = elementwise::fresh(rows.device(), (count, outputs))?;
    let x = Operand::new(D::span(&rows), count, inputs);
    let w = Operand::new(D::span(&weight), inputs, outputs);
    engine.multiply(out, x, w, Existing::Overwrite)?;
    elementwise::finish_rows(&engine, out, D::span(&bias), activation)?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        elementwise::undo_activation(&engine, gradient, out, activation)?;
        let down = Operand::new(gradient, count, outputs);
        let (x, w) = (
            Operand::new(D::span(&rows), count, inputs),
            Operand::new(D::span(&weight), inputs, outputs),
        );
        engine.multiply(
            D::gradient(gradients, &weight)?,
            x.transposed(),
            down,
            Existing::Accumulate,
        )?;
        elementwise::column_sums(
            &engine,
            gradient,
            D::gradient(gradients, &bias)?,
            Existing::Accumulate,
        )?;
        engine.multiply(
            D::gradient(gradients, &rows)?,
            down,
            w.transposed(),
            Existing::Accumulate,
        )
    });
    Ok(result.put_tape(tape))
}
