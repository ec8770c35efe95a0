//! Loading: from an architecture and a file of weights to layers.

use super::architecture::{Architecture, BatchNormNames, BiasOrNorm, LayerSpec, WeightNames, inputs};
use super::fit::Fit;
use super::{BackboneError, BackboneKind, MapShape};
use crate::nn::{Activation, AttentionPool, AveragePool, ConvGeometry, ConvLayer, ConvWeights, Convolution};
use crate::vision::weights::layout::{BatchNorm, Kernel, Naming, conv_rows, depthwise_rows};
use crate::vision::weights::state_dict::StateDict;
use crate::vision::weights::{WeightsError, WeightsErrorKind};
use std::ops::{Range, RangeFrom};

/// The layers up to a stage.
pub(super) struct ChosenLayers {
    pub(super) stage: usize,
    pub(super) layers: Vec<ConvLayer>,
    /// Why a default layer before this one was not chosen.
    pub(super) skipped: Option<WeightsError>,
}

/// The layers up to `layer`. The default is the first layer whose weights are in the file and finite.
pub(super) fn chosen_layers(
    kind: BackboneKind,
    fit: &Fit<'_>,
    layer: Option<&str>,
) -> Result<ChosenLayers, BackboneError> {
    let mut skipped = None;
    for stage in choices(kind, fit, layer)? {
        match layers(&fit.architecture, 0..stage + 1, &fit.tensors, fit.naming()) {
            Ok(layers) => {
                return Ok(ChosenLayers {
                    stage,
                    layers,
                    skipped,
                });
            }
            Err(error) if matches!(error.kind, WeightsErrorKind::Invalid { .. }) => {
                skipped.get_or_insert(error);
            }
            Err(error) => return Err(BackboneError::of_file(error, kind, fit.tensors.file())),
        }
    }
    match skipped {
        Some(error) => Err(error.into()),
        None => unreachable!("there is at least one choice"),
    }
}

/// The index of the stage of `layer`, or of every default layer that the file has the tensors of.
pub(super) fn choices(
    kind: BackboneKind,
    fit: &Fit<'_>,
    layer: Option<&str>,
) -> Result<Vec<usize>, BackboneError> {
    let (architecture, tensors) = (&*fit.architecture, &fit.tensors);
    let missing = |stage: usize| {
        let mut names = architecture.tensors(stage + 1).map(|(name, _)| name);
        names.find(|name| !tensors.contains(name))
    };
    let defaults = architecture.default_layers.iter();
    let defaults: Vec<usize> = defaults.filter_map(|name| architecture.position(name)).collect();
    let complete: Vec<usize> = defaults
        .iter()
        .copied()
        .filter(|&stage| missing(stage).is_none())
        .collect();
    let Some(layer) = layer else {
        // If no layer is complete, loading names the first missing tensor.
        let last = defaults.last().copied().unwrap_or(architecture.stages.len() - 1);
        return Ok(if complete.is_empty() { vec![last] } else { complete });
    };
    let chosen = known_layer(kind, architecture, layer, 0..)?;
    match (missing(chosen), complete.first()) {
        (Some(tensor), Some(&complete)) => Err(BackboneError::LayerNotInFile {
            backbone: kind,
            layer: layer.to_owned(),
            path: tensors.file().path().to_owned(),
            tensor: tensor.to_owned(),
            available: architecture.stages[complete].name.clone(),
        }),
        _ => Ok(vec![chosen]),
    }
}

/// The index of the stage of `layer`; the error lists the stages of `choices`.
pub(super) fn known_layer(
    kind: BackboneKind,
    architecture: &Architecture,
    layer: &str,
    choices: RangeFrom<usize>,
) -> Result<usize, BackboneError> {
    architecture
        .position(layer)
        .ok_or_else(|| BackboneError::UnknownLayer {
            backbone: kind,
            layer: layer.to_owned(),
            layers: architecture.names(choices),
        })
}

/// The layers of these stages of the architecture, with their weights.
pub(super) fn layers(
    architecture: &Architecture,
    stages: Range<usize>,
    tensors: &StateDict<'_>,
    naming: Naming,
) -> Result<Vec<ConvLayer>, WeightsError> {
    let loader = Loader { tensors, naming };
    let inputs = std::iter::once(architecture.input()).chain(architecture.shapes());
    let stages: Vec<_> = inputs
        .zip(&architecture.stages)
        .take(stages.end)
        .skip(stages.start)
        .map(|(input, stage)| loader.layers(&stage.layers, input))
        .collect::<Result<_, _>>()?;
    Ok(stages.into_iter().flatten().collect())
}

struct Loader<'a> {
    tensors: &'a StateDict<'a>,
    naming: Naming,
}

impl Loader<'_> {
    fn layers(&self, layers: &[LayerSpec], input: MapShape) -> Result<Vec<ConvLayer>, WeightsError> {
        let mut loaded = Vec::new();
        for (layer, input) in inputs(layers, input) {
            if let LayerSpec::LayerNorm {
                weight,
                bias,
                epsilon,
            } = layer
            {
                loaded.push(ConvLayer::LayerNorm { epsilon: *epsilon });
                loaded.push(self.scale(weight, bias, input.channels)?);
            } else {
                loaded.push(self.layer(layer, input)?);
            }
        }
        Ok(loaded)
    }

    fn layer(&self, layer: &LayerSpec, input: MapShape) -> Result<ConvLayer, WeightsError> {
        Ok(match layer {
            LayerSpec::Convolution {
                weights,
                window,
                outputs,
                activation,
            } => {
                let window = window.on_map(input);
                ConvLayer::Convolution(self.full(weights, window, (input.channels, *outputs), *activation)?)
            }
            LayerSpec::Dense {
                weights,
                outputs,
                activation,
            } => {
                // PyTorch flattens `[channels, height, width]`, Keras `[height, width, channels]`: in both, the matrix is
                // that of a convolution with the window of the whole map.
                let window = LayerSpec::whole_map(input);
                ConvLayer::Convolution(self.full(weights, window, (input.channels, *outputs), *activation)?)
            }
            LayerSpec::Depthwise {
                weights,
                window,
                activation,
            } => {
                let window = window.on_map(input);
                let channels = input.channels;
                let shape = self.naming.depthwise_shape(window.kernel, channels);
                let stored = self.not_zero(&weights.kernel, &shape)?;
                let rows = depthwise_rows(stored, self.naming, window.kernel, channels);
                ConvLayer::Depthwise(self.sums(weights, rows, channels, window, *activation)?)
            }
            LayerSpec::BatchNorm { names, activation } => {
                let channels = input.channels;
                let (mut kernel, mut bias) = (vec![1.0; channels], vec![0.0; channels]);
                self.batch_norm(names, channels)?
                    .fold_into(&mut kernel, &mut bias);
                scaled(kernel, bias, *activation)
            }
            LayerSpec::LayerNorm { .. } => unreachable!("two layers"),
            LayerSpec::MaxPool(window) => ConvLayer::MaxPool(window.on_map(input)),
            LayerSpec::AvgPool { window, divisor } => ConvLayer::AvgPool(AveragePool {
                window: window.on_map(input),
                divisor: *divisor,
            }),
            LayerSpec::GlobalAvgPool => ConvLayer::GlobalAvgPool,
            LayerSpec::AttentionPool {
                heads,
                positions,
                projections,
                outputs,
            } => {
                let channels = input.channels;
                let project = |weights, outputs| {
                    let channels = (channels, outputs);
                    self.full(weights, ConvGeometry::POINTWISE, channels, Activation::None)
                };
                let [query, key, value, output] = &**projections;
                let positions = self.tensors.get(positions, &[input.regions() + 1, channels])?;
                ConvLayer::AttentionPool(AttentionPool {
                    heads: *heads,
                    positions: ConvWeights {
                        kernel: positions,
                        bias: vec![0.0; channels],
                        convolution: POINTWISE,
                    },
                    query: project(query, channels)?,
                    key: project(key, channels)?,
                    value: project(value, channels)?,
                    output: project(output, *outputs)?,
                })
            }
            LayerSpec::Activation(activation) => ConvLayer::Activation(*activation),
            LayerSpec::Residual { branch, shortcut } => ConvLayer::Residual {
                branch: self.layers(branch, input)?,
                shortcut: self.layers(shortcut, input)?,
            },
            LayerSpec::Gate(layers) => ConvLayer::Gate(self.layers(layers, input)?),
            LayerSpec::Concat(branches) => {
                let branches = branches.iter().map(|branch| self.layers(branch, input));
                ConvLayer::Concat(branches.collect::<Result<_, _>>()?)
            }
        })
    }

    /// A convolution that reads all channels.
    fn full(
        &self,
        weights: &WeightNames,
        window: ConvGeometry,
        (inputs, outputs): (usize, usize),
        activation: Activation,
    ) -> Result<ConvWeights, WeightsError> {
        let kernel = kernel(window, inputs, outputs);
        let rows = conv_rows(self.kernel(&weights.kernel, kernel)?, self.naming, kernel);
        self.sums(weights, rows, outputs, window, activation)
    }

    /// A factor and a bias for each channel.
    fn scale(&self, weight: &str, bias: &str, channels: usize) -> Result<ConvLayer, WeightsError> {
        let get = |name| self.tensors.get(name, &[channels]);
        Ok(scaled(get(weight)?, get(bias)?, Activation::None))
    }

    /// The kernel of a convolution. A dense layer's is often stored as a matrix, with the same order of values.
    fn kernel(&self, name: &str, kernel: Kernel) -> Result<Vec<f32>, WeightsError> {
        let inputs = kernel.height * kernel.width * kernel.inputs;
        let as_matrix = self.naming.dense_shape(inputs, kernel.outputs);
        if self.tensors.shape(name) == Some(&as_matrix[..]) {
            return self.not_zero(name, &as_matrix);
        }
        self.not_zero(name, &self.naming.conv_shape(kernel))
    }

    /// The values of a kernel, which are not all zero.
    fn not_zero(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let values = self.tensors.get(name, shape)?;
        match values.iter().all(|&value| value == 0.0) {
            true => Err(self.tensors.invalid(name, "holds only zeros".to_owned())),
            false => Ok(values),
        }
    }

    /// One number for each channel, in whatever shape it is stored.
    fn channels(&self, name: &str, channels: usize) -> Result<Vec<f32>, WeightsError> {
        let flat = [channels];
        let shape = self
            .tensors
            .shape(name)
            .filter(|shape| shape.iter().product::<usize>() == channels);
        self.tensors.get(name, shape.unwrap_or(&flat))
    }

    fn sums(
        &self,
        weights: &WeightNames,
        mut rows: Vec<f32>,
        outputs: usize,
        window: ConvGeometry,
        activation: Activation,
    ) -> Result<ConvWeights, WeightsError> {
        let bias = match &weights.bias {
            BiasOrNorm::Bias(name) => self.tensors.get(name, &[outputs])?,
            BiasOrNorm::BatchNorm(names) => {
                let mut bias = vec![0.0; outputs];
                self.batch_norm(names, outputs)?.fold_into(&mut rows, &mut bias);
                bias
            }
            BiasOrNorm::BiasAndNorm(name, names) => {
                let mut bias = self.tensors.get(name, &[outputs])?;
                self.batch_norm(names, outputs)?.fold_into(&mut rows, &mut bias);
                bias
            }
            BiasOrNorm::Scaled { bias, factor } => {
                let (mut bias, factors) = (
                    self.tensors.get(bias, &[outputs])?,
                    self.channels(factor, outputs)?,
                );
                for row in rows.chunks_exact_mut(outputs).chain([&mut bias[..]]) {
                    row.iter_mut()
                        .zip(&factors)
                        .for_each(|(value, factor)| *value *= factor);
                }
                bias
            }
            BiasOrNorm::None => vec![0.0; outputs],
        };
        Ok(ConvWeights {
            kernel: rows,
            bias,
            convolution: Convolution { window, activation },
        })
    }

    fn batch_norm(&self, names: &BatchNormNames, channels: usize) -> Result<BatchNorm, WeightsError> {
        let get = |name: &String| self.tensors.get(name, &[channels]);
        let variance = get(&names.variance)?;
        if let Some(value) = variance.iter().find(|value| **value < 0.0) {
            let why = format!("holds {value}, and a variance is not negative");
            return Err(self.tensors.invalid(&names.variance, why));
        }
        Ok(BatchNorm {
            gamma: names
                .gamma
                .as_ref()
                .map_or_else(|| Ok(vec![1.0; channels]), get)?,
            beta: get(&names.beta)?,
            mean: get(&names.mean)?,
            variance,
            epsilon: names.epsilon,
        })
    }
}

const POINTWISE: Convolution = Convolution {
    window: ConvGeometry::POINTWISE,
    activation: Activation::None,
};

/// A factor and a bias for each channel, as a depthwise convolution of single pixels.
fn scaled(kernel: Vec<f32>, bias: Vec<f32>, activation: Activation) -> ConvLayer {
    ConvLayer::Depthwise(ConvWeights {
        kernel,
        bias,
        convolution: Convolution {
            activation,
            ..POINTWISE
        },
    })
}

fn kernel(window: ConvGeometry, inputs: usize, outputs: usize) -> Kernel {
    let (height, width) = window.kernel;
    Kernel {
        height,
        width,
        inputs,
        outputs,
    }
}
