//! The soft-attention decoder of Show, Attend and Tell (Xu et al. 2015, section 3.1.2).
//!
//! The initial state comes from the mean region. A gate scales the context (the paper's beta; here one for each unit). A
//! deep output layer reads hidden state and context. Regions are first projected to the width of the LSTM.

use super::attention::{MemoryOfRows, RegionAttention, repeated};
use super::attention_decoder::{AttentionCell, AttentionCore, AttentionDecoder, CellOutput};
use super::{DecoderSettings, DecoderShape};
use crate::nn::{
    Activation, AttentionOutput, Backend, DeviceResult, Initialization, Linear, Lstm, LstmState, Matrix,
    MatrixResult, Parameter, impl_layer, lstm_cell,
};
use dfdx::prelude::*;
use rand::Rng;

/// Soft attention (Xu et al. 2015): at each word the LSTM attends to the image and reads the context.
#[derive(Clone, Debug)]
pub struct SoftAttention<D: Backend> {
    initial_hidden: Linear<D>,
    initial_cell: Linear<D>,
    /// From the hidden state to the gate of the context.
    gate: Linear<D>,
    /// Reads words.
    lstm: Lstm<D>,
    /// From context to the LSTM's gates.
    context: Parameter<D>,
    /// From context to the input of the output layer.
    deep: Linear<D>,
}

#[derive(Debug)]
pub(super) struct SoftAttentionWeights<D: Backend> {
    query: D::StepWeight,
    gate: D::StepWeight,
    context: D::StepWeight,
    hidden: D::StepWeight,
}

impl<D: Backend> SoftAttention<D> {
    /// A decoder with weights drawn from `rng`.
    pub fn decoder(
        device: &D,
        settings: &DecoderSettings,
        shape: DecoderShape,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, AttentionDecoder<D, Self>> {
        let (hidden, embedding) = (settings.hidden_size, settings.embedding_size);
        let glorot = Initialization::Glorot;
        let mut linear = |name: &str, shape| Linear::new(device, name, shape, glorot, rng);
        // The order of construction is the order of the draws from `rng`.
        let initial_hidden = linear("initial_hidden", (hidden, hidden))?;
        let initial_cell = linear("initial_cell", (hidden, hidden))?;
        let gate = linear("gate", (hidden, hidden))?;
        let deep = linear("deep", (hidden, hidden))?;
        let core = AttentionCore::new(device, settings, shape, rng)?;
        let cell = Self {
            initial_hidden,
            initial_cell,
            gate,
            deep,
            lstm: Lstm::new(device, "lstm", embedding, hidden, rng)?,
            context: Parameter::new(device, "context.weight", (hidden, 4 * hidden), glorot, rng)?,
        };
        Ok(AttentionDecoder { core, cell })
    }
}

impl_layer!(SoftAttention: initial_hidden, initial_cell, gate, lstm, context, deep);

impl<D: Backend> AttentionCell<D> for SoftAttention<D> {
    type Weights = SoftAttentionWeights<D>;

    fn step_weights<T: Tape<f32, D>>(
        &self,
        attention: &RegionAttention<D>,
        uses: usize,
        tape: &mut T,
    ) -> DeviceResult<D, Self::Weights> {
        let mut prepared = |parameter| D::step_weight(parameter, uses, tape);
        Ok(SoftAttentionWeights {
            gate: prepared(&self.gate.weight.value)?,
            context: prepared(&self.context.value)?,
            hidden: prepared(&self.lstm.hidden_weight.value)?,
            query: attention.query_weight(uses, tape)?,
        })
    }

    fn initial_states<T: Tape<f32, D>>(&self, mean: Matrix<D, T>) -> DeviceResult<D, (Vec<LstmState<D>>, T)> {
        let (mean, tape) = mean.split_tape();
        let (hidden, tape) = self
            .initial_hidden
            .activated(mean.clone().put_tape(tape), Activation::Tanh)?
            .split_tape();
        let (cell, tape) = self
            .initial_cell
            .activated(mean.put_tape(tape), Activation::Tanh)?
            .split_tape();
        Ok((vec![LstmState { hidden, cell }], tape))
    }

    fn input_gates<T: Tape<f32, D>>(
        &self,
        words: Matrix<D, T>,
        _: &Matrix<D>,
        _: &[usize],
    ) -> MatrixResult<D, T> {
        self.lstm.input_layer().forward(words)
    }

    fn step<T: Tape<f32, D>>(
        &self,
        attention: &RegionAttention<D>,
        weights: &SoftAttentionWeights<D>,
        gates: Matrix<D, T>,
        before: &[LstmState<D>],
        rows: &MemoryOfRows<'_, D>,
    ) -> DeviceResult<D, CellOutput<D, T>> {
        let LstmState { hidden, cell } = &before[0];
        let (gates, tape) = gates.split_tape();
        let AttentionOutput {
            context,
            weights: attention_weights,
        } = attention.attend(&weights.query, hidden, rows, tape)?;
        let (context, tape) = context.split_tape();
        let bias = repeated(&self.gate.bias, rows.images.len(), tape)?;
        let open = D::add_products(bias, &[(hidden, &weights.gate)])?.try_sigmoid()?;
        let (context, tape) = open.try_mul(context)?.split_tape();
        let terms = [(&context, &weights.context), (hidden, &weights.hidden)];
        let (state, tape) = lstm_cell(D::add_products(gates.put_tape(tape), &terms)?, cell)?;
        Ok(CellOutput {
            states: vec![state],
            context,
            attention_weights,
            tape,
        })
    }

    fn readout<T: Tape<f32, D>>(&self, hidden: Matrix<D, T>, contexts: Matrix<D>) -> MatrixResult<D, T> {
        // An empty tape: that of `hidden` holds the operations of the contexts.
        let context = self.deep.forward(contexts.put_tape(T::default()))?;
        D::activated(hidden.try_add(context)?, Activation::Tanh)
    }

    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![&mut self.lstm.hidden_weight]
    }
}
