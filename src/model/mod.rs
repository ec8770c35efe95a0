//! The model: encoder and decoder, their construction, inputs and checkpoints.

pub mod build;
mod checkpoint;
mod encoder;
mod input_extractor;
mod inputs;
mod normalization;
mod settings;
mod spec;
#[cfg(test)]
pub(crate) mod tests;

use crate::decoders::{self, Decoder, ImageRegions};
use crate::nn::{Backend, ConvLayer, DeviceResult, Parameter};
use crate::vision::backbones::LayerRange;
use dfdx::prelude::Tape;
use rand_chacha::ChaCha8Rng;

pub use checkpoint::{Checkpoint, CheckpointError, NamedMatrix, matrices, metadata, save};
use encoder::Encoder;
pub use input_extractor::{InputExtractor, InputExtractorError};
pub use inputs::{ImageInputs, InputsError, feature_directories};
pub use normalization::FeatureNormalization;
pub use settings::{AugmentSettings, EncoderKind, EncoderSettings};
pub use spec::{EncoderSpec, ModelSpec};

/// Encoder and decoder. Of the encoder, only trained layers are kept.
pub struct Model<D: Backend> {
    spec: ModelSpec,
    device: D,
    encoder: Encoder<D>,
    /// The decoder.
    pub decoder: Box<dyn Decoder<D>>,
}

impl<D: Backend> Model<D> {
    /// A new model, its weights drawn from `rng`.
    pub fn new(device: &D, spec: ModelSpec, rng: &mut ChaCha8Rng) -> DeviceResult<D, Self> {
        // The encoder draws first: the order decides which numbers of `rng` each weight gets.
        let encoder = Encoder::new(&spec.encoder, device, rng)?;
        let decoder = decoders::build(device, &spec.decoder, spec.decoder_shape(), rng)?;
        Ok(Self {
            device: device.clone(),
            spec,
            encoder,
            decoder,
        })
    }

    /// The specification.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The device that holds the weights.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Encodes images: `inputs` holds the encoder's inputs, one image after another.
    ///
    /// A trained network's map is flattened to one region, so that decoders that average the regions still read
    /// positions.
    pub fn regions<T: Tape<f32, D>>(&self, inputs: Vec<f32>) -> DeviceResult<D, ImageRegions<D, T>> {
        self.encoder.forward(&self.spec.encoder, inputs, &self.device)
    }

    /// The normalization of stored features; `None` for an encoder with trained layers.
    pub fn normalization(&self) -> Option<&FeatureNormalization> {
        match &self.encoder {
            Encoder::Stored(normalization) => Some(normalization),
            Encoder::FineTuned(_) | Encoder::Trained { .. } => None,
        }
    }

    fn normalization_mut(&mut self) -> Option<&mut FeatureNormalization> {
        match &mut self.encoder {
            Encoder::Stored(normalization) => Some(normalization),
            Encoder::FineTuned(_) | Encoder::Trained { .. } => None,
        }
    }

    /// The encoder's trained layers with their present weights, on the host; none where features are only normalized.
    pub fn trained_layers(&self) -> Vec<ConvLayer> {
        match &self.encoder {
            Encoder::Stored(_) => Vec::new(),
            Encoder::FineTuned(layers) => layers.on_host(),
            Encoder::Trained { network, .. } => network.on_host(),
        }
    }

    /// Loads published weights into the fine-tuned layers; `rate` multiplies their learning rate.
    pub fn fine_tune(&mut self, published: LayerRange, rate: f32) -> DeviceResult<D, ()> {
        self.encoder.fine_tune(published, rate, &self.device)
    }

    /// Normalizes the decoder's input from now on, by the mean and deviation of the first `images` of `inputs` (fewer for
    /// fine-tuned layers). Does nothing for a network that is trained from scratch.
    pub fn normalize(&mut self, inputs: &ImageInputs, images: usize) -> DeviceResult<D, ()> {
        self.encoder
            .normalize(&self.spec.encoder, inputs, images, &self.device)
    }

    /// All parameters, always in the same order.
    pub fn parameters(&self) -> Vec<&Parameter<D>> {
        let mut parameters = self.encoder.parameters();
        parameters.extend(self.decoder.parameters());
        parameters
    }

    /// Mutable access to all parameters, in the order of [`Model::parameters`].
    pub fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        let mut parameters = self.encoder.parameters_mut();
        parameters.extend(self.decoder.parameters_mut());
        parameters
    }
}
