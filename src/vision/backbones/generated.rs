//! Networks with generated weights against the outputs of their publishers' code, which
//! `tests/data/make_encoder_reference.py fixture` wrote. The generator is the same there.

use super::architecture::{BatchNormNames, BiasOrNorm, LayerSpec, WeightNames, inputs};
use super::fit::WeightSource;
use super::*;
use crate::suggest::Named;
use crate::vision::weights::layout::{Kernel, Naming};
use dfdx::prelude::{Cpu, TensorFromVec};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// Names and shapes of tensors.
type Shapes = Vec<(String, Vec<usize>)>;

#[derive(Deserialize)]
struct Reference {
    network: BackboneKind,
    source: String,
    size: usize,
    /// Every so many of the means of the last map's channels.
    pooled: Vec<f32>,
    /// Every so many of the last layer's outputs.
    logits: Vec<f32>,
    top: Vec<usize>,
}

/// SplitMix64 from the FNV-1a hash of the name, its upper 24 bits: 0 to 1.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let hash = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    (1..=count as u64).map(move |index| {
        let z = start.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u32 << 24) as f32
    })
}

fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let last = name.rsplit(['.', '/']).next().unwrap();
    let (scale, shift) = match last {
        "running_var" | "moving_variance" => (1.0, 0.5),
        "gamma" | "layer_scale" => (0.5, 0.75),
        "weight" if shape.len() == 1 => (0.5, 0.75),
        "bias" | "beta" | "running_mean" | "moving_mean" | "positional_embedding" => (0.4, -0.2),
        _ => {
            let inputs: usize = match (last.contains("kernel"), shape) {
                (true, [inputs @ .., outputs]) if *outputs > 1 => inputs.iter().product(),
                (true, [height, width, ..]) => height * width,
                (_, [_, inputs @ ..]) => inputs.iter().product(),
                _ => 1,
            };
            let limit = (6.0 / inputs as f64).sqrt() as f32;
            (2.0 * limit, -limit)
        }
    };
    uniform(name, count).map(|value| value * scale + shift).collect()
}

/// The shapes in which a source stores the tensors of a network.
fn shapes(architecture: &Architecture, naming: Naming, stages: usize) -> Shapes {
    let mut shapes = Vec::new();
    let maps = std::iter::once(architecture.input()).chain(architecture.shapes());
    for (input, stage) in maps.zip(&architecture.stages).take(stages) {
        add_layers(&stage.layers, input, naming, &mut shapes);
    }
    shapes
}

fn add_layers(layers: &[LayerSpec], input: MapShape, naming: Naming, shapes: &mut Shapes) {
    for (layer, input) in inputs(layers, input) {
        let outputs = layer.output(input).channels;
        let vector = |name: &String| (name.clone(), vec![outputs]);
        match layer {
            LayerSpec::Convolution { weights, window, .. } => {
                let (height, width) = window.kernel;
                let kernel = Kernel {
                    height,
                    width,
                    inputs: input.channels,
                    outputs,
                };
                add(weights, naming.conv_shape(kernel).to_vec(), outputs, shapes);
            }
            LayerSpec::Depthwise { weights, window, .. } => {
                add(
                    weights,
                    naming.depthwise_shape(window.kernel, outputs).to_vec(),
                    outputs,
                    shapes,
                );
            }
            LayerSpec::Dense { weights, .. } => {
                let inputs = input.regions() * input.channels;
                add(
                    weights,
                    naming.dense_shape(inputs, outputs).to_vec(),
                    outputs,
                    shapes,
                );
            }
            LayerSpec::BatchNorm { names, .. } => add_norm(names, outputs, shapes),
            LayerSpec::LayerNorm { weight, bias, .. } => shapes.extend([weight, bias].map(vector)),
            LayerSpec::AttentionPool {
                positions,
                projections,
                ..
            } => {
                let channels = input.channels;
                shapes.push((positions.clone(), vec![input.regions() + 1, channels]));
                for (weights, outputs) in projections.iter().zip([channels, channels, channels, outputs]) {
                    add(weights, vec![outputs, channels], outputs, shapes);
                }
            }
            LayerSpec::Residual { branch, shortcut } => {
                add_layers(branch, input, naming, shapes);
                add_layers(shortcut, input, naming, shapes);
            }
            LayerSpec::Gate(layers) => add_layers(layers, input, naming, shapes),
            LayerSpec::Concat(branches) => {
                branches
                    .iter()
                    .for_each(|branch| add_layers(branch, input, naming, shapes));
            }
            LayerSpec::MaxPool(_)
            | LayerSpec::AvgPool { .. }
            | LayerSpec::GlobalAvgPool
            | LayerSpec::Activation(_) => {}
        }
    }
}

fn add(weights: &WeightNames, kernel: Vec<usize>, outputs: usize, shapes: &mut Shapes) {
    shapes.push((weights.kernel.clone(), kernel));
    let vector = |name: &String| (name.clone(), vec![outputs]);
    match &weights.bias {
        BiasOrNorm::Bias(bias) => shapes.push(vector(bias)),
        BiasOrNorm::BatchNorm(norm) => add_norm(norm, outputs, shapes),
        BiasOrNorm::BiasAndNorm(bias, norm) => {
            shapes.push(vector(bias));
            add_norm(norm, outputs, shapes);
        }
        BiasOrNorm::Scaled { bias, factor } => shapes.extend([bias, factor].map(vector)),
        BiasOrNorm::None => {}
    }
}

fn add_norm(names: &BatchNormNames, channels: usize, shapes: &mut Shapes) {
    let names = names
        .gamma
        .iter()
        .chain([&names.beta, &names.mean, &names.variance]);
    shapes.extend(names.map(|name| (name.clone(), vec![channels])));
}

fn file(shapes: &Shapes, prefix: &str) -> WeightFile {
    let tensors: Vec<(String, &[usize], Vec<u8>)> = shapes
        .iter()
        .map(|(name, shape)| {
            let name = format!("{prefix}{name}");
            let bytes = values(&name, shape).into_iter().flat_map(f32::to_le_bytes);
            (name.clone(), &shape[..], bytes.collect())
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap();
        (name, view)
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    safetensors::serialize_to_file(views, None, file.path()).unwrap();
    WeightFile::open(file.path()).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// As many of the values as there are in `like`, evenly.
fn sampled(values: &[f32], like: &[f32]) -> Vec<f32> {
    values
        .iter()
        .copied()
        .step_by(values.len() / like.len())
        .take(like.len())
        .collect()
}

impl Reference {
    fn published(&self) -> &'static Published {
        let source = match self.source.as_str() {
            "keras" => WeightSource::Keras,
            "openai" => WeightSource::OpenAi,
            "timm" if self.network.name().starts_with("tf_") => WeightSource::TimmTensorflow,
            "timm" => WeightSource::Timm,
            _ => WeightSource::Torchvision,
        };
        let mut sources = self.network.sources().iter();
        sources.find(|published| published.source == source).unwrap()
    }

    fn check(&self) {
        let (kind, naming) = (self.network, self.published().source.naming());
        let architecture = kind.architecture(self.published().source);
        assert_eq!(
            architecture.preprocessing().size as usize,
            self.size,
            "{kind} {}",
            self.source
        );
        let prefix = if self.source == "openai" { "visual." } else { "" };
        let file = file(&shapes(&architecture, naming, usize::MAX), prefix);
        let shape = (1, self.size, self.size, 3);
        let pixels: Vec<f32> = uniform("pixels", self.size * self.size * 3)
            .map(|value| value * 2.0 - 1.0)
            .collect();
        let run = |layer: &LayerInfo| {
            let network = Backbone::load(kind, &file, Some(&layer.name), &Cpu::default()).unwrap();
            let pixels: Images<Cpu> = Cpu::default().tensor_from_vec(pixels.clone(), shape);
            network.features(pixels, FeatureKind::Pooled).unwrap().as_vec()
        };
        let layers = kind.layers();
        let map = run(layers.iter().rfind(|layer| layer.shape.regions() > 1).unwrap());
        let logits = run(layers.last().unwrap());
        let cosines = [
            cosine(&sampled(&map, &self.pooled), &self.pooled),
            cosine(&sampled(&logits, &self.logits), &self.logits),
        ];
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let what = format!("{kind} {}: {cosines:?}", self.source);
        assert!(cosines.iter().all(|cosine| *cosine >= 0.99999), "{what}");
        assert_eq!(order[..5], self.top, "{what}");
    }
}

fn references() -> Vec<Reference> {
    serde_json::from_str(include_str!("../../../tests/data/encoder_reference.json")).unwrap()
}

#[test]
fn networks_with_generated_weights_match_their_publishers() {
    references().iter().for_each(Reference::check);
}
