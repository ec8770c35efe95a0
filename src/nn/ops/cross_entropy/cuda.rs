//! The output layer and its loss on a GPU.
//!
//! Why it is fast: logits are written once, by their product; one kernel, a block for each row, turns them into the
//! gradient of the loss in place. They are the largest thing in training, and there is no second of their size.

use super::{Linear, Matrix, Scalar, Targets};
use crate::nn::backend::{Backend, DeviceResult};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{DeviceBuffer, DeviceSlice, KernelDevice, Launch, Operand, Stream, elementwise};
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::CrossEntropyKernel for Cuda {
    fn try_cross_entropy<T: Tape<f32, Self>>(
        inputs: super::OutputInputs<Self, T>,
        output: &Linear<Self>,
        targets: Targets<'_>,
    ) -> DeviceResult<Self, Scalar<Self, T>> {
        let rows = inputs.into_rows();
        match rows.device().stream() {
            Some(stream) => fused(stream, rows, output, targets),
            None => super::composed(rows, output, targets),
        }
    }
}

/// [`CrossEntropyKernel::try_cross_entropy`](super::CrossEntropyKernel::try_cross_entropy).
pub(super) fn fused<D: KernelDevice + Backend, T: Tape<f32, D>>(
    stream: D::Stream,
    rows: Matrix<D, T>,
    output: &Linear<D>,
    targets: Targets<'_>,
) -> DeviceResult<D, Scalar<D, T>> {
    let (rows, mut tape) = rows.split_tape();
    let rows = contiguous(&rows, &mut tape)?;
    let (weight, bias) = (output.weight.value.clone(), output.bias.value.clone());
    let (inputs, outputs) = output.weight.shape();
    let layer = OutputLayer {
        logits: stream.alloc(rows.shape().0 * outputs)?,
        count: rows.shape().0,
        inputs,
        outputs,
        stream,
    };
    let (loss, sum) = elementwise::alloc_tensor(rows.device(), ())?;
    let share = if T::OWNS_TAPE {
        1.0 / layer.count as f32
    } else {
        0.0
    };
    layer.multiply(D::slice(&rows), D::slice(&weight))?;
    layer.loss(D::slice(&bias), targets, share, sum)?;
    let result = loss.clone();
    tape.add_backward_op(move |gradients| {
        let scale = D::gradient(gradients, &loss)?;
        layer.to_weight(D::slice(&rows), scale, D::gradient(gradients, &weight)?)?;
        layer.to_rows(D::slice(&weight), scale, D::gradient(gradients, &rows)?)?;
        layer.to_bias(scale, D::gradient(gradients, &bias)?)
    });
    Ok(result.put_tape(tape))
}

struct OutputLayer<E: Stream> {
    stream: E,
    /// `[count, outputs]`: the logits without their bias, then the gradient of the mean loss.
    logits: E::Buffer,
    count: usize,
    inputs: usize,
    outputs: usize,
}

/// What the gradient of the whole loss is to that of the mean is a number on the GPU; reading it would synchronize.
impl<E: Stream> OutputLayer<E> {
    fn multiply(&self, rows: DeviceSlice, weight: DeviceSlice) -> Result<(), E::Error> {
        self.stream.multiply(
            self.logits.slice(),
            Operand::new(rows, self.count, self.inputs),
            Operand::new(weight, self.inputs, self.outputs),
            WriteMode::Overwrite,
        )
    }

    /// Writes the mean loss to `sum`. No gradient is made where a row has no share in it.
    fn loss(
        &self,
        bias: DeviceSlice,
        targets: Targets<'_>,
        share: f32,
        sum: DeviceSlice,
    ) -> Result<(), E::Error> {
        let count = self.count;
        assert_eq!(count, targets.columns.len(), "one target for every row");
        let columns = self.stream.upload_indices(targets.columns)?;
        let weights = targets
            .weights
            .map(|weights| self.stream.upload(weights.to_vec()))
            .transpose()?;
        let losses = self.stream.alloc(count)?;
        self.stream.run(
            Launch::of_blocks("softmax_cross_entropy", [count, 1])
                .values(self.logits.slice(), count * self.outputs)
                .values(bias, self.outputs)
                .values(columns.slice(), count)
                .values_if_any(weights.as_ref().map(DeviceBuffer::slice), count)
                .values(losses.slice(), count)
                .size(self.outputs)
                .number(targets.smoothing)
                .number(share),
        )?;
        elementwise::total(&self.stream, losses.slice(), 1.0 / count as f32, sum)
    }

    fn to_weight(
        &self,
        rows: DeviceSlice,
        scale: DeviceSlice,
        to_weight: DeviceSlice,
    ) -> Result<(), E::Error> {
        let scaled = self.stream.alloc(self.count * self.inputs)?;
        elementwise::scale(&self.stream, rows, scale, scaled.slice())?;
        let scaled = Operand::new(scaled.slice(), self.count, self.inputs).transposed();
        self.stream
            .multiply(to_weight, scaled, self.gradient(), WriteMode::Accumulate)
    }

    fn to_rows(&self, weight: DeviceSlice, scale: DeviceSlice, to_rows: DeviceSlice) -> Result<(), E::Error> {
        let down = self.stream.alloc(self.count * self.inputs)?;
        let weight = Operand::new(weight, self.inputs, self.outputs).transposed();
        self.stream
            .multiply(down.slice(), self.gradient(), weight, WriteMode::Overwrite)?;
        elementwise::add_scaled(&self.stream, down.slice(), scale, to_rows)
    }

    fn to_bias(&self, scale: DeviceSlice, to_bias: DeviceSlice) -> Result<(), E::Error> {
        let sums = self.stream.alloc(self.outputs)?;
        elementwise::column_sums(
            &self.stream,
            self.logits.slice(),
            sums.slice(),
            WriteMode::Overwrite,
        )?;
        elementwise::add_scaled(&self.stream, sums.slice(), scale, to_bias)
    }

    fn gradient(&self) -> Operand {
        Operand::new(self.logits.slice(), self.count, self.outputs)
    }
}
