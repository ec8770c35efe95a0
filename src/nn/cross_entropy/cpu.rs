//! The fused output layer and loss for `Cpu`.
//!
//! Why it is fast: logits are made in tiles of rows that are turned into their own gradient in place while
//! they are still in cache, and used up at once for the gradients of layer and input; they are never stored
//! whole.

use super::{CrossEntropyKernel, Linear, Matrix, Scalar};
use crate::nn::elementary;
use crate::nn::host::{add_rows, contiguous, values};
use crate::nn::product::{Existing, View, product};
use dfdx::prelude::*;
use pulp::Arch;
use rayon::prelude::*;

/// Rows of logits at a time. Smaller tiles make poor matrix products, larger ones leave the cache.
const TILE: usize = 512;

impl CrossEntropyKernel for Cpu {
    fn try_cross_entropy<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        output: &Linear<Self>,
        targets: &[usize],
        smoothing: f32,
    ) -> Result<Scalar<Self, T>, Self::Err> {
        let (rows, mut tape) = rows.split_tape();
        let rows = contiguous(&rows, &mut tape)?;
        assert_eq!(rows.shape().0, targets.len(), "one target for every row");
        let (inputs, outputs) = output.weight.shape();
        let layer = Layer {
            weight: &values(&output.weight.value),
            bias: &values(&output.bias.value),
            inputs,
            outputs,
        };
        let device = rows.device().clone();
        if !T::OWNS_TAPE {
            let loss = loss(&values(&rows), &layer, targets, smoothing);
            return Ok(device.try_tensor_from_vec(vec![loss], ())?.put_tape(tape));
        }
        let (loss, found) = loss_and_gradients(&values(&rows), &layer, targets, smoothing);
        let loss = device.try_tensor_from_vec(vec![loss], ())?;
        let (result, weight, bias) = (
            loss.clone(),
            output.weight.value.clone(),
            output.bias.value.clone(),
        );
        tape.add_backward_op(move |grads| {
            let scale = grads.get_or_alloc_mut(&result)?[0];
            add_scaled(grads.get_or_alloc_mut(&rows)?, &found.rows, scale);
            add_scaled(grads.get_or_alloc_mut(&weight)?, &found.weight, scale);
            add_scaled(grads.get_or_alloc_mut(&bias)?, &found.bias, scale);
            Ok(())
        });
        Ok(loss.put_tape(tape))
    }
}

struct Layer<'a> {
    /// `[inputs, outputs]`
    weight: &'a [f32],
    bias: &'a [f32],
    inputs: usize,
    outputs: usize,
}

impl Layer<'_> {
    fn logits(&self, logits: &mut [f32], rows: &[f32], count: usize) {
        for row in logits.chunks_exact_mut(self.outputs) {
            row.copy_from_slice(self.bias);
        }
        product(
            logits,
            View::new(rows, count, self.inputs),
            View::new(self.weight, self.inputs, self.outputs),
            Existing::Accumulate,
        );
    }

    /// Calls `use_tile(rows, logits, targets)` for every tile of rows.
    fn for_each_tile(
        &self,
        rows: &[f32],
        targets: &[usize],
        mut use_tile: impl FnMut(usize, &[f32], &mut [f32], &[usize]),
    ) {
        let mut logits = vec![0.0; TILE.min(targets.len()) * self.outputs];
        for (tile, targets) in targets.chunks(TILE).enumerate() {
            let first = tile * TILE;
            let rows = &rows[first * self.inputs..(first + targets.len()) * self.inputs];
            let logits = &mut logits[..targets.len() * self.outputs];
            self.logits(logits, rows, targets.len());
            use_tile(first, rows, logits, targets);
        }
    }
}

/// Gradients of the mean loss.
struct Gradients {
    rows: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

fn loss(rows: &[f32], layer: &Layer<'_>, targets: &[usize], smoothing: f32) -> f32 {
    let mut total = 0.0;
    layer.for_each_tile(rows, targets, |_, _, logits, targets| {
        let losses: Vec<f64> = logits
            .par_chunks_exact_mut(layer.outputs)
            .zip(targets)
            .map(|(logits, &target)| row_loss(logits, target, smoothing).loss)
            .collect();
        total += losses.iter().sum::<f64>();
    });
    (total / targets.len() as f64) as f32
}

fn loss_and_gradients(
    rows: &[f32],
    layer: &Layer<'_>,
    targets: &[usize],
    smoothing: f32,
) -> (f32, Gradients) {
    let Layer { inputs, outputs, .. } = *layer;
    let mut found = Gradients {
        rows: vec![0.0; rows.len()],
        weight: vec![0.0; layer.weight.len()],
        bias: vec![0.0; outputs],
    };
    let share = 1.0 / targets.len() as f32;
    let mut total = 0.0;
    layer.for_each_tile(rows, targets, |first, rows, logits, targets| {
        let losses: Vec<f64> = logits
            .par_chunks_exact_mut(outputs)
            .zip(targets)
            .map(|(logits, &target)| {
                let row = row_loss(logits, target, smoothing);
                row.write_gradient(logits, target, smoothing, share);
                row.loss
            })
            .collect();
        // Summed in order: the same bits whatever thread was faster.
        total += losses.iter().sum::<f64>();
        let gradient = View::new(logits, targets.len(), outputs);
        product(
            &mut found.rows[first * inputs..(first + targets.len()) * inputs],
            gradient,
            View::new(layer.weight, inputs, outputs).transposed(),
            Existing::Overwrite,
        );
        product(
            &mut found.weight,
            View::new(rows, targets.len(), inputs).transposed(),
            gradient,
            Existing::Accumulate,
        );
        add_rows(&mut found.bias, logits);
    });
    ((total / targets.len() as f64) as f32, found)
}

/// What the softmax of one row needs to become a gradient.
struct RowLoss {
    loss: f64,
    /// One over the sum of the exponentials.
    normaliser: f32,
}

/// The loss of one row. Leaves `exp(logit - maximum)` in place of the logits.
fn row_loss(logits: &mut [f32], target: usize, smoothing: f32) -> RowLoss {
    let arch = Arch::new();
    let maximum = arch.dispatch(|| elementary::largest(logits));
    let of_target = logits[target] - maximum;
    let mean = if smoothing == 0.0 {
        0.0
    } else {
        let sum = arch.dispatch(|| elementary::sum(logits));
        f64::from(sum) / logits.len() as f64 - f64::from(maximum)
    };
    let sum = arch.dispatch(|| {
        for logit in logits.iter_mut() {
            *logit = elementary::exp(*logit - maximum);
        }
        elementary::sum(logits)
    });
    let log_sum = f64::from(sum).ln();
    let (hit, spread) = (log_sum - f64::from(of_target), log_sum - mean);
    let smoothing = f64::from(smoothing);
    RowLoss {
        loss: (1.0 - smoothing) * hit + smoothing * spread,
        normaliser: 1.0 / sum,
    }
}

impl RowLoss {
    /// Turns the exponentials of a row into `share` times the gradient of its loss: the predicted
    /// distribution less the target distribution.
    fn write_gradient(&self, exponentials: &mut [f32], target: usize, smoothing: f32, share: f32) {
        let everywhere = share * smoothing / exponentials.len() as f32;
        let scale = self.normaliser * share;
        Arch::new().dispatch(|| {
            for value in exponentials.iter_mut() {
                *value = *value * scale - everywhere;
            }
        });
        exponentials[target] -= share * (1.0 - smoothing);
    }
}

/// Values that a thread takes at a time.
const PIECE: usize = 1 << 14;

fn add_scaled(sums: &mut [f32], values: &[f32], scale: f32) {
    let pieces = sums.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
    pieces.for_each(|(sums, values)| {
        Arch::new().dispatch(|| {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += scale * value;
            }
        });
    });
}
