//! What decoders have in common that read a whole batch of captions in one pass by teacher forcing.

use super::{CaptionBatch, Decoder, Noise, Regularisation, Writer};
use crate::nn::{
    Backend, DeviceResult, Layer, Linear, Matrix, Parameter, Regions, Scalar, Taped, Targets, cross_entropy,
};
use dfdx::prelude::{Merge, Tape, TryAdd, TryMul};

/// What a decoder has read of a batch.
pub struct Read<D: Backend, T> {
    /// What the output layer reads, a row for every token.
    pub rows: Matrix<D, T>,
    /// What is added to the loss besides; its history is that of the rows.
    pub penalty: Option<Scalar<D, T>>,
}

impl<D: Backend, T> From<Matrix<D, T>> for Read<D, T> {
    fn from(rows: Matrix<D, T>) -> Self {
        Self { rows, penalty: None }
    }
}

/// A decoder that reads a whole batch of captions in one pass, and ends in one output layer. It is a [`Decoder`].
pub trait OnePass<D: Backend> {
    /// Reads all captions.
    fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        regions: Regions<D, T>,
        batch: &CaptionBatch,
        noise: &mut Noise<'_>,
    ) -> DeviceResult<D, Read<D, T>>;

    /// The layer that gives the logits of the next word.
    fn output(&self) -> &Linear<D>;

    /// The same layer, to be changed.
    fn output_mut(&mut self) -> &mut Linear<D>;

    /// See [`Decoder::writer`].
    fn writer(&self) -> DeviceResult<D, Box<dyn Writer<D>>>;

    /// All layers, always in the same order.
    fn layers(&self) -> Vec<&dyn Layer<D>>;

    /// All layers, to be changed, in the order of [`OnePass::layers`].
    fn layers_mut(&mut self) -> Vec<&mut dyn Layer<D>>;
}

impl<D: Backend, O: OnePass<D>> Decoder<D> for O {
    fn training_loss(
        &self,
        regions: Regions<D, Taped<D>>,
        batch: &CaptionBatch,
        Regularisation {
            label_smoothing,
            dropout,
            word_dropout,
            stream,
        }: Regularisation<'_>,
    ) -> DeviceResult<D, Scalar<D, Taped<D>>> {
        let fewer_words = batch.without_words(word_dropout, stream);
        let read = fewer_words.as_ref().unwrap_or(batch);
        let Read { rows, penalty } = self.forward(regions, read, &mut Noise::training(dropout, stream))?;
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

    fn loss(&self, regions: Regions<D>, batch: &CaptionBatch) -> DeviceResult<D, Scalar<D>> {
        let Read { rows, .. } = self.forward(regions, batch, &mut Noise::none())?;
        cross_entropy(rows, self.output(), Targets::plain(&batch.targets))
    }

    fn writer(&self) -> DeviceResult<D, Box<dyn Writer<D>>> {
        OnePass::writer(self)
    }

    fn sharpen(&mut self, factor: f32) -> DeviceResult<D, ()> {
        for parameter in self.output_mut().parameters_mut() {
            parameter.value = parameter.value.clone().try_mul(factor)?;
        }
        Ok(())
    }

    fn parameters(&self) -> Vec<&Parameter<D>> {
        self.layers().into_iter().flat_map(Layer::parameters).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        self.layers_mut()
            .into_iter()
            .flat_map(Layer::parameters_mut)
            .collect()
    }
}
