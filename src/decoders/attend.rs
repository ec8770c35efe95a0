//! The attend decoder: at each word the LSTM reads what it looks at in the image.
//!
//! Show, Attend and Tell (Xu et al. 2015, section 3.1.2, "soft" attention): the initial state from the mean region, a
//! gate on what is seen (there beta, here one for each unit), and a deep output of hidden state and context. Regions
//! are first projected to the width of the LSTM.

use super::attending::{Attending, Parts, Step};
use super::region_attention::repeated;
use super::{DecoderSettings, DecoderShape};
use crate::nn::{
    Activation, AttentionOutput, Backend, DeviceResult, Initialization, Linear, Lstm, LstmState, Matrix,
    Parameter, StepWeight, activated, add_products, impl_layer, lstm_cell,
};
use dfdx::prelude::*;
use rand::Rng;

/// Soft attention (Xu et al. 2015): at each word the LSTM reads what it looks at in the image.
#[derive(Clone, Debug)]
pub struct Attend<D: Backend> {
    parts: Parts<D>,
    initial_hidden: Linear<D>,
    initial_cell: Linear<D>,
    gate: Linear<D>,
    /// Of the words.
    lstm: Lstm<D>,
    /// From context to the LSTM's gates.
    context: Parameter<D>,
    /// From context to what the output layer reads.
    deep: Linear<D>,
}

/// What every step reads.
#[derive(Debug)]
pub(super) struct AttendWeights<D: Backend> {
    query: StepWeight<D>,
    gate: StepWeight<D>,
    context: StepWeight<D>,
    hidden: StepWeight<D>,
}

impl<D: Backend> Attend<D> {
    /// Weights drawn from `rng`.
    pub fn new(
        device: &D,
        settings: &DecoderSettings,
        shape: DecoderShape,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        let DecoderSettings {
            hidden_size: hidden,
            embedding_size: embedding,
            ..
        } = *settings;
        let glorot = Initialization::Glorot;
        let mut linear = |name: &str, shape| Linear::new(device, name, shape, glorot, rng);
        Ok(Self {
            initial_hidden: linear("initial_hidden", (hidden, hidden))?,
            initial_cell: linear("initial_cell", (hidden, hidden))?,
            gate: linear("gate", (hidden, hidden))?,
            deep: linear("deep", (hidden, hidden))?,
            parts: Parts::new(device, settings, shape, rng)?,
            lstm: Lstm::new(device, "lstm", embedding, hidden, rng)?,
            context: Parameter::new(device, "context.weight", (hidden, 4 * hidden), glorot, rng)?,
        })
    }
}

impl_layer!(Attend: parts, initial_hidden, initial_cell, gate, lstm, context, deep);

impl<D: Backend> Attending<D> for Attend<D> {
    type Weights = AttendWeights<D>;

    fn weights<T: Tape<f32, D>>(&self, uses: usize, tape: &mut T) -> DeviceResult<D, AttendWeights<D>> {
        let hidden = self.lstm.hidden();
        let mut whole = |parameter| StepWeight::new(parameter, 0..hidden, uses, tape);
        Ok(AttendWeights {
            gate: whole(&self.gate.weight)?,
            context: whole(&self.context)?,
            hidden: whole(&self.lstm.hidden_weight)?,
            query: self.parts.attention.step_weight(uses, tape)?,
        })
    }

    fn start<T: Tape<f32, D> + Merge<T>>(
        &self,
        mean: Matrix<D, T>,
    ) -> DeviceResult<D, (Vec<LstmState<D>>, T)> {
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

    fn gates<T: Tape<f32, D> + Merge<T>>(
        &self,
        words: Matrix<D, T>,
        _: &Matrix<D>,
        _: &[usize],
    ) -> DeviceResult<D, Matrix<D, T>> {
        self.lstm.input_layer().forward(words)
    }

    fn step<T: Tape<f32, D> + Merge<T>>(
        &self,
        weights: &AttendWeights<D>,
        gates: Matrix<D, T>,
        before: &[LstmState<D>],
        gaze: (&D::AttentionMemory, &[usize]),
    ) -> DeviceResult<D, Step<D, T>> {
        let LstmState { hidden, cell } = &before[0];
        let (gates, tape) = gates.split_tape();
        let looked = self.parts.attention.look(&weights.query, hidden, gaze, tape)?;
        let AttentionOutput {
            context,
            weights: looks,
        } = looked;
        let (context, tape) = context.split_tape();
        let sums = repeated(&self.gate.bias, gaze.1.len(), tape)?;
        let open = add_products(sums, &[(hidden, &weights.gate)])?.try_sigmoid()?;
        let (context, tape) = open.try_mul(context)?.split_tape();
        let terms = [(&context, &weights.context), (hidden, &weights.hidden)];
        let (state, tape) = lstm_cell(add_products(gates.put_tape(tape), &terms)?, cell)?;
        Ok(Step {
            states: vec![state],
            context,
            weights: looks,
            tape,
        })
    }

    fn heard<T: Tape<f32, D> + Merge<T>>(
        &self,
        hidden: Matrix<D, T>,
        contexts: Matrix<D>,
    ) -> DeviceResult<D, Matrix<D, T>> {
        let seen = self.deep.forward(contexts.put_tape(T::default()))?;
        activated(hidden.try_add(seen)?, Activation::Tanh)
    }

    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![&mut self.lstm.hidden_weight]
    }

    fn parts(&self) -> &Parts<D> {
        &self.parts
    }

    fn parts_mut(&mut self) -> &mut Parts<D> {
        &mut self.parts
    }
}
