//! The part of the encoder that a model holds: the normalization of stored features, or layers that are trained.

use super::inputs::ImageInputs;
use super::normalization::FeatureNormalization;
use super::spec::EncoderSpec;
use crate::nn::{Backend, DeviceResult, Parameter, Regions};
use crate::vision::backbones::LayerRange;
use crate::vision::backbones::fine_tuned_layers::FineTunedLayers;
use crate::vision::backbones::small_cnn::SmallCnn;
use dfdx::prelude::{NoneTape, PutTape, ReshapeTo, Tape};
use rand_chacha::ChaCha8Rng;

/// Images that the normalization of fine-tuned layers is measured on, at most.
const MEASURED_IMAGES: usize = 256;
/// Images that the fine-tuned layers read at a time meanwhile.
const MEASURED_AT_ONCE: usize = 16;

pub(super) enum Encoder<D: Backend> {
    /// Features are stored and only normalized here.
    Stored(FeatureNormalization),
    /// Features of an early layer are stored; the layers behind it are trained.
    FineTuned(FineTunedLayers<D>),
    /// A network reads images, `side` pixels high and wide.
    Trained { network: SmallCnn<D>, side: usize },
}

impl<D: Backend> Encoder<D> {
    pub(super) fn new(spec: &EncoderSpec, device: &D, rng: &mut ChaCha8Rng) -> DeviceResult<D, Self> {
        Ok(match spec {
            EncoderSpec::Features(spec) => Self::Stored(FeatureNormalization::identity(spec.channels)),
            EncoderSpec::FineTuned { layers, .. } => Self::FineTuned(FineTunedLayers::zeros(layers, device)?),
            EncoderSpec::SmallCnn(settings) => Self::Trained {
                network: SmallCnn::new(settings, device, rng)?,
                side: settings.size.get() as usize,
            },
        })
    }

    /// See [`super::Model::regions`].
    pub(super) fn forward<T: Tape<f32, D>>(
        &self,
        spec: &EncoderSpec,
        mut inputs: Vec<f32>,
        device: &D,
    ) -> DeviceResult<D, Regions<D, T>> {
        let images = inputs.len() / spec.input_len();
        let features = |inputs, channels: usize| {
            let regions = spec.input_len() / channels.max(1);
            let features = device.try_tensor_from_vec(inputs, (images, regions, channels))?;
            Ok(features.put_tape(T::default()))
        };
        match self {
            Self::Stored(normalization) => {
                normalization.apply(&mut inputs);
                features(inputs, spec.channels())
            }
            Self::FineTuned(layers) => layers.forward(features(inputs, layers.input().channels)?),
            Self::Trained { network, side } => {
                let pixels = device.try_tensor_from_vec(inputs, (images, *side, *side, 3))?;
                let map = network.forward(pixels.put_tape(T::default()))?;
                map.try_reshape_like(&(images, 1, spec.channels()))
            }
        }
    }

    /// See [`super::Model::fine_tune`].
    pub(super) fn fine_tune(&mut self, published: LayerRange, rate: f32, device: &D) -> DeviceResult<D, ()> {
        if let Self::FineTuned(layers) = self {
            *layers = FineTunedLayers::of(published.input, published.layers, device)?;
            for parameter in layers.parameters_mut() {
                parameter.rate = rate;
            }
        }
        Ok(())
    }

    /// See [`super::Model::normalize`].
    pub(super) fn normalize(
        &mut self,
        spec: &EncoderSpec,
        inputs: &ImageInputs,
        images: usize,
        device: &D,
    ) -> DeviceResult<D, ()> {
        match self {
            Self::Stored(normalization) => {
                *normalization = FeatureNormalization::fit(inputs, images, spec.channels());
                return Ok(());
            }
            Self::Trained { .. } => return Ok(()),
            Self::FineTuned(_) => {}
        }
        let images = images.min(MEASURED_IMAGES);
        let outputs = self.outputs(spec, inputs, images, device)?;
        let FeatureNormalization { mean, scale } =
            FeatureNormalization::fit(&outputs, images, spec.channels());
        match self {
            Self::FineTuned(layers) => layers.rescale(&mean, &scale),
            Self::Stored(_) | Self::Trained { .. } => Ok(()),
        }
    }

    /// The encoder's outputs for the first `images` of `inputs`.
    fn outputs(
        &self,
        spec: &EncoderSpec,
        inputs: &ImageInputs,
        images: usize,
        device: &D,
    ) -> DeviceResult<D, ImageInputs> {
        let mut outputs = Vec::new();
        let indices: Vec<usize> = (0..images).collect();
        for indices in indices.chunks(MEASURED_AT_ONCE) {
            let regions = self.forward::<NoneTape>(spec, inputs.read(indices), device)?;
            outputs.extend(regions.as_vec());
        }
        let len = outputs.len() / images.max(1);
        Ok(ImageInputs::in_memory(outputs, len))
    }

    pub(super) fn parameters(&self) -> Vec<&Parameter<D>> {
        match self {
            Self::Stored(_) => Vec::new(),
            Self::FineTuned(layers) => layers.parameters(),
            Self::Trained { network, .. } => network.parameters().collect(),
        }
    }

    pub(super) fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        match self {
            Self::Stored(_) => Vec::new(),
            Self::FineTuned(layers) => layers.parameters_mut(),
            Self::Trained { network, .. } => network.parameters_mut().collect(),
        }
    }
}
