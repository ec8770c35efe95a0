//! The inject decoder: the image is the first thing the LSTM reads.
//!
//! Show and Tell (Vinyals et al. 2015, section 3.1): the features, projected to the width of the word embeddings, are the
//! LSTM's input at a step before the start token. No other step reads the image.

use super::{
    CaptionBatch, DecoderOutput, DecoderSettings, DecoderShape, ImageRegions, LstmInference, StepDecoder,
    TeacherForced,
};
use crate::nn::{
    Backend, DeviceResult, Dropout, Embedding, Initialization, Linear, Lstm, MatrixResult, Parameter,
    impl_layer,
};
use dfdx::prelude::*;
use rand::Rng;

/// Bound of the initial word embeddings: the scale of a projected image with normalized features, so that the LSTM gets
/// words and image at one scale.
const INITIAL_WORDS: f32 = 1.0;

/// Show and Tell (Vinyals et al. 2015, section 3.1): the LSTM reads the image before the first word.
#[derive(Clone, Debug)]
pub struct Inject<D: Backend> {
    image: Linear<D>,
    embedding: Embedding<D>,
    lstm: Lstm<D>,
    output: Linear<D>,
}

impl<D: Backend> Inject<D> {
    /// A decoder with weights drawn from `rng`.
    pub fn new(
        device: &D,
        settings: &DecoderSettings,
        shape: DecoderShape,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        let (hidden, embedding) = (settings.hidden_size, settings.embedding_size);
        let DecoderShape { channels, vocabulary } = shape;
        let glorot = Initialization::Glorot;
        Ok(Self {
            image: Linear::new(device, "image", (channels, embedding), glorot, rng)?,
            embedding: super::embedding(device, settings, shape, INITIAL_WORDS, rng)?,
            lstm: Lstm::new(device, "lstm", embedding, hidden, rng)?,
            output: Linear::new(device, "output", (hidden, vocabulary), glorot, rng)?,
        })
    }

    /// `[images, embedding]`
    ///
    /// Without dropout: the LSTM reads the image once, so a dropped channel is lost for the whole caption.
    fn project_image<T: Tape<f32, D>>(&self, images: ImageRegions<D, T>) -> MatrixResult<D, T> {
        self.image.forward(images.mean()?)
    }
}

impl_layer!(Inject: embedding, lstm, image, output);

impl<D: Backend> TeacherForced<D> for Inject<D> {
    fn forward<T: Tape<f32, D>>(
        &self,
        images: ImageRegions<D, T>,
        batch: &CaptionBatch,
        dropout: &mut Dropout<'_>,
    ) -> DeviceResult<D, DecoderOutput<D, T>> {
        let captions = batch.images.len();
        let (image, tape) = D::gather_rows(self.project_image(images)?, &batch.images)?.split_tape();
        let words = dropout.apply(self.embedding.forward::<T>(&batch.inputs, &self.output)?)?;
        let (words, words_tape) = words.split_tape();
        let inputs = D::concat_rows(vec![image, words], tape.merge(words_tape))?;
        let hidden = self.lstm.forward(inputs, &batch.packing.with_step_before())?;
        let word_rows: Vec<usize> = (captions..hidden.shape().0).collect();
        Ok(DecoderOutput::from(
            dropout.apply(D::gather_rows(hidden, &word_rows)?)?,
        ))
    }

    fn output(&self) -> &Linear<D> {
        &self.output
    }

    fn embedding_and_output_mut(&mut self) -> (&mut Embedding<D>, &mut Linear<D>) {
        (&mut self.embedding, &mut self.output)
    }

    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![&mut self.lstm.hidden_weight]
    }

    fn inference(&self) -> DeviceResult<D, Box<dyn StepDecoder<D>>> {
        Ok(Box::new(LstmInference::<D> {
            image: D::inference_linear(&self.image)?,
            embedding: self.embedding.for_inference(&self.output)?,
            lstm: D::inference_lstm(&self.lstm)?,
            joint: None,
            output: D::inference_linear(&self.output)?,
            hidden: self.lstm.hidden(),
        }))
    }
}
