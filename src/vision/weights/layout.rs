//! Conversion of published weight layouts to that of `nn`: rows are inputs, columns are outputs.
//!
//! A kernel `[height, width, inputs, outputs]` (HWIO, Keras) is the row-major matrix `[height * width * inputs, outputs]`.
//! PyTorch's kernels are `[outputs, inputs, height, width]` (OIHW).

/// The framework whose names and layout a file of weights has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `block1_conv1/kernel`: HWIO, depthwise HWC1, dense `[inputs, outputs]`.
    Keras,
    /// `features.0.weight`: OIHW, depthwise C1HW, dense `[outputs, inputs]`.
    Torch,
}

/// The dimensions of a convolution's kernel: window, input channels and output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub struct Kernel {
    pub height: usize,
    pub width: usize,
    pub inputs: usize,
    pub outputs: usize,
}

impl Naming {
    /// The stored shape of a convolution's kernel.
    pub fn conv_shape(self, kernel: Kernel) -> [usize; 4] {
        let Kernel {
            height,
            width,
            inputs,
            outputs,
        } = kernel;
        match self {
            Self::Keras => [height, width, inputs, outputs],
            Self::Torch => [outputs, inputs, height, width],
        }
    }

    /// The stored shape of a depthwise kernel.
    pub fn depthwise_shape(self, (height, width): (usize, usize), channels: usize) -> [usize; 4] {
        match self {
            Self::Keras => [height, width, channels, 1],
            Self::Torch => [channels, 1, height, width],
        }
    }

    /// The stored shape of a dense layer's matrix.
    pub fn dense_shape(self, inputs: usize, outputs: usize) -> [usize; 2] {
        match self {
            Self::Keras => [inputs, outputs],
            Self::Torch => [outputs, inputs],
        }
    }
}

/// A convolution's kernel of [`Naming::conv_shape`] as rows `[height * width * inputs, outputs]`.
///
/// # Panics
/// If the number of values is not that of the kernel.
pub fn conv_rows(values: Vec<f32>, naming: Naming, kernel: Kernel) -> Vec<f32> {
    reordered(values, naming, naming.conv_shape(kernel), [2, 3, 1, 0])
}

/// A depthwise kernel of [`Naming::depthwise_shape`] as rows `[height * width, channels]`.
///
/// # Panics
/// If the number of values is not that of the kernel.
pub fn depthwise_rows(values: Vec<f32>, naming: Naming, window: (usize, usize), channels: usize) -> Vec<f32> {
    let shape = naming.depthwise_shape(window, channels);
    reordered(values, naming, shape, [2, 3, 0, 1])
}

/// Batch normalization with fixed statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Learned scale (PyTorch: `weight`), one per channel.
    pub gamma: Vec<f32>,
    /// Learned shift (PyTorch: `bias`).
    pub beta: Vec<f32>,
    /// Mean over the training data.
    pub mean: Vec<f32>,
    /// Variance over the training data.
    pub variance: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl BatchNorm {
    /// Folds the normalization into the convolution `x W + b` before it, which then gives `gamma (x W + b - mean) /
    /// sqrt(variance + epsilon) + beta` (Ioffe & Szegedy 2015, algorithm 2, steps 10-11). `rows` is `[any, channels]`,
    /// `bias` `[channels]`: zeros if the convolution has none.
    pub fn fold_into(&self, rows: &mut [f32], bias: &mut [f32]) {
        let channels = bias.len();
        for part in [&self.gamma, &self.beta, &self.mean, &self.variance] {
            assert_eq!(part.len(), channels, "channels of a batch normalization");
        }
        let scale: Vec<f32> = (self.gamma.iter().zip(&self.variance))
            .map(|(gamma, variance)| gamma / (variance + self.epsilon).sqrt())
            .collect();
        for row in rows.chunks_exact_mut(channels) {
            for (weight, scale) in row.iter_mut().zip(&scale) {
                *weight *= scale;
            }
        }
        for (channel, bias) in bias.iter_mut().enumerate() {
            *bias = (*bias - self.mean[channel]) * scale[channel] + self.beta[channel];
        }
    }
}

/// The values with PyTorch's dimensions reordered: dimension `d` of the result is dimension `order[d]` of `shape`. Keras'
/// have the right order.
fn reordered<const N: usize>(
    values: Vec<f32>,
    naming: Naming,
    shape: [usize; N],
    order: [usize; N],
) -> Vec<f32> {
    let count: usize = shape.iter().product();
    assert_eq!(values.len(), count, "values of shape {shape:?}");
    if naming == Naming::Keras {
        return values;
    }
    let strides = row_major_strides(&shape);
    let mut out = Vec::with_capacity(count);
    gather(
        &values,
        &order.map(|d| shape[d]),
        &order.map(|d| strides[d]),
        &mut out,
    );
    out
}

/// The strides of contiguous row-major values.
pub(super) fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for d in (1..shape.len()).rev() {
        // Of an empty tensor, no stride is used, and the sides may be of any size.
        strides[d - 1] = strides[d].saturating_mul(shape[d]);
    }
    strides
}

/// Appends the elements at `sum(index[d] * strides[d])` in row-major order.
pub(super) fn gather(values: &[f32], shape: &[usize], strides: &[usize], out: &mut Vec<f32>) {
    match (shape, strides) {
        ([count], [stride]) => out.extend((0..*count).map(|index| values[index * stride])),
        ([count, inner_shape @ ..], [stride, inner_strides @ ..]) => {
            for index in 0..*count {
                gather(&values[index * stride..], inner_shape, inner_strides, out);
            }
        }
        _ => out.extend(values.first()), // a scalar
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Kernel;

    /// A kernel of `value(height, width, input, output)` in the layouts of Keras and PyTorch.
    pub(crate) fn layouts(
        kernel: Kernel,
        value: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> [Vec<f32>; 2] {
        let Kernel {
            height,
            width,
            inputs,
            outputs,
        } = kernel;
        let mut hwio = vec![0.0; height * width * inputs * outputs];
        let mut oihw = hwio.clone();
        for (index, element) in hwio.iter_mut().enumerate() {
            let (o, i) = (index % outputs, index / outputs % inputs);
            let (w, h) = (index / outputs / inputs % width, index / outputs / inputs / width);
            *element = value(h, w, i, o);
            oihw[((o * inputs + i) * height + h) * width + w] = *element;
        }
        [hwio, oihw]
    }
}

#[cfg(test)]
mod tests {
    use super::testing::layouts;
    use super::*;

    #[test]
    fn convolutions_of_both_layouts_have_the_same_rows() {
        let kernel = Kernel {
            height: 2,
            width: 3,
            inputs: 4,
            outputs: 5,
        };
        let digits = |h, w, i, o| (h * 1000 + w * 100 + i * 10 + o) as f32;
        let [hwio, oihw] = layouts(kernel, digits);
        assert_eq!(hwio[..7], [0.0, 1.0, 2.0, 3.0, 4.0, 10.0, 11.0]);
        assert_eq!(oihw[..7], [0.0, 100.0, 200.0, 1000.0, 1100.0, 1200.0, 10.0]);
        assert_eq!(conv_rows(hwio.clone(), Naming::Keras, kernel), hwio);
        assert_eq!(conv_rows(oihw, Naming::Torch, kernel), hwio);
        assert_eq!(Naming::Torch.conv_shape(kernel), [5, 4, 2, 3]);
    }

    #[test]
    fn depthwise_kernels_of_both_layouts_have_the_same_rows() {
        let rows = vec![0.0, 10.0, 1.0, 11.0, 2.0, 12.0, 3.0, 13.0]; // [2 * 2, 2 channels]
        let torch = vec![0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]; // [2, 1, 2, 2]
        assert_eq!(depthwise_rows(torch, Naming::Torch, (2, 2), 2), rows);
        assert_eq!(depthwise_rows(rows.clone(), Naming::Keras, (2, 2), 2), rows);
    }

    #[test]
    fn folded_convolution_equals_normalization_after_it() {
        let norm = BatchNorm {
            gamma: vec![1.5, -0.5],
            beta: vec![0.25, 2.0],
            mean: vec![3.0, -1.0],
            variance: vec![4.0, 0.25],
            epsilon: 1e-3,
        };
        let (rows, bias) = ([1.0, 2.0, -3.0, 0.5, 0.75, -1.0], [0.1, -0.2]); // 3 inputs, 2 channels
        let input = [0.3, -1.2, 2.5];
        let convolve = |rows: &[f32], bias: &[f32], channel: usize| {
            bias[channel] + (0..3).map(|i| input[i] * rows[i * 2 + channel]).sum::<f32>()
        };
        let (mut folded_rows, mut folded_bias) = (rows, bias);
        norm.fold_into(&mut folded_rows, &mut folded_bias);
        for channel in 0..2 {
            let plain = convolve(&rows, &bias, channel);
            let expected = norm.gamma[channel] * (plain - norm.mean[channel])
                / (norm.variance[channel] + norm.epsilon).sqrt()
                + norm.beta[channel];
            let folded = convolve(&folded_rows, &folded_bias, channel);
            assert!((folded - expected).abs() < 1e-5, "{folded} {expected}");
        }
    }
}
