//! The inject decoder: the photo is the first thing the LSTM reads.
//!
//! Show and Tell (Vinyals et al. 2015, section 3.1): the features, projected into the space of the word
//! embeddings, are the input of a step before the start marker; nothing else sees the photo.

use super::{
    CaptionBatch, Decoder, DecoderSettings, DecoderShape, DecoderState, Noise, Regularisation, mean_region,
};
use crate::nn::{
    Backend, DeviceResult, Embedding, Initialisation, Linear, Lstm, Matrix, Parameter, Regions, Scalar,
    Taped, cross_entropy,
};
use crate::text::TokenId;
use dfdx::prelude::*;
use rand::Rng;

/// The scale of a projected photo whose features are standardised: the LSTM then hears both equally well.
const WORDS: Initialisation = Initialisation::Uniform(1.0);

/// Show and Tell (Vinyals et al. 2015, section 3.1): the photo is the first thing the LSTM reads, and nothing else
/// sees it.
#[derive(Debug)]
pub struct Inject<D: Backend> {
    image: Linear<D>,
    embedding: Embedding<D>,
    lstm: Lstm<D>,
    output: Linear<D>,
    dropout: f32,
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
            hidden,
            embedding,
            dropout,
            ..
        } = *settings;
        let DecoderShape { channels, vocabulary } = shape;
        Ok(Self {
            image: Linear::new(
                device,
                "image",
                (channels, embedding),
                Initialisation::Glorot,
                rng,
            )?,
            embedding: Embedding::new(device, "embedding", (vocabulary, embedding), WORDS, rng)?,
            lstm: Lstm::new(device, "lstm", embedding, hidden, rng)?,
            output: Linear::new(
                device,
                "output",
                (hidden, vocabulary),
                Initialisation::Glorot,
                rng,
            )?,
            dropout,
        })
    }

    /// How many numbers are learned.
    pub fn size(settings: &DecoderSettings, shape: DecoderShape) -> usize {
        let DecoderSettings {
            hidden, embedding, ..
        } = *settings;
        Linear::<D>::size((shape.channels, embedding))
            .saturating_add(embedding.saturating_mul(shape.vocabulary))
            .saturating_add(Lstm::<D>::size(embedding, hidden))
            .saturating_add(Linear::<D>::size((hidden, shape.vocabulary)))
    }

    /// `[photos, embedding]`
    ///
    /// Nothing is dropped here: the LSTM sees the photo once, and what it misses then it cannot learn from.
    fn see<T: Tape<f32, D>>(&self, regions: Regions<D, T>) -> DeviceResult<D, Matrix<D, T>> {
        self.image.forward(mean_region(regions)?)
    }

    /// What the output layer reads, a row for every token.
    fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        regions: Regions<D, T>,
        batch: &CaptionBatch,
        noise: &mut Noise<'_>,
    ) -> DeviceResult<D, Matrix<D, T>> {
        let photos = batch.photos.clone();
        let captions = photos.len();
        let photos = regions.device().try_tensor_from_vec(photos, (captions,))?;
        let image: Matrix<D, T> = self.see(regions)?.try_gather(photos)?;
        let words = noise.apply(self.embedding.forward::<T>(&batch.inputs)?)?;
        let inputs = (image, words).try_concat_along(Axis::<0>)?;
        let hidden = self.lstm.forward(inputs, &batch.packing.with_step_before())?;
        noise.apply(hidden.try_slice((captions.., ..))?)
    }
}

impl<D: Backend> Decoder<D> for Inject<D> {
    fn training_loss(
        &self,
        regions: Regions<D, Taped<D>>,
        batch: &CaptionBatch,
        Regularisation {
            label_smoothing,
            stream,
        }: Regularisation<'_>,
    ) -> DeviceResult<D, Scalar<D, Taped<D>>> {
        let rows = self.forward(regions, batch, &mut Noise::training(self.dropout, stream))?;
        cross_entropy(rows, &self.output, &batch.targets, label_smoothing)
    }

    fn loss(&self, regions: Regions<D>, batch: &CaptionBatch) -> DeviceResult<D, Scalar<D>> {
        let rows = self.forward(regions, batch, &mut Noise::none())?;
        cross_entropy(rows, &self.output, &batch.targets, 0.0)
    }

    fn start(&self, regions: Regions<D>) -> DeviceResult<D, DecoderState<D>> {
        let image = self.see(regions)?;
        let before = self.lstm.zero_state(image.shape().0)?;
        Ok(DecoderState {
            lstm: self.lstm.step(image, before)?,
            image: None,
        })
    }

    fn step(
        &self,
        state: DecoderState<D>,
        words: &[TokenId],
    ) -> DeviceResult<D, (Matrix<D>, DecoderState<D>)> {
        let lstm = self.lstm.step(self.embedding.of(words)?, state.lstm)?;
        let logits = self.output.forward(lstm.hidden.clone())?;
        Ok((logits, DecoderState { lstm, image: None }))
    }

    fn parameters(&self) -> Vec<&Parameter<D>> {
        let Self {
            image,
            embedding,
            lstm,
            output,
            dropout: _,
        } = self;
        let mut all = vec![&embedding.table];
        all.extend(lstm.parameters());
        all.extend([image, output].into_iter().flat_map(Linear::parameters));
        all
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        let Self {
            image,
            embedding,
            lstm,
            output,
            dropout: _,
        } = self;
        let mut all = vec![&mut embedding.table];
        all.extend(lstm.parameters_mut());
        all.extend([image, output].into_iter().flat_map(Linear::parameters_mut));
        all
    }
}
