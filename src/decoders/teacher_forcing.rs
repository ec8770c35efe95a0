//! Training by teacher forcing: a decoder reads a whole batch of captions in one pass.

use super::{CaptionBatch, Decoder, ImageRegions, Regularization, StepDecoder, sample_token};
use crate::nn::cpu::slices::values;
use crate::nn::{
    Backend, DeviceResult, Dropout, Embedding, Layer, Linear, OutputInputs, Parameter, Scalar, Taped,
    Targets, cross_entropy,
};
use dfdx::prelude::{HasShape, Merge, SplitTape, Tape, TryAdd, TryMul};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::borrow::Cow;

/// The output of a decoder for a batch, before the output layer.
pub struct DecoderOutput<D: Backend, T> {
    /// The inputs of the output layer, one row for each token.
    pub rows: OutputInputs<D, T>,
    /// A term of the loss besides the cross-entropy. Its tape is that of `rows`.
    pub penalty: Option<Scalar<D, T>>,
}

impl<D: Backend, T, R: Into<OutputInputs<D, T>>> From<R> for DecoderOutput<D, T> {
    fn from(rows: R) -> Self {
        Self {
            rows: rows.into(),
            penalty: None,
        }
    }
}

/// A decoder that reads a batch of captions in one pass and ends in one output layer. It is a [`Decoder`].
pub trait TeacherForced<D: Backend>: Layer<D> + Clone {
    /// Reads all captions.
    fn forward<T: Tape<f32, D>>(
        &self,
        images: ImageRegions<D, T>,
        batch: &CaptionBatch,
        dropout: &mut Dropout<'_>,
    ) -> DeviceResult<D, DecoderOutput<D, T>>;

    /// The layer that gives the logits of the next word.
    fn output(&self) -> &Linear<D>;

    /// Mutable access to the embedding and the output layer.
    fn embedding_and_output_mut(&mut self) -> (&mut Embedding<D>, &mut Linear<D>);

    /// The weights from each LSTM's hidden state to its gates.
    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>>;

    /// See [`Decoder::inference`].
    fn inference(&self) -> DeviceResult<D, Box<dyn StepDecoder<D>>>;
}

impl<D: Backend, O: TeacherForced<D>> Decoder<D> for O {
    fn training_loss(
        &self,
        images: ImageRegions<D, Taped<D>>,
        batch: &CaptionBatch,
        Regularization {
            label_smoothing,
            dropout,
            weight_drop,
            word_dropout,
            scheduled_sampling,
            stream,
        }: Regularization<'_>,
    ) -> DeviceResult<D, Scalar<D, Taped<D>>> {
        let (images, tape) = images.split_tape();
        // The order of these steps is the order of the draws from `stream`.
        let mut inputs = Cow::Borrowed(batch);
        if scheduled_sampling > 0.0 {
            inputs = Cow::Owned(sample_inputs(self, &images, batch, scheduled_sampling, stream)?);
        }
        if word_dropout > 0.0 {
            inputs = Cow::Owned(inputs.with_word_dropout(word_dropout, stream));
        }
        let (decoder, weight_tape) = with_weight_drop(self, Dropout::new(weight_drop, stream))?;
        let images = images.put_tape(tape.merge(weight_tape));
        let DecoderOutput { rows, penalty } =
            decoder.forward(images, &inputs, &mut Dropout::new(dropout, stream))?;
        let targets = Targets {
            columns: &batch.targets,
            weights: batch.weights.as_deref(),
            smoothing: label_smoothing,
        };
        let loss = cross_entropy(rows, self.output(), targets)?;
        match penalty {
            None => Ok(loss),
            Some(penalty) => loss.try_add(penalty),
        }
    }

    fn loss(&self, images: ImageRegions<D>, batch: &CaptionBatch) -> DeviceResult<D, Scalar<D>> {
        let DecoderOutput { rows, .. } = self.forward(images, batch, &mut Dropout::off())?;
        cross_entropy(rows, self.output(), Targets::plain(&batch.targets))
    }

    fn inference(&self) -> DeviceResult<D, Box<dyn StepDecoder<D>>> {
        TeacherForced::inference(self)
    }

    fn scale_logits(&mut self, factor: f32) -> DeviceResult<D, ()> {
        let (embedding, output) = self.embedding_and_output_mut();
        // A tied embedding reads the output layer's weights and must not grow with them.
        embedding.rescale_for(factor)?;
        for parameter in output.parameters_mut() {
            parameter.value = parameter.value.clone().try_mul(factor)?;
        }
        Ok(())
    }

    fn parameters(&self) -> Vec<&Parameter<D>> {
        Layer::parameters(self)
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        Layer::parameters_mut(self)
    }
}

/// A copy of the decoder with dropout applied to its recurrent weights, and the tape of that.
///
/// The copy keeps the tensors' identities, so gradients reach the original's parameters.
fn with_weight_drop<D: Backend, O: TeacherForced<D>>(
    decoder: &O,
    mut dropout: Dropout<'_>,
) -> DeviceResult<D, (O, Taped<D>)> {
    let mut decoder = decoder.clone();
    let mut tape = Taped::default();
    for weight in decoder.recurrent_weights_mut() {
        let (value, weight_tape) = dropout.apply(weight.value.retaped::<Taped<D>>())?.split_tape();
        weight.value = value;
        tape = tape.merge(weight_tape);
    }
    Ok((decoder, tape))
}

/// The batch with a fraction of its inputs sampled from the decoder. The decoder reads the ground truth first, so all
/// words are sampled at once (Mihaylova & Martins 2019, "Scheduled sampling for transformers", section 3).
fn sample_inputs<D: Backend, O: TeacherForced<D>>(
    decoder: &O,
    images: &ImageRegions<D>,
    batch: &CaptionBatch,
    rate: f32,
    stream: &mut ChaCha8Rng,
) -> DeviceResult<D, CaptionBatch> {
    let DecoderOutput { rows, .. } = decoder.forward(images.clone(), batch, &mut Dropout::off())?;
    let logits = decoder.output().forward(rows.into_rows())?;
    let width = logits.shape().1;
    let draws: Vec<f32> = (0..batch.tokens()).map(|_| stream.random()).collect();
    let words: Vec<usize> = values(&logits)
        .par_chunks_exact_mut(width)
        .zip(draws)
        .map(|(logits, draw)| sample_token(logits, draw).0)
        .collect();
    Ok(batch.with_sampled_inputs(&words, rate, stream))
}
