//! From a plan and a file of weights to layers that can be run.

use super::architecture::{BatchNormNames, Layer, Offset, Plan, Weights, inputs};
use super::{BackboneError, BackboneKind, MapShape};
use crate::nn::{Activation, ConvGeometry, ConvLayer, ConvWeights, Convolution};
use crate::vision::weights::layout::{
    BatchNorm, Kernel, Naming, conv_rows, dense_rows_after_flatten, depthwise_rows,
};
use crate::vision::weights::{WeightFile, WeightsError};
use std::ops::{Range, RangeFrom};

/// The position among the plan's stages of the layer that was asked for, or of the usual one.
pub(super) fn choose_layer(
    kind: BackboneKind,
    plan: &Plan,
    file: &WeightFile,
    layer: Option<&str>,
) -> Result<usize, BackboneError> {
    let position = |name: &str| plan.position(name);
    let missing = |stage: usize| plan.tensors(stage + 1).find(|name| !file.contains(name));
    let usual = || plan.usual.iter().filter_map(|name| position(name));
    let complete = usual().find(|&stage| missing(stage).is_none());
    let Some(layer) = layer else {
        // Where nothing is complete, loading will name the first tensor that is missing.
        return Ok(complete.or(usual().next_back()).unwrap_or(plan.stages.len() - 1));
    };
    let chosen = known_layer(kind, plan, layer, 0..)?;
    match (missing(chosen), complete) {
        (Some(tensor), Some(complete)) => Err(BackboneError::LayerNotInFile {
            backbone: kind,
            layer: layer.to_owned(),
            path: file.path().to_owned(),
            tensor: tensor.to_owned(),
            available: plan.stages[complete].name.clone(),
        }),
        _ => Ok(chosen),
    }
}

/// The position among the plan's stages of a layer; one of `choices` would have been right where there is none.
pub(super) fn known_layer(
    kind: BackboneKind,
    plan: &Plan,
    layer: &str,
    choices: RangeFrom<usize>,
) -> Result<usize, BackboneError> {
    plan.position(layer).ok_or_else(|| BackboneError::UnknownLayer {
        backbone: kind,
        layer: layer.to_owned(),
        layers: plan.names(choices),
    })
}

/// The layers of these stages of the plan, with their weights.
pub(super) fn layers(
    plan: &Plan,
    stages: Range<usize>,
    file: &WeightFile,
    naming: Naming,
) -> Result<Vec<ConvLayer>, WeightsError> {
    let loader = Loader { file, naming };
    let inputs = std::iter::once(plan.input()).chain(plan.shapes());
    let stages: Vec<_> = inputs
        .zip(&plan.stages)
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
    fn layers(&self, layers: &[Layer], input: MapShape) -> Result<Vec<ConvLayer>, WeightsError> {
        inputs(layers, input)
            .map(|(layer, input)| self.layer(layer, input))
            .collect()
    }

    fn layer(&self, layer: &Layer, input: MapShape) -> Result<ConvLayer, WeightsError> {
        Ok(match layer {
            Layer::Convolution {
                weights,
                extent,
                outputs,
                activation,
            } => {
                let window = extent.window(input);
                let kernel = kernel(window, input.channels, *outputs);
                let stored = self.file.get(&weights.kernel, &self.naming.conv_shape(kernel))?;
                let rows = conv_rows(stored, self.naming, kernel);
                ConvLayer::Convolution(self.sums(weights, rows, *outputs, window, *activation)?)
            }
            Layer::Dense {
                weights,
                outputs,
                activation,
            } => {
                let window = Layer::whole_map(input);
                let kernel = kernel(window, input.channels, *outputs);
                let stored = self.dense_kernel(&weights.kernel, kernel)?;
                let rows = dense_rows_after_flatten(stored, self.naming, kernel);
                ConvLayer::Convolution(self.sums(weights, rows, *outputs, window, *activation)?)
            }
            Layer::Depthwise {
                weights,
                extent,
                activation,
            } => {
                let window = extent.window(input);
                let channels = input.channels;
                let shape = self.naming.depthwise_shape(window.kernel, channels);
                let stored = self.file.get(&weights.kernel, &shape)?;
                let rows = depthwise_rows(stored, self.naming, window.kernel, channels);
                ConvLayer::Depthwise(self.sums(weights, rows, channels, window, *activation)?)
            }
            Layer::MaxPool(extent) => ConvLayer::MaxPool(extent.window(input)),
            Layer::GlobalAvgPool => ConvLayer::GlobalAvgPool,
            Layer::Activation(activation) => ConvLayer::Activation(*activation),
            Layer::Residual { branch, shortcut } => ConvLayer::Residual {
                branch: self.layers(branch, input)?,
                shortcut: self.layers(shortcut, input)?,
            },
        })
    }

    /// A dense layer's numbers. Some files keep them as the convolution that they can be read as; the order is
    /// the same.
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
        weights: &Weights,
        mut rows: Vec<f32>,
        outputs: usize,
        window: ConvGeometry,
        activation: Activation,
    ) -> Result<ConvWeights, WeightsError> {
        let bias = match &weights.offset {
            Offset::Bias(name) => self.file.get(name, &[outputs])?,
            Offset::BatchNorm(names) => {
                let mut bias = vec![0.0; outputs];
                self.batch_norm(names, outputs)?.fold_into(&mut rows, &mut bias);
                bias
            }
            Offset::None => vec![0.0; outputs],
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
