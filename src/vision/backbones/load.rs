//! Loading: from an architecture and a file of weights to layers.

use super::architecture::{Architecture, BatchNormNames, BiasOrNorm, LayerSpec, WeightNames, inputs};
use super::fit::Fit;
use super::{BackboneError, BackboneKind, MapShape};
use crate::nn::{Activation, ConvGeometry, ConvLayer, ConvWeights, Convolution};
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
        inputs(layers, input)
            .map(|(layer, input)| self.layer(layer, input))
            .collect()
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
                let kernel = kernel(window, input.channels, *outputs);
                let stored = self.kernel(&weights.kernel, &self.naming.conv_shape(kernel))?;
                let rows = conv_rows(stored, self.naming, kernel);
                ConvLayer::Convolution(self.sums(weights, rows, *outputs, window, *activation)?)
            }
            LayerSpec::Dense {
                weights,
                outputs,
                activation,
            } => {
                let window = LayerSpec::whole_map(input);
                let kernel = kernel(window, input.channels, *outputs);
                let stored = self.dense_kernel(&weights.kernel, kernel)?;
                // PyTorch flattens `[channels, height, width]`, Keras `[height, width, channels]`: in both, the matrix is
                // that of a convolution with the window of the whole map.
                let rows = conv_rows(stored, self.naming, kernel);
                ConvLayer::Convolution(self.sums(weights, rows, *outputs, window, *activation)?)
            }
            LayerSpec::Depthwise {
                weights,
                window,
                activation,
            } => {
                let window = window.on_map(input);
                let channels = input.channels;
                let shape = self.naming.depthwise_shape(window.kernel, channels);
                let stored = self.kernel(&weights.kernel, &shape)?;
                let rows = depthwise_rows(stored, self.naming, window.kernel, channels);
                ConvLayer::Depthwise(self.sums(weights, rows, channels, window, *activation)?)
            }
            LayerSpec::MaxPool(window) => ConvLayer::MaxPool(window.on_map(input)),
            LayerSpec::GlobalAvgPool => ConvLayer::GlobalAvgPool,
            LayerSpec::Activation(activation) => ConvLayer::Activation(*activation),
            LayerSpec::Residual { branch, shortcut } => ConvLayer::Residual {
                branch: self.layers(branch, input)?,
                shortcut: self.layers(shortcut, input)?,
            },
        })
    }

    /// The matrix of a dense layer. Some files have it in the shape of the convolution, with the same order of values.
    fn dense_kernel(&self, name: &str, kernel: Kernel) -> Result<Vec<f32>, WeightsError> {
        let as_convolution = self.naming.conv_shape(kernel);
        if self.tensors.shape(name) == Some(&as_convolution[..]) {
            return self.kernel(name, &as_convolution);
        }
        let inputs = kernel.height * kernel.width * kernel.inputs;
        self.kernel(name, &self.naming.dense_shape(inputs, kernel.outputs))
    }

    /// The values of a kernel, which are not all zero.
    fn kernel(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let values = self.tensors.get(name, shape)?;
        match values.iter().all(|&value| value == 0.0) {
            true => Err(self.tensors.invalid(name, "holds only zeros".to_owned())),
            false => Ok(values),
        }
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
            BiasOrNorm::None => vec![0.0; outputs],
        };
        Ok(ConvWeights {
            kernel: rows,
            bias,
            convolution: Convolution { window, activation },
        })
    }

    fn batch_norm(&self, names: &BatchNormNames, channels: usize) -> Result<BatchNorm, WeightsError> {
        let get = |name| self.tensors.get(name, &[channels]);
        let variance = get(&names.variance)?;
        if let Some(value) = variance.iter().find(|value| **value < 0.0) {
            let why = format!("holds {value}, and a variance is not negative");
            return Err(self.tensors.invalid(&names.variance, why));
        }
        Ok(BatchNorm {
            gamma: get(&names.gamma)?,
            beta: get(&names.beta)?,
            mean: get(&names.mean)?,
            variance,
            epsilon: names.epsilon,
        })
    }
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
