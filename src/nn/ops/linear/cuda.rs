//! The fully connected layer on a GPU.
//!
//! Why it is fast: a product, and one pass over what comes of it for bias and nonlinearity; gradients are added by the
//! products themselves to what is there already.

use super::Matrix;
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{KernelDevice, Operand, Stream, elementwise};
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
        match rows.device().stream() {
            Some(stream) => fused(stream, rows, weight, bias, activation),
            None => super::composed(rows, weight, bias, activation),
        }
    }
}

/// [`LinearKernel::try_linear`](super::LinearKernel::try_linear).
pub(super) fn fused<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
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
    let (y, out) = elementwise::alloc_tensor(rows.device(), (count, outputs))?;
    let x = Operand::new(D::slice(&rows), count, inputs);
    let w = Operand::new(D::slice(&weight), inputs, outputs);
    stream.multiply(out, x, w, WriteMode::Overwrite)?;
    elementwise::finish_rows(&stream, out, D::slice(&bias), activation)?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        elementwise::activation_backward(&stream, gradient, out, activation)?;
        let down = Operand::new(gradient, count, outputs);
        let (x, w) = (
            Operand::new(D::slice(&rows), count, inputs),
            Operand::new(D::slice(&weight), inputs, outputs),
        );
        stream.multiply(
            D::gradient(gradients, &weight)?,
            x.transposed(),
            down,
            WriteMode::Accumulate,
        )?;
        elementwise::column_sums(
            &stream,
            gradient,
            D::gradient(gradients, &bias)?,
            WriteMode::Accumulate,
        )?;
        stream.multiply(
            D::gradient(gradients, &rows)?,
            down,
            w.transposed(),
            WriteMode::Accumulate,
        )
    });
    Ok(result.put_tape(tape))
}
