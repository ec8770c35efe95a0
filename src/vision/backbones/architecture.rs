//! A network on paper: its layers in order, with the names of their tensors but not their values.

use super::{MapShape, Source};
use crate::nn::{Activation, ConvGeometry, Padding};
use crate::vision::preprocess::Preprocessing;
use crate::vision::weights::Naming;
use std::ops::RangeFrom;

/// What a network's file states.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How images become pixels.
    pub(crate) preprocessing: Preprocessing,
    /// The layers to take where none is asked for: the first that the file has weights for.
    pub(crate) usual: &'static [&'static str],
    /// From the first to the last.
    pub(crate) stages: Vec<Stage>,
}

/// Layers up to a point whose output can be chosen as the feature.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
pub(crate) enum Layer {
    Convolution {
        weights: Weights,
        extent: Extent,
        outputs: usize,
        activation: Activation,
    },
    Depthwise {
        weights: Weights,
        extent: Extent,
        activation: Activation,
    },
    /// Every output sees the whole map, flattened.
    Dense {
        weights: Weights,
        outputs: usize,
        activation: Activation,
    },
    MaxPool(Extent),
    GlobalAvgPool,
    /// A rectifier that stands alone, because what comes in is also used without it.
    Activation(Activation),
    /// The sum of what the branch and what the shortcut make of the same map; a shortcut without layers is the
    /// map itself.
    Residual {
        branch: Vec<Layer>,
        shortcut: Vec<Layer>,
    },
}

/// Size and step of a square window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) size: usize,
    pub(crate) stride: usize,
    pub(crate) margin: Margin,
}

/// How the padding follows from the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Margin {
    /// None.
    Valid,
    /// PyTorch's usual: `(size - 1) / 2` on every side.
    Half,
    /// TensorFlow's "SAME": see [`Padding::same`].
    Same,
}

/// Where a layer's numbers are to be found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    pub(crate) kernel: String,
    pub(crate) offset: Offset,
}

/// What is added to the sums, and where it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Offset {
    Bias(String),
    /// Batch normalization with fixed statistics; folded into kernel and bias when loaded.
    BatchNorm(BatchNormNames),
    /// Nothing.
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

impl Weights {
    /// A kernel and a bias of the same layer.
    pub(crate) fn biased(source: Source, layer: &str) -> Self {
        let (kernel, bias) = match source.naming() {
            Naming::Keras => ("/kernel", "/bias"),
            Naming::Torch => (".weight", ".bias"),
        };
        Self {
            kernel: format!("{layer}{kernel}"),
            offset: Offset::Bias(format!("{layer}{bias}")),
        }
    }

    /// PyTorch's names of a kernel without a bias and the batch normalization after it.
    pub(crate) fn normalized_torch(layer: &str, norm: &str, epsilon: f32) -> Self {
        Self {
            kernel: format!("{layer}.weight"),
            offset: Offset::BatchNorm(BatchNormNames {
                gamma: format!("{norm}.weight"),
                beta: format!("{norm}.bias"),
                mean: format!("{norm}.running_mean"),
                variance: format!("{norm}.running_var"),
                epsilon,
            }),
        }
    }

    /// Keras' names of a kernel without a bias and the batch normalization after it.
    pub(crate) fn normalized_keras(kernel: String, norm: &str, epsilon: f32) -> Self {
        Self {
            kernel,
            offset: Offset::BatchNorm(BatchNormNames {
                gamma: format!("{norm}/gamma"),
                beta: format!("{norm}/beta"),
                mean: format!("{norm}/moving_mean"),
                variance: format!("{norm}/moving_variance"),
                epsilon,
            }),
        }
    }

    fn names(&self) -> Vec<&str> {
        let mut names = vec![self.kernel.as_str()];
        match &self.offset {
            Offset::Bias(bias) => names.push(bias),
            Offset::BatchNorm(norm) => names.extend([
                norm.gamma.as_str(),
                norm.beta.as_str(),
                norm.mean.as_str(),
                norm.variance.as_str(),
            ]),
            Offset::None => {}
        }
        names
    }
}

impl Extent {
    /// One pixel.
    pub(crate) const POINT: Self = Self {
        size: 1,
        stride: 1,
        margin: Margin::Valid,
    };

    /// A square of `size`, padded as PyTorch's networks usually are.
    pub(crate) const fn half(size: usize, stride: usize) -> Self {
        Self {
            size,
            stride,
            margin: Margin::Half,
        }
    }

    /// A square of `size`, padded as TensorFlow's networks usually are.
    pub(crate) const fn same(size: usize, stride: usize) -> Self {
        Self {
            size,
            stride,
            margin: Margin::Same,
        }
    }

    /// The window on maps of `input`'s extent.
    pub(crate) fn window(self, input: MapShape) -> ConvGeometry {
        let Self { size, stride, margin } = self;
        let padding = match margin {
            Margin::Valid => Padding::NONE,
            Margin::Half => Padding::all((size - 1) / 2),
            Margin::Same => Padding::same((input.height, input.width), (size, size), stride),
        };
        ConvGeometry::square(size, stride, padding)
    }
}

impl Layer {
    pub(crate) fn convolution(
        weights: Weights,
        extent: Extent,
        outputs: usize,
        activation: Activation,
    ) -> Self {
        Self::Convolution {
            weights,
            extent,
            outputs,
            activation,
        }
    }

    /// The window that a dense layer has when it is read as a convolution: the whole map.
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
            MapShape {
                height,
                width,
                channels,
            }
        };
        match self {
            Self::Convolution { extent, outputs, .. } => through(extent.window(input), *outputs),
            Self::Depthwise { extent, .. } | Self::MaxPool(extent) => {
                through(extent.window(input), input.channels)
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
            Self::Convolution { extent, .. } => extent.size * extent.size * input.channels,
            Self::Depthwise { extent, .. } => extent.size * extent.size,
            Self::Dense { .. } => input.regions() * input.channels,
            Self::MaxPool(_) | Self::GlobalAvgPool | Self::Activation(_) => 0,
            Self::Residual { branch, shortcut } => {
                return multiply_adds(branch, input) + multiply_adds(shortcut, input);
            }
        };
        (output.regions() * output.channels * per_output) as u64
    }

    fn tensors(&self) -> Vec<&str> {
        match self {
            Self::Convolution { weights, .. }
            | Self::Depthwise { weights, .. }
            | Self::Dense { weights, .. } => weights.names(),
            Self::MaxPool(_) | Self::GlobalAvgPool | Self::Activation(_) => Vec::new(),
            Self::Residual { branch, shortcut } => {
                branch.iter().chain(shortcut).flat_map(Self::tensors).collect()
            }
        }
    }
}

fn output(layers: &[Layer], input: MapShape) -> MapShape {
    layers.iter().fold(input, |shape, layer| layer.output(shape))
}

fn multiply_adds(layers: &[Layer], input: MapShape) -> u64 {
    inputs(layers, input)
        .map(|(layer, input)| layer.multiply_adds(input))
        .sum()
}

/// Each layer with the shape of what goes in.
pub(crate) fn inputs(layers: &[Layer], input: MapShape) -> impl Iterator<Item = (&Layer, MapShape)> {
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

impl Plan {
    pub(crate) fn new(preprocessing: Preprocessing, usual: &'static [&'static str]) -> Self {
        Self {
            preprocessing,
            usual,
            stages: Vec::new(),
        }
    }

    /// Appends a stage.
    pub(crate) fn stage(&mut self, name: impl Into<String>, layers: impl Into<Vec<Layer>>) {
        self.stages.push(Stage {
            name: name.into(),
            layers: layers.into(),
        });
    }

    /// The place of a stage.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.name == name)
    }

    /// The names of these stages.
    pub(crate) fn names(&self, stages: RangeFrom<usize>) -> Vec<String> {
        self.stages[stages]
            .iter()
            .map(|stage| stage.name.clone())
            .collect()
    }

    /// One image's pixels.
    pub(crate) fn input(&self) -> MapShape {
        let size = self.preprocessing.size as usize;
        MapShape {
            height: size,
            width: size,
            channels: 3,
        }
    }

    /// What each stage gives.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = MapShape> {
        self.stages.iter().scan(self.input(), |shape, stage| {
            *shape = stage.output(*shape);
            Some(*shape)
        })
    }

    pub(crate) fn multiply_adds(&self) -> u64 {
        let inputs = std::iter::once(self.input()).chain(self.shapes());
        inputs
            .zip(&self.stages)
            .map(|(input, stage)| multiply_adds(&stage.layers, input))
            .sum()
    }

    /// The names of the tensors that the first `stages` need, in order.
    pub(crate) fn tensors(&self, stages: usize) -> impl Iterator<Item = &str> {
        let layers = self.stages.iter().take(stages).flat_map(|stage| &stage.layers);
        layers.flat_map(Layer::tensors)
    }
}
