//! The decoder's graphs: the state before the first word, and one step. Each architecture is here once more, in the
//! operators of ONNX; `docs/checkpoint-format.md` has the same formulas.

use super::StateTensor;
use super::graph::{AxisAfter, Dimension, GraphBuilder, IMAGES, REGIONS, Value, integer};
use super::messages::{ElementType, ModelProto};
use crate::decoders::{DecoderKind, DecoderSettings};
use crate::model::Model;
use crate::nn::{Activation, Backend, Parameter};
use std::collections::HashMap;

/// The input with the last word of each caption, `[images]`.
pub(super) const WORD: &str = "word";
/// The output `[images, vocabulary]`.
pub(super) const LOG_PROBABILITIES: &str = "log_probabilities";
/// The attention weights of a step, `[images, regions]`.
pub(super) const ATTENTION: &str = "attention";

/// A decoder with its parameters by name.
pub(super) struct DecoderGraph<'m, D: Backend> {
    settings: DecoderSettings,
    parameters: HashMap<&'m str, &'m Parameter<D>>,
    channels: usize,
    vocabulary: usize,
}

/// The hidden state and the cell of an LSTM.
struct LstmValues {
    hidden: Value,
    cell: Value,
}

impl<'m, D: Backend> DecoderGraph<'m, D> {
    pub(super) fn new(model: &'m Model<D>) -> Self {
        let parameters = model.decoder.parameters();
        let parameters: HashMap<&str, _> = parameters.into_iter().map(|p| (p.name.as_str(), p)).collect();
        Self {
            settings: model.spec().decoder,
            channels: parameters["image.weight"].shape().0,
            vocabulary: model.spec().vocabulary,
            parameters,
        }
    }

    /// Channels of a region.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// The tensors that a step reads and passes on, in order.
    pub(super) fn states(&self) -> Vec<StateTensor> {
        let lstms: &[&str] = match self.settings.kind {
            DecoderKind::TopDown => &["attention_", "language_"],
            _ => &[""],
        };
        let states = lstms
            .iter()
            .flat_map(|lstm| ["hidden", "cell"].map(|part| format!("{lstm}{part}")));
        states.map(StateTensor::of_steps).collect()
    }

    /// The tensors of the image that a step reads besides.
    pub(super) fn memory(&self) -> Vec<StateTensor> {
        let names: &[&str] = match self.settings.kind {
            DecoderKind::Merge => &["image"],
            DecoderKind::Inject => &[],
            DecoderKind::SoftAttention => &["keys", "values"],
            DecoderKind::TopDown => &["keys", "values", "mean_image"],
        };
        names.iter().map(|&name| StateTensor::of_image(name)).collect()
    }

    /// Adds the state before the first word to the encoder, as outputs.
    pub(super) fn start(&self, graph: &mut GraphBuilder, features: &str) {
        let values = match self.settings.kind {
            DecoderKind::Merge => {
                let image = self.mean_image(graph, features);
                let image = graph.activation(&image, Activation::Relu);
                let zeros = zeros_like(graph, &image);
                vec![zeros.clone(), zeros, image]
            }
            DecoderKind::Inject => {
                let image = self.mean_image(graph, features);
                let gates = self.linear_of(graph, ["lstm.input_weight", "lstm.bias"], &image);
                let LstmValues { hidden, cell } = self.lstm(graph, &gates, None);
                vec![hidden, cell]
            }
            DecoderKind::SoftAttention => {
                let [keys, values, mean] = self.regions(graph, features);
                let [hidden, cell] = ["initial_hidden", "initial_cell"].map(|layer| {
                    let sums = self.linear(graph, layer, &mean);
                    graph.activation(&sums, Activation::Tanh)
                });
                vec![hidden, cell, keys, values]
            }
            DecoderKind::TopDown => {
                let [keys, values, mean] = self.regions(graph, features);
                let zeros = zeros_like(graph, &mean);
                vec![
                    zeros.clone(),
                    zeros.clone(),
                    zeros.clone(),
                    zeros,
                    keys,
                    values,
                    mean,
                ]
            }
        };
        let tensors = self.states().into_iter().chain(self.memory());
        for (tensor, value) in tensors.zip(values) {
            graph.output(&tensor.input, &value, &self.shape(&tensor.input));
        }
    }

    /// The graph of a step: a word and the state to the log-probabilities of the next word and the state after it.
    pub(super) fn step(&self) -> ModelProto {
        let mut graph = GraphBuilder::new("decoder");
        let word = graph.input(WORD, ElementType::I64, &[IMAGES]);
        let inputs: Vec<Value> = self
            .states()
            .into_iter()
            .chain(self.memory())
            .map(|tensor| graph.input(&tensor.input, ElementType::F32, &self.shape(&tensor.input)))
            .collect();
        let table = self.embedding(&mut graph);
        let word = graph.node_with("Gather", &[&table, &word], vec![integer("axis", 0)]);
        let (states, rows) = match self.settings.kind {
            DecoderKind::Merge => self.step_of_lstm(&mut graph, &word, &inputs, |graph, hidden| {
                let both = graph.node("Add", &[hidden, &inputs[2]]);
                let sums = self.linear(graph, "joint", &both);
                graph.activation(&sums, Activation::Relu)
            }),
            DecoderKind::Inject => {
                self.step_of_lstm(&mut graph, &word, &inputs, |_, hidden| hidden.to_owned())
            }
            DecoderKind::SoftAttention => self.step_of_soft_attention(&mut graph, &word, &inputs),
            DecoderKind::TopDown => self.step_of_top_down(&mut graph, &word, &inputs),
        };
        let logits = self.linear(&mut graph, "output", &rows);
        let log_probabilities = graph.node_with("LogSoftmax", &[&logits], vec![integer("axis", -1)]);
        let shape = [IMAGES, Dimension::Fixed(self.vocabulary)];
        graph.output(LOG_PROBABILITIES, &log_probabilities, &shape);
        for (tensor, value) in self.states().iter().zip(&states) {
            if let Some(output) = &tensor.output {
                graph.output(output, value, &self.shape(&tensor.input));
            }
        }
        graph.finish()
    }

    /// A step of a decoder without attention; `readout` makes the input of the output layer from the hidden state.
    fn step_of_lstm(
        &self,
        graph: &mut GraphBuilder,
        word: &str,
        before: &[Value],
        readout: impl FnOnce(&mut GraphBuilder, &str) -> Value,
    ) -> (Vec<Value>, Value) {
        let gates = self.linear_of(graph, ["lstm.input_weight", "lstm.bias"], word);
        let gates = self.plus_product(graph, gates, &before[0], "lstm.hidden_weight");
        let LstmValues { hidden, cell } = self.lstm(graph, &gates, Some(&before[1]));
        let rows = readout(graph, &hidden);
        (vec![hidden, cell], rows)
    }

    fn step_of_soft_attention(
        &self,
        graph: &mut GraphBuilder,
        word: &str,
        before: &[Value],
    ) -> (Vec<Value>, Value) {
        let [hidden, cell] = [&before[0], &before[1]];
        let gates = self.linear_of(graph, ["lstm.input_weight", "lstm.bias"], word);
        let context = self.attend(graph, hidden, [&before[2], &before[3]]);
        let gate = self.linear(graph, "gate", hidden);
        let gate = graph.activation(&gate, Activation::Sigmoid);
        let context = graph.node("Mul", &[&gate, &context]);
        let gates = self.plus_product(graph, gates, &context, "context.weight");
        let gates = self.plus_product(graph, gates, hidden, "lstm.hidden_weight");
        let LstmValues { hidden, cell } = self.lstm(graph, &gates, Some(cell));
        let deep = self.linear(graph, "deep", &context);
        let rows = graph.node("Add", &[&hidden, &deep]);
        let rows = graph.activation(&rows, Activation::Tanh);
        (vec![hidden, cell], rows)
    }

    fn step_of_top_down(
        &self,
        graph: &mut GraphBuilder,
        word: &str,
        before: &[Value],
    ) -> (Vec<Value>, Value) {
        let [attention_hidden, attention_cell, language_hidden, language_cell] =
            [0, 1, 2, 3].map(|at| &before[at]);
        let gates = self.linear_of(
            graph,
            ["attention_lstm.input_weight", "attention_lstm.bias"],
            word,
        );
        let of_image = self.linear(graph, "mean_image", &before[6]);
        let gates = graph.node("Add", &[&gates, &of_image]);
        let gates = self.plus_product(graph, gates, language_hidden, "prev_hidden.weight");
        let gates = self.plus_product(graph, gates, attention_hidden, "attention_lstm.hidden_weight");
        let query = self.lstm(graph, &gates, Some(attention_cell));
        let context = self.attend(graph, &query.hidden, [&before[4], &before[5]]);
        let layer = ["language_lstm.input_weight", "language_lstm.bias"];
        let gates = self.linear_of(graph, layer, &context);
        let gates = self.plus_product(graph, gates, &query.hidden, "attention_hidden.weight");
        let gates = self.plus_product(graph, gates, language_hidden, "language_lstm.hidden_weight");
        let language = self.lstm(graph, &gates, Some(language_cell));
        let rows = language.hidden.clone();
        (
            vec![query.hidden, query.cell, language.hidden, language.cell],
            rows,
        )
    }

    /// The projection of the mean region.
    fn mean_image(&self, graph: &mut GraphBuilder, features: &str) -> Value {
        let mean = graph.mean(features, 1, AxisAfter::Gone);
        self.linear(graph, "image", &mean)
    }

    /// Keys and values of the regions, and the mean value.
    fn regions(&self, graph: &mut GraphBuilder, features: &str) -> [Value; 3] {
        let values = self.linear(graph, "image", features);
        let values = graph.activation(&values, Activation::Relu);
        let keys = self.linear(graph, "key", &values);
        let mean = graph.mean(&values, 1, AxisAfter::Gone);
        [keys, values, mean]
    }

    /// The context; the weights become an output.
    fn attend(&self, graph: &mut GraphBuilder, hidden: &str, [keys, values]: [&str; 2]) -> Value {
        let query = self.linear(graph, "query", hidden);
        let middle = graph.integers(&[1]);
        let query = graph.node("Unsqueeze", &[&query, &middle]);
        let sums = graph.node("Add", &[keys, &query]);
        let sums = graph.activation(&sums, Activation::Tanh);
        let score = self.weight(graph, "score.weight");
        let scores = graph.node("MatMul", &[&sums, &score]);
        let shares = graph.softmax(&scores, 1);
        let weighted = graph.node("Mul", &[&shares, values]);
        let context = graph.node_with("ReduceSum", &[&weighted, &middle], vec![integer("keepdims", 0)]);
        let last = graph.integers(&[2]);
        let shares = graph.node("Squeeze", &[&shares, &last]);
        graph.output(ATTENTION, &shares, &[IMAGES, REGIONS]);
        context
    }

    /// The LSTM's update from its gates; without a cell before, from zeros.
    fn lstm(&self, graph: &mut GraphBuilder, gates: &str, cell: Option<&str>) -> LstmValues {
        let hidden = self.settings.hidden_size as i64;
        let mut gate = |number: i64, activation| {
            let [start, end, axis] = [number * hidden, (number + 1) * hidden, 1];
            let [start, end, axis] = [start, end, axis].map(|number| graph.integers(&[number]));
            let sums = graph.node("Slice", &[gates, &start, &end, &axis]);
            graph.activation(&sums, activation)
        };
        let (input, forget) = (gate(0, Activation::Sigmoid), gate(1, Activation::Sigmoid));
        let (candidate, output) = (gate(2, Activation::Tanh), gate(3, Activation::Sigmoid));
        let added = graph.node("Mul", &[&input, &candidate]);
        let cell = match cell {
            None => added,
            Some(cell) => {
                let kept = graph.node("Mul", &[&forget, cell]);
                graph.node("Add", &[&kept, &added])
            }
        };
        let seen = graph.activation(&cell, Activation::Tanh);
        let hidden = graph.node("Mul", &[&output, &seen]);
        LstmValues { hidden, cell }
    }

    fn linear(&self, graph: &mut GraphBuilder, layer: &str, x: &str) -> Value {
        self.linear_of(graph, [&format!("{layer}.weight"), &format!("{layer}.bias")], x)
    }

    fn linear_of(&self, graph: &mut GraphBuilder, names: [&str; 2], x: &str) -> Value {
        let [weight, bias] = names.map(|name| self.weight(graph, name));
        graph.affine(x, &weight, &bias)
    }

    fn plus_product(&self, graph: &mut GraphBuilder, sums: Value, x: &str, weight: &str) -> Value {
        let weight = self.weight(graph, weight);
        let product = graph.node("MatMul", &[x, &weight]);
        graph.node("Add", &[&sums, &product])
    }

    /// A parameter under its name in checkpoints.
    fn weight(&self, graph: &mut GraphBuilder, name: &str) -> Value {
        let parameter = self.parameters[name];
        let (rows, columns) = parameter.shape();
        graph.weights(name, &[rows, columns], &parameter.value.as_vec())
    }

    /// The embeddings, `[words, embedding]`: if they are tied, the scaled columns of the output layer.
    fn embedding(&self, graph: &mut GraphBuilder) -> Value {
        if !self.settings.tie_embeddings {
            return self.weight(graph, "embedding.table");
        }
        let weight = self.weight(graph, "output.weight");
        let scale = self.weight(graph, "embedding.scale");
        let columns = graph.transpose(&weight, &[1, 0]);
        graph.node("Mul", &[&columns, &scale])
    }

    fn shape(&self, tensor: &str) -> Vec<Dimension> {
        match tensor {
            "keys" => vec![IMAGES, REGIONS, Dimension::Fixed(self.settings.attention_size)],
            "values" => vec![IMAGES, REGIONS, Dimension::Fixed(self.settings.hidden_size)],
            _ => vec![IMAGES, Dimension::Fixed(self.settings.hidden_size)],
        }
    }
}

fn zeros_like(graph: &mut GraphBuilder, x: &str) -> Value {
    let shape = graph.node("Shape", &[x]);
    graph.node("ConstantOfShape", &[&shape])
}
