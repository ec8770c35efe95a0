//! The LSTM on a GPU.
//!
//! Why it is fast: as on the CPU the input projection of all time steps is one product, as are the gradients of both
//! weights. A step is one product and one kernel, which goes once over gates, cells and hidden states in place.

use super::{Lstm, Matrix, PackedSequence};
use crate::nn::backend::{Backend, MatrixResult};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cuda::{
    DeviceBuffer, DeviceSlice, Elementwise, GradientTarget, KernelDevice, Operand, Stream, launch,
};
use crate::nn::tape::record;
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
crate::nn::cuda::impl_for_cuda! { super::LstmKernel:
    fn try_lstm(inputs: Matrix<Self, T>, layer: &Lstm<Self>, packing: &PackedSequence) -> Matrix<Self, T> = fused;
}

/// [`LstmKernel::try_lstm`](super::LstmKernel::try_lstm).
pub(super) fn fused<D: KernelDevice + Backend, T: Tape<f32, D>>(
    inputs: Matrix<D, T>,
    layer: &Lstm<D>,
    packing: &PackedSequence,
) -> MatrixResult<D, T> {
    let Some(stream) = inputs.device().stream() else {
        return super::composed(inputs, layer, packing);
    };
    let (inputs, tape) = inputs.try_contiguous()?.split_tape();
    let (rows, width) = *inputs.shape();
    assert_eq!(rows, packing.rows(), "the packing does not fit the rows");
    let run = LstmRun {
        gates: stream.alloc(rows * 4 * layer.hidden())?,
        cells: stream.alloc(rows * layer.hidden())?,
        hidden: layer.hidden(),
        inputs: width,
        packing: packing.clone(),
        stream,
    };
    let weights = [&layer.input_weight, &layer.hidden_weight, &layer.bias].map(|weight| weight.value.clone());
    let (output, out) = inputs.device().alloc_tensor((rows, layer.hidden()))?;
    run.forward(D::slice(&inputs), weights.each_ref().map(D::slice), out)?;
    Ok(record(output, tape, move |gradients, output| {
        let [w, u, b] = &weights;
        run.back_through_time(D::gradient(gradients, output)?, D::slice(u))?;
        let (stream, of_gates) = (&run.stream, run.gate_gradients());
        let transposed_w = Operand::new(D::slice(w), width, 4 * run.hidden).transposed();
        let (to_inputs, mode) = D::gradient_target(gradients, &inputs)?;
        stream.matmul(to_inputs, of_gates, transposed_w, mode)?;
        let x = Operand::new(D::slice(&inputs), rows, width).transposed();
        let (to_weight, mode) = D::gradient_target(gradients, w)?;
        stream.matmul(to_weight, x, of_gates, mode)?;
        if rows > run.packing.sequences() {
            run.to_hidden_weight(D::gradient_target(gradients, u)?, out)?;
        }
        let (to_bias, mode) = D::gradient_target(gradients, b)?;
        stream.column_sums(run.gates.slice(), to_bias, mode)
    }))
}

/// A pass over packed sequences, and what its backward pass reads.
struct LstmRun<E: Stream> {
    stream: E,
    packing: PackedSequence,
    inputs: usize,
    hidden: usize,
    /// `[rows, 4 * hidden]`: activated, then their gradients before the activation.
    gates: E::Buffer,
    /// `[rows, hidden]`
    cells: E::Buffer,
}

impl<E: Stream> LstmRun<E> {
    /// Weights are `W`, `U` and `b`; hidden states are written to `out`.
    fn forward(&self, x: DeviceSlice, [w, u, b]: [DeviceSlice; 3], out: DeviceSlice) -> Result<(), E::Error> {
        let (hidden, width) = (self.hidden, 4 * self.hidden);
        let (x, w) = (
            Operand::new(x, self.packing.rows(), self.inputs),
            Operand::new(w, self.inputs, width),
        );
        self.stream
            .matmul(self.gates.slice(), x, w, WriteMode::Overwrite)?;
        let u = Operand::new(u, hidden, width);
        for step in 0..self.packing.steps() {
            let cell = self.cell(step);
            if let Some(before) = self.before(out, step) {
                let before = Operand::new(before, self.packing.live(step), hidden);
                self.stream.matmul(cell.gates, before, u, WriteMode::Accumulate)?;
            }
            cell.forward(&self.stream, Some(b), self.at(out, step))?;
        }
        Ok(())
    }

    /// Turns the gates into their gradients, last step first. Later steps add to `gradient`, that of the hidden states.
    fn back_through_time(&self, gradient: DeviceSlice, u: DeviceSlice) -> Result<(), E::Error> {
        let (hidden, width) = (self.hidden, 4 * self.hidden);
        let through = self.stream.zeros(self.packing.sequences() * hidden)?;
        let u = Operand::new(u, hidden, width).transposed();
        for step in (0..self.packing.steps()).rev() {
            let cell = self.cell(step);
            cell.back(&self.stream, self.at(gradient, step), through.slice())?;
            if let Some(before) = self.before(gradient, step) {
                let gates = Operand::new(cell.gates, self.packing.live(step), width);
                self.stream.matmul(before, gates, u, WriteMode::Accumulate)?;
            }
        }
        Ok(())
    }

    /// The hidden states before all steps but the first, gathered, make it one product. There are steps after the first.
    fn to_hidden_weight(
        &self,
        (gradient, mode): GradientTarget,
        hidden_states: DeviceSlice,
    ) -> Result<(), E::Error> {
        let (first, rows, width) = (self.packing.sequences(), self.packing.rows(), 4 * self.hidden);
        let rows_before: Vec<usize> = (1..self.packing.steps())
            .flat_map(|step| {
                let start = self.packing.rows_at(step - 1).start;
                start..start + self.packing.live(step)
            })
            .collect();
        let before = self.stream.alloc((rows - first) * self.hidden)?;
        let index = self.stream.upload_indices(&rows_before)?;
        self.stream
            .gather_rows(hidden_states, index.slice(), before.slice(), self.hidden)?;
        let before = Operand::new(before.slice(), rows - first, self.hidden).transposed();
        let gates = self.gates.slice().rows(first..rows, width);
        let gates = Operand::new(gates, rows - first, width);
        self.stream.matmul(gradient, before, gates, mode)
    }

    fn gate_gradients(&self) -> Operand {
        Operand::new(self.gates.slice(), self.packing.rows(), 4 * self.hidden)
    }

    fn cell(&self, step: usize) -> Cell {
        let cells = self.cells.slice();
        Cell {
            gates: self
                .gates
                .slice()
                .rows(self.packing.rows_at(step), 4 * self.hidden),
            before: self.before(cells, step),
            cell: self.at(cells, step),
            hidden: self.hidden,
        }
    }

    /// The rows of a step.
    fn at(&self, states: DeviceSlice, step: usize) -> DeviceSlice {
        states.rows(self.packing.rows_at(step), self.hidden)
    }

    /// The rows of the step before that continue.
    fn before(&self, states: DeviceSlice, step: usize) -> Option<DeviceSlice> {
        let start = self.packing.rows_at(step.checked_sub(1)?).start;
        Some(states.rows(start..start + self.packing.live(step), self.hidden))
    }
}

/// The cells of one step.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Cell {
    /// `[rows, 4 * hidden]`, which are written to.
    pub(in crate::nn) gates: DeviceSlice,
    /// `[rows, hidden]` or more rows; `None` for zeros.
    pub(in crate::nn) before: Option<DeviceSlice>,
    /// `[rows, hidden]`
    pub(in crate::nn) cell: DeviceSlice,
    pub(in crate::nn) hidden: usize,
}

impl Cell {
    /// Adds `bias` to the gates, if any, activates them, and writes cell and hidden state.
    pub(in crate::nn) fn forward<E: Stream>(
        self,
        stream: &E,
        bias: Option<DeviceSlice>,
        output: DeviceSlice,
    ) -> Result<(), E::Error> {
        let (count, hidden) = (self.cell.len(), self.hidden);
        let (gates, output) = (self.gates.first(4 * count), output.first(count));
        let bias = bias.map(|bias| bias.first(4 * hidden));
        let before = self.before.map(|before| before.first(count));
        launch!(stream => lstm_cell[count](gates, bias, before, self.cell, output, hidden, count))
    }

    /// Turns activated gates into their gradients, and `through`, the gradient of the cell, into that of the cell before.
    pub(in crate::nn) fn back<E: Stream>(
        self,
        stream: &E,
        gradient: DeviceSlice,
        through: DeviceSlice,
    ) -> Result<(), E::Error> {
        let (count, hidden) = (self.cell.len(), self.hidden);
        let (gates, gradient, through) = (
            self.gates.first(4 * count),
            gradient.first(count),
            through.first(count),
        );
        let before = self.before.map(|before| before.first(count));
        launch!(stream => lstm_cell_back[count](gates, self.cell, before, gradient, through, hidden, count))
    }
}
