//! Frozen networks on the CPU: weights where the kernels read them, maps in buffers that are used again.

use super::{Convolution, FrozenKernel, FrozenLayer, FrozenSums, with_weights};
use crate::nn::backend::Images;
use crate::nn::conv2d::winograd::Winograd;
use crate::nn::host::{add, among_threads};
use crate::nn::weighted::Weighted;
use crate::nn::window::{Walk, Window};
use crate::nn::{conv2d, depthwise, pool};
use dfdx::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// A network and the buffers of its maps, which stay for the next batch: fresh memory costs as much time as a small
/// convolution.
#[derive(Clone, Debug)]
pub struct CpuNetwork {
    layers: Arc<[CpuLayer]>,
    buffers: Arc<Mutex<Buffers>>,
}

impl FrozenKernel for Cpu {
    type Network = CpuNetwork;

    fn freeze(&self, layers: Vec<FrozenLayer>) -> Result<CpuNetwork, CpuError> {
        let layers = with_weights(layers, &|sums| Ok(CpuConvolution::new(sums)), &Ok)?;
        Ok(CpuNetwork {
            layers: layers.into(),
            buffers: Arc::default(),
        })
    }

    fn run(network: &CpuNetwork, maps: Images<Self>) -> Result<Images<Self>, CpuError> {
        // A second caller at the same time finds no buffers and makes its own.
        let lock = || network.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffers = std::mem::take(&mut *lock());
        let maps = maps.try_contiguous()?;
        let mut input = buffers.maps(Extent::of(*maps.shape()));
        maps.copy_into(input.values_mut());
        let output = among_threads(|| forward(&network.layers, &input, &mut buffers));
        let result = maps
            .device()
            .try_tensor_from_vec(output.values().to_vec(), output.extent.shape());
        buffers.give_back(input);
        buffers.give_back(output);
        *lock() = buffers;
        result
    }
}

type CpuLayer = FrozenLayer<CpuConvolution, FrozenSums>;

/// A convolution in the way that takes the least time.
#[derive(Debug)]
enum CpuConvolution {
    Plain(FrozenSums),
    Winograd {
        kernels: Winograd,
        bias: Vec<f32>,
        convolution: Convolution,
    },
}

impl CpuConvolution {
    fn new(sums: FrozenSums) -> Self {
        let FrozenSums {
            kernel,
            bias,
            convolution,
        } = sums;
        let outputs = bias.len();
        let inputs = kernel.len() / (convolution.window.taps() * outputs).max(1);
        if Winograd::suits(convolution.window, inputs, outputs) {
            let kernels = Winograd::new(&kernel, inputs, outputs);
            Self::Winograd {
                kernels,
                bias,
                convolution,
            }
        } else {
            Self::Plain(FrozenSums {
                kernel,
                bias,
                convolution,
            })
        }
    }

    fn window(&self) -> Window {
        match self {
            Self::Plain(FrozenSums { convolution, .. }) | Self::Winograd { convolution, .. } => {
                convolution.window
            }
        }
    }

    fn outputs(&self) -> usize {
        match self {
            Self::Plain(FrozenSums { bias, .. }) | Self::Winograd { bias, .. } => bias.len(),
        }
    }

    /// Overwrites `y`.
    fn forward(&self, walk: Walk, inputs: usize, x: &[f32], y: &mut [f32]) {
        match self {
            Self::Plain(FrozenSums {
                kernel,
                bias,
                convolution,
            }) => {
                let layer = conv2d::cpu::Layer {
                    walk,
                    inputs,
                    outputs: bias.len(),
                    activation: convolution.activation,
                };
                layer.forward(x, kernel, bias, y);
            }
            Self::Winograd {
                kernels,
                bias,
                convolution,
            } => kernels.forward(&walk, x, bias, convolution.activation, y),
        }
    }
}

/// Shape of a batch of maps.
#[derive(Clone, Copy, Debug)]
struct Extent {
    photos: usize,
    size: (usize, usize),
    channels: usize,
}

impl Extent {
    fn of((photos, height, width, channels): (usize, usize, usize, usize)) -> Self {
        Self {
            photos,
            size: (height, width),
            channels,
        }
    }

    fn shape(self) -> (usize, usize, usize, usize) {
        (self.photos, self.size.0, self.size.1, self.channels)
    }

    fn map(self) -> usize {
        self.size.0 * self.size.1 * self.channels
    }
}

/// A batch of maps at the start of a buffer that may be longer.
#[derive(Debug)]
struct Maps {
    extent: Extent,
    buffer: Vec<f32>,
}

impl Maps {
    fn len(&self) -> usize {
        self.extent.photos * self.extent.map()
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
    fn maps(&mut self, extent: Extent) -> Maps {
        let buffer = self.0.pop().unwrap_or_default();
        let mut maps = Maps { extent, buffer };
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
        let mut copy = buffers.maps(input.extent);
        copy.values_mut().copy_from_slice(input.values());
        copy
    })
}

impl CpuLayer {
    fn forward(&self, x: &Maps, buffers: &mut Buffers) -> Maps {
        let Extent {
            photos,
            size,
            channels,
        } = x.extent;
        let walk = |window: Window| Walk::new(window, photos, size);
        let mut through = |walk: &Walk, channels| {
            buffers.maps(Extent {
                photos,
                size: walk.output,
                channels,
            })
        };
        match self {
            Self::Convolution(convolution) => {
                let walk = walk(convolution.window());
                let mut y = through(&walk, convolution.outputs());
                convolution.forward(walk, channels, x.values(), y.values_mut());
                y
            }
            Self::Depthwise(sums) => {
                let layer = depthwise::cpu::Layer {
                    walk: walk(sums.convolution.window),
                    channels,
                    activation: sums.convolution.activation,
                };
                let mut y = through(&layer.walk, channels);
                layer.forward(x.values(), &sums.kernel, &sums.bias, y.values_mut());
                y
            }
            Self::MaxPool(window) => {
                let layer = pool::cpu::MaxPool {
                    walk: walk(*window),
                    channels,
                };
                let mut y = through(&layer.walk, channels);
                layer.forward(x.values(), y.values_mut());
                y
            }
            Self::GlobalMean => {
                let mut y = buffers.maps(Extent {
                    size: (1, 1),
                    ..x.extent
                });
                pool::cpu::mean_pixel(x.values(), x.extent.map(), channels, y.values_mut());
                y
            }
            Self::Rectifier(activation) => {
                let mut y = buffers.maps(x.extent);
                activation.rectify(x.values(), y.values_mut());
                y
            }
            Self::Residual { branch, shortcut } if shortcut.is_empty() => {
                let mut y = forward(branch, x, buffers);
                add(y.values_mut(), x.values());
                y
            }
            Self::Residual { branch, shortcut } => {
                let mut y = forward(branch, x, buffers);
                let around = forward(shortcut, x, buffers);
                add(y.values_mut(), around.values());
                buffers.give_back(around);
                y
            }
        }
    }
}
