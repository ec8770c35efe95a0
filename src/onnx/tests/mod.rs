//! The written graphs, decoded again and evaluated, against the networks and decoders themselves. `tests/data/check_onnx.py`
//! compares whole runs with onnxruntime.

mod evaluator;

use super::graph::{Dimension, GraphBuilder, IMAGES};
use super::messages::{ElementType, GraphProto};
use super::*;
use crate::decoders::{DecoderKind, DecoderState};
use crate::model::EncoderSpec;
use crate::model::tests::{feature_spec, fine_tuned_model, model_of_grid, new_model};
use crate::nn::testing::{assert_close, random, rng};
use crate::nn::{
    Activation, AttentionPool, ComposedConvNet, ConvGeometry, ConvLayer, ConvWeights, Convolution, Images,
    every_layer,
};
use crate::text::{START, TokenId};
use crate::vision::backbones::small_cnn::SmallCnnSettings;
use crate::vision::backbones::{FeatureKind, MapShape};
use crate::vision::preprocess::Preprocessing;
use dfdx::prelude::*;
use evaluator::{Array, evaluate};
use std::collections::HashMap;

/// Decoded from the bytes of a file.
fn decoded(bytes: &[u8]) -> GraphProto {
    ModelProto::decode(bytes).unwrap().graph.unwrap()
}

/// The graph of layers between maps `[images, channels, height, width]`.
fn graph_of(layers: &[ConvLayer], shape: [usize; 4]) -> GraphProto {
    let mut graph = GraphBuilder::new("layers");
    let [_, height, width, channels] = shape.map(Dimension::Fixed);
    let map = graph.input("map", ElementType::F32, &[IMAGES, channels, height, width]);
    let output = network::layers(&mut graph, layers, &map);
    graph.output("output", &output, &[]);
    decoded(&graph.finish().encode_to_vec())
}

fn channels_first(maps: &Images<Cpu>) -> Array {
    let (images, height, width, channels) = *maps.shape();
    let turned: Images<Cpu> = maps.clone().permute::<_, Axes4<0, 3, 1, 2>>().contiguous();
    Array::new(&[images, channels, height, width], turned.as_vec())
}

fn check_layers(layers: Vec<ConvLayer>, shape: (usize, usize, usize, usize)) {
    let maps = random(shape, &mut rng(5));
    let graph = graph_of(&layers, shape.into());
    let found = evaluate(&graph, &[("map", channels_first(&maps))]);
    let network = ComposedConvNet::new(&Cpu::default(), layers).unwrap();
    let expected = channels_first(&network.run(maps).unwrap());
    assert_eq!(found["output"].shape, expected.shape);
    assert_close(&found["output"].values, &expected.values, 1e-5);
}

#[test]
fn every_kind_of_layer_becomes_its_operators() {
    check_layers(every_layer(), (2, 12, 10, 3));
}

#[test]
fn every_activation_becomes_its_operators() {
    for activation in [
        Activation::None,
        Activation::Relu,
        Activation::Relu6,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Swish,
        Activation::HardSigmoid,
        Activation::HardSwish,
        Activation::Gelu,
    ] {
        check_layers(vec![ConvLayer::Activation(activation)], (2, 5, 4, 3));
    }
}

#[test]
fn attention_of_several_heads_becomes_its_operators() {
    let weights = |inputs: usize, outputs: usize, seed| ConvWeights {
        kernel: random((inputs, outputs), &mut rng(seed)).as_vec(),
        bias: random((outputs,), &mut rng(seed + 9)).as_vec(),
        convolution: POINTWISE,
    };
    let pool = AttentionPool {
        heads: 3,
        positions: weights(7, 12, 1),
        query: weights(12, 12, 2),
        key: weights(12, 12, 3),
        value: weights(12, 12, 4),
        output: weights(12, 5, 6),
    };
    check_layers(vec![ConvLayer::AttentionPool(pool)], (2, 2, 3, 12));
}

const POINTWISE: Convolution = Convolution {
    window: ConvGeometry::POINTWISE,
    activation: Activation::None,
};

/// The decoder's logits as log-probabilities, of one row after the other.
fn log_probabilities(logits: Vec<f32>, words: usize) -> Vec<f32> {
    let rows = logits.chunks_exact(words).flat_map(|row| {
        let log_sum = row.iter().map(|logit| logit.exp()).sum::<f32>().ln();
        row.iter().map(move |logit| logit - log_sum)
    });
    rows.collect()
}

/// Compares the state before the first word, and two steps.
fn check_decoder(model: &Model<Cpu>, onnx: &OnnxModel, encoded: HashMap<String, Array>, inputs: Vec<f32>) {
    let step = decoded(&onnx.decoder);
    let decoder = model.decoder.inference().unwrap();
    let mut state = decoder.start(model.regions::<NoneTape>(inputs).unwrap()).unwrap();
    let mut tensors: HashMap<&str, Array> = (onnx.states.iter())
        .map(|tensor| (&*tensor.input, encoded[&tensor.input].clone()))
        .collect();
    for words in [[START, START], [5, 4]] {
        check_states(&state, onnx, &tensors);
        let ids = words.iter().map(|&word: &TokenId| word as f32).collect();
        let mut inputs: Vec<(&str, Array)> = tensors.clone().into_iter().collect();
        inputs.push((decoder::WORD, Array::new(&[2], ids)));
        let found = evaluate(&step, &inputs);
        let (logits, after) = decoder.step(state, &words).unwrap();
        let expected = log_probabilities(logits.as_vec(), model.spec().vocabulary);
        assert_close(&found[decoder::LOG_PROBABILITIES].values, &expected, 1e-4);
        if let Some(weights) = &after.attention_weights {
            assert_close(&found[decoder::ATTENTION].values, &weights.as_vec(), 1e-4);
        }
        for tensor in &onnx.states {
            if let Some(output) = &tensor.output {
                tensors.insert(&tensor.input, found[output].clone());
            }
        }
        state = after;
    }
}

fn check_states(state: &DecoderState<Cpu>, onnx: &OnnxModel, tensors: &HashMap<&str, Array>) {
    let expected = state.lstms.iter().flat_map(|lstm| [&lstm.hidden, &lstm.cell]);
    for (tensor, expected) in onnx.states.iter().zip(expected) {
        assert_close(&tensors[&*tensor.input].values, &expected.as_vec(), 1e-4);
    }
}

#[test]
fn every_decoder_becomes_its_operators() {
    for kind in DecoderKind::ALL {
        let (spec, model) = model_of_grid(kind);
        let features: Vec<f32> = random((2, 4, 5), &mut rng(8)).as_vec();
        let onnx = export(&model, None).unwrap();
        let inputs = [(encoder::FEATURES, Array::new(&[2, 4, 5], features.clone()))];
        let encoded = evaluate(&decoded(&onnx.encoder), &inputs);
        check_decoder(&model, &onnx, encoded, spec.as_stored(&features));
    }
}

#[test]
fn small_cnn_becomes_its_operators() {
    let settings = toml::from_str("size = 8\nwidths = [3, 4]").unwrap();
    let preprocessing = SmallCnnSettings::preprocessing(&settings);
    let model = new_model(EncoderSpec::SmallCnn(settings), DecoderKind::Inject, 3);
    let onnx = export(&model, None).unwrap();
    let pixels: Vec<f32> = (0..2 * 8 * 8 * 3).map(|n| (n * 31 % 256) as f32).collect();
    let encoded = evaluate(
        &decoded(&onnx.encoder),
        &[(encoder::PIXELS, Array::new(&[2, 8, 8, 3], pixels.clone()))],
    );
    let normalization = preprocessing.normalization;
    let inputs = pixels
        .iter()
        .map(|value| (value - normalization.mean[0]) / normalization.std[0]);
    check_decoder(&model, &onnx, encoded, inputs.collect());
}

/// A network that takes a part of each pixel's colors, for a map of 2 x 2 regions.
fn colors() -> LayerRange {
    let window = ConvGeometry {
        kernel: (112, 112),
        stride: 112,
        ..ConvGeometry::POINTWISE
    };
    let kernel: Vec<f32> = (0..112 * 112 * 3 * 5)
        .map(|n| (n % 11) as f32 * 1e-6 - 5e-6)
        .collect();
    let convolution = Convolution {
        window,
        activation: Activation::Relu,
    };
    LayerRange {
        input: MapShape::new(224, 224, 3),
        output: MapShape::new(2, 2, 5),
        layers: vec![ConvLayer::Convolution(ConvWeights {
            kernel,
            bias: vec![0.1, 0.2, 0.3, 0.4, 0.5],
            convolution,
        })],
    }
}

/// Images of Caffe's colors: blue, green and red minus the mean color.
fn check_network(model: &Model<Cpu>, published: &LayerRange, kind: FeatureKind) {
    let onnx = export(model, Some(published)).unwrap();
    let pixels: Vec<f32> = (0..2 * 224 * 224 * 3).map(|n| (n * 31 % 256) as f32).collect();
    let input = Array::new(&[2, 224, 224, 3], pixels.clone());
    let encoded = evaluate(&decoded(&onnx.encoder), &[(encoder::PIXELS, input)]);
    let mean = Preprocessing::caffe(224).normalization.mean;
    let normalized = pixels
        .chunks_exact(3)
        .flat_map(|rgb| [rgb[2] - mean[0], rgb[1] - mean[1], rgb[0] - mean[2]])
        .collect();
    let cpu = Cpu::default();
    let network = ComposedConvNet::new(&cpu, published.layers.clone()).unwrap();
    let maps: Images<Cpu> = cpu.tensor_from_vec(normalized, (2, 224, 224, 3));
    let maps = network.run(maps).unwrap();
    check_decoder(model, &onnx, encoded, kind.apply(maps).unwrap().as_vec());
}

#[test]
fn published_network_becomes_its_operators_with_pooling_and_fine_tuned_layers() {
    let pooled = EncoderSpec::Features(feature_spec("vgg16", 5));
    check_network(
        &new_model(pooled, DecoderKind::Merge, 6),
        &colors(),
        FeatureKind::Pooled,
    );
    check_network(
        &fine_tuned_model(DecoderKind::TopDown),
        &colors(),
        FeatureKind::Grid,
    );
}

#[test]
fn export_without_the_network_is_rejected() {
    let pooled = EncoderSpec::Features(feature_spec("vgg16", 5));
    let model = new_model(pooled, DecoderKind::Merge, 6);
    assert!(matches!(export(&model, None), Err(OnnxError::NoNetwork)));
}
