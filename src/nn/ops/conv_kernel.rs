//! The common part of the convolutions: from sums to maps, and on the CPU the tape and the pieces of a batch.

use crate::nn::cpu::slices::{add, images_per_piece, put_gradient, take_gradient, values};
use crate::nn::ops::conv_geometry::SlidingWindow;
use crate::nn::tape::record;
use crate::nn::{Activation, Convolution, Images, Matrix};
use dfdx::prelude::*;
use rayon::prelude::*;

/// The end of a composed convolution: `sums` `[output pixels, outputs]` with bias and activation, as maps.
pub(in crate::nn) fn finish_composed<D: Device<f32>, T: Tape<f32, D>>(
    sums: Matrix<D, T>,
    bias: Matrix<D>,
    activation: Activation,
    sliding: &SlidingWindow,
) -> Result<Images<D, T>, D::Err> {
    let shape = *sums.shape();
    let (_, outputs) = shape;
    let bias = bias
        .retaped::<T>()
        .try_reshape_like(&(outputs,))?
        .try_broadcast_like::<_, Axis<0>>(&shape)?;
    activation
        .composed(sums.try_add(bias)?)?
        .try_reshape_like(&sliding.output_shape(outputs))
}

/// The sizes of a convolution over a batch, and its activation.
#[derive(Clone, Copy)]
pub(in crate::nn) struct ConvShape {
    pub(in crate::nn) sliding: SlidingWindow,
    pub(in crate::nn) inputs: usize,
    pub(in crate::nn) outputs: usize,
    pub(in crate::nn) activation: Activation,
}

impl ConvShape {
    pub(in crate::nn) fn new<T>(x: &Images<Cpu, T>, outputs: usize, convolution: Convolution) -> Self {
        let (images, height, width, inputs) = *x.shape();
        Self {
            sliding: SlidingWindow::new(convolution.window, images, (height, width)),
            inputs,
            outputs,
            activation: convolution.activation,
        }
    }
}

/// A kind of convolution on the CPU.
pub(in crate::nn) trait ConvKernel: 'static {
    /// Overwrites `y`.
    fn forward(layer: &ConvShape, x: &[f32], kernel: &[f32], bias: &[f32], y: &mut [f32]);

    /// For a piece of the batch, adds to the gradient of its input, and gives those of kernel and bias.
    /// `output` is the gradient of the sums.
    fn backward_piece(
        layer: &ConvShape,
        x: &[f32],
        kernel: &[f32],
        input: &mut [f32],
        output: &[f32],
    ) -> (Vec<f32>, Vec<f32>);
}

/// The output maps of `layer`; its backward pass is recorded on the tape of `x`.
pub(in crate::nn) fn run<K: ConvKernel, T: Tape<f32, Cpu>>(
    layer: ConvShape,
    x: Images<Cpu, T>,
    kernel: Matrix<Cpu>,
    bias: Matrix<Cpu>,
) -> Result<Images<Cpu, T>, CpuError> {
    let (x, tape) = x.split_tape();
    let (input, weights) = (values(&x), values(&kernel));
    let mut y = vec![0.0; layer.sliding.outputs() * layer.outputs];
    K::forward(&layer, &input, &weights, &values(&bias), &mut y);
    let y = x
        .device()
        .try_tensor_from_vec(y, layer.sliding.output_shape(layer.outputs))?;
    Ok(record(y, tape, move |gradients, y| {
        let mut gradient = ConvGradients {
            input: take_gradient(gradients, &x)?,
            kernel: take_gradient(gradients, &kernel)?,
            bias: take_gradient(gradients, &bias)?,
        };
        let output = take_gradient(gradients, y)?;
        backward::<K>(&layer, &input, &weights, &values(y), output, &mut gradient);
        put_gradient(gradients, &x, gradient.input)?;
        put_gradient(gradients, &kernel, gradient.kernel)?;
        put_gradient(gradients, &bias, gradient.bias)
    }))
}

struct ConvGradients {
    input: Vec<f32>,
    kernel: Vec<f32>,
    bias: Vec<f32>,
}

/// Accumulates into `gradient`. Pieces of the batch run in parallel; their sums for kernel and bias are added in order.
fn backward<K: ConvKernel>(
    layer: &ConvShape,
    x: &[f32],
    kernel: &[f32],
    y: &[f32],
    mut output: Vec<f32>,
    gradient: &mut ConvGradients,
) {
    let ConvShape {
        sliding,
        inputs,
        outputs,
        activation,
    } = *layer;
    let images = images_per_piece(sliding.images);
    let input_piece = images * sliding.inputs_per_image() * inputs;
    let output_piece = images * sliding.outputs_per_image() * outputs;
    let sums: Vec<_> = (
        gradient.input.par_chunks_mut(input_piece),
        output.par_chunks_mut(output_piece),
        x.par_chunks(input_piece),
        y.par_chunks(output_piece),
    )
        .into_par_iter()
        .map(|(input, output, x, y)| {
            activation.backward(output, y);
            K::backward_piece(layer, x, kernel, input, output)
        })
        .collect();
    for (kernel, bias) in &sums {
        add(&mut gradient.kernel, kernel);
        add(&mut gradient.bias, bias);
    }
}
