//! Loading: from an architecture and a file of weights to layers.

use super::architecture::{Architecture, BatchNormNames, BiasOrNorm, LayerSpec, WeightNames, inputs};
use super::{BackboneError, BackboneKind, MapShape};
use crate::nn::{Activation, ConvGeometry, ConvLayer, ConvWeights, Convolution};
use crate::vision::weights::layout::{BatchNorm, Kernel, Naming, conv_rows, depthwise_rows};
use crate::vision::weights::{WeightFile, WeightsError};
use std::ops::{Range, RangeFrom};

/// The index of the stage of `layer`, or of the default layer.
pub(super) fn choose_layer(
    kind: BackboneKind,
    architecture: &Architecture,
    file: &WeightFile,
    layer: Option<&str>,
) -> Result<usize, BackboneError> {
    let position = |name: &str| architecture.position(name);
    let missing = |stage: usize| architecture.tensors(stage + 1).find(|name| !file.contains(name));
    let default_layers = || {
        architecture
            .default_layers
            .iter()
            .filter_map(|name| position(name))
    };
    let complete = default_layers().find(|&stage| missing(stage).is_none());
    let Some(layer) = layer else {
        // If no layer is complete, loading names the first missing tensor.
        return Ok(complete
            .or(default_layers().next_back())
            .unwrap_or(architecture.stages.len() - 1));
    };
    let chosen = known_layer(kind, architecture, layer, 0..)?;
    match (missing(chosen), complete) {
        (Some(tensor), Some(complete)) => Err(BackboneError::LayerNotInFile {
            backbone: kind,
            layer: layer.to_owned(),
            path: file.path().to_owned(),
            tensor: tensor.to_owned(),
            available: architecture.stages[complete].name.clone(),
        }),
        _ => Ok(chosen),
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
    file: &WeightFile,
    naming: Naming,
) -> Result<Vec<ConvLayer>, WeightsError> {
    let loader = Loader { file, naming };
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
    file: &'a WeightFile,
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
                let stored = self.file.get(&weights.kernel, &self.naming.conv_shape(kernel))?;
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
                let stored = self.file.get(&weights.kernel, &shape)?;
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
        if self.file.shape(name) == Some(&as_convolution) {
            return self.file.get(name, &as_convolution);
        }
        let inputs = kernel.height * kernel.width * kernel.inputs;
        self.file
            .get(name, &self.naming.dense_shape(inputs, kernel.outputs))
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
            BiasOrNorm::Bias(name) => self.file.get(name, &[outputs])?,
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
        let get = |name| self.file.get(name, &[channels]);
        Ok(BatchNorm {
            gamma: get(&names.gamma)?,
            beta: get(&names.beta)?,
            mean: get(&names.mean)?,
            variance: get(&names.variance)?,
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
