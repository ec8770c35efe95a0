//! From published layouts of weights to the one that `nn` multiplies with: rows of inputs, columns of outputs.
//!
//! A kernel `[height, width, inputs, outputs]` is, row after row, the matrix `[height * width * inputs,
//! outputs]`; Keras keeps it so (HWIO), PyTorch keeps `[outputs, inputs, height, width]` (OIHW).

/// Whose names and layout a file of weights has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `block1_conv1/kernel`: HWIO, depthwise HWC1, dense `[inputs, outputs]`.
    Keras,
    /// `features.0.weight`: OIHW, depthwise C1HW, dense `[outputs, inputs]`.
    Torch,
}

/// The dimensions of a convolution's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Rows of the window.
    pub height: usize,
    /// Columns of the window.
    pub width: usize,
    /// Channels read.
    pub inputs: usize,
    /// Channels written.
    pub outputs: usize,
}

impl Naming {
    /// The shape under which a convolution's kernel is kept.
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

    /// The shape under which a depthwise kernel over `channels` is kept.
    pub fn depthwise_shape(self, (height, width): (usize, usize), channels: usize) -> [usize; 4] {
        match self {
            Self::Keras => [height, width, channels, 1],
            Self::Torch => [channels, 1, height, width],
        }
    }

    /// The shape under which a dense layer's matrix is kept.
    pub fn dense_shape(self, inputs: usize, outputs: usize) -> [usize; 2] {
        match self {
            Self::Keras => [inputs, outputs],
            Self::Torch => [outputs, inputs],
        }
    }
}

/// A convolution's kernel, of [`Naming::conv_shape`], as rows `[height * width * inputs, outputs]`.
///
/// # Panics
/// When there are not as many values as the kernel has, as all functions here.
pub fn conv_rows(values: Vec<f32>, naming: Naming, kernel: Kernel) -> Vec<f32> {
    match naming {
        Naming::Keras => unchanged(values, naming.conv_shape(kernel)),
        Naming::Torch => permuted(&values, naming.conv_shape(kernel), [2, 3, 1, 0]),
    }
}

/// A depthwise kernel, of [`Naming::depthwise_shape`], as rows `[height * width, channels]`.
pub fn depthwise_rows(values: Vec<f32>, naming: Naming, window: (usize, usize), channels: usize) -> Vec<f32> {
    let shape = naming.depthwise_shape(window, channels);
    match naming {
        Naming::Keras => unchanged(values, shape),
        Naming::Torch => permuted(&values, shape, [2, 3, 0, 1]),
    }
}

/// A dense layer's matrix, of [`Naming::dense_shape`], as `[inputs, outputs]`.
pub fn dense_rows(values: Vec<f32>, naming: Naming, inputs: usize, outputs: usize) -> Vec<f32> {
    let shape = naming.dense_shape(inputs, outputs);
    match naming {
        Naming::Keras => unchanged(values, shape),
        Naming::Torch => permuted(&values, shape, [1, 0]),
    }
}

/// The matrix of a dense layer that follows a flattened feature map, as `[height * width * inputs, outputs]`.
///
/// PyTorch flattens `[channels, height, width]`, Keras (and Cutline) `[height, width, channels]`, so the rows
/// change places: it is the convolution whose window is the whole map.
pub fn dense_rows_after_flatten(values: Vec<f32>, naming: Naming, map: Kernel) -> Vec<f32> {
    conv_rows(values, naming, map)
}

/// Batch normalization with fixed statistics, to be folded into the convolution before it.
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
    /// Changes a convolution `x W + b` so that it gives `gamma (x W + b - mean) / sqrt(variance + epsilon) +
    /// beta` (Ioffe & Szegedy 2015, algorithm 2, steps 10-11). `rows` is `[any, channels]`, `bias`
    /// `[channels]`: zeros where the convolution has none.
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

fn unchanged<const N: usize>(values: Vec<f32>, shape: [usize; N]) -> Vec<f32> {
    assert_eq!(
        values.len(),
        shape.iter().product::<usize>(),
        "values of shape {shape:?}"
    );
    values
}

/// The values with their dimensions reordered: dimension `d` of the result is dimension `order[d]` of `shape`.
fn permuted<const N: usize>(values: &[f32], shape: [usize; N], order: [usize; N]) -> Vec<f32> {
    assert_eq!(
        values.len(),
        shape.iter().product::<usize>(),
        "values of shape {shape:?}"
    );
    let strides = row_major_strides(&shape);
    let mut out = Vec::with_capacity(values.len());
    gather(
        values,
        &order.map(|d| shape[d]),
        &order.map(|d| strides[d]),
        &mut out,
    );
    out
}

/// How far apart neighbors along each dimension lie when rows follow each other without gaps.
pub(super) fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d];
    }
    strides
}

/// Appends, row after row, the elements at `sum(index[d] * strides[d])`.
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
mod tests {
    use super::*;

    /// Every value tells where it stands: digits height, width, input, output.
    fn place(h: usize, w: usize, i: usize, o: usize) -> f32 {
        (h * 1000 + w * 100 + i * 10 + o) as f32
    }

    const KERNEL: Kernel = Kernel {
        height: 2,
        width: 3,
        inputs: 4,
        outputs: 5,
    };

    fn hwio() -> Vec<f32> {
        let mut values = Vec::new();
        for h in 0..2 {
            for w in 0..3 {
                for i in 0..4 {
                    values.extend((0..5).map(|o| place(h, w, i, o)));
                }
            }
        }
        values
    }

    fn oihw() -> Vec<f32> {
        let mut values = Vec::new();
        for o in 0..5 {
            for i in 0..4 {
                for h in 0..2 {
                    values.extend((0..3).map(|w| place(h, w, i, o)));
                }
            }
        }
        values
    }

    #[test]
    fn both_layouts_of_a_convolution_become_the_same_rows() {
        assert_eq!(conv_rows(hwio(), Naming::Keras, KERNEL), hwio());
        assert_eq!(conv_rows(oihw(), Naming::Torch, KERNEL), hwio());
        assert_eq!(Naming::Torch.conv_shape(KERNEL), [5, 4, 2, 3]);
    }

    #[test]
    fn flattened_maps_are_reordered_from_channels_first() {
        // torch: row `o` holds the map [inputs, height, width] flattened.
        assert_eq!(dense_rows_after_flatten(oihw(), Naming::Torch, KERNEL), hwio());
    }

    #[test]
    fn both_layouts_of_a_depthwise_kernel_become_the_same_rows() {
        let rows = vec![0.0, 10.0, 1.0, 11.0, 2.0, 12.0, 3.0, 13.0]; // [2 * 2, 2 channels]
        let torch = vec![0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]; // [2, 1, 2, 2]
        assert_eq!(depthwise_rows(torch, Naming::Torch, (2, 2), 2), rows);
        assert_eq!(depthwise_rows(rows.clone(), Naming::Keras, (2, 2), 2), rows);
    }

    #[test]
    fn dense_matrices_are_transposed_from_torch() {
        let torch = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2 outputs, 3 inputs]
        assert_eq!(
            dense_rows(torch, Naming::Torch, 3, 2),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }

    #[test]
    fn folding_gives_what_normalizing_afterwards_gives() {
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
