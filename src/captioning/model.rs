//! The whole network that is trained and captioned with: encoder and decoder, with what they were built from.

use super::inputs::PhotoInputs;
use super::standardisation::Standardisation;
use crate::decoder::{self, Decoder, DecoderSettings, DecoderShape};
use crate::nn::{Backend, DeviceResult, Parameter, Regions};
use crate::vision::preprocess::Facing;
use crate::vision::small_cnn::{SmallCnn, SmallCnnSettings};
use crate::vision::store::FeatureSpec;
use dfdx::prelude::{PutTape, ReshapeTo, Tape};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Everything needed to build a [`Model`] but its weights. Every checkpoint holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Where regions come from.
    pub encoder: EncoderSpec,
    /// The decoder's settings.
    pub decoder: DecoderSettings,
    /// Words of the vocabulary, markers included.
    pub vocabulary: usize,
}

impl ModelSpec {
    /// How many numbers such a model learns, or the largest there is where they are beyond counting.
    pub fn size<D: Backend>(&self) -> usize {
        let network = match &self.encoder {
            EncoderSpec::Features(_) => 0,
            EncoderSpec::SmallCnn(settings) => SmallCnn::<D>::size(settings),
        };
        let decoder = decoder::size::<D>(&self.decoder, self.decoder_shape());
        network.saturating_add(decoder)
    }

    fn decoder_shape(&self) -> DecoderShape {
        DecoderShape {
            channels: self.encoder.channels(),
            vocabulary: self.vocabulary,
        }
    }
}

/// Where a decoder's regions come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EncoderSpec {
    /// From a network with published weights that is not trained further; its features were stored.
    Features(FeatureSpec),
    /// From a small network trained together with the decoder.
    SmallCnn(SmallCnnSettings),
}

impl EncoderSpec {
    /// The same of mirrored photos, where features are stored.
    pub fn mirrored(&self) -> Option<Self> {
        match self {
            Self::SmallCnn(_) => None,
            Self::Features(spec) => {
                let mut spec = spec.clone();
                spec.preprocessing.facing = Facing::Mirrored;
                Some(Self::Features(spec))
            }
        }
    }

    /// How many numbers a photo is given by: its stored features, or its pixels.
    pub fn input_len(&self) -> usize {
        match self {
            Self::Features(spec) => spec.row_len(),
            Self::SmallCnn(settings) => settings.preprocessing().pixels_len(),
        }
    }

    /// Channels of the regions that the decoder sees.
    fn channels(&self) -> usize {
        match self {
            Self::Features(spec) => spec.channels,
            Self::SmallCnn(settings) => settings.shape().regions() * settings.shape().channels,
        }
    }
}

/// What of the encoder belongs to the model.
enum Encoder<D: Backend> {
    /// Features are stored; they are only brought to one scale.
    Stored(Standardisation),
    /// Photos, `side` pixels high and wide, are seen by a network that is trained along.
    Trained { network: SmallCnn<D>, side: usize },
}

/// Encoder and decoder. Where features are stored, only the decoder is trained and kept.
pub struct Model<D: Backend> {
    spec: ModelSpec,
    device: D,
    encoder: Encoder<D>,
    /// The decoder.
    pub decoder: Box<dyn Decoder<D>>,
}

impl<D: Backend> Model<D> {
    /// A new model, its weights drawn from `rng`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn new(device: &D, spec: ModelSpec, rng: &mut ChaCha8Rng) -> DeviceResult<D, Self> {
        let encoder = match &spec.encoder {
            EncoderSpec::Features(spec) => Encoder::Stored(Standardisation::identity(spec.channels)),
            EncoderSpec::SmallCnn(settings) => Encoder::Trained {
                network: SmallCnn::new(settings, device, rng)?,
                side: settings.size.get() as usize,
            },
        };
        let decoder = decoder::build(device, &spec.decoder, spec.decoder_shape(), rng)?;
        Ok(Self {
            device: device.clone(),
            spec,
            encoder,
            decoder,
        })
    }

    /// What the model was built from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The device it lives on.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// What the decoder sees of photos that are given as the encoder's inputs, one after another.
    ///
    /// The map of a trained network is laid out flat, as one region: where something stands in the photo is
    /// then still told apart by decoders that take the mean of all regions.
    ///
    /// # Errors
    /// Those of the device.
    pub fn regions<T: Tape<f32, D>>(&self, mut inputs: Vec<f32>) -> DeviceResult<D, Regions<D, T>> {
        let photos = inputs.len() / self.spec.encoder.input_len();
        let channels = self.spec.encoder.channels();
        match &self.encoder {
            Encoder::Stored(standardisation) => {
                standardisation.apply(&mut inputs);
                let regions = inputs.len() / (photos * channels).max(1);
                let features = self
                    .device
                    .try_tensor_from_vec(inputs, (photos, regions, channels))?;
                Ok(features.put_tape(T::default()))
            }
            Encoder::Trained { network, side } => {
                let pixels = self
                    .device
                    .try_tensor_from_vec(inputs, (photos, *side, *side, 3))?;
                let map = network.forward(pixels.put_tape(T::default()))?;
                map.try_reshape_like(&(photos, 1, channels))
            }
        }
    }

    /// How stored features are brought to one scale; `None` where a network is trained along.
    pub fn standardisation(&self) -> Option<&Standardisation> {
        match &self.encoder {
            Encoder::Stored(standardisation) => Some(standardisation),
            Encoder::Trained { .. } => None,
        }
    }

    pub(super) fn standardisation_mut(&mut self) -> Option<&mut Standardisation> {
        match &mut self.encoder {
            Encoder::Stored(standardisation) => Some(standardisation),
            Encoder::Trained { .. } => None,
        }
    }

    /// Brings stored features to one scale from now on, that of the first `photos` of `inputs`. Does nothing where
    /// a network is trained along.
    pub fn standardise(&mut self, inputs: &PhotoInputs, photos: usize) {
        let channels = self.spec.encoder.channels();
        if let Some(standardisation) = self.standardisation_mut() {
            *standardisation = Standardisation::of(inputs, photos, channels);
        }
    }

    /// All parameters, always in the same order.
    pub fn parameters(&self) -> Vec<&Parameter<D>> {
        let network = match &self.encoder {
            Encoder::Stored(_) => None,
            Encoder::Trained { network, .. } => Some(network.parameters()),
        };
        let network = network.into_iter().flatten();
        network.chain(self.decoder.parameters()).collect()
    }

    /// All parameters, to be changed, in the order of [`Model::parameters`].
    pub fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        let network = match &mut self.encoder {
            Encoder::Stored(_) => None,
            Encoder::Trained { network, .. } => Some(network.parameters_mut()),
        };
        let network = network.into_iter().flatten();
        network.chain(self.decoder.parameters_mut()).collect()
    }
}
