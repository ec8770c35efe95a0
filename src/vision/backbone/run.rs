//! Layers with their weights, and how a batch of maps runs through them.

use crate::nn::{Backend, Convolution, Images, Matrix, Window, conv2d, depthwise, global_mean, max_pool};
use dfdx::prelude::{HasErr, HasShape, ReshapeTo, TryAdd};

#[derive(Clone, Debug)]
pub(super) struct RunStage<D: Backend> {
    pub(super) layers: Vec<RunLayer<D>>,
}

#[derive(Clone, Debug)]
pub(super) enum RunLayer<D: Backend> {
    Convolution(Sums<D>),
    Depthwise(Sums<D>),
    MaxPool(Window),
    GlobalMean,
    Residual(Vec<RunLayer<D>>),
}

/// A convolution's weights, batch normalisation folded in.
#[derive(Clone, Debug)]
pub(super) struct Sums<D: Backend> {
    pub(super) kernel: Matrix<D>,
    pub(super) bias: Matrix<D>,
    pub(super) convolution: Convolution,
}

impl<D: Backend> RunStage<D> {
    pub(super) fn forward(&self, map: Images<D>) -> Result<Images<D>, <D as HasErr>::Err> {
        forward(&self.layers, map)
    }
}

fn forward<D: Backend>(layers: &[RunLayer<D>], map: Images<D>) -> Result<Images<D>, <D as HasErr>::Err> {
    layers.iter().try_fold(map, |map, layer| layer.forward(map))
}

impl<D: Backend> RunLayer<D> {
    fn forward(&self, map: Images<D>) -> Result<Images<D>, <D as HasErr>::Err> {
        match self {
            Self::Convolution(Sums {
                kernel,
                bias,
                convolution,
            }) => conv2d(map, kernel, bias, *convolution),
            Self::Depthwise(Sums {
                kernel,
                bias,
                convolution,
            }) => depthwise(map, kernel, bias, *convolution),
            Self::MaxPool(window) => max_pool(map, *window),
            Self::GlobalMean => {
                let (photos, _, _, channels) = *map.shape();
                global_mean(map)?.try_reshape_like(&(photos, 1, 1, channels))
            }
            Self::Residual(layers) => forward(layers, map.clone())?.try_add(map),
        }
    }
}
