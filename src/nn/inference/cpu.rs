//! Inference on `Cpu`.
//!
//! Why they are fast: a step of few rows takes as long as its weights take to be read. They are stored in the order in which
//! they are read, one after the other, and both products of the LSTM are one round of the threads.

use super::cpu_conv_net::CpuConvNet;
use super::{ConvLayer, InferenceKernel};
use crate::nn::cpu::matmul::MatRef;
use crate::nn::cpu::packed_matrix::{PackedMatrix, sum_of_products};
use crate::nn::cpu::scratch::Scratch;
use crate::nn::cpu::slices::values;
use crate::nn::ops::lstm::row::activate;
use crate::nn::{Activation, Images, Linear, Lstm, LstmState, Matrix, MatrixResult};
use dfdx::prelude::*;

/// Weights and bias of a fully connected layer.
#[derive(Debug)]
pub struct InferenceLinear {
    weight: PackedMatrix,
    bias: Vec<f32>,
}

/// Weights and bias of an LSTM.
#[derive(Debug)]
pub struct InferenceLstm {
    input_weight: PackedMatrix,
    hidden_weight: PackedMatrix,
    bias: Vec<f32>,
}

impl InferenceKernel for Cpu {
    type ConvNet = CpuConvNet;
    type InferenceLinear = InferenceLinear;
    type InferenceLstm = InferenceLstm;

    fn inference_conv_net(&self, layers: Vec<ConvLayer>) -> Result<CpuConvNet, CpuError> {
        CpuConvNet::new(layers)
    }

    fn run_conv_net(network: &CpuConvNet, maps: Images<Self>) -> Result<Images<Self>, CpuError> {
        network.run(maps)
    }

    fn inference_linear(layer: &Linear<Self>) -> Result<InferenceLinear, CpuError> {
        Ok(InferenceLinear {
            weight: packed(&layer.weight.value)?,
            bias: values(&layer.bias.value),
        })
    }

    fn inference_lstm(layer: &Lstm<Self>) -> Result<InferenceLstm, CpuError> {
        Ok(InferenceLstm {
            input_weight: packed(&layer.input_weight.value)?,
            hidden_weight: packed(&layer.hidden_weight.value)?,
            bias: values(&layer.bias.value),
        })
    }

    fn run_linear(layer: &InferenceLinear, rows: Matrix<Self>, activation: Activation) -> MatrixResult<Self> {
        let (count, inputs) = *rows.shape();
        let outputs = layer.bias.len();
        let x = values(&rows.try_contiguous()?);
        let mut y = vec![0.0; count * outputs];
        sum_of_products(&mut y, &[(MatRef::new(&x, count, inputs), &layer.weight)]);
        activation.finish(&mut y, &layer.bias);
        Cpu::default().try_tensor_from_vec(y, (count, outputs))
    }

    fn run_lstm_step(
        layer: &InferenceLstm,
        inputs: Matrix<Self>,
        state: LstmState<Self>,
    ) -> Result<LstmState<Self>, CpuError> {
        let (rows, width) = *inputs.shape();
        let (_, hidden) = *state.hidden.shape();
        let [x, before] = [inputs, state.hidden].map(|matrix| Ok(values(&matrix.try_contiguous()?)));
        let (x, before): (Vec<f32>, Vec<f32>) = (x?, before?);
        let mut gates = Scratch::of(rows * layer.bias.len());
        let terms = [
            (MatRef::new(&x, rows, width), &layer.input_weight),
            (MatRef::new(&before, rows, hidden), &layer.hidden_weight),
        ];
        sum_of_products(&mut gates, &terms);
        let cells_before = values(&state.cell.try_contiguous()?);
        let [mut cells, mut hiddens] = [vec![0.0; rows * hidden], vec![0.0; rows * hidden]];
        gates
            .chunks_exact_mut(layer.bias.len())
            .zip(cells_before.chunks_exact(hidden))
            .zip(cells.chunks_exact_mut(hidden))
            .zip(hiddens.chunks_exact_mut(hidden))
            .for_each(|(((gates, before), cell), output)| {
                activate(gates, &layer.bias, Some(before), cell, output);
            });
        let matrix = |values| Cpu::default().try_tensor_from_vec(values, (rows, hidden));
        Ok(LstmState {
            hidden: matrix(hiddens)?,
            cell: matrix(cells)?,
        })
    }
}

fn packed(weight: &Matrix<Cpu>) -> Result<PackedMatrix, CpuError> {
    let (rows, columns) = *weight.shape();
    let values = values(&weight.clone().try_contiguous()?);
    Ok(PackedMatrix::new(MatRef::new(&values, rows, columns)))
}
