//! The output layer and its loss on a GPU.
//!
//! Why it is fast: logits are written once, by their product; one kernel, a block for each row, turns them into the
//! gradient of the loss where they lie. They are the largest thing in training, and there is no second of their size.

use super::{Linear, Matrix, Scalar, Targets};
use crate::nn::backend::{Backend, DeviceResult};
use crate::nn::cpu::matmul::Existing;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{Call, Engine, Operand, Own, Room, Span, elementwise};
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::CrossEntropyKernel for Cuda {
    fn try_cross_entropy<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        _: super::Zeros,
        output: &Linear<Self>,
        targets: Targets<'_>,
    ) -> DeviceResult<Self, Scalar<Self, T>> {
        match rows.device().engine() {
            Some(engine) => fused(engine, rows, output, targets),
            None => super::composed(rows, output, targets),
        }
    }
}

/// [`CrossEntropyKernel::try_cross_entropy`](super::CrossEntropyKernel::try_cross_entropy).
pub(super) fn fused<D: Own + Backend, T: Tape<f32, D>>(
    engine: D::Engine,
    rows: Matrix<D, T>,
    output: &Linear<D>,
    targets: Targets<'_>,
) -> DeviceResult<D, Scalar<D, T>> {
    let (rows, mut tape) = rows.split_tape();
    let rows = contiguous(&rows, &mut tape)?;
    let (weight, bias) = (output.weight.value.clone(), output.bias.value.clone());
    let (inputs, outputs) = output.weight.shape();
    let layer = OutputLayer {
        logits: engine.room(rows.shape().0 * outputs)?,
        count: rows.shape().0,
        inputs,
        outputs,
        engine,
    };
    let (loss, sum) = elementwise::fresh(rows.device(), ())?;
    let share = if T::OWNS_TAPE {
        1.0 / layer.count as f32
    } else {
        0.0
    };
    layer.multiply(D::span(&rows), D::span(&weight))?;
    layer.loss(D::span(&bias), targets, share, sum)?;
    let result = loss.clone();
    tape.add_backward_op(move |gradients| {
        let scale = D::gradient(gradients, &loss)?;
        layer.to_weight(D::span(&rows), scale, D::gradient(gradients, &weight)?)?;
        layer.to_rows(D::span(&weight), scale, D::gradient(gradients, &rows)?)?;
        layer.to_bias(scale, D::gradient(gradients, &bias)?)
    });
    Ok(result.put_tape(tape))
}

struct OutputLayer<E: Engine> {
    engine: E,
    /// `[count, outputs]`: the logits without their bias, then the gradient of the mean loss.
    logits: E::Room,
    count: usize,
    inputs: usize,
    outputs: usize,
}

/// What the gradient of the whole loss is to that of the mean is a number that the GPU alone knows: nobody waits for it.
impl<E: Engine> OutputLayer<E> {
    fn multiply(&self, rows: Span, weight: Span) -> Result<(), E::Error> {
        self.engine.multiply(
            self.logits.span(),
            Operand::new(rows, self.count, self.inputs),
            Operand::new(weight, self.inputs, self.outputs),
            Existing::Overwrite,
        )
    }

    /// Writes the mean loss to `sum`. No gradient is made where a row has no share in it.
    fn loss(&self, bias: Span, targets: Targets<'_>, share: f32, sum: Span) -> Result<(), E::Error> {
        let count = self.count;
        assert_eq!(count, targets.columns.len(), "one target for every row");
        let columns = self.engine.upload_indices(targets.columns)?;
        let weights = targets
            .weights
            .map(|weights| self.engine.upload(weights.to_vec()))
            .transpose()?;
        let losses = self.engine.room(count)?;
        self.engine.run(
            Call::of_blocks("softmax_cross_entropy", [count, 1])
                .values(self.logits.span(), count * self.outputs)
                .values(bias, self.outputs)
                .values(columns.span(), count)
                .values_if_any(weights.as_ref().map(Room::span), count)
                .values(losses.span(), count)
                .size(self.outputs)
                .number(targets.smoothing)
                .number(share),
        )?;
        elementwise::total(&self.engine, losses.span(), 1.0 / count as f32, sum)
    }

    fn to_weight(&self, rows: Span, scale: Span, to_weight: Span) -> Result<(), E::Error> {
        let scaled = self.engine.room(self.count * self.inputs)?;
        elementwise::scale(&self.engine, rows, scale, scaled.span())?;
        let scaled = Operand::new(scaled.span(), self.count, self.inputs).transposed();
        self.engine
            .multiply(to_weight, scaled, self.gradient(), Existing::Accumulate)
    }

    fn to_rows(&self, weight: Span, scale: Span, to_rows: Span) -> Result<(), E::Error> {
        let down = self.engine.room(self.count * self.inputs)?;
        let weight = Operand::new(weight, self.inputs, self.outputs).transposed();
        self.engine
            .multiply(down.span(), self.gradient(), weight, Existing::Overwrite)?;
        elementwise::add_scaled(&self.engine, down.span(), scale, to_rows)
    }

    fn to_bias(&self, scale: Span, to_bias: Span) -> Result<(), E::Error> {
        let sums = self.engine.room(self.outputs)?;
        elementwise::column_sums(&self.engine, self.logits.span(), sums.span(), Existing::Overwrite)?;
        elementwise::add_scaled(&self.engine, sums.span(), scale, to_bias)
    }

    fn gradient(&self) -> Operand {
        Operand::new(self.logits.span(), self.count, self.outputs)
    }
}
