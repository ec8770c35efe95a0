//! Features of real images against those of independent implementations (Keras, torchvision, timm).
//!
//! Needs files that are not part of this repository: `CUTLINE_WEIGHTS`, a folder with published weights and
//! `reference.safetensors` (tensors `network/image/what`), and `CUTLINE_FLICKR8K`, a folder with `images/`.
//! Skipped if they are unset.

#![allow(clippy::unwrap_used, reason = "a test")]

use cutline::nn::Images;
use cutline::suggest::Named;
use cutline::vision::backbones::fine_tuned_layers::FineTunedLayers;
use cutline::vision::backbones::{Backbone, BackboneKind, FeatureKind, MapShape};
use cutline::vision::image_io;
use cutline::vision::preprocess::{Interpolation, Preprocessing};
use cutline::vision::weights::WeightFile;
use dfdx::prelude::{Cpu, HasShape, TensorFromVec};
use std::path::PathBuf;

/// The image with complete maps in the reference, then the others.
const IMAGES: [&str; 3] = [
    "2090545563_a4e66ec76b.jpg",
    "3393035454_2d2370ffd4.jpg",
    "3695064885_a6922f06b2.jpg",
];

const VGG16: &str = "vgg16_imagenet_notop_keras_hwio.kernels_f16.safetensors";
const XCEPTION: &str = "xception_imagenet_notop_keras_hwio.kernels_f16.safetensors";
const MOBILENET_V2: &str = "mobilenet_v2-b0353104.pth";
const EFFICIENTNET_LITE0: &str = "efficientnet_lite0_imagenet_torch_oihw.safetensors";

struct Reference {
    weights: PathBuf,
    images: PathBuf,
    outputs: WeightFile,
}

impl Reference {
    fn find() -> Option<Self> {
        let (Some(weights), Some(flickr8k)) = (
            std::env::var_os("CUTLINE_WEIGHTS").map(PathBuf::from),
            std::env::var_os("CUTLINE_FLICKR8K").map(PathBuf::from),
        ) else {
            eprintln!("skipped: set CUTLINE_WEIGHTS and CUTLINE_FLICKR8K to compare with published features");
            return None;
        };
        Some(Self {
            outputs: WeightFile::open(weights.join("reference.safetensors")).unwrap(),
            images: flickr8k.join("images"),
            weights,
        })
    }

    fn load(&self, kind: BackboneKind, file: &str, layer: &str) -> Backbone<Cpu> {
        let file = WeightFile::open(self.weights.join(file)).unwrap();
        Backbone::load(kind, &file, Some(layer), &Cpu::default()).unwrap()
    }

    /// `[images, size, size, 3]`
    fn pixels(&self, preprocessing: &Preprocessing) -> Images<Cpu> {
        let size = preprocessing.size as usize;
        let mut pixels = vec![0.0; IMAGES.len() * preprocessing.pixels_len()];
        for (image, pixels) in IMAGES.iter().zip(pixels.chunks_mut(preprocessing.pixels_len())) {
            let image = image_io::decode(self.images.join(image)).unwrap();
            preprocessing.write_pixels(&image, pixels);
        }
        Cpu::default().tensor_from_vec(pixels, (IMAGES.len(), size, size, 3))
    }

    fn output(&self, network: &str, image: &str, what: &str, shape: &[usize]) -> Vec<f32> {
        self.outputs
            .get(&format!("{network}/{image}/{what}"), shape)
            .unwrap()
    }
}

#[track_caller]
fn assert_alike(what: &str, ours: &[f32], theirs: &[f32], least: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let cosine = dot(ours, theirs) / (dot(ours, ours) * dot(theirs, theirs)).sqrt();
    eprintln!("{what}: cosine {cosine:.7}");
    assert!(
        cosine >= least,
        "{what}: cosine {cosine}, at least {least} expected"
    );
    // The cosine ignores the scale.
    let scale = (dot(ours, ours) / dot(theirs, theirs)).sqrt();
    assert!(
        (scale - 1.0).abs() < 0.01,
        "{what}: {scale} times as large as expected"
    );
}

fn channels_last(map: &[f32], shape: MapShape) -> Vec<f32> {
    let places = 0..shape.regions();
    places
        .flat_map(|place| (0..shape.channels).map(move |channel| channel * shape.regions() + place))
        .map(|index| map[index])
        .collect()
}

fn largest(logits: &[f32], count: usize) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    classes.truncate(count);
    classes
}

#[test]
fn vgg16_matches_keras_in_f16() {
    const LEAST: f64 = 0.9999;
    let Some(reference) = Reference::find() else {
        return;
    };
    for layer in ["block5_conv3", "block5_pool"] {
        let backbone = reference.load(BackboneKind::Vgg16, VGG16, layer);
        let shape = backbone.layer().shape;
        let map = backbone
            .forward(reference.pixels(backbone.preprocessing()))
            .unwrap();
        let expected = [shape.height, shape.width, shape.channels];
        let expected = reference.output("vgg16", IMAGES[0], layer, &expected);
        let map = map.as_vec();
        assert_alike(layer, &map[..expected.len()], &expected, LEAST);
    }
    let backbone = reference.load(BackboneKind::Vgg16, VGG16, "block5_pool");
    let pixels = reference.pixels(backbone.preprocessing());
    let means = backbone.features(pixels, FeatureKind::Pooled).unwrap();
    assert_eq!(*means.shape(), (3, 1, 512));
    for (image, mean) in IMAGES.iter().zip(means.as_vec().chunks(512)) {
        let expected = reference.output("vgg16", image, "mean", &[512]);
        assert_alike(image, mean, &expected, LEAST);
    }
}

#[test]
fn xception_matches_keras_in_f16() {
    const LEAST: f64 = 0.9999;
    const LAYER: &str = "block14_sepconv2_act";
    let Some(reference) = Reference::find() else {
        return;
    };
    let backbone = reference.load(BackboneKind::Xception, XCEPTION, LAYER);
    // The reference was resized so, and not by the nearest pixel.
    let preprocessing = backbone.preprocessing().clone().with(Interpolation::Bilinear);
    let pixels = || reference.pixels(&preprocessing);
    let map = backbone.forward(pixels()).unwrap().as_vec();
    let expected = reference.output("xception", IMAGES[0], LAYER, &[10, 10, 2048]);
    assert_alike(LAYER, &map[..expected.len()], &expected, LEAST);
    let means = backbone.features(pixels(), FeatureKind::Pooled).unwrap().as_vec();
    for (image, mean) in IMAGES.iter().zip(means.chunks(2048)) {
        let expected = reference.output("xception", image, "mean", &[2048]);
        assert_alike(image, mean, &expected, LEAST);
    }
}

#[test]
fn mobilenet_v2_matches_torchvision() {
    assert_classifies_as(BackboneKind::MobileNetV2, MOBILENET_V2);
}

#[test]
fn efficientnet_lite0_matches_its_package() {
    assert_classifies_as(BackboneKind::EfficientNetLite0, EFFICIENTNET_LITE0);
}

/// Map, means and logits of a mobile network, whose features are 7 x 7 x 1,280.
#[track_caller]
fn assert_classifies_as(kind: BackboneKind, file: &str) {
    const LEAST: f64 = 0.9999;
    let Some(reference) = Reference::find() else {
        return;
    };
    let network = kind.name();
    let backbone = reference.load(kind, file, "features");
    let pixels = || reference.pixels(backbone.preprocessing());
    let map = backbone.forward(pixels()).unwrap().as_vec();
    let expected = reference.output(network, IMAGES[0], "features", &[1280, 7, 7]);
    let expected = channels_last(&expected, backbone.layer().shape);
    assert_alike("features", &map[..expected.len()], &expected, LEAST);
    let means = backbone.features(pixels(), FeatureKind::Pooled).unwrap().as_vec();
    for (image, mean) in IMAGES.iter().zip(means.chunks(1280)) {
        let expected = reference.output(network, image, "mean", &[1280]);
        assert_alike(image, mean, &expected, LEAST);
    }
    let classifier = reference.load(kind, file, "logits");
    let logits = classifier.forward(pixels()).unwrap().as_vec();
    for (image, logits) in IMAGES.iter().zip(logits.chunks(1000)) {
        let expected = reference.output(network, image, "logits", &[1000]);
        assert_alike(image, logits, &expected, LEAST);
        assert_eq!(largest(logits, 5), largest(&expected, 5), "{image}");
    }
}

/// Whether the network runs in one piece, or from a stored map, as in fine-tuning.
#[test]
fn layers_behind_a_stored_map_go_on_where_the_network_was_left() {
    let Some(reference) = Reference::find() else {
        return;
    };
    for (kind, file, after, up_to) in [
        (
            BackboneKind::EfficientNetLite0,
            EFFICIENTNET_LITE0,
            "blocks.13",
            "features",
        ),
        (BackboneKind::MobileNetV2, MOBILENET_V2, "features.15", "features"),
        (BackboneKind::Vgg16, VGG16, "block4_pool", "block5_pool"),
        (
            BackboneKind::Xception,
            XCEPTION,
            "block12",
            "block14_sepconv2_act",
        ),
    ] {
        let [stored, whole] = [after, up_to].map(|layer| {
            let network = reference.load(kind, file, layer);
            let pixels = reference.pixels(network.preprocessing());
            network.features(pixels, FeatureKind::Grid).unwrap()
        });
        let file = WeightFile::open(reference.weights.join(file)).unwrap();
        let between = kind
            .layer_range(&file, after, up_to)
            .unwrap()
            .with_channel_scale();
        let tail = FineTunedLayers::of(between.input, between.layers, &Cpu::default()).unwrap();
        let found = tail.forward(stored).unwrap();
        assert_eq!(found.shape(), whole.shape(), "{kind}");
        assert_alike(kind.name(), &found.as_vec(), &whole.as_vec(), 0.99999);
        let backwards = kind.layer_range(&file, up_to, after).unwrap_err().to_string();
        assert!(backwards.contains("is not after"), "{backwards}");
    }
}
