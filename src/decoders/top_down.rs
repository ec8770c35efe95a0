//! The top-down decoder: one LSTM decides where to look, a second writes.
//!
//! Anderson et al. 2018 ("Bottom-up and top-down attention", section 3.2), over the regions of a grid where theirs are
//! of detected objects. The attention LSTM reads the word, the mean region and what the language LSTM said last; its
//! hidden state asks where to look; the language LSTM reads what is seen there and that hidden state. Regions are first
//! projected to the width of the LSTMs.

use super::attending::{Attending, Parts, Step};
use super::region_attention::repeated;
use super::{DecoderSettings, DecoderShape};
use crate::nn::{
    AttentionOutput, Backend, DeviceResult, Initialization, Linear, Lstm, LstmState, Matrix, Parameter,
    StepWeight, add_gathered, add_products, impl_layer, lstm_cell,
};
use dfdx::prelude::*;
use rand::Rng;

/// Top-down attention (Anderson et al. 2018): one LSTM decides where to look, a second writes.
#[derive(Clone, Debug)]
pub struct TopDown<D: Backend> {
    parts: Parts<D>,
    /// Of the words.
    attention_lstm: Lstm<D>,
    /// From the mean region to the attention LSTM's gates.
    mean_image: Linear<D>,
    /// From the language LSTM's hidden state to the attention LSTM's gates.
    said: Parameter<D>,
    /// Of what is seen.
    language_lstm: Lstm<D>,
    /// From the attention LSTM's hidden state to the language LSTM's gates.
    heard: Parameter<D>,
}

/// What every step reads.
#[derive(Debug)]
pub(super) struct TopDownWeights<D: Backend> {
    query: StepWeight<D>,
    said: StepWeight<D>,
    attention: StepWeight<D>,
    context: StepWeight<D>,
    heard: StepWeight<D>,
    language: StepWeight<D>,
}

impl<D: Backend> TopDown<D> {
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
        let gates = (hidden, 4 * hidden);
        let recurrent = Initialization::Uniform(1.0 / (hidden as f32).sqrt());
        Ok(Self {
            parts: Parts::new(device, settings, shape, rng)?,
            attention_lstm: Lstm::new(device, "attention_lstm", embedding, hidden, rng)?,
            mean_image: Linear::new(device, "mean_image", gates, glorot, rng)?,
            said: Parameter::new(device, "said.weight", gates, recurrent, rng)?,
            language_lstm: Lstm::new(device, "language_lstm", hidden, hidden, rng)?,
            heard: Parameter::new(device, "heard.weight", gates, recurrent, rng)?,
        })
    }
}

impl_layer!(TopDown: parts, attention_lstm, mean_image, said, language_lstm, heard);

impl<D: Backend> Attending<D> for TopDown<D> {
    type Weights = TopDownWeights<D>;

    fn weights<T: Tape<f32, D>>(&self, uses: usize, tape: &mut T) -> DeviceResult<D, TopDownWeights<D>> {
        let hidden = self.language_lstm.hidden();
        let mut whole = |parameter| StepWeight::new(parameter, 0..hidden, uses, tape);
        Ok(TopDownWeights {
            said: whole(&self.said)?,
            attention: whole(&self.attention_lstm.hidden_weight)?,
            context: whole(&self.language_lstm.input_weight)?,
            heard: whole(&self.heard)?,
            language: whole(&self.language_lstm.hidden_weight)?,
            query: self.parts.attention.step_weight(uses, tape)?,
        })
    }

    fn start<T: Tape<f32, D> + Merge<T>>(
        &self,
        mean: Matrix<D, T>,
    ) -> DeviceResult<D, (Vec<LstmState<D>>, T)> {
        let (mean, tape) = mean.split_tape();
        let zeros = self.language_lstm.zero_state(mean.shape().0)?;
        Ok((vec![zeros.clone(), zeros], tape))
    }

    fn gates<T: Tape<f32, D> + Merge<T>>(
        &self,
        words: Matrix<D, T>,
        means: &Matrix<D>,
        images: &[usize],
    ) -> DeviceResult<D, Matrix<D, T>> {
        let words = self.attention_lstm.input_layer().forward(words)?;
        add_gathered(words, self.mean_image.forward(means.retaped::<T>())?, images)
    }

    fn step<T: Tape<f32, D> + Merge<T>>(
        &self,
        weights: &TopDownWeights<D>,
        gates: Matrix<D, T>,
        before: &[LstmState<D>],
        gaze: (&D::AttentionMemory, &[usize]),
    ) -> DeviceResult<D, Step<D, T>> {
        let [attention, language] = [&before[0], &before[1]];
        let terms = [
            (&language.hidden, &weights.said),
            (&attention.hidden, &weights.attention),
        ];
        let (attention, tape) = lstm_cell(add_products(gates, &terms)?, &attention.cell)?;
        let looked = self
            .parts
            .attention
            .look(&weights.query, &attention.hidden, gaze, tape)?;
        let AttentionOutput {
            context,
            weights: looks,
        } = looked;
        let (context, tape) = context.split_tape();
        let sums = repeated(&self.language_lstm.bias, gaze.1.len(), tape)?;
        let terms = [
            (&context, &weights.context),
            (&attention.hidden, &weights.heard),
            (&language.hidden, &weights.language),
        ];
        let (language, tape) = lstm_cell(add_products(sums, &terms)?, &language.cell)?;
        Ok(Step {
            states: vec![attention, language],
            context,
            weights: looks,
            tape,
        })
    }

    fn heard<T: Tape<f32, D> + Merge<T>>(
        &self,
        hidden: Matrix<D, T>,
        _: Matrix<D>,
    ) -> DeviceResult<D, Matrix<D, T>> {
        Ok(hidden)
    }

    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![
            &mut self.attention_lstm.hidden_weight,
            &mut self.language_lstm.hidden_weight,
        ]
    }

    fn parts(&self) -> &Parts<D> {
        &self.parts
    }

    fn parts_mut(&mut self) -> &mut Parts<D> {
        &mut self.parts
    }
}
