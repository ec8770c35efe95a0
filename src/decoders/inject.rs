//! The inject decoder: the image is the first thing the LSTM reads.
//!
//! Show and Tell (Vinyals et al. 2015, section 3.1): the features, projected into the space of the word
//! embeddings, are the input of a step before the start marker; nothing else sees the image.

use super::{
    CaptionBatch, Change, DecoderSettings, DecoderShape, DecoderState, Noise, OnePass, Read, Writer,
    mean_region,
};
use crate::nn::{
    Activation, Backend, DeviceResult, Embedding, InferenceEmbedding, Initialization, Linear, Lstm,
    LstmState, Matrix, Regions, concat_rows, gather_rows, impl_layer,
};
use crate::text::TokenId;
use dfdx::prelude::*;
use rand::Rng;

/// The scale of a projected image whose features are standardized: the LSTM then hears both equally well.
const WORDS: f32 = 1.0;

/// Show and Tell (Vinyals et al. 2015, section 3.1): the image is the first thing the LSTM reads, and nothing else
/// sees it.
#[derive(Debug)]
pub struct Inject<D: Backend> {
    image: Linear<D>,
    embedding: Embedding<D>,
    lstm: Lstm<D>,
    output: Linear<D>,
}

impl<D: Backend> Inject<D> {
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
        let DecoderShape { channels, vocabulary } = shape;
        Ok(Self {
            image: Linear::new(
                device,
                "image",
                (channels, embedding),
                Initialization::Glorot,
                rng,
            )?,
            embedding: super::embedding(device, settings, shape, WORDS, rng)?,
            lstm: Lstm::new(device, "lstm", embedding, hidden, rng)?,
            output: Linear::new(
                device,
                "output",
                (hidden, vocabulary),
                Initialization::Glorot,
                rng,
            )?,
        })
    }

    /// `[images, embedding]`
    ///
    /// Nothing is dropped here: the LSTM sees the image once, and what it misses then it cannot learn from.
    fn see<T: Tape<f32, D>>(&self, regions: Regions<D, T>) -> DeviceResult<D, Matrix<D, T>> {
        self.image.forward(mean_region(regions)?)
    }
}

impl_layer!(Inject: embedding, lstm, image, output);

impl<D: Backend> OnePass<D> for Inject<D> {
    fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        regions: Regions<D, T>,
        batch: &CaptionBatch,
        noise: &mut Noise<'_>,
    ) -> DeviceResult<D, Read<D, T>> {
        let captions = batch.images.len();
        let (image, tape) = gather_rows(self.see(regions)?, &batch.images)?.split_tape();
        let words = noise.apply(self.embedding.forward::<T>(&batch.inputs, &self.output)?)?;
        let (words, of_words) = words.split_tape();
        let inputs = concat_rows(vec![image, words], tape.merge(of_words))?;
        let hidden = self.lstm.forward(inputs, &batch.packing.with_step_before())?;
        let of_words: Vec<usize> = (captions..hidden.shape().0).collect();
        Ok(Read::from(noise.apply(gather_rows(hidden, &of_words)?)?))
    }

    fn output(&self) -> &Linear<D> {
        &self.output
    }

    fn output_mut(&mut self) -> &mut Linear<D> {
        &mut self.output
    }

    fn embedding_mut(&mut self) -> &mut Embedding<D> {
        &mut self.embedding
    }

    fn with_recurrent_weights(&self, change: &mut Change<'_, D>) -> DeviceResult<D, Self> {
        let mut lstm = self.lstm.clone();
        change(&mut lstm.hidden_weight)?;
        Ok(Self {
            lstm,
            image: self.image.clone(),
            embedding: self.embedding.clone(),
            output: self.output.clone(),
        })
    }

    fn writer(&self) -> DeviceResult<D, Box<dyn Writer<D>>> {
        Ok(Box::new(InjectWriter {
            image: D::inference_linear(&self.image)?,
            embedding: self.embedding.for_inference(&self.output)?,
            lstm: D::inference_lstm(&self.lstm)?,
            output: D::inference_linear(&self.output)?,
            hidden: self.lstm.hidden(),
        }))
    }
}

/// An [`Inject`] that does not change.
#[derive(Debug)]
struct InjectWriter<D: Backend> {
    image: D::InferenceLinear,
    embedding: InferenceEmbedding<D>,
    lstm: D::InferenceLstm,
    output: D::InferenceLinear,
    hidden: usize,
}

impl<D: Backend> Writer<D> for InjectWriter<D> {
    fn start(&self, regions: Regions<D>) -> DeviceResult<D, DecoderState<D>> {
        let image = D::run_linear(&self.image, mean_region(regions)?, Activation::None)?;
        let before = LstmState::zeros(image.device(), (image.shape().0, self.hidden))?;
        let lstm = D::run_lstm_step(&self.lstm, image, before)?;
        Ok(DecoderState::of_lstm(lstm, None))
    }

    fn step(
        &self,
        state: DecoderState<D>,
        words: &[TokenId],
    ) -> DeviceResult<D, (Matrix<D>, DecoderState<D>)> {
        let (before, _) = state.into_lstm();
        let lstm = D::run_lstm_step(&self.lstm, self.embedding.of(words)?, before)?;
        let logits = D::run_linear(&self.output, lstm.hidden.clone(), Activation::None)?;
        Ok((logits, DecoderState::of_lstm(lstm, None)))
    }
}
