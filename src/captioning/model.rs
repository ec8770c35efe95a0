//! The whole network that is trained and captioned with: encoder and decoder, with what they were built from.

use super::inputs::ImageInputs;
use super::standardization::Standardization;
use crate::decoders::{self, Decoder, DecoderSettings, DecoderShape};
use crate::nn::{Backend, DeviceResult, Parameter, Regions};
use crate::vision::augment::View;
use crate::vision::backbones::Between;
use crate::vision::backbones::fine_tuned_layers::{Tail, TailSpec};
use crate::vision::backbones::small_cnn::{SmallCnn, SmallCnnSettings};
use crate::vision::features::store::FeatureSpec;
use dfdx::prelude::{Merge, NoneTape, PutTape, ReshapeTo, Tape};
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
            EncoderSpec::FineTuned { tail, .. } => Tail::<D>::size(tail),
            EncoderSpec::SmallCnn(settings) => SmallCnn::<D>::size(settings),
        };
        let decoder = decoders::size::<D>(&self.decoder, self.decoder_shape());
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
    /// From a network with published weights whose last layers are trained further, together with the decoder; what
    /// they are given was stored.
    FineTuned {
        /// What was stored.
        features: FeatureSpec,
        /// What is trained.
        tail: TailSpec,
    },
    /// From a small network trained together with the decoder.
    SmallCnn(SmallCnnSettings),
}

impl EncoderSpec {
    /// The same of images seen in this way, where features are stored.
    pub fn seeing(&self, view: View) -> Option<Self> {
        let mut other = self.clone();
        let features = match &mut other {
            Self::Features(features) | Self::FineTuned { features, .. } => features,
            Self::SmallCnn(_) => return None,
        };
        features.preprocessing.view = view;
        Some(other)
    }

    /// What is stored of images; `None` where they are given as pixels.
    pub fn stored(&self) -> Option<&FeatureSpec> {
        match self {
            Self::Features(features) | Self::FineTuned { features, .. } => Some(features),
            Self::SmallCnn(_) => None,
        }
    }

    /// How many numbers an image is given by: its stored features, or its pixels.
    pub fn input_len(&self) -> usize {
        match self {
            Self::Features(features) | Self::FineTuned { features, .. } => features.row_len(),
            Self::SmallCnn(settings) => settings.preprocessing().pixels_len(),
        }
    }

    /// How many regions of an image the decoder sees; one where it sees the image as a whole.
    pub fn regions(&self) -> usize {
        match self {
            Self::Features(spec) => spec.regions,
            Self::FineTuned { tail, .. } => tail.output.regions(),
            Self::SmallCnn(_) => 1,
        }
    }

    /// Channels of the regions that the decoder sees.
    fn channels(&self) -> usize {
        match self {
            Self::Features(spec) => spec.channels,
            Self::FineTuned { tail, .. } => tail.output.channels,
            Self::SmallCnn(settings) => settings.shape().regions() * settings.shape().channels,
        }
    }
}

/// What of the encoder belongs to the model.
enum Encoder<D: Backend> {
    /// Features are stored; they are only brought to one scale.
    Stored(Standardization),
    /// Features are stored, and seen by layers that are trained along.
    FineTuned(Tail<D>),
    /// Images, `side` pixels high and wide, are seen by a network that is trained along.
    Trained { network: SmallCnn<D>, side: usize },
}

/// Images from which the scale of what fine-tuned layers give is taken.
const IMAGES_SCALED_BY: usize = 256;
/// Images that they are given at a time while it is.
const IMAGES_AT_A_TIME: usize = 16;

/// Encoder and decoder. What of the encoder is not trained is not kept.
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
            EncoderSpec::Features(spec) => Encoder::Stored(Standardization::identity(spec.channels)),
            EncoderSpec::FineTuned { tail, .. } => Encoder::FineTuned(Tail::zeros(tail, device)?),
            EncoderSpec::SmallCnn(settings) => Encoder::Trained {
                network: SmallCnn::new(settings, device, rng)?,
                side: settings.size.get() as usize,
            },
        };
        let decoder = decoders::build(device, &spec.decoder, spec.decoder_shape(), rng)?;
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

    /// What the decoder sees of images that are given as the encoder's inputs, one after another.
    ///
    /// The map of a trained network is laid out flat, as one region: where something stands in the image is
    /// then still told apart by decoders that take the mean of all regions.
    ///
    /// # Errors
    /// Those of the device.
    pub fn regions<T: Tape<f32, D> + Merge<T>>(
        &self,
        mut inputs: Vec<f32>,
    ) -> DeviceResult<D, Regions<D, T>> {
        let images = inputs.len() / self.spec.encoder.input_len();
        let channels = self.spec.encoder.channels();
        let features = |inputs, channels: usize| {
            let regions = self.spec.encoder.input_len() / channels.max(1);
            let features = self
                .device
                .try_tensor_from_vec(inputs, (images, regions, channels))?;
            Ok(features.put_tape(T::default()))
        };
        match &self.encoder {
            Encoder::Stored(standardization) => {
                standardization.apply(&mut inputs);
                features(inputs, channels)
            }
            Encoder::FineTuned(tail) => tail.forward(features(inputs, tail.input().channels)?),
            Encoder::Trained { network, side } => {
                let pixels = self
                    .device
                    .try_tensor_from_vec(inputs, (images, *side, *side, 3))?;
                let map = network.forward(pixels.put_tape(T::default()))?;
                map.try_reshape_like(&(images, 1, channels))
            }
        }
    }

    /// How stored features are brought to one scale; `None` where a network is trained along.
    pub fn standardization(&self) -> Option<&Standardization> {
        match &self.encoder {
            Encoder::Stored(standardization) => Some(standardization),
            Encoder::FineTuned(_) | Encoder::Trained { .. } => None,
        }
    }

    pub(super) fn standardization_mut(&mut self) -> Option<&mut Standardization> {
        match &mut self.encoder {
            Encoder::Stored(standardization) => Some(standardization),
            Encoder::FineTuned(_) | Encoder::Trained { .. } => None,
        }
    }

    /// Starts layers that are trained further with the weights that they were published with; `rate` is the share of
    /// the learning rate at which they change.
    ///
    /// # Errors
    /// Those of the device.
    pub fn fine_tune(&mut self, published: Between, rate: f32) -> DeviceResult<D, ()> {
        if let Encoder::FineTuned(tail) = &mut self.encoder {
            *tail = Tail::of(published.input, published.layers, &self.device)?;
            for parameter in tail.parameters_mut() {
                parameter.rate = rate;
            }
        }
        Ok(())
    }

    /// Brings what the decoder is given to one scale from now on, that of the first `images` of `inputs`, or of some of
    /// them where layers are fine-tuned. Does nothing where a whole network is trained along.
    ///
    /// # Errors
    /// Those of the device.
    pub fn standardize(&mut self, inputs: &ImageInputs, images: usize) -> DeviceResult<D, ()> {
        let channels = self.spec.encoder.channels();
        match &mut self.encoder {
            Encoder::Stored(standardization) => {
                *standardization = Standardization::of(inputs, images, channels);
            }
            Encoder::FineTuned(_) => self.standardize_fine_tuned(inputs, images.min(IMAGES_SCALED_BY))?,
            Encoder::Trained { .. } => {}
        }
        Ok(())
    }

    fn standardize_fine_tuned(&mut self, inputs: &ImageInputs, images: usize) -> DeviceResult<D, ()> {
        let mut given = Vec::new();
        let places: Vec<usize> = (0..images).collect();
        for places in places.chunks(IMAGES_AT_A_TIME) {
            given.extend(self.regions::<NoneTape>(inputs.read(places))?.as_vec());
        }
        let len = given.len() / images.max(1);
        let given = ImageInputs::in_memory(given, len);
        let Standardization { mean, scale } =
            Standardization::of(&given, images, self.spec.encoder.channels());
        match &mut self.encoder {
            Encoder::FineTuned(tail) => tail.rescale(&mean, &scale),
            Encoder::Stored(_) | Encoder::Trained { .. } => Ok(()),
        }
    }

    /// All parameters, always in the same order.
    pub fn parameters(&self) -> Vec<&Parameter<D>> {
        let network = match &self.encoder {
            Encoder::Stored(_) => Vec::new(),
            Encoder::FineTuned(tail) => tail.parameters(),
            Encoder::Trained { network, .. } => network.parameters().collect(),
        };
        network.into_iter().chain(self.decoder.parameters()).collect()
    }

    /// All parameters, to be changed, in the order of [`Model::parameters`].
    pub fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        let network = match &mut self.encoder {
            Encoder::Stored(_) => Vec::new(),
            Encoder::FineTuned(tail) => tail.parameters_mut(),
            Encoder::Trained { network, .. } => network.parameters_mut().collect(),
        };
        network.into_iter().chain(self.decoder.parameters_mut()).collect()
    }
}
