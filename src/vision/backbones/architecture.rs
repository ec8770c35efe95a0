//! The description of a network: its layers in order, with the names of their tensors but without the values.

use super::MapShape;
use super::fit::WeightSource;
use crate::nn::{Activation, ConvGeometry, Padding};
use crate::vision::preprocess::Preprocessing;
use crate::vision::weights::Naming;
use std::ops::RangeFrom;

/// A published network, as its file describes it.
#[derive(Clone, Debug)]
pub(crate) struct Architecture {
    pub(crate) preprocessing: Preprocessing,
    /// The layers for features if none is named. The first one with weights in the file is used.
    pub(crate) default_layers: &'static [&'static str],
    pub(crate) stages: Vec<Stage>,
}

/// Layers whose last output can be chosen as the features.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) layers: Vec<LayerSpec>,
}

#[derive(Clone, Debug)]
pub(crate) enum LayerSpec {
    Convolution {
        weights: WeightNames,
        window: SquareWindow,
        outputs: usize,
        activation: Activation,
    },
    Depthwise {
        weights: WeightNames,
        window: SquareWindow,
        activation: Activation,
    },
    /// Fully connected to the flattened map.
    Dense {
        weights: WeightNames,
        outputs: usize,
        activation: Activation,
    },
    MaxPool(SquareWindow),
    GlobalAvgPool,
    /// An activation on its own, because its input is also used without it.
    Activation(Activation),
    /// The sum of branch and shortcut. A shortcut without layers is the identity.
    Residual {
        branch: Vec<LayerSpec>,
        shortcut: Vec<LayerSpec>,
    },
}

/// Kernel size, stride and padding of a square window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SquareWindow {
    pub(crate) size: usize,
    pub(crate) stride: usize,
    pub(crate) padding: PaddingMode,
}

/// The padding, which depends on the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PaddingMode {
    Valid,
    /// `(size - 1) / 2` on every side, as in most PyTorch networks.
    Symmetric,
    /// TensorFlow's "SAME": see [`Padding::same`].
    Same,
}

/// The tensors of a layer in a file of weights.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WeightNames {
    pub(crate) kernel: String,
    pub(crate) bias: BiasOrNorm,
}

/// The term that is added to the sums.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum BiasOrNorm {
    Bias(String),
    /// Batch normalization with fixed statistics; folded into kernel and bias when loaded.
    BatchNorm(BatchNormNames),
    None,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchNormNames {
    pub(crate) gamma: String,
    pub(crate) beta: String,
    pub(crate) mean: String,
    pub(crate) variance: String,
    pub(crate) epsilon: f32,
}

impl WeightNames {
    /// Kernel and bias of one layer.
    pub(crate) fn biased(source: WeightSource, layer: &str) -> Self {
        let (kernel, bias) = match source.naming() {
            Naming::Keras => ("/kernel", "/bias"),
            Naming::Torch => (".weight", ".bias"),
        };
        Self {
            kernel: format!("{layer}{kernel}"),
            bias: BiasOrNorm::Bias(format!("{layer}{bias}")),
        }
    }

    /// PyTorch's names of a kernel without bias, and of the batch normalization after it.
    pub(crate) fn normalized_torch(layer: &str, norm: &str, epsilon: f32) -> Self {
        let names = ["weight", "bias", "running_mean", "running_var"].map(|name| format!("{norm}.{name}"));
        Self::normalized(format!("{layer}.weight"), names, epsilon)
    }

    /// Keras' names of a kernel without bias, and of the batch normalization after it.
    pub(crate) fn normalized_keras(kernel: String, norm: &str, epsilon: f32) -> Self {
        let names = ["gamma", "beta", "moving_mean", "moving_variance"].map(|name| format!("{norm}/{name}"));
        Self::normalized(kernel, names, epsilon)
    }

    fn normalized(kernel: String, [gamma, beta, mean, variance]: [String; 4], epsilon: f32) -> Self {
        Self {
            kernel,
            bias: BiasOrNorm::BatchNorm(BatchNormNames {
                gamma,
                beta,
                mean,
                variance,
                epsilon,
            }),
        }
    }

    /// The names, each with the number of values: of the kernel, and one for every output channel.
    fn sized(&self, kernel: usize, outputs: usize) -> Vec<(&str, usize)> {
        let mut sized = vec![(self.kernel.as_str(), kernel)];
        match &self.bias {
            BiasOrNorm::Bias(bias) => sized.push((bias, outputs)),
            BiasOrNorm::BatchNorm(norm) => {
                let norms = [&norm.gamma, &norm.beta, &norm.mean, &norm.variance];
                sized.extend(norms.map(|name| (name.as_str(), outputs)));
            }
            BiasOrNorm::None => {}
        }
        sized
    }
}

impl SquareWindow {
    pub(crate) const POINTWISE: Self = Self {
        size: 1,
        stride: 1,
        padding: PaddingMode::Valid,
    };

    /// A square of `size`, padded as PyTorch's networks usually are.
    pub(crate) const fn symmetric(size: usize, stride: usize) -> Self {
        Self {
            size,
            stride,
            padding: PaddingMode::Symmetric,
        }
    }

    /// A square of `size`, padded as TensorFlow's networks usually are.
    pub(crate) const fn same(size: usize, stride: usize) -> Self {
        Self {
            size,
            stride,
            padding: PaddingMode::Same,
        }
    }

    pub(crate) fn on_map(self, input: MapShape) -> ConvGeometry {
        let Self {
            size,
            stride,
            padding,
        } = self;
        let padding = match padding {
            PaddingMode::Valid => Padding::NONE,
            PaddingMode::Symmetric => Padding::all((size - 1) / 2),
            PaddingMode::Same => Padding::same((input.height, input.width), (size, size), stride),
        };
        ConvGeometry::square(size, stride, padding)
    }
}

impl LayerSpec {
    pub(crate) fn convolution(
        weights: WeightNames,
        window: SquareWindow,
        outputs: usize,
        activation: Activation,
    ) -> Self {
        Self::Convolution {
            weights,
            window,
            outputs,
            activation,
        }
    }

    pub(crate) fn dense(weights: WeightNames, outputs: usize, activation: Activation) -> Self {
        Self::Dense {
            weights,
            outputs,
            activation,
        }
    }

    /// The window of a dense layer as a convolution: the whole map.
    pub(crate) fn whole_map(input: MapShape) -> ConvGeometry {
        ConvGeometry {
            kernel: (input.height, input.width),
            stride: 1,
            padding: Padding::NONE,
        }
    }

    pub(crate) fn output(&self, input: MapShape) -> MapShape {
        let through = |window: ConvGeometry, channels| {
            let (height, width) = window.output((input.height, input.width));
            MapShape::new(height, width, channels)
        };
        match self {
            Self::Convolution { window, outputs, .. } => through(window.on_map(input), *outputs),
            Self::Depthwise { window, .. } | Self::MaxPool(window) => {
                through(window.on_map(input), input.channels)
            }
            Self::Dense { outputs, .. } => through(Self::whole_map(input), *outputs),
            Self::GlobalAvgPool => through(Self::whole_map(input), input.channels),
            Self::Activation(_) => input,
            Self::Residual { branch, .. } => output(branch, input),
        }
    }

    fn multiply_adds(&self, input: MapShape) -> u64 {
        let output = self.output(input);
        let per_output = match self {
            Self::Convolution { window, .. } => window.size * window.size * input.channels,
            Self::Depthwise { window, .. } => window.size * window.size,
            Self::Dense { .. } => input.regions() * input.channels,
            Self::MaxPool(_) | Self::GlobalAvgPool | Self::Activation(_) => 0,
            Self::Residual { branch, shortcut } => {
                return multiply_adds(branch, input) + multiply_adds(shortcut, input);
            }
        };
        (output.regions() * output.channels * per_output) as u64
    }

    /// The names of the tensors, each with its number of values.
    fn tensors(&self, input: MapShape) -> Vec<(&str, usize)> {
        let outputs = self.output(input).channels;
        match self {
            Self::Convolution { weights, window, .. } => {
                weights.sized(window.size * window.size * input.channels * outputs, outputs)
            }
            Self::Depthwise { weights, window, .. } => {
                weights.sized(window.size * window.size * outputs, outputs)
            }
            Self::Dense { weights, .. } => weights.sized(input.regions() * input.channels * outputs, outputs),
            Self::MaxPool(_) | Self::GlobalAvgPool | Self::Activation(_) => Vec::new(),
            Self::Residual { branch, shortcut } => {
                let layers = inputs(branch, input).chain(inputs(shortcut, input));
                layers.flat_map(|(layer, input)| layer.tensors(input)).collect()
            }
        }
    }
}

fn output(layers: &[LayerSpec], input: MapShape) -> MapShape {
    layers.iter().fold(input, |shape, layer| layer.output(shape))
}

fn multiply_adds(layers: &[LayerSpec], input: MapShape) -> u64 {
    inputs(layers, input)
        .map(|(layer, input)| layer.multiply_adds(input))
        .sum()
}

/// Each layer with the shape of its input.
pub(crate) fn inputs(layers: &[LayerSpec], input: MapShape) -> impl Iterator<Item = (&LayerSpec, MapShape)> {
    layers.iter().scan(input, |shape, layer| {
        let input = *shape;
        *shape = layer.output(input);
        Some((layer, input))
    })
}

impl Stage {
    pub(crate) fn output(&self, input: MapShape) -> MapShape {
        output(&self.layers, input)
    }
}

impl Architecture {
    pub(crate) fn new(preprocessing: Preprocessing, default_layers: &'static [&'static str]) -> Self {
        Self {
            preprocessing,
            default_layers,
            stages: Vec::new(),
        }
    }

    pub(crate) fn stage(&mut self, name: impl Into<String>, layers: impl Into<Vec<LayerSpec>>) {
        self.stages.push(Stage {
            name: name.into(),
            layers: layers.into(),
        });
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.name == name)
    }

    /// The number of stages up to the last default layer, which needs the fewest.
    pub(crate) fn last_default(&self) -> usize {
        let layer = self.default_layers.last().and_then(|name| self.position(name));
        layer.map_or(self.stages.len(), |stage| stage + 1)
    }

    pub(crate) fn names(&self, stages: RangeFrom<usize>) -> Vec<String> {
        self.stages[stages]
            .iter()
            .map(|stage| stage.name.clone())
            .collect()
    }

    pub(crate) fn input(&self) -> MapShape {
        let size = self.preprocessing.size as usize;
        MapShape::new(size, size, 3)
    }

    /// The output shape of each stage.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = MapShape> {
        self.stages.iter().scan(self.input(), |shape, stage| {
            *shape = stage.output(*shape);
            Some(*shape)
        })
    }

    /// Of the first `stages`.
    pub(crate) fn multiply_adds(&self, stages: usize) -> u64 {
        let inputs = std::iter::once(self.input()).chain(self.shapes());
        inputs
            .zip(self.stages.iter().take(stages))
            .map(|(input, stage)| multiply_adds(&stage.layers, input))
            .sum()
    }

    /// The names of the tensors of the first `stages` in order, each with its number of values.
    pub(crate) fn tensors(&self, stages: usize) -> impl Iterator<Item = (&str, usize)> {
        let shapes = std::iter::once(self.input()).chain(self.shapes());
        let stages = shapes.zip(self.stages.iter().take(stages));
        let layers = stages.flat_map(|(input, stage)| inputs(&stage.layers, input));
        layers.flat_map(|(layer, input)| layer.tensors(input))
    }
}
