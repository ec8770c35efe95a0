//! The output layer and its loss on a GPU.
//!
//! Why it is fast: logits are written once, by their product; one kernel, a block for each row, turns them into the
//! gradient of the loss in place. They are the largest buffer in training, and there is no second of their size.

use super::{Linear, OutputInputs, Scalar, Targets};
use crate::nn::backend::{Backend, DeviceResult};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cuda::{DeviceBuffer, Elementwise, Grid, KernelDevice, Operand, Stream, launch};
use crate::nn::tape::record;
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
crate::nn::cuda::impl_for_cuda! { super::CrossEntropyKernel:
    fn try_cross_entropy(inputs: OutputInputs<Self, T>, output: &Linear<Self>, targets: Targets<'_>) -> Scalar<Self, T>
        = fused;
}

/// [`CrossEntropyKernel::try_cross_entropy`](super::CrossEntropyKernel::try_cross_entropy).
///
/// The gradient of the whole loss with respect to the mean loss is a number on the GPU; reading it would synchronize.
pub(super) fn fused<D: KernelDevice + Backend, T: Tape<f32, D>>(
    inputs: OutputInputs<D, T>,
    output: &Linear<D>,
    targets: Targets<'_>,
) -> DeviceResult<D, Scalar<D, T>> {
    let rows = inputs.into_rows();
    let Some(stream) = rows.device().stream() else {
        return super::composed(rows, output, targets);
    };
    let (rows, tape) = rows.try_contiguous()?.split_tape();
    let (weight, bias) = (output.weight.value.clone(), output.bias.value.clone());
    let (count, (inputs, outputs)) = (rows.shape().0, output.weight.shape());
    assert_eq!(count, targets.columns.len(), "one target for every row");
    // The logits without their bias, then the gradient of the mean loss.
    let logits = stream.alloc(count * outputs)?;
    let w = Operand::new(D::slice(&weight), inputs, outputs);
    let x = Operand::new(D::slice(&rows), count, inputs);
    stream.matmul(logits.slice(), x, w, WriteMode::Overwrite)?;

    let (loss, sum) = rows.device().alloc_tensor(())?;
    let columns = stream.upload_indices(targets.columns)?;
    let weights = targets
        .weights
        .map(|weights| stream.upload(weights.to_vec()))
        .transpose()?;
    let weights = weights.as_ref().map(|weights| weights.slice().first(count));
    let losses = stream.alloc(count)?;
    // Without a share of the loss, the kernel makes no gradient.
    let share = if T::OWNS_TAPE { 1.0 / count as f32 } else { 0.0 };
    let (of_bias, smoothing) = (D::slice(&bias).first(outputs), targets.smoothing);
    launch!(stream => softmax_cross_entropy[Grid::blocks(count, 1)](
        logits.slice(), of_bias, columns.slice(), weights, losses.slice(), outputs, smoothing, share))?;
    stream.total(losses.slice(), 1.0 / count as f32, sum)?;
    Ok(record(loss, tape, move |gradients, loss| {
        let scale = D::gradient(gradients, loss)?;
        let gradient = Operand::new(logits.slice(), count, outputs);
        let rows_like = stream.alloc(count * inputs)?;
        stream.scale(D::slice(&rows), scale, rows_like.slice())?;
        let scaled = Operand::new(rows_like.slice(), count, inputs).transposed();
        let (to_weight, mode) = D::gradient_target(gradients, &weight)?;
        stream.matmul(to_weight, scaled, gradient, mode)?;
        stream.matmul(rows_like.slice(), gradient, w.transposed(), WriteMode::Overwrite)?;
        stream.write_scaled(rows_like.slice(), scale, D::gradient_target(gradients, &rows)?)?;
        let sums = stream.alloc(outputs)?;
        stream.column_sums(logits.slice(), sums.slice(), WriteMode::Overwrite)?;
        stream.write_scaled(sums.slice(), scale, D::gradient_target(gradients, &bias)?)
    }))
}
