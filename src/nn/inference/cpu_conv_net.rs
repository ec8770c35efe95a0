//! Convolutional networks on the CPU: weights in the order of the kernels, maps in reused buffers.

use super::{ConvLayer, ConvWeights, map_weights};
use crate::nn::backend::Images;
use crate::nn::cpu::elementary::{sum, sum_of};
use crate::nn::cpu::slices::{add, among_threads, values};
use crate::nn::cpu::winograd::Winograd;
use crate::nn::ops::conv_geometry::{ConvGeometry, SlidingWindow};
use crate::nn::ops::conv_kernel::{ConvKernel, ConvShape};
use crate::nn::ops::conv2d::cpu::FullConv;
use crate::nn::ops::depthwise::cpu::DepthwiseConv;
use crate::nn::ops::pool::{self, cpu::Pool};
use crate::nn::{Activation, AveragePool};
use dfdx::prelude::*;
use pulp::Arch;
use rayon::prelude::*;
use std::borrow::Borrow;
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

impl Borrow<ConvWeights> for CpuConvolution {
    fn borrow(&self) -> &ConvWeights {
        &self.weights
    }
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
                ConvLayer::MaxPool(window) | ConvLayer::AvgPool(AveragePool { window, .. }) => {
                    (through(*window, input.channels), 0)
                }
                ConvLayer::GlobalAvgPool => (input.pooled(), 0),
                ConvLayer::AttentionPool(pool) => (input.pooled().with_channels(pool.outputs()), 0),
                ConvLayer::Activation(_) | ConvLayer::LayerNorm { .. } => (input, 0),
                ConvLayer::Residual { branch, .. } => largest_map(branch, input),
                ConvLayer::Gate(layers) => (input, largest_map(layers, input).1),
                ConvLayer::Concat(branches) => {
                    let branches = branches.iter().map(|branch| largest_map(branch, input));
                    let joined = branches.reduce(|(joined, most), (next, largest)| {
                        let channels = joined.channels + next.channels;
                        (joined.with_channels(channels), most.max(largest))
                    });
                    joined.unwrap_or((input, 0))
                }
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

    fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
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

    fn copy(&mut self, maps: &Maps) -> Maps {
        let mut copy = self.maps(maps.shape);
        copy.values_mut().copy_from_slice(maps.values());
        copy
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
        latest = Some(match (latest, layer) {
            (Some(mut maps), CpuLayer::Activation(activation)) => {
                activate(&mut maps, *activation);
                maps
            }
            (latest, layer) => {
                let next = layer.forward(latest.as_ref().unwrap_or(input), buffers);
                if let Some(done) = latest {
                    buffers.give_back(done);
                }
                next
            }
        });
    }
    latest.unwrap_or_else(|| buffers.copy(input))
}

/// Values, and pixels, that a thread takes at a time.
const PIECE: usize = 1 << 14;
const PIXELS: usize = 64;

fn activate(maps: &mut Maps, activation: Activation) {
    let pieces = maps.values_mut().par_chunks_mut(PIECE);
    pieces.for_each(|piece| activation.apply(piece));
}

/// Adds one map to another, on all threads.
fn add_to(sums: &mut Maps, terms: &Maps) {
    let pieces = sums.values_mut().par_chunks_mut(PIECE);
    pieces
        .zip(terms.values().par_chunks(PIECE))
        .for_each(|(sums, terms)| Arch::new().dispatch(|| add(sums, terms)));
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
                let (pool, mut y) = x.under(*window, buffers);
                pool.maxima(x.values(), y.values_mut());
                y
            }
            Self::AvgPool(average) => {
                let (pool, mut y) = x.under(average.window, buffers);
                pool.means(x.values(), &average.scales(x.shape.size), y.values_mut());
                y
            }
            Self::GlobalAvgPool => {
                let mut y = buffers.maps(x.shape.pooled());
                pool::cpu::mean_pixel(x.values(), x.shape.map(), x.shape.channels, y.values_mut());
                y
            }
            Self::AttentionPool(pool) => {
                let mut y = buffers.maps(x.shape.pooled().with_channels(pool.outputs()));
                pool.run(x.values(), y.values_mut());
                y
            }
            Self::Activation(activation) => {
                let mut y = buffers.copy(x);
                activate(&mut y, *activation);
                y
            }
            Self::LayerNorm { epsilon } => {
                let mut y = buffers.copy(x);
                let channels = x.shape.channels;
                let pieces = y.values_mut().par_chunks_mut(channels * PIXELS);
                pieces.for_each(|pixels| layer_norm(pixels, channels, *epsilon));
                y
            }
            Self::Residual { branch, shortcut } => {
                let mut y = forward(branch, x, buffers);
                if shortcut.is_empty() {
                    add_to(&mut y, x);
                } else {
                    let around = forward(shortcut, x, buffers);
                    add_to(&mut y, &around);
                    buffers.give_back(around);
                }
                y
            }
            Self::Gate(layers) => {
                let gate = forward(layers, x, buffers);
                let mut y = buffers.maps(x.shape);
                scale_channels(x, &gate, &mut y);
                buffers.give_back(gate);
                y
            }
            Self::Concat(branches) => {
                let made: Vec<Option<Maps>> = branches
                    .iter()
                    .map(|branch| (!branch.is_empty()).then(|| forward(branch, x, buffers)))
                    .collect();
                let parts: Vec<&Maps> = made.iter().map(|part| part.as_ref().unwrap_or(x)).collect();
                let shape = parts.first().map_or(x.shape, |part| part.shape);
                let channels = parts.iter().map(|part| part.shape.channels).sum();
                let mut y = buffers.maps(shape.with_channels(channels));
                side_by_side(&parts, &mut y);
                made.into_iter()
                    .flatten()
                    .for_each(|part| buffers.give_back(part));
                y
            }
        }
    }
}

impl Maps {
    /// A window over these maps, and room for as many outputs.
    fn under(&self, window: ConvGeometry, buffers: &mut Buffers) -> (Pool, Maps) {
        let (sliding, channels) = (self.shape.slide(window), self.shape.channels);
        let y = buffers.maps(self.shape.through(&sliding, channels));
        (Pool { sliding, channels }, y)
    }
}

/// Writes the pixels of all parts into `y`, one part after the other in the channels.
fn side_by_side(parts: &[&Maps], y: &mut Maps) {
    let channels = y.shape.channels;
    let row = y.shape.size.1 * channels;
    let rows = y.values_mut().par_chunks_mut(row.max(1)).enumerate();
    rows.for_each(|(row, y)| {
        let mut start = 0;
        for part in parts {
            let width = part.shape.channels;
            let row_len = part.shape.size.1 * width;
            let pixels = part.values()[row * row_len..][..row_len].chunks_exact(width);
            for (y, pixel) in y.chunks_exact_mut(channels).zip(pixels) {
                y[start..start + width].copy_from_slice(pixel);
            }
            start += width;
        }
    });
}

/// `y = x gate`, with a number of `gate` for each channel of an image.
fn scale_channels(x: &Maps, gate: &Maps, y: &mut Maps) {
    let (map, channels) = (x.shape.map(), x.shape.channels);
    let row = x.shape.size.1 * channels;
    let rows = y
        .values_mut()
        .par_chunks_mut(row)
        .zip(x.values().par_chunks(row))
        .enumerate();
    rows.for_each(|(at, (y, x))| {
        let gate = &gate.values()[at * row / map * channels..][..channels];
        Arch::new().dispatch(|| {
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for ((y, x), factor) in y.iter_mut().zip(x).zip(gate) {
                    *y = x * factor;
                }
            }
        });
    });
}

/// Normalizes every pixel over its channels.
fn layer_norm(pixels: &mut [f32], channels: usize, epsilon: f32) {
    Arch::new().dispatch(|| {
        for pixel in pixels.chunks_exact_mut(channels) {
            let mean = sum(pixel) / channels as f32;
            let variance = sum_of(pixel, |x| (x - mean) * (x - mean)) / channels as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            pixel.iter_mut().for_each(|x| *x = (*x - mean) * scale);
        }
    });
}
