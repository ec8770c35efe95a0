//! The fully connected layer on a GPU.
//!
//! Why it is fast: a product, and one pass over its result for bias and activation; the products of the backward pass add
//! to the gradients in place.

use super::Matrix;
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cuda::{Elementwise, KernelDevice, Operand, Stream};
use crate::nn::tape::{contiguous, record};
use crate::nn::{Activation, MatrixResult};
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
crate::nn::cuda::impl_for_cuda! { super::LinearKernel:
    fn try_linear(rows: Matrix<Self, T>, weight: &Matrix<Self>, bias: &Matrix<Self>, activation: Activation) -> Matrix<Self, T>
        = fused;
}

/// [`LinearKernel::try_linear`](super::LinearKernel::try_linear).
pub(super) fn fused<D: KernelDevice, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    weight: &Matrix<D>,
    bias: &Matrix<D>,
    activation: Activation,
) -> MatrixResult<D, T> {
    let Some(stream) = rows.device().stream() else {
        return super::composed(rows, weight, bias, activation);
    };
    let (rows, mut tape) = rows.try_contiguous()?.split_tape();
    let weight = contiguous(weight, &mut tape)?;
    let bias = contiguous(bias, &mut tape)?;
    let ((count, inputs), (_, outputs)) = (*rows.shape(), *weight.shape());
    let (y, out) = rows.device().alloc_tensor((count, outputs))?;
    let x = Operand::new(D::slice(&rows), count, inputs);
    let w = Operand::new(D::slice(&weight), inputs, outputs);
    stream.matmul(out, x, w, WriteMode::Overwrite)?;
    stream.finish_rows(out, D::slice(&bias), activation)?;
    Ok(record(y, tape, move |gradients, y| {
        let gradient = D::gradient(gradients, y)?;
        stream.activation_backward(gradient, out, activation)?;
        let down = Operand::new(gradient, count, outputs);
        let (to_weight, mode) = D::gradient_target(gradients, &weight)?;
        stream.matmul(to_weight, x.transposed(), down, mode)?;
        let (to_bias, mode) = D::gradient_target(gradients, &bias)?;
        stream.column_sums(gradient, to_bias, mode)?;
        let (to_rows, mode) = D::gradient_target(gradients, &rows)?;
        stream.matmul(to_rows, down, w.transposed(), mode)
    }))
}
