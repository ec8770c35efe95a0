//! Convolutional networks on the CPU: weights in the order of the kernels, maps in reused buffers.

use super::{ConvLayer, ConvWeights, map_weights};
use crate::nn::backend::Images;
use crate::nn::cpu::slices::{add, among_threads, values};
use crate::nn::cpu::winograd::Winograd;
use crate::nn::ops::conv_geometry::{ConvGeometry, SlidingWindow};
use crate::nn::ops::conv_kernel::{ConvKernel, ConvShape};
use crate::nn::ops::conv2d::cpu::FullConv;
use crate::nn::ops::depthwise::cpu::DepthwiseConv;
use crate::nn::ops::pool;
use dfdx::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// A network and the buffers of its maps, which stay for the next batch: fresh memory costs as much time as a small
/// convolution.
#[derive(Clone, Debug)]
pub struct CpuConvNet {
    layers: Arc<[CpuLayer]>,
    buffers: Arc<Mutex<Buffers>>,
}

impl CpuConvNet {
    pub(super) fn new(layers: Vec<ConvLayer>) -> Result<Self, CpuError> {
        let layers = map_weights(layers, &mut |weights| Ok(CpuConvolution::new(weights)))?;
        Ok(Self {
            layers: layers.into(),
            buffers: Arc::default(),
        })
    }

    pub(super) fn run(&self, maps: Images<Cpu>) -> Result<Images<Cpu>, CpuError> {
        // A second caller at the same time finds no buffers and makes its own.
        let lock = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffers = std::mem::take(&mut *lock());
        let shape = MapShape::of(*maps.shape());
        let images = values(&maps.try_contiguous()?);
        let mut outputs = Vec::new();
        for piece in images.chunks((self.images_at_a_time(shape) * shape.map()).max(1)) {
            let mut input = buffers.maps(MapShape {
                images: piece.len() / shape.map(),
                ..shape
            });
            input.values_mut().copy_from_slice(piece);
            let output = among_threads(|| forward(&self.layers, &input, &mut buffers));
            outputs.extend_from_slice(output.values());
            buffers.give_back(input);
            buffers.give_back(output);
        }
        *lock() = buffers;
        let (output, _) = largest_map(&self.layers, shape);
        Cpu::default().try_tensor_from_vec(outputs, output.shape())
    }
}

type CpuLayer = ConvLayer<CpuConvolution>;

/// A convolution, and its kernels in the form in which they take the least time.
#[derive(Debug)]
struct CpuConvolution {
    weights: ConvWeights,
    /// Replaces `weights.kernel`.
    winograd: Option<Winograd>,
}

impl CpuConvolution {
    fn new(mut weights: ConvWeights) -> Self {
        let (window, outputs) = (weights.convolution.window, weights.bias.len());
        let inputs = weights.kernel.len() / (window.taps() * outputs).max(1);
        let winograd = Winograd::suits(window, inputs, outputs).then(|| {
            let kernel = std::mem::take(&mut weights.kernel);
            Winograd::new(&kernel, inputs, outputs)
        });
        Self { weights, winograd }
    }

    /// Overwrites `y`.
    fn forward<K: ConvKernel>(&self, layer: &ConvShape, x: &[f32], y: &mut [f32]) {
        let ConvWeights { kernel, bias, .. } = &self.weights;
        match &self.winograd {
            Some(winograd) => winograd.forward(&layer.sliding, x, bias, layer.activation, y),
            None => K::forward(layer, x, kernel, bias, y),
        }
    }
}

/// Values of the largest map of a batch, at most: 64 MiB.
const MOST_VALUES: usize = 1 << 24;

impl CpuConvNet {
    /// The number of images that keep the largest map within [`MOST_VALUES`], in pieces of about equal size.
    fn images_at_a_time(&self, shape: MapShape) -> usize {
        let largest = largest_map(&self.layers, shape).1.max(1);
        let pieces = shape.images.div_ceil((MOST_VALUES / largest).max(1)).max(1);
        shape.images.div_ceil(pieces).max(1)
    }
}

/// The shape of the output, and the number of values of an image's largest map on the way.
fn largest_map(layers: &[CpuLayer], input: MapShape) -> (MapShape, usize) {
    layers
        .iter()
        .fold((input, input.map()), |(input, largest), layer| {
            let through = |window: ConvGeometry, channels| MapShape {
                size: window.output(input.size),
                channels,
                ..input
            };
            let (output, within) = match layer {
                ConvLayer::Convolution(CpuConvolution { weights, .. })
                | ConvLayer::Depthwise(CpuConvolution { weights, .. }) => {
                    (through(weights.convolution.window, weights.bias.len()), 0)
                }
                ConvLayer::MaxPool(window) => (through(*window, input.channels), 0),
                ConvLayer::GlobalAvgPool => (input.pooled(), 0),
                ConvLayer::Activation(_) => (input, 0),
                ConvLayer::Residual { branch, .. } => largest_map(branch, input),
            };
            (output, largest.max(within).max(output.map()))
        })
}

/// Shape of a batch of maps.
#[derive(Clone, Copy, Debug)]
struct MapShape {
    images: usize,
    size: (usize, usize),
    channels: usize,
}

impl MapShape {
    fn of((images, height, width, channels): (usize, usize, usize, usize)) -> Self {
        Self {
            images,
            size: (height, width),
            channels,
        }
    }

    fn shape(self) -> (usize, usize, usize, usize) {
        (self.images, self.size.0, self.size.1, self.channels)
    }

    /// Values of a map.
    fn map(self) -> usize {
        self.size.0 * self.size.1 * self.channels
    }

    fn slide(self, window: ConvGeometry) -> SlidingWindow {
        SlidingWindow::new(window, self.images, self.size)
    }

    /// The shape of the output of a window.
    fn through(self, sliding: &SlidingWindow, channels: usize) -> Self {
        Self {
            size: sliding.output,
            channels,
            ..self
        }
    }

    /// One pixel for each map.
    fn pooled(self) -> Self {
        let size = (1, 1);
        Self { size, ..self }
    }
}

/// A batch of maps at the start of a buffer that may be longer.
#[derive(Debug)]
struct Maps {
    shape: MapShape,
    buffer: Vec<f32>,
}

impl Maps {
    fn len(&self) -> usize {
        self.shape.images * self.shape.map()
    }

    fn values(&self) -> &[f32] {
        &self.buffer[..self.len()]
    }

    fn values_mut(&mut self) -> &mut [f32] {
        let len = self.len();
        &mut self.buffer[..len]
    }
}

#[derive(Debug, Default)]
struct Buffers(Vec<Vec<f32>>);

impl Buffers {
    /// Room for maps; what it holds is left over from others.
    fn maps(&mut self, shape: MapShape) -> Maps {
        let buffer = self.0.pop().unwrap_or_default();
        let mut maps = Maps { shape, buffer };
        let len = maps.len();
        if maps.buffer.len() < len {
            maps.buffer = vec![0.0; len];
        }
        maps
    }

    fn give_back(&mut self, maps: Maps) {
        self.0.push(maps.buffer);
        // The longest is taken first, so that few buffers ever grow.
        self.0.sort_by_key(Vec::len);
    }
}

fn forward(layers: &[CpuLayer], input: &Maps, buffers: &mut Buffers) -> Maps {
    let mut latest: Option<Maps> = None;
    for layer in layers {
        let next = layer.forward(latest.as_ref().unwrap_or(input), buffers);
        if let Some(done) = latest.replace(next) {
            buffers.give_back(done);
        }
    }
    latest.unwrap_or_else(|| {
        let mut copy = buffers.maps(input.shape);
        copy.values_mut().copy_from_slice(input.values());
        copy
    })
}

fn convolve<K: ConvKernel>(convolution: &CpuConvolution, x: &Maps, buffers: &mut Buffers) -> Maps {
    let weights = &convolution.weights;
    let layer = ConvShape {
        sliding: x.shape.slide(weights.convolution.window),
        inputs: x.shape.channels,
        outputs: weights.bias.len(),
        activation: weights.convolution.activation,
    };
    let mut y = buffers.maps(x.shape.through(&layer.sliding, layer.outputs));
    convolution.forward::<K>(&layer, x.values(), y.values_mut());
    y
}

impl CpuLayer {
    fn forward(&self, x: &Maps, buffers: &mut Buffers) -> Maps {
        match self {
            Self::Convolution(convolution) => convolve::<FullConv>(convolution, x, buffers),
            Self::Depthwise(convolution) => convolve::<DepthwiseConv>(convolution, x, buffers),
            Self::MaxPool(window) => {
                let (sliding, channels) = (x.shape.slide(*window), x.shape.channels);
                let mut y = buffers.maps(x.shape.through(&sliding, channels));
                pool::cpu::MaxPool { sliding, channels }.forward(x.values(), y.values_mut());
                y
            }
            Self::GlobalAvgPool => {
                let mut y = buffers.maps(x.shape.pooled());
                pool::cpu::mean_pixel(x.values(), x.shape.map(), x.shape.channels, y.values_mut());
                y
            }
            Self::Activation(activation) => {
                let mut y = buffers.maps(x.shape);
                activation.apply(x.values(), y.values_mut());
                y
            }
            Self::Residual { branch, shortcut } => {
                let mut y = forward(branch, x, buffers);
                if shortcut.is_empty() {
                    add(y.values_mut(), x.values());
                } else {
                    let around = forward(shortcut, x, buffers);
                    add(y.values_mut(), around.values());
                    buffers.give_back(around);
                }
                y
            }
        }
    }
}
