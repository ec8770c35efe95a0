//! The description of a network: its layers in order, with the names of their tensors but without the values.

use super::MapShape;
use super::fit::WeightSource;
use crate::nn::{Activation, ConvGeometry, Padding, PoolDivisor};
use crate::vision::preprocess::{Preprocessing, PreprocessingKind};
use crate::vision::weights::Naming;
use std::ops::RangeFrom;

/// A published network, as its file describes it.
#[derive(Clone, Debug)]
pub(crate) struct Architecture {
    /// The source's own, then those of other weights with the same names.
    pub(crate) recipes: Vec<Recipe>,
    /// The layers for features if none is named. The first one with weights in the file is used.
    pub(crate) default_layers: Vec<String>,
    pub(crate) stages: Vec<Stage>,
}

/// The preprocessing that some weights were trained with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recipe {
    pub(crate) kind: PreprocessingKind,
    pub(crate) sign: Sign,
    pub(crate) preprocessing: Preprocessing,
}

/// The sign by which weights are recognized among others of the same names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sign {
    /// They are recognized by their names, or not at all.
    Names,
    /// The Euclidean norm of the first kernel's values for each input channel.
    FirstKernel([f32; 3]),
    /// A part of the path under which they are published.
    Path(&'static str),
}

impl Recipe {
    /// The preprocessing of weights that are recognized by their names.
    pub(crate) const fn of(kind: PreprocessingKind, preprocessing: Preprocessing) -> Self {
        Self {
            kind,
            sign: Sign::Names,
            preprocessing,
        }
    }

    /// Those of torchvision's first weights, and of its second, which are published under a part of a path and read
    /// images resized to 232.
    pub(crate) fn torchvision(first: Preprocessing, second: &'static str) -> Vec<Self> {
        let resized = first.clone().shorter_side(232);
        vec![
            Self::of(PreprocessingKind::Torchvision, first),
            Self::of(PreprocessingKind::TorchvisionV2, resized).at(second),
        ]
    }

    /// The same for weights that are recognized by a part of their path.
    pub(crate) const fn at(self, path: &'static str) -> Self {
        let sign = Sign::Path(path);
        Self { sign, ..self }
    }
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
        window: WindowSpec,
        outputs: usize,
        activation: Activation,
    },
    Depthwise {
        weights: WeightNames,
        window: WindowSpec,
        activation: Activation,
    },
    /// Fully connected to the flattened map.
    Dense {
        weights: WeightNames,
        outputs: usize,
        activation: Activation,
    },
    /// Batch normalization without a convolution before it.
    BatchNorm {
        names: BatchNormNames,
        activation: Activation,
    },
    /// Normalization over the channels, with its weight and bias.
    LayerNorm {
        weight: String,
        bias: String,
        epsilon: f32,
    },
    MaxPool(WindowSpec),
    AvgPool {
        window: WindowSpec,
        divisor: PoolDivisor,
    },
    GlobalAvgPool,
    /// Pooling by attention of this many heads.
    AttentionPool {
        heads: usize,
        positions: String,
        /// The projections of query, key, value and result.
        projections: Box<[WeightNames; 4]>,
        outputs: usize,
    },
    /// An activation on its own, because its input is also used without it.
    Activation(Activation),
    /// The sum of branch and shortcut. A shortcut without layers is the identity.
    Residual {
        branch: Vec<LayerSpec>,
        shortcut: Vec<LayerSpec>,
    },
    /// The map times what the layers make of it.
    Gate(Vec<LayerSpec>),
    /// Branches of the same map, one after the other in the channels. A branch without layers is the identity.
    Concat(Vec<Vec<LayerSpec>>),
}

/// Kernel size, stride and padding of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowSpec {
    /// Height and width.
    pub(crate) kernel: (usize, usize),
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
    /// A bias before batch normalization.
    BiasAndNorm(String, BatchNormNames),
    /// A bias, and a factor for each output channel of kernel and bias.
    Scaled {
        bias: String,
        factor: String,
    },
    None,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchNormNames {
    /// `None` for a factor of one.
    pub(crate) gamma: Option<String>,
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
        Self {
            kernel: format!("{layer}.weight"),
            bias: BiasOrNorm::BatchNorm(BatchNormNames::torch(norm, epsilon)),
        }
    }

    /// Keras' names of a kernel without bias, and of the batch normalization after it.
    pub(crate) fn normalized_keras(kernel: String, norm: &str, epsilon: f32) -> Self {
        Self {
            kernel,
            bias: BiasOrNorm::BatchNorm(BatchNormNames::keras(norm, epsilon)),
        }
    }

    /// The names, each with the number of values: of the kernel, and one for every output channel.
    fn sized(&self, kernel: usize, outputs: usize) -> Vec<(&str, usize)> {
        let mut sized = vec![(self.kernel.as_str(), kernel)];
        match &self.bias {
            BiasOrNorm::Bias(bias) => sized.push((bias, outputs)),
            BiasOrNorm::BatchNorm(norm) => sized.extend(norm.sized(outputs)),
            BiasOrNorm::BiasAndNorm(bias, norm) => {
                sized.push((bias, outputs));
                sized.extend(norm.sized(outputs));
            }
            BiasOrNorm::Scaled { bias, factor } => sized.extend([(&**bias, outputs), (&**factor, outputs)]),
            BiasOrNorm::None => {}
        }
        sized
    }
}

impl BatchNormNames {
    pub(crate) fn torch(norm: &str, epsilon: f32) -> Self {
        Self::of(
            norm,
            ".",
            ["weight", "bias", "running_mean", "running_var"],
            epsilon,
        )
    }

    pub(crate) fn keras(norm: &str, epsilon: f32) -> Self {
        Self::of(
            norm,
            "/",
            ["gamma", "beta", "moving_mean", "moving_variance"],
            epsilon,
        )
    }

    fn of(norm: &str, separator: &str, names: [&str; 4], epsilon: f32) -> Self {
        let [gamma, beta, mean, variance] = names.map(|name| format!("{norm}{separator}{name}"));
        Self {
            gamma: Some(gamma),
            beta,
            mean,
            variance,
            epsilon,
        }
    }

    fn sized(&self, channels: usize) -> impl Iterator<Item = (&str, usize)> {
        let rest = [&self.beta, &self.mean, &self.variance];
        let names = self.gamma.iter().chain(rest);
        names.map(move |name| (name.as_str(), channels))
    }
}

impl WindowSpec {
    pub(crate) const POINTWISE: Self = Self::valid(1, 1);

    /// A square of `size` without padding.
    pub(crate) const fn valid(size: usize, stride: usize) -> Self {
        Self {
            kernel: (size, size),
            stride,
            padding: PaddingMode::Valid,
        }
    }

    /// A square of `size`, padded as PyTorch's networks usually are.
    pub(crate) const fn symmetric(size: usize, stride: usize) -> Self {
        Self {
            padding: PaddingMode::Symmetric,
            ..Self::valid(size, stride)
        }
    }

    /// A square of `size`, padded as TensorFlow's networks usually are.
    pub(crate) const fn same(size: usize, stride: usize) -> Self {
        Self {
            padding: PaddingMode::Same,
            ..Self::valid(size, stride)
        }
    }

    fn taps(self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    pub(crate) fn on_map(self, input: MapShape) -> ConvGeometry {
        let Self {
            kernel,
            stride,
            padding,
        } = self;
        let symmetric = |side: usize| (side - 1) / 2;
        let padding = match padding {
            PaddingMode::Valid => Padding::NONE,
            PaddingMode::Symmetric => Padding {
                top: symmetric(kernel.0),
                left: symmetric(kernel.1),
                bottom: symmetric(kernel.0),
                right: symmetric(kernel.1),
            },
            PaddingMode::Same => Padding::same((input.height, input.width), kernel, stride),
        };
        ConvGeometry {
            kernel,
            stride,
            padding,
        }
    }
}

impl LayerSpec {
    /// The sum of the branch and its own input.
    pub(crate) fn residual(branch: Vec<LayerSpec>) -> Self {
        Self::Residual {
            branch,
            shortcut: Vec::new(),
        }
    }

    pub(crate) fn convolution(
        weights: WeightNames,
        window: WindowSpec,
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
            Self::Depthwise { window, .. } | Self::MaxPool(window) | Self::AvgPool { window, .. } => {
                through(window.on_map(input), input.channels)
            }
            Self::Dense { outputs, .. } | Self::AttentionPool { outputs, .. } => {
                through(Self::whole_map(input), *outputs)
            }
            Self::GlobalAvgPool => through(Self::whole_map(input), input.channels),
            Self::Activation(_) | Self::BatchNorm { .. } | Self::LayerNorm { .. } | Self::Gate(_) => input,
            Self::Residual { branch, .. } => output(branch, input),
            Self::Concat(branches) => {
                let maps: Vec<MapShape> = branches.iter().map(|branch| output(branch, input)).collect();
                let channels = maps.iter().map(|map| map.channels).sum();
                maps.first().map_or(input, |map| MapShape { channels, ..*map })
            }
        }
    }

    /// The layers within this one, each with the shape of its input.
    fn within(&self, input: MapShape) -> Vec<(&LayerSpec, MapShape)> {
        match self {
            Self::Residual { branch, shortcut } => {
                inputs(branch, input).chain(inputs(shortcut, input)).collect()
            }
            Self::Gate(layers) => inputs(layers, input).collect(),
            Self::Concat(branches) => {
                let branches = branches.iter();
                branches.flat_map(|branch| inputs(branch, input)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn multiply_adds(&self, input: MapShape) -> u64 {
        let output = self.output(input);
        let per_output = match self {
            Self::Convolution { window, .. } => window.taps() * input.channels,
            Self::Depthwise { window, .. } => window.taps(),
            Self::Dense { .. } => input.regions() * input.channels,
            Self::AttentionPool { .. } => {
                let (tokens, channels) = (input.regions() + 1, input.channels);
                return (channels * ((2 * tokens + 1) * channels + 2 * tokens + output.channels)) as u64;
            }
            _ => {
                let within = self.within(input).into_iter();
                return within.map(|(layer, input)| layer.multiply_adds(input)).sum();
            }
        };
        (output.regions() * output.channels * per_output) as u64
    }

    /// The names of the tensors, each with its number of values.
    fn tensors(&self, input: MapShape) -> Vec<(&str, usize)> {
        let (inputs, outputs) = (input.channels, self.output(input).channels);
        match self {
            Self::Convolution { weights, window, .. } => {
                weights.sized(window.taps() * inputs * outputs, outputs)
            }
            Self::Depthwise { weights, window, .. } => weights.sized(window.taps() * outputs, outputs),
            Self::Dense { weights, .. } => weights.sized(input.regions() * inputs * outputs, outputs),
            Self::BatchNorm { names, .. } => names.sized(outputs).collect(),
            Self::LayerNorm { weight, bias, .. } => vec![(weight, outputs), (bias, outputs)],
            Self::AttentionPool {
                positions,
                projections,
                ..
            } => {
                let sizes = [inputs, inputs, inputs, outputs];
                let projections = projections.iter().zip(sizes);
                let projections = projections.flat_map(|(names, size)| names.sized(inputs * size, size));
                let positions = (positions.as_str(), (input.regions() + 1) * inputs);
                std::iter::once(positions).chain(projections).collect()
            }
            _ => {
                let within = self.within(input).into_iter();
                within.flat_map(|(layer, input)| layer.tensors(input)).collect()
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
    /// A network without layers. The first recipe is that of weights that no sign tells from others.
    pub(crate) fn new(recipes: impl Into<Vec<Recipe>>, default_layers: &[&str]) -> Self {
        Self {
            recipes: recipes.into(),
            default_layers: default_layers.iter().map(|name| (*name).to_owned()).collect(),
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

    /// The usual preprocessing.
    pub(crate) fn preprocessing(&self) -> &Preprocessing {
        &self.recipes[0].preprocessing
    }

    pub(crate) fn input(&self) -> MapShape {
        let size = self.preprocessing().size as usize;
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
