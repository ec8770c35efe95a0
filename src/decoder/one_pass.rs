//! What decoders have in common that read a whole batch of captions in one pass by teacher forcing.

use super::{CaptionBatch, Decoder, Noise, Regularisation, Writer};
use crate::nn::{
    Backend, DeviceResult, Layer, Linear, Matrix, Parameter, Regions, Scalar, Taped, cross_entropy,
};
use dfdx::prelude::{Merge, Tape};

/// A decoder that reads a whole batch of captions in one pass, and ends in one output layer. It is a [`Decoder`].
pub trait OnePass<D: Backend>: Send + Sync {
    /// What the output layer reads, a row for every token.
    fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        regions: Regions<D, T>,
        batch: &CaptionBatch,
        noise: &mut Noise<'_>,
    ) -> DeviceResult<D, Matrix<D, T>>;

    /// The layer that gives the logits of the next word.
    fn output(&self) -> &Linear<D>;

    /// Share of the elements dropped while training.
    fn dropout(&self) -> f32;

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
            stream,
        }: Regularisation<'_>,
    ) -> DeviceResult<D, Scalar<D, Taped<D>>> {
        let rows = self.forward(regions, batch, &mut Noise::training(self.dropout(), stream))?;
        cross_entropy(rows, self.output(), &batch.targets, label_smoothing)
    }

    fn loss(&self, regions: Regions<D>, batch: &CaptionBatch) -> DeviceResult<D, Scalar<D>> {
        let rows = self.forward(regions, batch, &mut Noise::none())?;
        cross_entropy(rows, self.output(), &batch.targets, 0.0)
    }

    fn writer(&self) -> DeviceResult<D, Box<dyn Writer<D>>> {
        OnePass::writer(self)
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
