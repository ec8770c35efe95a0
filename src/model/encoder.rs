//! The part of the encoder that a model holds: the normalization of stored features, or layers that are trained.

use super::inputs::ImageInputs;
use super::normalization::FeatureNormalization;
use super::spec::EncoderSpec;
use crate::decoders::ImageRegions;
use crate::nn::{Backend, DeviceResult, Parameter};
use crate::vision::backbones::LayerRange;
use crate::vision::backbones::fine_tuned_layers::FineTunedLayers;
use crate::vision::backbones::small_cnn::SmallCnn;
use crate::vision::features::store::FeatureSpec;
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

/// Normalized features of varying numbers of regions, padded to the largest number of the batch.
fn padded<D: Backend, T: Tape<f32, D>>(
    normalization: &FeatureNormalization,
    spec: &FeatureSpec,
    inputs: &[f32],
    device: &D,
) -> DeviceResult<D, ImageRegions<D, T>> {
    let images: Vec<&[f32]> = inputs
        .chunks_exact(spec.row_len())
        .map(|row| spec.real_regions(row))
        .collect();
    let counts: Vec<usize> = images.iter().map(|image| image.len() / spec.channels).collect();
    let most = counts.iter().copied().max().unwrap_or(1);
    let mut regions = vec![0.0; images.len() * most * spec.channels];
    for (padded, image) in regions.chunks_exact_mut(most * spec.channels).zip(images) {
        let real = &mut padded[..image.len()];
        real.copy_from_slice(image);
        normalization.apply(real);
    }
    let regions = device.try_tensor_from_vec(regions, (counts.len(), most, spec.channels))?;
    Ok(ImageRegions::padded(regions.put_tape(T::default()), &counts))
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
    ) -> DeviceResult<D, ImageRegions<D, T>> {
        let images = inputs.len() / spec.input_len();
        let features = |inputs, channels: usize| {
            let regions = spec.input_len() / channels.max(1);
            let features = device.try_tensor_from_vec(inputs, (images, regions, channels))?;
            Ok(features.put_tape(T::default()))
        };
        match (self, spec) {
            (Self::Stored(normalization), EncoderSpec::Features(spec)) if spec.variable_regions => {
                padded(normalization, spec, &inputs, device)
            }
            (Self::Stored(normalization), _) => {
                normalization.apply(&mut inputs);
                Ok(features(inputs, spec.channels())?.into())
            }
            (Self::FineTuned(layers), _) => {
                Ok(layers.forward(features(inputs, layers.input().channels)?)?.into())
            }
            (Self::Trained { network, side }, _) => {
                let pixels = device.try_tensor_from_vec(inputs, (images, *side, *side, 3))?;
                let map = network.forward(pixels.put_tape(T::default()))?;
                Ok(map.try_reshape_like(&(images, 1, spec.channels()))?.into())
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
                *normalization = match spec {
                    EncoderSpec::Features(spec) => FeatureNormalization::fit_stored(inputs, images, spec),
                    _ => FeatureNormalization::fit(inputs, images, spec.channels()),
                };
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
