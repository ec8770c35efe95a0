//! The fused output layer and loss for `Cpu`.
//!
//! Why it is fast: words are divided into blocks whose logits fit in a core's cache. One thread computes a block from the
//! product to the sum of its exponentials. The blocks of a row exchange only a maximum and a sum. With these, a second pass
//! turns each block's exponentials into its gradient and consumes it at once. Only exponentials are written to memory and
//! read again.

use super::{CrossEntropyKernel, Linear, OutputInputs, Scalar, Targets, Zeros};
use crate::nn::cpu::elementary;
use crate::nn::cpu::matmul::{MatMut, MatRef, WriteMode, product_into};
use crate::nn::cpu::scratch::Scratch;
use crate::nn::cpu::slices::{add, add_scaled, scratch};
use crate::nn::cpu::sparse::{Factor, Sparse};
use crate::nn::tape::record;
use dfdx::prelude::*;
use pulp::Arch;
use rayon::prelude::*;
use std::ops::Range;

/// Rows at a time, at most. Fewer make poor matrix products, more leave the cache.
const TILE: usize = 768;

/// Words of a block, at most: a row of the gradient then fits in the registers of the widest vectors.
const BLOCK: usize = 448;

/// Several blocks are rounded up to a multiple of this, so that threads share them evenly.
const BLOCKS_UNIT: usize = 4;

/// All blocks but the last have a multiple of this many words, so that their rows of logits start at a cache line.
const WIDTH_UNIT: usize = 16;

impl CrossEntropyKernel for Cpu {
    fn try_cross_entropy<T: Tape<f32, Self>>(
        OutputInputs { rows, zeros }: OutputInputs<Self, T>,
        output: &Linear<Self>,
        targets: Targets<'_>,
    ) -> Result<Scalar<Self, T>, Self::Err> {
        let (rows, tape) = rows.try_contiguous()?.split_tape();
        let count = rows.shape().0;
        assert_eq!(count, targets.columns.len(), "one target for every row");
        let weights = targets.weights.map_or_else(|| vec![1.0; count], <[f32]>::to_vec);
        assert_eq!(count, weights.len(), "one weight for every row");
        let smoothing = targets.smoothing;
        let targets = TargetRows {
            columns: targets.columns,
            weights: &weights,
        };
        let (inputs, outputs) = output.weight.shape();
        let layer = OutputLayer {
            weight: &scratch(&output.weight.value),
            bias: &scratch(&output.bias.value),
            inputs,
            outputs,
            smoothing,
        };
        let device = rows.device().clone();
        if !T::OWNS_TAPE {
            let loss = layer.loss(&scratch(&rows), targets);
            return Ok(device.try_tensor_from_vec(vec![loss], ())?.put_tape(tape));
        }
        let (loss, found) = layer.loss_and_gradients(&scratch(&rows), zeros, targets);
        let loss = device.try_tensor_from_vec(vec![loss], ())?;
        let (weight, bias) = (output.weight.value.clone(), output.bias.value.clone());
        Ok(record(loss, tape, move |grads, loss| {
            let scale = grads.get_or_alloc_mut(loss)?[0];
            add_scaled(grads.get_or_alloc_mut(&rows)?, &found.rows, scale);
            add_scaled(grads.get_or_alloc_mut(&weight)?, &found.weight, scale);
            add_scaled(grads.get_or_alloc_mut(&bias)?, &found.bias, scale);
            Ok(())
        }))
    }
}

struct OutputLayer<'a> {
    /// `[inputs, outputs]`
    weight: &'a [f32],
    bias: &'a [f32],
    inputs: usize,
    outputs: usize,
    smoothing: f32,
}

/// Gradients of the mean loss.
struct LossGradients {
    rows: Scratch,
    weight: Scratch,
    bias: Vec<f32>,
}

/// The target of each row, and its weight.
#[derive(Clone, Copy)]
struct TargetRows<'a> {
    columns: &'a [usize],
    weights: &'a [f32],
}

/// Rows that are worked on together.
struct Tile<'a> {
    /// `[targets.columns.len(), inputs]`
    rows: MatRef<'a>,
    targets: TargetRows<'a>,
}

impl OutputLayer<'_> {
    fn loss(&self, rows: &[f32], targets: TargetRows<'_>) -> f32 {
        let mut blocks = self.blocks();
        let total: f64 = self
            .tiles(rows, targets)
            .map(|tile| {
                let rows = Factor::of(tile.rows);
                blocks
                    .par_iter_mut()
                    .for_each(|block| block.exponentiate(self, &rows, tile.targets));
                self.softmax(&blocks, tile.targets)
                    .map(|row| row.loss)
                    .sum::<f64>()
            })
            .sum();
        (total / targets.columns.len() as f64) as f32
    }

    fn loss_and_gradients(
        &self,
        rows: &[f32],
        zeros: Zeros,
        targets: TargetRows<'_>,
    ) -> (f32, LossGradients) {
        let mut found = LossGradients {
            rows: Scratch::of(rows.len()),
            weight: Scratch::of(self.weight.len()),
            bias: vec![0.0; self.outputs],
        };
        let share = 1.0 / targets.columns.len() as f32;
        let mut blocks = self.blocks();
        let width = blocks[0].columns.len();
        let mut total = 0.0;
        let mut weight_gradient = WriteMode::Overwrite;
        let gradients_of_tiles = found.rows.chunks_mut(TILE * self.inputs);
        for (tile, row_gradient) in self.tiles(rows, targets).zip(gradients_of_tiles) {
            let (rows, transposed) =
                rayon::join(|| Factor::of(tile.rows), || Factor::of(tile.rows.transposed()));
            blocks
                .par_iter_mut()
                .for_each(|block| block.exponentiate(self, &rows, tile.targets));
            let places = match zeros {
                Zeros::Differentiated => None,
                Zeros::Masked => rows.sampling(),
            };
            let softmax: Vec<RowSoftmax> = self.softmax(&blocks, tile.targets).collect();
            // Summed in order: the same bits whatever thread was faster.
            total += softmax.iter().map(|row| row.loss).sum::<f64>();
            MatMut::new(&mut found.weight, self.inputs, self.outputs)
                .column_blocks(width)
                .zip(found.bias.chunks_mut(width))
                .zip(&mut blocks)
                .collect::<Vec<_>>()
                .into_par_iter()
                .for_each(|((weight, bias), block)| {
                    block.differentiate(self, tile.targets, &softmax, share, bias);
                    transposed.product_into(weight, block.gradient(), weight_gradient);
                    block.differentiate_inputs(self, places);
                });
            weight_gradient = WriteMode::Accumulate;
            match places {
                None => sum_of_blocks(row_gradient, &blocks),
                Some(places) => {
                    let mut sums = Scratch::of(places.len());
                    sum_of_blocks(&mut sums, &blocks);
                    places.scatter(&sums, row_gradient);
                }
            }
        }
        ((total / targets.columns.len() as f64) as f32, found)
    }

    fn tiles<'a>(&self, rows: &'a [f32], targets: TargetRows<'a>) -> impl Iterator<Item = Tile<'a>> {
        let of_rows = targets.columns.chunks(TILE).zip(targets.weights.chunks(TILE));
        rows.chunks(TILE * self.inputs)
            .zip(of_rows)
            .map(|(rows, (columns, weights))| Tile {
                rows: MatRef::new(rows, columns.len(), self.inputs),
                targets: TargetRows { columns, weights },
            })
    }

    /// All words, in blocks of equal width but for the last. How many depends on the words alone, so that the
    /// sums over blocks are the same for any number of threads.
    fn blocks(&self) -> Vec<Block> {
        let count = match self.outputs.div_ceil(BLOCK) {
            1 => 1,
            several => several.next_multiple_of(BLOCKS_UNIT),
        };
        let width = self.outputs.div_ceil(count).next_multiple_of(WIDTH_UNIT);
        (0..self.outputs)
            .step_by(width)
            .map(|first| Block {
                columns: first..(first + width).min(self.outputs),
                exponentials: Scratch::of(0),
                rows: Vec::new(),
                input_gradient: Scratch::of(0),
            })
            .collect()
    }

    fn weight_of<'a>(&'a self, columns: &Range<usize>) -> MatRef<'a> {
        MatRef::with_row_stride(
            &self.weight[columns.start..],
            self.inputs,
            columns.len(),
            self.outputs,
        )
    }

    /// The softmax of each row from the parts of all blocks.
    fn softmax<'a>(
        &self,
        blocks: &'a [Block],
        targets: TargetRows<'a>,
    ) -> impl Iterator<Item = RowSoftmax> + use<'a> {
        let (smoothing, width) = (f64::from(self.smoothing), blocks[0].columns.len());
        let outputs = self.outputs as f64;
        let targets = targets.columns.iter().zip(targets.weights);
        targets.enumerate().map(move |(row, (target, &weight))| {
            let parts = || blocks.iter().map(|block| &block.rows[row]);
            let maximum = parts().fold(f32::NEG_INFINITY, |most, part| most.max(part.maximum));
            let normalizer: f64 = parts().map(|part| part.share_of(maximum)).sum();
            let logit = f64::from(blocks[target / width].rows[row].target);
            let mean = parts().map(|part| f64::from(part.sum)).sum::<f64>() / outputs;
            let log_sum = normalizer.ln() + f64::from(maximum);
            RowSoftmax {
                loss: f64::from(weight)
                    * ((1.0 - smoothing) * (log_sum - logit) + smoothing * (log_sum - mean)),
                maximum,
                normalizer,
                weight,
            }
        })
    }
}

/// The softmax of a row over all words.
struct RowSoftmax {
    loss: f64,
    maximum: f32,
    /// The sum of the exponentials of logits less `maximum`.
    normalizer: f64,
    /// How much the row counts; its loss has it within.
    weight: f32,
}

/// Some of the words, for all rows of a tile.
struct Block {
    columns: Range<usize>,
    /// `[rows, columns]`: exponentials of logits less the maximum of their row in this block; then the gradient.
    exponentials: Scratch,
    rows: Vec<RowPart>,
    /// The part of these words in the gradient of the rows: `[rows, inputs]`, or sampled at some places.
    input_gradient: Scratch,
}

/// A row's logits in a block.
#[derive(Clone, Copy, Default)]
struct RowPart {
    maximum: f32,
    exponentials: f32,
    /// Of the logits.
    sum: f32,
    /// The target's logit, if it is one of these words.
    target: f32,
}

impl RowPart {
    /// The sum of the exponentials relative to another maximum.
    fn share_of(&self, maximum: f32) -> f64 {
        f64::from(self.exponentials) * f64::from(self.maximum - maximum).exp()
    }
}

impl Block {
    /// From rows to the exponentials of their logits.
    fn exponentiate(&mut self, layer: &OutputLayer<'_>, rows: &Factor<'_>, targets: TargetRows<'_>) {
        let (count, width) = (targets.columns.len(), self.columns.len());
        if self.exponentials.len() != count * width {
            self.exponentials = Scratch::of(count * width);
        }
        rows.product_into(
            MatMut::new(&mut self.exponentials, count, width),
            layer.weight_of(&self.columns),
            WriteMode::Overwrite,
        );
        let bias = &layer.bias[self.columns.clone()];
        let first = self.columns.start;
        self.rows.clear();
        let rows = self.exponentials.chunks_exact_mut(width).zip(targets.columns);
        self.rows.extend(rows.map(|(logits, target)| {
            let target = target.checked_sub(first).filter(|&column| column < width);
            row_part(logits, bias, target, layer.smoothing)
        }));
    }

    /// Turns the exponentials into `share` times the gradient of the rows' losses, predicted distribution less
    /// target distribution, and adds it up over the rows.
    fn differentiate(
        &mut self,
        layer: &OutputLayer<'_>,
        targets: TargetRows<'_>,
        softmax: &[RowSoftmax],
        share: f32,
        bias_gradient: &mut [f32],
    ) {
        let width = self.columns.len();
        let rows = self.exponentials.chunks_exact_mut(width).zip(&self.rows);
        for ((row, part), (whole, &target)) in rows.zip(softmax.iter().zip(targets.columns)) {
            let share = share * whole.weight;
            let everywhere = share * layer.smoothing / layer.outputs as f32;
            let to_whole = f64::from(part.maximum - whole.maximum).exp() / whole.normalizer;
            let scale = share * to_whole as f32;
            Arch::new().dispatch(|| {
                for value in row.iter_mut() {
                    *value = *value * scale - everywhere;
                }
            });
            if self.columns.contains(&target) {
                row[target - self.columns.start] -= share * (1.0 - layer.smoothing);
            }
            Arch::new().dispatch(|| add(bias_gradient, row));
        }
    }

    /// The gradient of the logits of these words, after [`differentiate`](Self::differentiate).
    fn gradient(&self) -> MatRef<'_> {
        MatRef::new(&self.exponentials, self.rows.len(), self.columns.len())
    }

    /// Adds these words to the gradient of the rows: of all values, or at these places.
    fn differentiate_inputs(&mut self, layer: &OutputLayer<'_>, places: Option<&Sparse>) {
        let (count, inputs) = (self.rows.len(), layer.inputs);
        let len = places.map_or(count * inputs, Sparse::len);
        let mut found = std::mem::replace(&mut self.input_gradient, Scratch::of(0));
        if found.len() != len {
            found = Scratch::of(len);
        }
        let weight = layer.weight_of(&self.columns).transposed();
        let gradient = self.gradient();
        match places {
            Some(places) => places.sample_product(&mut found, gradient, weight),
            None => product_into(
                MatMut::new(&mut found, count, inputs),
                gradient,
                weight,
                WriteMode::Overwrite,
            ),
        }
        self.input_gradient = found;
    }
}

/// Turns logits without their bias into exponentials; returns their sums and maximum.
fn row_part(logits: &mut [f32], bias: &[f32], target: Option<usize>, smoothing: f32) -> RowPart {
    // Loop by loop: in one function the compiler does not turn all of them into vector code.
    let arch = Arch::new();
    arch.dispatch(|| add(logits, bias));
    let maximum = arch.dispatch(|| elementary::largest(logits));
    let target = target.map_or(0.0, |target| logits[target]);
    let sum = if smoothing == 0.0 {
        0.0
    } else {
        arch.dispatch(|| elementary::sum(logits))
    };
    arch.dispatch(|| {
        for logit in logits.iter_mut() {
            *logit = elementary::exp(*logit - maximum);
        }
    });
    RowPart {
        maximum,
        exponentials: arch.dispatch(|| elementary::sum(logits)),
        sum,
        target,
    }
}

/// Values that a thread takes at a time.
const PIECE: usize = 1 << 13;

/// Adds up what every block found, always in the same order.
fn sum_of_blocks(sums: &mut [f32], blocks: &[Block]) {
    sums.par_chunks_mut(PIECE).enumerate().for_each(|(piece, sums)| {
        let place = piece * PIECE..piece * PIECE + sums.len();
        let mut terms = blocks.iter().map(|block| &block.input_gradient[place.clone()]);
        if let Some(first) = terms.next() {
            sums.copy_from_slice(first);
        }
        Arch::new().dispatch(|| terms.for_each(|terms| add(sums, terms)));
    });
}
