//! The LSTM on a GPU.
//!
//! Why it is fast: as on the CPU the input projection of all time steps is one product, as are the gradients of both
//! weights. A step is one product and one kernel, which goes once over gates, cells and hidden states in place.

use super::{Lstm, Matrix, PackedSequence};
use crate::nn::backend::{Backend, DeviceResult};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cpu::slices::contiguous;
use crate::nn::cuda::{DeviceBuffer, DeviceSlice, KernelDevice, Launch, Operand, Stream, elementwise};
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::LstmKernel for Cuda {
    fn try_lstm<T: Tape<f32, Self>>(
        inputs: Matrix<Self, T>,
        layer: &Lstm<Self>,
        packing: &PackedSequence,
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        match inputs.device().stream() {
            Some(stream) => fused(stream, inputs, layer, packing),
            None => super::composed(inputs, layer, packing),
        }
    }
}

/// [`LstmKernel::try_lstm`](super::LstmKernel::try_lstm).
pub(super) fn fused<D: KernelDevice + Backend, T: Tape<f32, D>>(
    stream: D::Stream,
    inputs: Matrix<D, T>,
    layer: &Lstm<D>,
    packing: &PackedSequence,
) -> DeviceResult<D, Matrix<D, T>> {
    let (inputs, mut tape) = inputs.split_tape();
    let inputs = contiguous(&inputs, &mut tape)?;
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
    let (output, out) = elementwise::alloc_tensor(inputs.device(), (rows, layer.hidden()))?;
    run.forward(D::slice(&inputs), weights.each_ref().map(D::slice), out)?;
    let result = output.clone();
    tape.add_backward_op(move |gradients| {
        let [w, u, b] = &weights;
        run.back_through_time(D::gradient(gradients, &output)?, D::slice(u))?;
        run.to_inputs(D::gradient(gradients, &inputs)?, D::slice(w))?;
        run.to_input_weight(D::gradient(gradients, w)?, D::slice(&inputs))?;
        run.to_hidden_weight(D::gradient(gradients, u)?, out)?;
        let to_bias = D::gradient(gradients, b)?;
        elementwise::column_sums(&run.stream, run.gates.slice(), to_bias, WriteMode::Accumulate)
    });
    Ok(result.put_tape(tape))
}

/// A pass over packed sequences: what the backward pass needs of it.
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
        self.stream.multiply(
            self.gates.slice(),
            Operand::new(x, self.packing.rows(), self.inputs),
            Operand::new(w, self.inputs, width),
            WriteMode::Overwrite,
        )?;
        for step in 0..self.packing.steps() {
            let gates = self.gates_at(step);
            if let Some(before) = self.before(out, step) {
                self.stream.multiply(
                    gates,
                    Operand::new(before, self.packing.live(step), hidden),
                    Operand::new(u, hidden, width),
                    WriteMode::Accumulate,
                )?;
            }
            let cell = Cell {
                gates,
                before: self.before(self.cells.slice(), step),
                cell: self.at(self.cells.slice(), step),
                hidden,
            };
            cell.forward(&self.stream, Some(b), self.at(out, step))?;
        }
        Ok(())
    }

    /// Turns the gates into their gradients, last step first. `gradient`, that of the hidden states, takes in what
    /// later steps add to it.
    fn back_through_time(&self, gradient: DeviceSlice, u: DeviceSlice) -> Result<(), E::Error> {
        let (hidden, width) = (self.hidden, 4 * self.hidden);
        let through = self.stream.zeros(self.packing.sequences() * hidden)?;
        for step in (0..self.packing.steps()).rev() {
            let cell = Cell {
                gates: self.gates_at(step),
                before: self.before(self.cells.slice(), step),
                cell: self.at(self.cells.slice(), step),
                hidden,
            };
            cell.back(&self.stream, self.at(gradient, step), through.slice())?;
            if let Some(before) = self.before(gradient, step) {
                self.stream.multiply(
                    before,
                    Operand::new(cell.gates, self.packing.live(step), width),
                    Operand::new(u, hidden, width).transposed(),
                    WriteMode::Accumulate,
                )?;
            }
        }
        Ok(())
    }

    fn to_inputs(&self, gradient: DeviceSlice, w: DeviceSlice) -> Result<(), E::Error> {
        let w = Operand::new(w, self.inputs, 4 * self.hidden).transposed();
        self.stream
            .multiply(gradient, self.gate_gradients(), w, WriteMode::Accumulate)
    }

    fn to_input_weight(&self, gradient: DeviceSlice, x: DeviceSlice) -> Result<(), E::Error> {
        let x = Operand::new(x, self.packing.rows(), self.inputs).transposed();
        self.stream
            .multiply(gradient, x, self.gate_gradients(), WriteMode::Accumulate)
    }

    /// The hidden states before all steps but the first, gathered, make it one product.
    fn to_hidden_weight(&self, gradient: DeviceSlice, hidden_states: DeviceSlice) -> Result<(), E::Error> {
        let (first, rows, width) = (self.packing.sequences(), self.packing.rows(), 4 * self.hidden);
        if rows == first {
            return Ok(());
        }
        let rows_before: Vec<usize> = (1..self.packing.steps())
            .flat_map(|step| {
                let start = self.packing.rows_at(step - 1).start;
                start..start + self.packing.live(step)
            })
            .collect();
        let before = self.stream.alloc((rows - first) * self.hidden)?;
        let index = self.stream.upload_indices(&rows_before)?;
        elementwise::gather_rows(
            &self.stream,
            hidden_states,
            index.slice(),
            before.slice(),
            self.hidden,
        )?;
        self.stream.multiply(
            gradient,
            Operand::new(before.slice(), rows - first, self.hidden).transposed(),
            Operand::new(self.gates.slice().rows(first..rows, width), rows - first, width),
            WriteMode::Accumulate,
        )
    }

    fn gate_gradients(&self) -> Operand {
        Operand::new(self.gates.slice(), self.packing.rows(), 4 * self.hidden)
    }

    fn gates_at(&self, step: usize) -> DeviceSlice {
        self.gates
            .slice()
            .rows(self.packing.rows_at(step), 4 * self.hidden)
    }

    /// The rows of a step.
    fn at(&self, states: DeviceSlice, step: usize) -> DeviceSlice {
        states.rows(self.packing.rows_at(step), self.hidden)
    }

    /// Of the step before, the rows that go on.
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
    /// `[rows, hidden]` or more rows; `None` where they are zeros.
    pub(in crate::nn) before: Option<DeviceSlice>,
    /// `[rows, hidden]`
    pub(in crate::nn) cell: DeviceSlice,
    pub(in crate::nn) hidden: usize,
}

impl Cell {
    /// Activates the gates, to which `bias` is added where there is one, writes cell and hidden state.
    pub(in crate::nn) fn forward<E: Stream>(
        self,
        stream: &E,
        bias: Option<DeviceSlice>,
        output: DeviceSlice,
    ) -> Result<(), E::Error> {
        let count = self.cell.len();
        stream.run(
            Launch::per_value("lstm_cell", count)
                .values(self.gates, 4 * count)
                .values_if_any(bias, 4 * self.hidden)
                .values_if_any(self.before, count)
                .values(self.cell, count)
                .values(output, count)
                .size(self.hidden)
                .count(count),
        )
    }

    /// Activated gates become their gradients; `through`, the gradient of the cell, that of the cell before.
    pub(in crate::nn) fn back<E: Stream>(
        self,
        stream: &E,
        gradient: DeviceSlice,
        through: DeviceSlice,
    ) -> Result<(), E::Error> {
        let count = self.cell.len();
        stream.run(
            Launch::per_value("lstm_cell_back", count)
                .values(self.gates, 4 * count)
                .values(self.cell, count)
                .values_if_any(self.before, count)
                .values(gradient, count)
                .values(through, count)
                .size(self.hidden)
                .count(count),
        )
    }
}
