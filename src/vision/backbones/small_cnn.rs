//! A small CNN that is trained from scratch together with the decoder: plain 3x3 convolutions of stride 2, for
//! images of simple scenes.

use super::MapShape;
use crate::nn::{
    Activation, Backend, ConvGeometry, ConvLayer, ConvWeights, Convolution, Images, Initialization, Padding,
    Parameter, Regions, conv2d,
};
use crate::vision::preprocess::Preprocessing;
use dfdx::prelude::{HasErr, HasShape, ReshapeTo, Tape};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroUsize};

const COLORS: usize = 3;

/// Each layer: half the height and width, rounded up.
const LAYER: Convolution = Convolution {
    window: ConvGeometry::square(3, 2, Padding::all(1)),
    activation: Activation::Relu,
};

/// The size of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmallCnnSettings {
    /// Height and width of the images, in pixels.
    pub size: NonZeroU32,
    /// Channels of each layer; every layer halves height and width.
    pub widths: Vec<NonZeroUsize>,
}

impl Default for SmallCnnSettings {
    /// 64 x 64 images become 4 x 4 regions of 96 channels, in 6 million multiply-adds.
    fn default() -> Self {
        const SIZE: NonZeroU32 = NonZeroU32::new(64).unwrap();
        const WIDTHS: [NonZeroUsize; 4] = [
            NonZeroUsize::new(24).unwrap(),
            NonZeroUsize::new(48).unwrap(),
            NonZeroUsize::new(64).unwrap(),
            NonZeroUsize::new(96).unwrap(),
        ];
        Self {
            size: SIZE,
            widths: WIDTHS.to_vec(),
        }
    }
}

impl SmallCnnSettings {
    /// The preprocessing of images to pixels in -1 to 1.
    pub fn preprocessing(&self) -> Preprocessing {
        Preprocessing::symmetric(self.size.get())
    }

    /// The shape of each layer's kernel: `(rows, outputs)`.
    fn kernels(&self) -> impl Iterator<Item = (usize, usize)> {
        let outputs = || self.widths.iter().map(|width| width.get());
        let inputs = std::iter::once(COLORS).chain(outputs());
        inputs
            .zip(outputs())
            .map(|(inputs, outputs)| (LAYER.window.taps().saturating_mul(inputs), outputs))
    }

    /// The number of trainable parameters; saturating.
    pub fn parameters(&self) -> usize {
        self.kernels().fold(0, |sum: usize, (rows, outputs)| {
            sum.saturating_add(rows.saturating_add(1).saturating_mul(outputs))
        })
    }

    /// The output of the last layer for one image.
    pub fn shape(&self) -> MapShape {
        self.maps().last().unwrap_or(self.input())
    }

    /// Whether the maps of an image are of a size that a machine can hold. Settings may come from a file.
    pub fn has_possible_size(&self) -> bool {
        std::iter::once(self.input())
            .chain(self.maps())
            .all(|map| map.checked_len().is_some())
    }

    fn input(&self) -> MapShape {
        let size = self.size.get() as usize;
        MapShape::new(size, size, COLORS)
    }

    /// The output of each layer for one image.
    fn maps(&self) -> impl Iterator<Item = MapShape> {
        self.widths.iter().scan(self.input(), |map, channels| {
            let (height, width) = LAYER.window.output((map.height, map.width));
            *map = MapShape::new(height, width, channels.get());
            Some(*map)
        })
    }
}

/// The trainable CNN.
#[derive(Clone, Debug)]
pub struct SmallCnn<D: Backend> {
    /// Kernel and bias of each layer, in order.
    parameters: Vec<Parameter<D>>,
}

impl<D: Backend> SmallCnn<D> {
    /// Draws kernels as He et al. 2015 do; biases start at zero.
    ///
    /// # Errors
    /// Those of the device.
    pub fn new(
        settings: &SmallCnnSettings,
        device: &D,
        rng: &mut impl Rng,
    ) -> Result<Self, <D as HasErr>::Err> {
        let mut parameters = Vec::new();
        for (number, (rows, outputs)) in (1..).zip(settings.kernels()) {
            let mut parameter = |part: &str, shape, initialization| {
                let name = format!("small_cnn.conv{number}.{part}");
                Parameter::new(device, name, shape, initialization, rng)
            };
            parameters.push(parameter("kernel", (rows, outputs), Initialization::He)?);
            parameters.push(parameter("bias", (1, outputs), Initialization::Constant(0.0))?);
        }
        Ok(Self { parameters })
    }

    /// `[images, size, size, 3]` -> `[images, regions, channels]`, row after row.
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Panics
    /// If the images do not have three channels.
    pub fn forward<T: Tape<f32, D>>(
        &self,
        images: Images<D, T>,
    ) -> Result<Regions<D, T>, <D as HasErr>::Err> {
        let (layers, _) = self.parameters.as_chunks::<2>();
        let map = layers.iter().try_fold(images, |map, [kernel, bias]| {
            conv2d(map, &kernel.value, &bias.value, LAYER)
        })?;
        let (images, height, width, channels) = *map.shape();
        map.try_reshape_like(&(images, height * width, channels))
    }

    /// The layers with their present weights, on the host.
    pub fn on_host(&self) -> Vec<ConvLayer> {
        let (layers, _) = self.parameters.as_chunks::<2>();
        let on_host = |[kernel, bias]: &[Parameter<D>; 2]| {
            ConvLayer::Convolution(ConvWeights {
                kernel: kernel.value.as_vec(),
                bias: bias.value.as_vec(),
                convolution: LAYER,
            })
        };
        layers.iter().map(on_host).collect()
    }

    /// The trainable parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter<D>> {
        self.parameters.iter()
    }

    /// Mutable access to the trainable parameters.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter<D>> {
        self.parameters.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn images(count: usize, size: usize) -> Images<Cpu> {
        let values = (0..count * size * size * COLORS)
            .map(|i| ((i * 7919) % 255) as f32 / 127.5 - 1.0)
            .collect();
        Cpu::default().tensor_from_vec(values, (count, size, size, COLORS))
    }

    fn network(settings: &SmallCnnSettings) -> SmallCnn<Cpu> {
        SmallCnn::new(settings, &Cpu::default(), &mut ChaCha8Rng::seed_from_u64(3)).unwrap()
    }

    fn small_images() -> SmallCnnSettings {
        SmallCnnSettings {
            size: NonZeroU32::new(16).unwrap(),
            ..Default::default()
        }
    }

    #[test]
    fn images_become_regions() {
        let settings = SmallCnnSettings::default();
        let regions = network(&settings).forward(images(2, 64)).unwrap();
        assert_eq!(*regions.shape(), (2, 16, 96));
        assert_eq!(settings.shape().to_string(), "4x4x96");
    }

    #[test]
    fn settings_reject_invalid_widths_and_unknown_keys() {
        assert!(toml::from_str::<SmallCnnSettings>("widths = [8, 0]").is_err());
        assert!(toml::from_str::<SmallCnnSettings>("width = [8]").is_err());
        let settings: SmallCnnSettings = toml::from_str("widths = [8]").unwrap();
        assert_eq!(settings.shape().to_string(), "32x32x8");
    }

    #[test]
    fn every_parameter_learns() {
        let network = network(&small_images());
        let regions = network.forward(images(3, 16).leaky_trace()).unwrap();
        let gradients = regions.square().mean().backward();
        assert_eq!(network.parameters().count(), 8);
        for parameter in network.parameters() {
            let gradient = gradients.get(&parameter.value).as_vec();
            assert!(gradient.iter().any(|slope| *slope != 0.0), "{}", parameter.name);
        }
    }

    /// A step against the gradient lowers the loss by the step size times the squared gradient.
    #[test]
    fn gradient_predicts_the_change_of_the_loss() {
        let mut network = network(&small_images());
        let loss = |network: &SmallCnn<Cpu>| {
            let regions = network.forward(images(3, 16).leaky_trace()).unwrap();
            regions.square().mean::<(), _>()
        };
        let before = loss(&network);
        let (start, gradients) = (before.array(), before.backward());
        let mut squared = 0.0;
        const STEP: f32 = 1e-3;
        for parameter in network.parameters_mut() {
            let gradient = gradients.get(&parameter.value);
            squared += gradient.as_vec().iter().map(|slope| slope * slope).sum::<f32>();
            parameter.value = parameter.value.clone() - gradient * STEP;
        }
        let (change, predicted) = (start - loss(&network).array(), STEP * squared);
        assert!((change / predicted - 1.0).abs() < 0.05, "{change} {predicted}");
    }
}
