//! A slow evaluator of the operators that Cutline writes, after ONNX's description of them.

use crate::onnx::messages::{AttributeProto, GraphProto, NodeProto, TensorProto};
use std::collections::HashMap;

/// An array of any number of dimensions. Integers are numbers too.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Array {
    pub(super) fn new(shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "values of an array"
        );
        Self {
            shape: shape.to_vec(),
            values,
        }
    }

    fn of(tensor: &TensorProto) -> Self {
        let shape: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
        let values = match tensor.data_type {
            1 => (tensor.raw_data.chunks_exact(4))
                .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
                .collect(),
            7 => (tensor.raw_data.chunks_exact(8))
                .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as f32)
                .collect(),
            other => panic!("type {other}"),
        };
        Self::new(&shape, values)
    }

    /// The value at an index of as many dimensions or more; a dimension of 1 is the same everywhere.
    fn at(&self, index: &[usize]) -> f32 {
        let index = &index[index.len() - self.shape.len()..];
        let offset = index.iter().zip(&self.shape).fold(0, |offset, (&i, &size)| {
            offset * size + if size == 1 { 0 } else { i }
        });
        self.values[offset]
    }

    fn map(&self, map: impl Fn(f32) -> f32) -> Self {
        let values = self.values.iter().map(|&value| map(value)).collect();
        Self::new(&self.shape, values)
    }

    fn integers(&self) -> Vec<i64> {
        self.values.iter().map(|&value| value as i64).collect()
    }
}

/// An array of this shape from its values by index.
fn filled(shape: &[usize], mut value: impl FnMut(&[usize]) -> f32) -> Array {
    let count: usize = shape.iter().product();
    let mut values = Vec::with_capacity(count);
    let mut index = vec![0; shape.len()];
    for number in 0..count {
        let mut rest = number;
        for (place, &size) in index.iter_mut().zip(shape).rev() {
            *place = rest % size;
            rest /= size;
        }
        values.push(value(&index));
    }
    Array::new(shape, values)
}

/// The outputs by name.
pub(super) fn evaluate(graph: &GraphProto, inputs: &[(&str, Array)]) -> HashMap<String, Array> {
    let mut known: HashMap<&str, Array> = inputs.iter().cloned().collect();
    for input in &graph.input {
        assert!(known.contains_key(&*input.name), "no input {}", input.name);
    }
    known.extend(
        graph
            .initializer
            .iter()
            .map(|tensor| (&*tensor.name, Array::of(tensor))),
    );
    for node in &graph.node {
        let arrays: Vec<&Array> = node.input.iter().map(|name| &known[&**name]).collect();
        let value = run(node, &arrays);
        assert!(
            known.insert(&node.output[0], value).is_none(),
            "{} twice",
            node.output[0]
        );
    }
    let outputs = graph.output.iter();
    outputs
        .map(|output| (output.name.clone(), known[&*output.name].clone()))
        .collect()
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> &'n AttributeProto {
    let mut attributes = node.attribute.iter();
    attributes
        .find(|attribute| attribute.name == name)
        .unwrap_or_else(|| panic!("{} without {name}", node.op_type))
}

fn run(node: &NodeProto, x: &[&Array]) -> Array {
    let integer = |name: &str| attribute(node, name).i.unwrap();
    let axis = |name: &str| (integer(name) + x[0].shape.len() as i64) as usize % x[0].shape.len();
    match node.op_type.as_str() {
        "Identity" => x[0].clone(),
        "Cast" if integer("to") == 10 => x[0].map(|value| half::f16::from_f32(value).to_f32()),
        "Cast" => x[0].clone(),
        "Relu" => x[0].map(|value| value.max(0.0)),
        "Clip" => x[0].map(|value| value.clamp(x[1].values[0], x[2].values[0])),
        "Tanh" => x[0].map(f32::tanh),
        "Sigmoid" => x[0].map(|value| 1.0 / (1.0 + (-value).exp())),
        "HardSigmoid" => {
            let [alpha, beta] = ["alpha", "beta"].map(|name| attribute(node, name).f.unwrap());
            x[0].map(|value| (alpha * value + beta).clamp(0.0, 1.0))
        }
        "HardSwish" => x[0].map(|value| value * (value / 6.0 + 0.5).clamp(0.0, 1.0)),
        "Erf" => x[0].map(erf),
        "Sqrt" => x[0].map(f32::sqrt),
        "Add" => both(x, |a, b| a + b),
        "Sub" => both(x, |a, b| a - b),
        "Mul" => both(x, |a, b| a * b),
        "Div" => both(x, |a, b| a / b),
        "Shape" => Array::new(
            &[x[0].shape.len()],
            x[0].shape.iter().map(|&size| size as f32).collect(),
        ),
        "ConstantOfShape" => {
            let shape: Vec<usize> = x[0].values.iter().map(|&size| size as usize).collect();
            filled(&shape, |_| 0.0)
        }
        "Transpose" => {
            let order: Vec<usize> = attribute(node, "perm")
                .ints
                .iter()
                .map(|&axis| axis as usize)
                .collect();
            let shape: Vec<usize> = order.iter().map(|&axis| x[0].shape[axis]).collect();
            filled(&shape, |index| {
                let mut source = vec![0; index.len()];
                order.iter().zip(index).for_each(|(&axis, &i)| source[axis] = i);
                x[0].at(&source)
            })
        }
        "Reshape" => reshape(x[0], &x[1].integers()),
        "Unsqueeze" => {
            let mut shape = x[0].shape.clone();
            shape.insert(x[1].values[0] as usize, 1);
            Array::new(&shape, x[0].values.clone())
        }
        "Squeeze" => {
            let mut shape = x[0].shape.clone();
            assert_eq!(
                shape.remove(x[1].values[0] as usize),
                1,
                "a dimension that is squeezed"
            );
            Array::new(&shape, x[0].values.clone())
        }
        "ReduceMean" => {
            let axis = attribute(node, "axes").ints[0] as usize;
            let count = x[0].shape[axis] as f32;
            reduced(x[0], axis, integer("keepdims")).map(|sum| sum / count)
        }
        "ReduceSum" => reduced(x[0], x[1].values[0] as usize, integer("keepdims")),
        "Softmax" => {
            let exponentials = x[0].map(f32::exp);
            let sums = reduced(&exponentials, axis("axis"), 1);
            both(&[&exponentials, &sums], |value, sum| value / sum)
        }
        "LogSoftmax" => {
            let sums = reduced(&x[0].map(f32::exp), axis("axis"), 1);
            both(&[x[0], &sums], |value, sum| value - sum.ln())
        }
        "Concat" => concat(x, axis("axis")),
        "Gather" => {
            let axis = axis("axis");
            let mut shape = x[0].shape.clone();
            shape[axis] = x[1].values.len();
            filled(&shape, |index| {
                let mut source = index.to_vec();
                source[axis] = x[1].values[index[axis]] as usize;
                x[0].at(&source)
            })
        }
        "Slice" => {
            let [start, end, axis] = [1, 2, 3].map(|input| x[input].values[0] as usize);
            let mut shape = x[0].shape.clone();
            shape[axis] = end - start;
            filled(&shape, |index| {
                let mut source = index.to_vec();
                source[axis] += start;
                x[0].at(&source)
            })
        }
        "MatMul" => {
            let inner = *x[0].shape.last().unwrap();
            let mut shape = x[0].shape.clone();
            let rank = shape.len();
            shape[rank - 1] = *x[1].shape.last().unwrap();
            filled(&shape, |index| {
                let [mut left, mut right] = [index.to_vec(), index.to_vec()];
                let products = (0..inner).map(|k| {
                    (left[rank - 1], right[rank - 2]) = (k, k);
                    x[0].at(&left) * x[1].at(&right)
                });
                products.sum()
            })
        }
        "GlobalAveragePool" => {
            let [images, channels, height, width] = x[0].shape[..] else {
                panic!("a map has four dimensions");
            };
            let pixels = height * width;
            let values = x[0]
                .values
                .chunks_exact(pixels)
                .map(|map| map.iter().sum::<f32>() / pixels as f32);
            Array::new(&[images, channels, 1, 1], values.collect())
        }
        "Conv" => convolution(node, x),
        "MaxPool" => windows(node, x[0], |seen, _| {
            seen.iter().copied().fold(f32::NEG_INFINITY, f32::max)
        }),
        "AveragePool" => {
            let counts_padding = integer("count_include_pad") == 1;
            windows(node, x[0], |seen, taps| {
                let count = if counts_padding { taps } else { seen.len() };
                seen.iter().sum::<f32>() / count as f32
            })
        }
        other => panic!("operator {other}"),
    }
}

/// The error function, to 2e-7 (Abramowitz & Stegun 1964, 7.1.26).
fn erf(x: f32) -> f32 {
    let (x, sign) = (f64::from(x.abs()), f64::from(x.signum()));
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let factors = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    let sum = factors.iter().fold(0.0, |sum, factor| (sum + factor) * t);
    (sign * (1.0 - sum * (-x * x).exp())) as f32
}

fn both(x: &[&Array], operation: impl Fn(f32, f32) -> f32) -> Array {
    let rank = x[0].shape.len().max(x[1].shape.len());
    let padded = |array: &Array| [vec![1; rank - array.shape.len()], array.shape.clone()].concat();
    let (left, right) = (padded(x[0]), padded(x[1]));
    let sizes = left.iter().zip(&right).map(|(&a, &b)| {
        assert!(a == b || a == 1 || b == 1, "shapes {left:?} and {right:?}");
        a.max(b)
    });
    let shape: Vec<usize> = sizes.collect();
    filled(&shape, |index| operation(x[0].at(index), x[1].at(index)))
}

fn reshape(x: &Array, shape: &[i64]) -> Array {
    let mut sizes: Vec<usize> = shape
        .iter()
        .enumerate()
        .map(|(place, &size)| match size {
            0 => x.shape[place],
            -1 => 1,
            size => size as usize,
        })
        .collect();
    if let Some(open) = shape.iter().position(|&size| size == -1) {
        sizes[open] = x.values.len() / sizes.iter().product::<usize>();
    }
    Array::new(&sizes, x.values.clone())
}

fn reduced(x: &Array, axis: usize, keeps: i64) -> Array {
    let mut shape = x.shape.clone();
    shape[axis] = 1;
    let mut sums = filled(&shape, |index| {
        let mut source = index.to_vec();
        let along = (0..x.shape[axis]).map(|i| {
            source[axis] = i;
            x.at(&source)
        });
        along.sum()
    });
    if keeps == 0 {
        sums.shape.remove(axis);
    }
    sums
}

fn concat(parts: &[&Array], axis: usize) -> Array {
    let mut shape = parts[0].shape.clone();
    shape[axis] = parts.iter().map(|part| part.shape[axis]).sum();
    filled(&shape, |index| {
        let mut source = index.to_vec();
        let part = parts
            .iter()
            .find(|part| match source[axis].checked_sub(part.shape[axis]) {
                Some(rest) => {
                    source[axis] = rest;
                    false
                }
                None => true,
            });
        part.unwrap().at(&source)
    })
}

/// Kernel, stride and padding of a window, and the size of its output.
struct WindowOfNode {
    kernel: [usize; 2],
    strides: [usize; 2],
    before: [usize; 2],
    output: [usize; 2],
}

impl WindowOfNode {
    fn of(node: &NodeProto, size: [usize; 2]) -> Self {
        let list = |name: &str, at: usize| attribute(node, name).ints[at] as usize;
        let pair = |name: &str| [list(name, 0), list(name, 1)];
        let (kernel, strides, before) = (pair("kernel_shape"), pair("strides"), pair("pads"));
        let after = [list("pads", 2), list("pads", 3)];
        let output = [0, 1].map(|i| (size[i] + before[i] + after[i] - kernel[i]) / strides[i] + 1);
        Self {
            kernel,
            strides,
            before,
            output,
        }
    }

    /// The taps and pixels under an output, without padding.
    fn pixels(&self, at: [usize; 2], size: [usize; 2]) -> Vec<([usize; 2], [usize; 2])> {
        let along = |i: usize| {
            (0..self.kernel[i]).filter_map(move |tap| {
                let pixel = (at[i] * self.strides[i] + tap).checked_sub(self.before[i])?;
                (pixel < size[i]).then_some((tap, pixel))
            })
        };
        let rows = along(0);
        rows.flat_map(|row| along(1).map(move |column| ([row.0, column.0], [row.1, column.1])))
            .collect()
    }
}

fn windows(node: &NodeProto, x: &Array, value: impl Fn(&[f32], usize) -> f32) -> Array {
    let size = [x.shape[2], x.shape[3]];
    let window = WindowOfNode::of(node, size);
    let taps = window.kernel[0] * window.kernel[1];
    filled(
        &[x.shape[0], x.shape[1], window.output[0], window.output[1]],
        |index| {
            let pixels = window.pixels([index[2], index[3]], size);
            let seen: Vec<f32> = pixels
                .into_iter()
                .map(|(_, [row, column])| x.at(&[index[0], index[1], row, column]))
                .collect();
            value(&seen, taps)
        },
    )
}

fn convolution(node: &NodeProto, x: &[&Array]) -> Array {
    let [map, kernel, bias] = x[..] else {
        panic!("a convolution has three inputs");
    };
    let size = [map.shape[2], map.shape[3]];
    let window = WindowOfNode::of(node, size);
    assert_eq!(kernel.shape[2..], window.kernel);
    let (outputs, inputs) = (kernel.shape[0], kernel.shape[1]);
    let groups = attribute(node, "group").i.unwrap() as usize;
    assert_eq!(inputs * groups, map.shape[1], "channels of a map");
    filled(
        &[map.shape[0], outputs, window.output[0], window.output[1]],
        |index| {
            let first = index[1] / (outputs / groups) * inputs;
            let pixels = window.pixels([index[2], index[3]], size);
            let terms = pixels.into_iter().flat_map(|(tap, pixel)| {
                (0..inputs).map(move |input| {
                    let value = map.at(&[index[0], first + input, pixel[0], pixel[1]]);
                    value * kernel.at(&[index[1], input, tap[0], tap[1]])
                })
            });
            terms.sum::<f32>() + bias.values[index[1]]
        },
    )
}
