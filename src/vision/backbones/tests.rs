//! Tests of the backbones' published shapes and costs, and of errors for wrong files.

use super::architecture::{LayerSpec, WeightNames, WindowSpec};
use super::fit::WeightSource;
use super::*;
use crate::nn::{Activation, InferenceKernel};
use crate::vision::preprocess::{ChannelOrder, Interpolation, Resize};
use crate::vision::weights::WeightsErrorKind;
use crate::vision::weights::layout::Kernel;
use crate::vision::weights::layout::testing::layouts;
use crate::vision::weights::state_dict::StateDict;
use dfdx::prelude::{Cpu, TensorFromVec};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use strum::IntoEnumIterator;

mod files;

fn write(tensors: &[(&str, Vec<usize>, Vec<f32>)]) -> WeightFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serialized(tensors)).unwrap();
    WeightFile::open(file.path()).unwrap()
}

fn serialized(tensors: &[(&str, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (*name, view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// A file with these names.
fn file_of<'n>(names: impl IntoIterator<Item = &'n str>) -> WeightFile {
    let tensors = names.into_iter().map(|name| (name, vec![1], vec![0.0]));
    write(&tensors.collect::<Vec<_>>())
}

/// All the names of an architecture.
fn names(architecture: &Architecture) -> Vec<&str> {
    let tensors = architecture.tensors(architecture.stages.len());
    tensors.map(|(name, _)| name).collect()
}

/// A file with all the names of an architecture.
fn names_only(architecture: &Architecture) -> WeightFile {
    file_of(names(architecture))
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
            BackboneKind::ResNet152,
            &[
                ("maxpool", "56x56x64"),
                ("layer3.35", "14x14x1024"),
                ("layer4.2", "7x7x2048"),
            ],
        ),
        (
            BackboneKind::DenseNet201,
            &[
                ("denseblock1.denselayer6", "56x56x256"),
                ("transition3", "7x7x896"),
                ("features", "7x7x1920"),
            ],
        ),
        (
            BackboneKind::InceptionV3,
            &[
                ("mixed2", "35x35x288"),
                ("mixed7", "17x17x768"),
                ("mixed10", "8x8x2048"),
            ],
        ),
        (
            BackboneKind::MobileNetV3Large,
            &[("blocks.14", "7x7x160"), ("hidden", "1280")],
        ),
        (
            BackboneKind::EfficientNetB3,
            &[("stem", "150x150x40"), ("features", "10x10x1536")],
        ),
        (
            BackboneKind::ConvNextTiny,
            &[("downsample.1", "28x28x192"), ("stages.3.2", "7x7x768")],
        ),
        (
            BackboneKind::ClipResNet50,
            &[
                ("avgpool", "56x56x64"),
                ("layer4.2", "7x7x2048"),
                ("attnpool", "1024"),
            ],
        ),
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
        let cost = architecture.multiply_adds(usize::MAX) as f64 / 1e9;
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
            BackboneKind::ResNet101,
            WeightSource::Keras,
            626,
            &["conv4_block23_3_bn/gamma", "conv2_block1_0_conv/bias"],
        ),
        (
            BackboneKind::DenseNet121,
            WeightSource::TorchvisionOld,
            606,
            &[
                "features.denseblock4.denselayer16.norm.2.running_var",
                "features.transition3.conv.weight",
            ],
        ),
        (
            BackboneKind::DenseNet121,
            WeightSource::KerasOld,
            606,
            &[
                "conv1/conv/kernel",
                "conv1/bn/moving_mean",
                "pool2_conv/kernel",
                "fc1000/bias",
            ],
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
        let tensors = self::names(&architecture);
        assert_eq!(tensors.len(), count, "{kind} {source:?}");
        for name in names {
            assert!(tensors.contains(name), "{kind} {source:?} {name}");
        }
    }
}

#[test]
fn sources_are_recognized_by_their_names() {
    for kind in BackboneKind::iter() {
        for published in kind.sources() {
            let architecture = kind.architecture(published.source);
            let file = names_only(&architecture);
            let fit = Fit::of(kind, &file).unwrap();
            assert_eq!(names(&fit.architecture), names(&architecture), "{kind}");
        }
    }
}

/// The sizes of tensors decide between networks of the same names.
#[test]
fn tensors_have_the_published_numbers_of_values() {
    for (kind, millions) in [
        (BackboneKind::Vgg16, 138.4),
        (BackboneKind::MobileNetV2, 3.5),
        (BackboneKind::Xception, 22.9),
        (BackboneKind::EfficientNetLite0, 4.7),
        (BackboneKind::Vgg16Bn, 138.4),
        (BackboneKind::Vgg19, 143.7),
        (BackboneKind::ResNet50, 25.6),
        (BackboneKind::ResNet101, 44.5),
        (BackboneKind::ResNet152, 60.2),
        (BackboneKind::DenseNet121, 8.0),
        (BackboneKind::DenseNet201, 20.0),
        (BackboneKind::InceptionV3, 23.8),
        (BackboneKind::MobileNetV3Large, 5.5),
        (BackboneKind::EfficientNetB0, 5.3),
        (BackboneKind::EfficientNetB1, 7.8),
        (BackboneKind::EfficientNetB2, 9.1),
        (BackboneKind::EfficientNetB3, 12.2),
        (BackboneKind::ConvNextTiny, 28.6),
        (BackboneKind::ClipResNet50, 38.3),
    ] {
        let architecture = kind.architecture(kind.sources()[0].source);
        let tensors = architecture.tensors(usize::MAX);
        let learned = tensors.filter(|(name, _)| !name.contains("running_") && !name.contains("/moving_"));
        let values = learned.map(|(_, len)| len).sum::<usize>() as f64 / 1e6;
        assert!((values - millions).abs() < 0.05, "{kind}: {values}");
    }
}

#[test]
fn backbone_names_round_trip() {
    for kind in BackboneKind::iter() {
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(json, format!("\"{kind}\""));
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    let error = "vgg18".parse::<BackboneKind>().unwrap_err().to_string();
    assert!(
        error.starts_with(
            "unknown backbone \"vgg18\" (nearest: \"vgg16\"): choose one of vgg16, vgg16_bn, vgg19,"
        ),
        "{error}"
    );
    assert_eq!("grid".parse(), Ok(FeatureKind::Grid));
}

#[test]
fn default_layer_depends_on_the_tensors_of_the_file() {
    let kind = BackboneKind::Vgg16;
    let architecture = kind.architecture(WeightSource::Keras);
    let chosen = |file: &WeightFile, layer| {
        let stages = load::choices(kind, &Fit::of(kind, file)?, layer)?;
        Ok::<_, BackboneError>(architecture.stages[stages[0]].name.clone())
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
        BackboneError::OtherWeights { error, contents } => {
            assert!(contents.contains("it "), "{contents}");
            error.kind
        }
        error => panic!("{error}"),
    };
    let missing = fault(BackboneKind::Vgg16);
    assert!(matches!(missing, WeightsErrorKind::Missing { name, .. } if name == "features.0.weight"));
    let shape = fault(BackboneKind::MobileNetV2);
    assert!(matches!(shape, WeightsErrorKind::Shape { name, .. } if name == "features.0.0.weight"));
}

/// A small network with a convolution and a dense layer.
fn miniature(source: WeightSource) -> Architecture {
    let recipe = Recipe::of(PreprocessingKind::Torchvision, Preprocessing::symmetric(5));
    let mut architecture = Architecture::new([recipe], &["dense"]);
    let weights = WeightNames::biased(source, "convolution");
    let window = WindowSpec::symmetric(3, 2);
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
        let tensors = StateDict::whole(file);
        let layers = load::layers(&miniature(source), 0..usize::MAX, &tensors, source.naming()).unwrap();
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
