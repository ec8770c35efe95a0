//! Building a graph: nodes in order, each with a value that later nodes read by its name.

use super::messages::{
    AttributeProto, AttributeType, DimensionProto, ElementType, GraphProto, IR_VERSION, ModelProto,
    NodeProto, OPSET, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use crate::nn::Activation;

/// The name of a value in the graph.
pub(super) type Value = String;

/// A dimension of an input or output.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dimension {
    Fixed(usize),
    /// Any number, the same wherever the name is.
    Any(&'static str),
}

/// The number of images, or of captions that are being written.
pub(super) const IMAGES: Dimension = Dimension::Any("images");
/// The number of regions of an image.
pub(super) const REGIONS: Dimension = Dimension::Any("regions");

/// A graph that is being built.
#[derive(Debug)]
pub(super) struct GraphBuilder(GraphProto);

impl GraphBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self(GraphProto {
            name: name.to_owned(),
            ..GraphProto::default()
        })
    }

    /// The file's content.
    pub(super) fn finish(self) -> ModelProto {
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: "cutline".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.0),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
        }
    }

    pub(super) fn input(&mut self, name: &str, element: ElementType, shape: &[Dimension]) -> Value {
        self.0.input.push(value_info(name, element, shape));
        name.to_owned()
    }

    /// Names a value as an output, of single precision.
    pub(super) fn output(&mut self, name: &str, value: &str, shape: &[Dimension]) {
        self.push("Identity", &[value], name, Vec::new());
        self.0.output.push(value_info(name, ElementType::F32, shape));
    }

    /// Weights under their name; those that several nodes read are in the file once.
    pub(super) fn weights(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        if self.0.initializer.iter().any(|tensor| tensor.name == name) {
            return name.to_owned();
        }
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, ElementType::F32, shape, bytes)
    }

    /// The weights of a network's layer, which have no name.
    pub(super) fn kernel(&mut self, shape: &[usize], values: &[f32]) -> Value {
        let name = self.fresh_name("kernel");
        self.weights(&name, shape, values)
    }

    /// A row of numbers without a name.
    pub(super) fn numbers(&mut self, values: &[f32]) -> Value {
        let name = self.fresh_name("numbers");
        self.weights(&name, &[values.len()], values)
    }

    /// Integers: a shape, axes or indices.
    pub(super) fn integers(&mut self, values: &[i64]) -> Value {
        let name = self.fresh_name("integers");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(&name, ElementType::I64, &[values.len()], bytes)
    }

    fn tensor(&mut self, name: &str, element: ElementType, shape: &[usize], raw_data: Vec<u8>) -> Value {
        self.0.initializer.push(TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: element as i32,
            name: name.to_owned(),
            raw_data,
        });
        name.to_owned()
    }

    fn fresh_name(&self, stem: &str) -> String {
        format!("{stem}_{}", self.0.initializer.len())
    }

    /// The value of an operator.
    pub(super) fn node(&mut self, operator: &str, inputs: &[&str]) -> Value {
        self.node_with(operator, inputs, Vec::new())
    }

    /// The value of an operator with attributes.
    pub(super) fn node_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Value {
        let output = format!("{}_{}", operator.to_lowercase(), self.0.node.len());
        self.push(operator, inputs, &output, attributes);
        output
    }

    fn push(&mut self, operator: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.0.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("node_{}", self.0.node.len()),
            op_type: operator.to_owned(),
            attribute,
        });
    }

    pub(super) fn reshape(&mut self, x: &str, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.node("Reshape", &[x, &shape])
    }

    pub(super) fn transpose(&mut self, x: &str, order: &[i64]) -> Value {
        self.node_with("Transpose", &[x], vec![integers("perm", order)])
    }

    /// The channels of `[images, channels, height, width]` from last to first, of which there are three.
    pub(super) fn reversed_channels(&mut self, x: &str) -> Value {
        let order = self.integers(&[2, 1, 0]);
        self.node_with("Gather", &[x, &order], vec![integer("axis", 1)])
    }

    /// The mean along an axis, which stays with size 1 or goes.
    pub(super) fn mean(&mut self, x: &str, axis: i64, axis_after: AxisAfter) -> Value {
        let attributes = vec![integers("axes", &[axis]), integer("keepdims", axis_after as i64)];
        self.node_with("ReduceMean", &[x], attributes)
    }

    /// `x W + b`
    pub(super) fn affine(&mut self, x: &str, weight: &str, bias: &str) -> Value {
        let product = self.node("MatMul", &[x, weight]);
        self.node("Add", &[&product, bias])
    }

    pub(super) fn softmax(&mut self, x: &str, axis: i64) -> Value {
        self.node_with("Softmax", &[x], vec![integer("axis", axis)])
    }

    pub(super) fn activation(&mut self, x: &str, activation: Activation) -> Value {
        match activation {
            Activation::None => x.to_owned(),
            Activation::Relu => self.node("Relu", &[x]),
            Activation::Relu6 => {
                let (zero, six) = (self.scalar(0.0), self.scalar(6.0));
                self.node("Clip", &[x, &zero, &six])
            }
            Activation::Tanh => self.node("Tanh", &[x]),
            Activation::Sigmoid => self.node("Sigmoid", &[x]),
            Activation::Swish => {
                let gate = self.node("Sigmoid", &[x]);
                self.node("Mul", &[x, &gate])
            }
            Activation::HardSigmoid => {
                let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
                self.node_with("HardSigmoid", &[x], attributes)
            }
            Activation::HardSwish => self.node("HardSwish", &[x]),
            Activation::Gelu => {
                let [root, one, half] = [std::f32::consts::FRAC_1_SQRT_2, 1.0, 0.5].map(|n| self.scalar(n));
                let scaled = self.node("Mul", &[x, &root]);
                let erf = self.node("Erf", &[&scaled]);
                let twice = self.node("Add", &[&erf, &one]);
                let share = self.node("Mul", &[&twice, &half]);
                self.node("Mul", &[x, &share])
            }
        }
    }

    pub(super) fn scalar(&mut self, value: f32) -> Value {
        let name = self.fresh_name("scalar");
        self.weights(&name, &[], &[value])
    }

    /// Rounds to half precision, as stored features are.
    pub(super) fn rounded_to_half(&mut self, x: &str) -> Value {
        [ElementType::F16, ElementType::F32]
            .into_iter()
            .fold(x.to_owned(), |x, element| {
                self.node_with("Cast", &[&x], vec![integer("to", element as i64)])
            })
    }
}

/// The axis of a mean after it.
#[derive(Clone, Copy, Debug)]
pub(super) enum AxisAfter {
    Gone = 0,
    One = 1,
}

fn value_info(name: &str, element: ElementType, shape: &[Dimension]) -> ValueInfoProto {
    let dimension = |dimension: &Dimension| match *dimension {
        Dimension::Fixed(size) => DimensionProto {
            dim_value: Some(size as i64),
            dim_param: None,
        },
        Dimension::Any(name) => DimensionProto {
            dim_value: None,
            dim_param: Some(name.to_owned()),
        },
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: element as i32,
                shape: Some(TensorShapeProto {
                    dim: shape.iter().map(dimension).collect(),
                }),
            }),
        }),
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: Some(value),
        ..attribute(name, AttributeType::Float)
    }
}

pub(super) fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: Some(value),
        ..attribute(name, AttributeType::Int)
    }
}

pub(super) fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: values.to_vec(),
        ..attribute(name, AttributeType::Ints)
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: kind as i32,
        ..AttributeProto::default()
    }
}
