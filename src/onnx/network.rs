//! Convolutional networks: from the layers that Cutline runs to nodes. Maps are `[images, channels, height, width]` here, as
//! ONNX has them.

use super::graph::{AxisAfter, GraphBuilder, Value, integer, integers};
use super::messages::AttributeProto;
use crate::nn::{AttentionPool, ConvGeometry, ConvLayer, ConvWeights, PoolDivisor};

/// The channels that a kernel of a convolution reads.
#[derive(Clone, Copy, Debug)]
enum Reads {
    All,
    Own,
}

/// The value of the last layer.
pub(super) fn layers(graph: &mut GraphBuilder, layers: &[ConvLayer], input: &str) -> Value {
    layers
        .iter()
        .fold(input.to_owned(), |map, next| layer(graph, next, &map))
}

fn layer(graph: &mut GraphBuilder, layer: &ConvLayer, map: &str) -> Value {
    match layer {
        ConvLayer::Convolution(weights) => convolution(graph, weights, Reads::All, map),
        ConvLayer::Depthwise(weights) => convolution(graph, weights, Reads::Own, map),
        ConvLayer::MaxPool(window) => graph.node_with("MaxPool", &[map], geometry(window)),
        ConvLayer::AvgPool(pool) => {
            let padding_counts = integer(
                "count_include_pad",
                i64::from(pool.divisor == PoolDivisor::Window),
            );
            let attributes = geometry(&pool.window).into_iter().chain([padding_counts]);
            graph.node_with("AveragePool", &[map], attributes.collect())
        }
        ConvLayer::GlobalAvgPool => graph.node("GlobalAveragePool", &[map]),
        ConvLayer::AttentionPool(pool) => attention_pool(graph, pool, map),
        ConvLayer::Activation(activation) => graph.activation(map, *activation),
        ConvLayer::LayerNorm { epsilon } => layer_norm(graph, *epsilon, map),
        ConvLayer::Gate(within) => {
            let gate = layers(graph, within, map);
            graph.node("Mul", &[map, &gate])
        }
        ConvLayer::Concat(branches) => {
            let branches: Vec<Value> = branches.iter().map(|branch| layers(graph, branch, map)).collect();
            let branches: Vec<&str> = branches.iter().map(String::as_str).collect();
            graph.node_with("Concat", &branches, vec![integer("axis", 1)])
        }
        ConvLayer::Residual { branch, shortcut } => {
            let [branch, shortcut] = [branch, shortcut].map(|within| layers(graph, within, map));
            graph.node("Add", &[&branch, &shortcut])
        }
    }
}

fn convolution(graph: &mut GraphBuilder, weights: &ConvWeights, reads: Reads, map: &str) -> Value {
    let ConvWeights {
        kernel,
        bias,
        convolution,
    } = weights;
    let (window, outputs) = (&convolution.window, bias.len());
    let rows = kernel.len() / outputs;
    let (inputs, groups) = match reads {
        Reads::All => (rows / window.taps(), 1),
        Reads::Own => (1, outputs),
    };
    // From [height, width, inputs, outputs] to [outputs, inputs, height, width].
    let taps = window.taps();
    let mut values = Vec::with_capacity(kernel.len());
    for output in 0..outputs {
        for input in 0..inputs {
            values.extend((0..taps).map(|tap| kernel[(tap * inputs + input) * outputs + output]));
        }
    }
    let shape = [outputs, inputs, window.kernel.0, window.kernel.1];
    let kernel = graph.kernel(&shape, &values);
    let bias = graph.numbers(bias);
    let attributes = geometry(window)
        .into_iter()
        .chain([integer("group", groups as i64)]);
    let sums = graph.node_with("Conv", &[map, &kernel, &bias], attributes.collect());
    graph.activation(&sums, convolution.activation)
}

fn geometry(window: &ConvGeometry) -> Vec<AttributeProto> {
    let ConvGeometry {
        kernel,
        stride,
        padding,
    } = *window;
    let list = |name, values: &[usize]| {
        let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
        integers(name, &values)
    };
    vec![
        list("kernel_shape", &[kernel.0, kernel.1]),
        list("strides", &[stride; 2]),
        list(
            "pads",
            &[padding.top, padding.left, padding.bottom, padding.right],
        ),
    ]
}

/// Of primitive operations: ONNX's own normalizes the last axes, not the channels.
fn layer_norm(graph: &mut GraphBuilder, epsilon: f32, map: &str) -> Value {
    let mean = graph.mean(map, 1, AxisAfter::One);
    let centered = graph.node("Sub", &[map, &mean]);
    let squares = graph.node("Mul", &[&centered, &centered]);
    let variance = graph.mean(&squares, 1, AxisAfter::One);
    let epsilon = graph.scalar(epsilon);
    let variance = graph.node("Add", &[&variance, &epsilon]);
    let deviation = graph.node("Sqrt", &[&variance]);
    graph.node("Div", &[&centered, &deviation])
}

/// See [`AttentionPool`].
fn attention_pool(graph: &mut GraphBuilder, pool: &AttentionPool<ConvWeights>, map: &str) -> Value {
    let channels = pool.query.bias.len();
    let (heads, width) = (pool.heads as i64, (channels / pool.heads) as i64);
    let positions = &pool.positions;
    let tokens = positions.kernel.len() / channels;
    let pixels = graph.reshape(map, &[0, channels as i64, -1]);
    let pixels = graph.transpose(&pixels, &[0, 2, 1]);
    let mean = graph.mean(&pixels, 1, AxisAfter::One);
    let x = graph.node_with("Concat", &[&mean, &pixels], vec![integer("axis", 1)]);
    let positions_kernel = graph.kernel(&[tokens, channels], &positions.kernel);
    let positions_bias = graph.numbers(&positions.bias);
    let x = graph.node("Add", &[&x, &positions_kernel]);
    let x = graph.node("Add", &[&x, &positions_bias]);
    let first = graph.integers(&[0]);
    let first = graph.node_with("Gather", &[&x, &first], vec![integer("axis", 1)]);
    let [queries, keys, values] = [(&pool.query, &first), (&pool.key, &x), (&pool.value, &x)]
        .map(|(weights, x)| projected(graph, weights, x));
    let [queries, keys, values] = [
        (queries, [0, 2, 1, 3]),
        (keys, [0, 2, 3, 1]),
        (values, [0, 2, 1, 3]),
    ]
    .map(|(projected, order)| {
        let by_head = graph.reshape(&projected, &[0, -1, heads, width]);
        graph.transpose(&by_head, &order)
    });
    let scores = graph.node("MatMul", &[&queries, &keys]);
    let scale = graph.scalar(1.0 / (width as f32).sqrt());
    let scores = graph.node("Mul", &[&scores, &scale]);
    let shares = graph.softmax(&scores, -1);
    let seen = graph.node("MatMul", &[&shares, &values]);
    let seen = graph.reshape(&seen, &[0, 1, channels as i64]);
    let output = projected(graph, &pool.output, &seen);
    graph.reshape(&output, &[0, -1, 1, 1])
}

/// The rows of `x` through a pointwise convolution.
fn projected(graph: &mut GraphBuilder, weights: &ConvWeights, x: &str) -> Value {
    let outputs = weights.bias.len();
    let kernel = graph.kernel(&[weights.kernel.len() / outputs, outputs], &weights.kernel);
    let bias = graph.numbers(&weights.bias);
    let sums = graph.affine(x, &kernel, &bias);
    graph.activation(&sums, weights.convolution.activation)
}
