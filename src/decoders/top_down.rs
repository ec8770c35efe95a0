//! The top-down decoder: an attention LSTM and a language LSTM.
//!
//! Anderson et al. 2018 ("Bottom-up and top-down attention", section 3.2), over detected objects or the regions of a grid.
//! The attention LSTM reads the word, the mean region and the language LSTM's previous hidden state; its hidden
//! state is the query. The language LSTM reads the context and that hidden state. Regions are first projected to the width
//! of the LSTMs.

use super::attention::{MemoryOfRows, RegionAttention, repeated};
use super::attention_decoder::{AttentionCell, AttentionCore, AttentionDecoder, CellOutput};
use super::{DecoderSettings, DecoderShape};
use crate::nn::{
    AttentionOutput, Backend, DeviceResult, Initialization, Linear, Lstm, LstmState, Matrix, MatrixResult,
    Parameter, impl_layer, lstm_cell,
};
use dfdx::prelude::*;
use rand::Rng;

/// Top-down attention (Anderson et al. 2018): an attention LSTM makes the queries, a language LSTM writes.
#[derive(Clone, Debug)]
pub struct TopDown<D: Backend> {
    /// Reads words.
    attention_lstm: Lstm<D>,
    /// From the mean region to the attention LSTM's gates.
    mean_image: Linear<D>,
    /// From the language LSTM's previous hidden state to the attention LSTM's gates.
    prev_hidden: Parameter<D>,
    /// Reads contexts.
    language_lstm: Lstm<D>,
    /// From the attention LSTM's hidden state to the language LSTM's gates.
    attention_hidden: Parameter<D>,
}

#[derive(Debug)]
pub(super) struct TopDownWeights<D: Backend> {
    query: D::StepWeight,
    prev_hidden: D::StepWeight,
    attention: D::StepWeight,
    context: D::StepWeight,
    attention_hidden: D::StepWeight,
    language: D::StepWeight,
}

impl<D: Backend> TopDown<D> {
    /// A decoder with weights drawn from `rng`.
    pub fn decoder(
        device: &D,
        settings: &DecoderSettings,
        shape: DecoderShape,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, AttentionDecoder<D, Self>> {
        let (hidden, embedding) = (settings.hidden_size, settings.embedding_size);
        let glorot = Initialization::Glorot;
        let gates = (hidden, 4 * hidden);
        let recurrent = Initialization::Uniform(1.0 / (hidden as f32).sqrt());
        // The order of construction is the order of the draws from `rng`.
        let core = AttentionCore::new(device, settings, shape, rng)?;
        let cell = Self {
            attention_lstm: Lstm::new(device, "attention_lstm", embedding, hidden, rng)?,
            mean_image: Linear::new(device, "mean_image", gates, glorot, rng)?,
            prev_hidden: Parameter::new(device, "prev_hidden.weight", gates, recurrent, rng)?,
            language_lstm: Lstm::new(device, "language_lstm", hidden, hidden, rng)?,
            attention_hidden: Parameter::new(device, "attention_hidden.weight", gates, recurrent, rng)?,
        };
        Ok(AttentionDecoder { core, cell })
    }
}

impl_layer!(TopDown: attention_lstm, mean_image, prev_hidden, language_lstm, attention_hidden);

impl<D: Backend> AttentionCell<D> for TopDown<D> {
    type Weights = TopDownWeights<D>;

    fn step_weights<T: Tape<f32, D>>(
        &self,
        attention: &RegionAttention<D>,
        uses: usize,
        tape: &mut T,
    ) -> DeviceResult<D, Self::Weights> {
        let mut prepared = |parameter| D::step_weight(parameter, uses, tape);
        Ok(TopDownWeights {
            prev_hidden: prepared(&self.prev_hidden.value)?,
            attention: prepared(&self.attention_lstm.hidden_weight.value)?,
            context: prepared(&self.language_lstm.input_weight.value)?,
            attention_hidden: prepared(&self.attention_hidden.value)?,
            language: prepared(&self.language_lstm.hidden_weight.value)?,
            query: attention.query_weight(uses, tape)?,
        })
    }

    fn initial_states<T: Tape<f32, D>>(&self, mean: Matrix<D, T>) -> DeviceResult<D, (Vec<LstmState<D>>, T)> {
        let (mean, tape) = mean.split_tape();
        let zeros = self.language_lstm.zero_state(mean.shape().0)?;
        Ok((vec![zeros.clone(), zeros], tape))
    }

    fn input_gates<T: Tape<f32, D>>(
        &self,
        words: Matrix<D, T>,
        means: &Matrix<D>,
        images: &[usize],
    ) -> MatrixResult<D, T> {
        let words = self.attention_lstm.input_layer().forward(words)?;
        D::add_gathered(words, self.mean_image.forward(means.retaped::<T>())?, images)
    }

    fn step<T: Tape<f32, D>>(
        &self,
        attention: &RegionAttention<D>,
        weights: &TopDownWeights<D>,
        gates: Matrix<D, T>,
        before: &[LstmState<D>],
        rows: &MemoryOfRows<'_, D>,
    ) -> DeviceResult<D, CellOutput<D, T>> {
        let [attention_before, language_before] = [&before[0], &before[1]];
        let terms = [
            (&language_before.hidden, &weights.prev_hidden),
            (&attention_before.hidden, &weights.attention),
        ];
        let (query, tape) = lstm_cell(D::add_products(gates, &terms)?, &attention_before.cell)?;
        let AttentionOutput {
            context,
            weights: attention_weights,
        } = attention.attend(&weights.query, &query.hidden, rows, tape)?;
        let (context, tape) = context.split_tape();
        let bias = repeated(&self.language_lstm.bias, rows.images.len(), tape)?;
        let terms = [
            (&context, &weights.context),
            (&query.hidden, &weights.attention_hidden),
            (&language_before.hidden, &weights.language),
        ];
        let (language, tape) = lstm_cell(D::add_products(bias, &terms)?, &language_before.cell)?;
        Ok(CellOutput {
            states: vec![query, language],
            context,
            attention_weights,
            tape,
        })
    }

    fn readout<T: Tape<f32, D>>(&self, hidden: Matrix<D, T>, _: Matrix<D>) -> MatrixResult<D, T> {
        Ok(hidden)
    }

    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![
            &mut self.attention_lstm.hidden_weight,
            &mut self.language_lstm.hidden_weight,
        ]
    }
}
