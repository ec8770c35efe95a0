//! The last layers of a published network, fine-tuned together with the decoder.
//!
//! The layers before them are frozen, so their output is stored once, as features. Batch normalization is folded into
//! the weights when they are loaded: its statistics stay frozen, as is common with small batches.

use super::{LayerRange, MapShape};
use crate::nn::{
    Activation, AttentionPool, AveragePool, Backend, ConvGeometry, ConvLayer, ConvWeights, Convolution,
    DeviceResult, Padding, Parameter, Regions, forward_layers, map_weights,
};
use dfdx::prelude::{HasErr, HasShape, ReshapeTo, Tape};
use serde::{Deserialize, Serialize};

/// The shape of fine-tuned layers, without weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FineTunedSpec {
    /// The input of the first layer, for one image.
    pub input: MapShape,
    /// The output of the last layer.
    pub output: MapShape,
    layers: Vec<ConvLayer<ConvSpec>>,
}

/// A convolution without weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ConvSpec {
    /// Rows and columns.
    kernel: (usize, usize),
    convolution: Convolution,
}

impl LayerRange {
    /// The layers, followed by an identity layer with a factor and a bias for every channel.
    pub fn with_channel_scale(mut self) -> Self {
        let channels = self.output.channels;
        self.layers.push(ConvLayer::Depthwise(ConvWeights {
            kernel: vec![1.0; channels],
            bias: vec![0.0; channels],
            convolution: Convolution {
                window: ConvGeometry::POINTWISE,
                activation: Activation::None,
            },
        }));
        self
    }

    /// The layers without weights.
    pub fn spec(&self) -> FineTunedSpec {
        let mut spec = |sums: ConvWeights| {
            let outputs = sums.bias.len();
            Ok::<_, std::convert::Infallible>(ConvSpec {
                kernel: (sums.kernel.len() / outputs, outputs),
                convolution: sums.convolution,
            })
        };
        let Ok(layers) = map_weights(self.layers.clone(), &mut spec);
        FineTunedSpec {
            input: self.input,
            output: self.output,
            layers,
        }
    }
}

impl FineTunedSpec {
    /// The number of trainable parameters; saturating.
    pub fn parameters(&self) -> usize {
        let kernels = self
            .layers
            .iter()
            .flat_map(ConvLayer::weights)
            .map(|spec| spec.kernel);
        let parameters = kernels.map(|(rows, columns)| rows.saturating_add(1).saturating_mul(columns));
        parameters.fold(0, usize::saturating_add)
    }

    /// Whether each layer can read the map of the one before it. The specification may come from a file.
    pub fn fits_together(&self) -> bool {
        self.input.checked_len().is_some() && output(&self.layers, self.input) == Some(self.output)
    }
}

/// The output of layers; `None` if one cannot read the output of the one before it.
fn output(layers: &[ConvLayer<ConvSpec>], input: MapShape) -> Option<MapShape> {
    layers.iter().try_fold(input, |map, layer| {
        let output = match layer {
            ConvLayer::Convolution(ConvSpec { kernel, convolution }) => {
                let rows = taps(&convolution.window)?.checked_mul(map.channels)?;
                (kernel.0 == rows).then_some(())?;
                MapShape {
                    channels: kernel.1,
                    ..slide(&convolution.window, map)?
                }
            }
            ConvLayer::Depthwise(ConvSpec { kernel, convolution }) => {
                (*kernel == (taps(&convolution.window)?, map.channels)).then_some(())?;
                slide(&convolution.window, map)?
            }
            ConvLayer::MaxPool(window) | ConvLayer::AvgPool(AveragePool { window, .. }) => {
                slide(window, map)?
            }
            ConvLayer::GlobalAvgPool => MapShape::new(1, 1, map.channels),
            ConvLayer::AttentionPool(pool) => pooled(pool, map)?,
            ConvLayer::Activation(_) | ConvLayer::LayerNorm { .. } => map,
            ConvLayer::Gate(layers) => {
                let gate = output(layers, map)?;
                (gate == MapShape::new(1, 1, map.channels)).then_some(map)?
            }
            ConvLayer::Concat(branches) => {
                let mut branches = branches.iter().map(|branch| output(branch, map));
                let first = branches.next()??;
                branches.try_fold(first, |joined, branch| {
                    let channels = joined.channels.checked_add(branch?.channels)?;
                    (MapShape { channels, ..branch? } == MapShape { channels, ..joined })
                        .then_some(MapShape { channels, ..joined })
                })?
            }
            ConvLayer::Residual { branch, shortcut } => {
                let output = output(branch, map)?;
                (self::output(shortcut, map) == Some(output)).then_some(output)?
            }
        };
        output.checked_len().map(|_| output)
    })
}

/// The output of pooling by attention.
fn pooled(pool: &AttentionPool<ConvSpec>, map: MapShape) -> Option<MapShape> {
    let AttentionPool {
        heads,
        positions,
        query,
        key,
        value,
        output,
    } = pool;
    let channels = map.channels;
    let square = (channels, channels);
    let fits = positions.kernel == (map.regions() + 1, channels)
        && [query, key, value].iter().all(|spec| spec.kernel == square)
        && output.kernel.0 == channels
        && [query, key, value, output]
            .iter()
            .all(|spec| spec.convolution.window == ConvGeometry::POINTWISE)
        && channels.is_multiple_of((*heads).max(1))
        && *heads > 0;
    fits.then(|| MapShape::new(1, 1, output.kernel.1))
}

fn taps(window: &ConvGeometry) -> Option<usize> {
    window.kernel.0.checked_mul(window.kernel.1)
}

/// The map of the window's positions on another map; `None` if there is none, or the numbers are absurd.
fn slide(window: &ConvGeometry, map: MapShape) -> Option<MapShape> {
    /// Windows are at most as large as the map, which is an image of at most this many pixels a side.
    const MAX_SIDE: usize = 1 << 16;
    let ConvGeometry {
        kernel,
        stride,
        padding,
    } = *window;
    let Padding {
        top,
        left,
        bottom,
        right,
    } = padding;
    let is_possible = [kernel.0, kernel.1, stride]
        .into_iter()
        .all(|side| (1..=MAX_SIDE).contains(&side))
        && [top, left, bottom, right]
            .into_iter()
            .all(|side| side <= MAX_SIDE);
    let (height, width) = is_possible.then(|| window.output((map.height, map.width)))?;
    Some(MapShape::new(height, width, map.channels))
}

/// Layers with trainable weights.
#[derive(Clone, Debug)]
pub struct FineTunedLayers<D: Backend> {
    input: MapShape,
    layers: Vec<ConvLayer<ConvWeights<Parameter<D>>>>,
}

impl<D: Backend> FineTunedLayers<D> {
    /// All weights zero, to be read from a checkpoint.
    pub fn zeros(spec: &FineTunedSpec, device: &D) -> Result<Self, <D as HasErr>::Err> {
        let mut zeros = |ConvSpec { kernel, convolution }| {
            Ok::<_, std::convert::Infallible>(ConvWeights {
                kernel: vec![0.0; kernel.0 * kernel.1],
                bias: vec![0.0; kernel.1],
                convolution,
            })
        };
        let Ok(layers) = map_weights(spec.layers.clone(), &mut zeros);
        Self::of(spec.input, layers, device)
    }

    /// The layers with the weights that were loaded.
    pub fn of(input: MapShape, layers: Vec<ConvLayer>, device: &D) -> Result<Self, <D as HasErr>::Err> {
        let mut number = 0;
        let mut parameters = |sums: ConvWeights| {
            number += 1;
            let parameter = |part: &str, values: Vec<f32>, columns: usize| {
                let name = format!("network.layer{number}.{part}");
                Parameter::from_values(device, name, (values.len() / columns, columns), values)
            };
            let outputs = sums.bias.len();
            Ok(ConvWeights {
                kernel: parameter("kernel", sums.kernel, outputs)?,
                bias: parameter("bias", sums.bias, outputs)?,
                convolution: sums.convolution,
            })
        };
        Ok(Self {
            input,
            layers: map_weights(layers, &mut parameters)?,
        })
    }

    /// The input shape for one image.
    pub fn input(&self) -> MapShape {
        self.input
    }

    /// `[images, regions, channels]` of the stored map to that of the last layer's.
    pub fn forward<T: Tape<f32, D>>(&self, features: Regions<D, T>) -> DeviceResult<D, Regions<D, T>> {
        let MapShape {
            height,
            width,
            channels,
        } = self.input;
        let images = features.shape().0;
        let map = features.try_reshape_like(&(images, height, width, channels))?;
        let map = forward_layers(&self.layers, map)?;
        let (images, height, width, channels) = *map.shape();
        map.try_reshape_like(&(images, height * width, channels))
    }

    /// The layers with their present weights, on the host.
    pub fn on_host(&self) -> Vec<ConvLayer> {
        let mut on_host = |weights: ConvWeights<Parameter<D>>| {
            Ok::<_, std::convert::Infallible>(ConvWeights {
                kernel: weights.kernel.value.as_vec(),
                bias: weights.bias.value.as_vec(),
                convolution: weights.convolution,
            })
        };
        let Ok(layers) = map_weights(self.layers.clone(), &mut on_host);
        layers
    }

    /// Changes the output from `x` to `(x - mean) * scale`, channel by channel. Only after
    /// [`LayerRange::with_channel_scale`].
    pub fn rescale(&mut self, mean: &[f32], scale: &[f32]) -> DeviceResult<D, ()> {
        let Some(ConvLayer::Depthwise(ConvWeights { kernel, bias, .. })) = self.layers.last_mut() else {
            unreachable!("the last layer is the channel scale");
        };
        let shift = mean
            .iter()
            .zip(scale)
            .map(|(mean, scale)| -mean * scale)
            .collect();
        for (parameter, values) in [(kernel, scale.to_vec()), (bias, shift)] {
            let device = parameter.value.device().clone();
            parameter.value = device.try_tensor_from_vec(values, parameter.shape())?;
        }
        Ok(())
    }

    /// The trainable parameters.
    pub fn parameters(&self) -> Vec<&Parameter<D>> {
        let sums = self.layers.iter().flat_map(ConvLayer::weights);
        sums.flat_map(|sums| [&sums.kernel, &sums.bias]).collect()
    }

    /// Mutable access to the parameters, in the order of [`Self::parameters`].
    pub fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        let sums = self.layers.iter_mut().flat_map(ConvLayer::weights_mut);
        sums.flat_map(|sums| [&mut sums.kernel, &mut sums.bias]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{assert_close, check_gradients, probe, random_matrix};
    use crate::nn::{Padding, PoolDivisor};
    use dfdx::prelude::*;

    fn sums(window: ConvGeometry, (rows, outputs): (usize, usize), activation: Activation) -> ConvWeights {
        ConvWeights {
            kernel: random_matrix((rows, outputs), outputs as u64).as_vec(),
            bias: random_matrix((1, outputs), 7).as_vec(),
            convolution: Convolution { window, activation },
        }
    }

    /// A residual block as in MobileNets, and a convolution of stride 2.
    fn published() -> LayerRange {
        let around = ConvGeometry::square(3, 1, Padding::all(1));
        let halve = ConvGeometry::square(3, 2, Padding::all(1));
        let layers = vec![
            ConvLayer::Residual {
                branch: vec![
                    ConvLayer::Convolution(sums(ConvGeometry::POINTWISE, (2, 5), Activation::Tanh)),
                    ConvLayer::Depthwise(sums(around, (9, 5), Activation::None)),
                    ConvLayer::Convolution(sums(ConvGeometry::POINTWISE, (5, 2), Activation::None)),
                ],
                shortcut: Vec::new(),
            },
            ConvLayer::Convolution(sums(halve, (18, 3), Activation::None)),
        ];
        LayerRange {
            input: MapShape::new(4, 4, 2),
            output: MapShape::new(2, 2, 3),
            layers,
        }
        .with_channel_scale()
    }

    fn fine_tuned() -> FineTunedLayers<Cpu> {
        let LayerRange { input, layers, .. } = published();
        FineTunedLayers::of(input, layers, &Cpu::default()).unwrap()
    }

    fn features() -> Regions<Cpu> {
        random_matrix((2 * 16, 2), 3).reshape_like(&(2, 16, 2))
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let (mut layers, features) = (fine_tuned(), features());
        check_gradients(
            &mut layers,
            FineTunedLayers::parameters_mut,
            |layers| probe(layers.forward(features.leaky_trace()).unwrap()),
            5e-3,
        );
    }

    /// The layers of later networks: a gate, branches side by side, averages, LayerNorm, attention, and activations whose
    /// slope does not follow from their output.
    fn later() -> LayerRange {
        let around = ConvGeometry::square(3, 1, Padding::all(1));
        let point = |inputs, outputs, activation| {
            ConvLayer::Convolution(sums(ConvGeometry::POINTWISE, (inputs, outputs), activation))
        };
        let dense = |rows, outputs| sums(ConvGeometry::POINTWISE, (rows, outputs), Activation::None);
        let average = AveragePool {
            window: around,
            divisor: PoolDivisor::Pixels,
        };
        let layers = vec![
            ConvLayer::Gate(vec![
                ConvLayer::GlobalAvgPool,
                point(2, 3, Activation::Swish),
                point(3, 2, Activation::Sigmoid),
            ]),
            ConvLayer::Concat(vec![
                Vec::new(),
                vec![ConvLayer::Depthwise(sums(around, (9, 2), Activation::Gelu))],
                vec![ConvLayer::AvgPool(average), point(2, 2, Activation::HardSwish)],
            ]),
            ConvLayer::LayerNorm { epsilon: 1e-3 },
            ConvLayer::AttentionPool(AttentionPool {
                heads: 2,
                positions: dense(5, 6),
                query: dense(6, 6),
                key: dense(6, 6),
                value: dense(6, 6),
                output: dense(6, 3),
            }),
        ];
        LayerRange {
            input: MapShape::new(2, 2, 2),
            output: MapShape::new(1, 1, 3),
            layers,
        }
    }

    #[test]
    fn gradients_of_later_layers_equal_finite_differences() {
        let range = later();
        assert!(range.spec().fits_together());
        let mut layers = FineTunedLayers::of(range.input, range.layers, &Cpu::default()).unwrap();
        let features: Regions<Cpu> = random_matrix((3 * 4, 2), 3).reshape_like(&(3, 4, 2));
        check_gradients(
            &mut layers,
            FineTunedLayers::parameters_mut,
            |layers| probe(layers.forward(features.leaky_trace()).unwrap()),
            5e-3,
        );
    }

    #[test]
    fn specs_whose_parts_do_not_fit_are_rejected() {
        let change = |change: fn(&mut Vec<ConvLayer>)| {
            let mut range = later();
            change(&mut range.layers);
            range.spec().fits_together()
        };
        assert!(change(|_| ()));
        assert!(!change(|layers| {
            layers.remove(1);
        }));
        assert!(!change(|layers| layers[0] = ConvLayer::Gate(Vec::new())));
        assert!(!change(|layers| layers[1] = ConvLayer::Concat(Vec::new())));
        assert!(!change(|layers| {
            let ConvLayer::AttentionPool(pool) = &mut layers[3] else {
                unreachable!()
            };
            pool.heads = 0;
        }));
    }

    #[test]
    fn rescale_changes_the_output_by_mean_and_scale() {
        let mut layers = fine_tuned();
        let before = layers.forward(features()).unwrap().as_vec();
        let (mean, scale) = ([1.0, -2.0, 0.5], [2.0, 3.0, 0.1]);
        layers.rescale(&mean, &scale).unwrap();
        let channel = |index: usize| index % 3;
        let expected: Vec<f32> = (before.iter().enumerate())
            .map(|(index, x)| (x - mean[channel(index)]) * scale[channel(index)])
            .collect();
        assert_close(&layers.forward(features()).unwrap().as_vec(), &expected, 1e-5);
    }

    #[test]
    fn spec_round_trips_through_json_with_room_for_the_same_weights() {
        let text = serde_json::to_string(&published().spec()).unwrap();
        let spec: FineTunedSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(spec, published().spec());
        let (mut zeros, layers) = (
            FineTunedLayers::zeros(&spec, &Cpu::default()).unwrap(),
            fine_tuned(),
        );
        let size: usize = layers
            .parameters()
            .iter()
            .map(|p| p.shape().0 * p.shape().1)
            .sum();
        assert_eq!(spec.parameters(), size);
        for (zeros, full) in zeros.parameters_mut().into_iter().zip(layers.parameters()) {
            assert_eq!((&zeros.name, zeros.shape()), (&full.name, full.shape()));
            zeros.value = full.value.clone();
        }
        let [found, expected] = [zeros, layers].map(|layers| layers.forward(features()).unwrap().as_vec());
        assert_eq!(found, expected);
    }
}
