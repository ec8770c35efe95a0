//! Tests of the backbones' published shapes and costs, and of errors for wrong files.

use super::architecture::{LayerSpec, SquareWindow, WeightNames};
use super::*;
use crate::nn::{Activation, InferenceKernel};
use crate::vision::weights::WeightsErrorKind;
use crate::vision::weights::layout::Kernel;
use crate::vision::weights::layout::testing::layouts;
use dfdx::prelude::{Cpu, TensorFromVec};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use strum::IntoEnumIterator;

fn write(tensors: &[(&str, Vec<usize>, Vec<f32>)]) -> WeightFile {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (*name, view)
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), safetensors::serialize(views, None).unwrap()).unwrap();
    WeightFile::open(file.path()).unwrap()
}

/// A file with all the names of an architecture.
fn names_only(architecture: &Architecture) -> WeightFile {
    let names = architecture.tensors(architecture.stages.len());
    let tensors: Vec<_> = names.map(|name| (name, vec![1], vec![0.0])).collect();
    write(&tensors)
}

#[test]
fn layers_have_the_published_shapes() {
    for (kind, layers) in [
        (
            BackboneKind::Vgg16,
            &[
                ("block1_conv1", "224x224x64"),
                ("block5_conv3", "14x14x512"),
                ("block5_pool", "7x7x512"),
                ("fc2", "4096"),
            ][..],
        ),
        (
            BackboneKind::MobileNetV2,
            &[
                ("features.0", "112x112x32"),
                ("features.17", "7x7x320"),
                ("features", "7x7x1280"),
                ("logits", "1000"),
            ],
        ),
        (
            BackboneKind::Xception,
            &[
                ("block1_conv1_act", "149x149x32"),
                ("block1_conv2_act", "147x147x64"),
                ("block2", "74x74x128"),
                ("block3", "37x37x256"),
                ("block12", "19x19x728"),
                ("block14_sepconv2_act", "10x10x2048"),
                ("logits", "1000"),
            ],
        ),
        (
            BackboneKind::EfficientNetLite0,
            &[
                ("stem", "112x112x32"),
                ("blocks.15", "7x7x320"),
                ("features", "7x7x1280"),
            ],
        ),
        (BackboneKind::EfficientNetLite1, &[("features", "8x8x1280")]),
        (
            BackboneKind::EfficientNetLite2,
            &[
                ("stem", "130x130x32"),
                ("blocks.20", "9x9x352"),
                ("features", "9x9x1280"),
            ],
        ),
    ] {
        let infos = kind.layers();
        for (name, shape) in layers {
            let info = infos.iter().find(|info| info.name == *name).unwrap();
            assert_eq!(info.shape.to_string(), *shape, "{kind} {name}");
        }
    }
}

/// The sources count multiply-adds: torchvision lists 15.47 and 0.30 billion, timm 8.4 for Xception. EfficientNet-Lite's
/// are counted on the modules of `efficientnet_lite_pytorch`; the published 0.407, 0.631 and 0.899 include more than
/// products.
#[test]
fn networks_cost_what_is_published() {
    for (kind, decimals, billions) in [
        (BackboneKind::Vgg16, 2, "15.47"),
        (BackboneKind::Xception, 1, "8.4"),
        (BackboneKind::MobileNetV2, 2, "0.30"),
        (BackboneKind::EfficientNetLite0, 4, "0.3852"),
        (BackboneKind::EfficientNetLite1, 4, "0.6002"),
        (BackboneKind::EfficientNetLite2, 4, "0.8597"),
    ] {
        let architecture = kind.architecture(kind.sources()[0].source);
        let cost = architecture.multiply_adds() as f64 / 1e9;
        assert_eq!(format!("{cost:.decimals$}"), billions, "{kind}");
    }
}

/// 138,357,544 and 3,504,872 parameters (torchvision) without the running statistics of batch normalization. Keras'
/// Xception without its dense layer has 234 tensors.
#[test]
fn architectures_name_every_published_tensor() {
    for (kind, source, count, names) in [
        (BackboneKind::Vgg16, WeightSource::Keras, 32, &[][..]),
        (
            BackboneKind::Vgg16,
            WeightSource::Torchvision,
            32,
            &["features.28.weight", "classifier.6.bias"],
        ),
        (
            BackboneKind::MobileNetV2,
            WeightSource::Torchvision,
            262,
            &[
                "features.1.conv.2.running_var",
                "features.17.conv.3.bias",
                "classifier.1.weight",
            ],
        ),
        (
            BackboneKind::MobileNetV2,
            WeightSource::Timm,
            262,
            &[
                "blocks.0.0.conv_pw.weight",
                "blocks.5.2.bn3.running_mean",
                "blocks.6.0.conv_pwl.weight",
            ],
        ),
        (BackboneKind::Xception, WeightSource::Keras, 234 + 2, &[]),
        (
            BackboneKind::EfficientNetLite0,
            WeightSource::EfficientNetPytorch,
            247,
            &[],
        ),
        (BackboneKind::EfficientNetLite0, WeightSource::Timm, 247, &[]),
        (
            BackboneKind::EfficientNetLite2,
            WeightSource::EfficientNetPytorch,
            322,
            &["_blocks.20._bn2.running_var"],
        ),
        (
            BackboneKind::EfficientNetLite2,
            WeightSource::Timm,
            322,
            &["blocks.6.0.bn3.running_var", "blocks.5.4.conv_pwl.weight"],
        ),
    ] {
        let architecture = kind.architecture(source);
        let tensors: Vec<&str> = architecture.tensors(architecture.stages.len()).collect();
        assert_eq!(tensors.len(), count, "{kind} {source:?}");
        for name in names {
            assert!(tensors.contains(name), "{kind} {source:?} {name}");
        }
    }
}

#[test]
fn sources_are_recognized_by_their_marker_tensor() {
    for kind in BackboneKind::iter() {
        for marker in kind.sources() {
            let file = names_only(&kind.architecture(marker.source));
            assert_eq!(kind.source(&file).unwrap(), marker.source, "{kind}");
        }
    }
}

#[test]
fn backbone_names_round_trip() {
    for kind in BackboneKind::iter() {
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(json, format!("\"{kind}\""));
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    assert_eq!(
        "vgg19".parse::<BackboneKind>().unwrap_err().to_string(),
        "unknown backbone \"vgg19\" (nearest: \"vgg16\"): choose one of vgg16, xception, mobilenet_v2, \
         efficientnet_lite0, efficientnet_lite1, efficientnet_lite2"
    );
    assert_eq!("grid".parse(), Ok(FeatureKind::Grid));
}

#[test]
fn default_layer_depends_on_the_tensors_of_the_file() {
    let kind = BackboneKind::Vgg16;
    let architecture = kind.architecture(WeightSource::Keras);
    let chosen = |file: &WeightFile, layer| {
        load::choose_layer(kind, &architecture, file, layer)
            .map(|stage| architecture.stages[stage].name.clone())
    };
    let full = names_only(&architecture);
    assert_eq!(chosen(&full, None).unwrap(), "fc2");
    let mut without_top = architecture.clone();
    without_top.stages.truncate(18);
    let without_top = names_only(&without_top);
    assert_eq!(chosen(&without_top, None).unwrap(), "block5_pool");
    assert_eq!(
        chosen(&without_top, Some("block4_conv1")).unwrap(),
        "block4_conv1"
    );
    let error = chosen(&without_top, Some("fc2")).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "no tensor \"fc1/kernel\", which layer fc2 of vgg16 needs: \
             choose --layer block5_pool, or give a file with all layers"
        ),
        "{error}"
    );
    let error = chosen(&full, Some("block5_pol")).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "vgg16 has no layer \"block5_pol\" (nearest: \"block5_pool\"): choose one of block1_conv1,"
        ),
        "{error}"
    );
}

#[test]
fn layer_range_offers_only_layers_after_the_stored_one() {
    let kind = BackboneKind::MobileNetV2;
    let file = names_only(&kind.architecture(WeightSource::Torchvision));
    let error = |up_to| {
        let range = kind.layer_range(&file, "features.17", up_to);
        range.unwrap_err().to_string()
    };
    assert_eq!(
        error("top"),
        "mobilenet_v2 has no layer \"top\": choose one of features, logits"
    );
    assert!(error("features.3").ends_with("or choose one of features, logits"));
}

#[test]
fn weights_of_another_network_are_rejected_by_their_first_tensor() {
    let file = names_only(&BackboneKind::MobileNetV2.architecture(WeightSource::Torchvision));
    let fault = |kind| match Backbone::load(kind, &file, None, &Cpu::default()).unwrap_err() {
        BackboneError::Weights(error) => error.kind,
        error => panic!("{error}"),
    };
    let missing = fault(BackboneKind::Vgg16);
    assert!(matches!(missing, WeightsErrorKind::Missing { name, .. } if name == "features.0.weight"));
    let shape = fault(BackboneKind::MobileNetV2);
    assert!(matches!(shape, WeightsErrorKind::Shape { name, .. } if name == "features.0.0.weight"));
}

/// A small network with a convolution and a dense layer.
fn miniature(source: WeightSource) -> Architecture {
    let mut architecture = Architecture::new(Preprocessing::symmetric(5), &["dense"]);
    let weights = WeightNames::biased(source, "convolution");
    let window = SquareWindow::symmetric(3, 2);
    let convolution = LayerSpec::convolution(weights, window, 4, Activation::Relu);
    architecture.stage("convolution", [convolution]);
    let dense = LayerSpec::dense(WeightNames::biased(source, "dense"), 2, Activation::None);
    architecture.stage("dense", [dense]);
    architecture
}

#[test]
fn keras_and_torch_layouts_load_to_the_same_network() {
    let layouts = |inputs, outputs| {
        let kernel = Kernel {
            height: 3,
            width: 3,
            inputs,
            outputs,
        };
        layouts(kernel, |h, w, i, o| {
            ((h * 31 + w * 17 + i * 7 + o * 3) % 11) as f32 - 5.0
        })
    };
    let ([conv_hwio, conv_oihw], [dense_hwio, dense_oihw]) = (layouts(3, 4), layouts(4, 2));
    let bias = |outputs: usize| -> Vec<f32> { (0..outputs).map(|o| o as f32).collect() };
    let keras = write(&[
        ("convolution/kernel", vec![3, 3, 3, 4], conv_hwio),
        ("convolution/bias", vec![4], bias(4)),
        ("dense/kernel", vec![36, 2], dense_hwio),
        ("dense/bias", vec![2], bias(2)),
    ]);
    let torch = |dense_shape| {
        write(&[
            ("convolution.weight", vec![4, 3, 3, 3], conv_oihw.clone()),
            ("convolution.bias", vec![4], bias(4)),
            ("dense.weight", dense_shape, dense_oihw.clone()),
            ("dense.bias", vec![2], bias(2)),
        ])
    };
    let cpu = Cpu::default();
    let images: Images<Cpu> =
        cpu.tensor_from_vec((0..75).map(|i| (i % 13) as f32 - 6.0).collect(), (1, 5, 5, 3));
    let run = |file: &WeightFile, source: WeightSource| {
        let layers = load::layers(&miniature(source), 0..usize::MAX, file, source.naming()).unwrap();
        let network = cpu.inference_conv_net(layers).unwrap();
        Cpu::run_conv_net(&network, images.clone()).unwrap().as_vec()
    };
    let expected = run(&keras, WeightSource::Keras);
    assert!(expected.iter().all(|value| *value != 0.0), "{expected:?}");
    assert_eq!(run(&torch(vec![2, 36]), WeightSource::Torchvision), expected);
    assert_eq!(run(&torch(vec![2, 4, 3, 3]), WeightSource::Timm), expected);
}

#[test]
fn features_are_pooled_or_a_grid() {
    let cpu = Cpu::default();
    let map = |cpu: &Cpu| -> Images<Cpu> {
        cpu.tensor_from_vec(vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 6.0, 60.0], (1, 2, 2, 2))
    };
    let pooled = FeatureKind::Pooled.apply(map(&cpu)).unwrap();
    assert_eq!((*pooled.shape(), pooled.as_vec()), ((1, 1, 2), vec![3.0, 30.0]));
    let grid = FeatureKind::Grid.apply(map(&cpu)).unwrap();
    assert_eq!(*grid.shape(), (1, 4, 2));
}
