//! Tests of the backbones' published shapes and costs, and of what is said of wrong files.

use super::architecture::{LayerSpec, SquareWindow, WeightNames};
use super::*;
use crate::nn::{Activation, InferenceKernel};
use crate::vision::weights::WeightsFault;
use crate::vision::weights::layout::Kernel;
use dfdx::prelude::{Cpu, TensorFromVec};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::path::Path;
use strum::IntoEnumIterator;

fn write(path: &Path, tensors: &[(&str, Vec<usize>, Vec<f32>)]) -> WeightFile {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (*name, view)
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    WeightFile::open(path).unwrap()
}

/// A file with all the names that an architecture's first `stages` need.
fn names_only(path: &Path, architecture: &Architecture, stages: usize) -> WeightFile {
    let tensors: Vec<_> = architecture
        .tensors(stages)
        .map(|name| (name, vec![1], vec![0.0]))
        .collect();
    write(path, &tensors)
}

fn layer(kind: BackboneKind, name: &str) -> String {
    let layers = kind.layers();
    let layer = layers.iter().find(|layer| layer.name == name).unwrap();
    layer.shape.to_string()
}

#[test]
fn layers_have_the_published_shapes() {
    let vgg16 = |name| layer(BackboneKind::Vgg16, name);
    assert_eq!(vgg16("block1_conv1"), "224x224x64");
    assert_eq!(vgg16("block5_conv3"), "14x14x512");
    assert_eq!(vgg16("block5_pool"), "7x7x512");
    assert_eq!(vgg16("fc2"), "4096");
    let mobilenet = |name| layer(BackboneKind::MobileNetV2, name);
    assert_eq!(mobilenet("features.0"), "112x112x32");
    assert_eq!(mobilenet("features.17"), "7x7x320");
    assert_eq!(mobilenet("features"), "7x7x1280");
    assert_eq!(mobilenet("logits"), "1000");
    let xception = |name| layer(BackboneKind::Xception, name);
    assert_eq!(xception("block1_conv1_act"), "149x149x32");
    assert_eq!(xception("block1_conv2_act"), "147x147x64");
    assert_eq!(xception("block2"), "74x74x128");
    assert_eq!(xception("block3"), "37x37x256");
    assert_eq!(xception("block12"), "19x19x728");
    assert_eq!(xception("block14_sepconv2_act"), "10x10x2048");
    assert_eq!(xception("logits"), "1000");
    let lite0 = |name| layer(BackboneKind::EfficientNetLite0, name);
    assert_eq!(lite0("stem"), "112x112x32");
    assert_eq!(lite0("blocks.15"), "7x7x320");
    assert_eq!(lite0("features"), "7x7x1280");
    let lite1 = |name| layer(BackboneKind::EfficientNetLite1, name);
    assert_eq!(lite1("features"), "8x8x1280");
    let lite2 = |name| layer(BackboneKind::EfficientNetLite2, name);
    assert_eq!(lite2("stem"), "130x130x32");
    assert_eq!(lite2("blocks.20"), "9x9x352");
    assert_eq!(lite2("features"), "9x9x1280");
}

/// The sources count a multiplication with its addition as one: torchvision lists 15.47 and 0.30 billion, timm 8.4
/// for Xception. EfficientNet-Lite's are counted on the modules of `efficientnet_lite_pytorch`; the 0.407, 0.631 and
/// 0.899 that are published count more than products.
#[test]
fn networks_cost_what_is_published() {
    let cost = |kind: BackboneKind| {
        let architecture = kind.architecture(kind.sources()[0].source);
        architecture.multiply_adds() as f64 / 1e9
    };
    assert_eq!(format!("{:.2}", cost(BackboneKind::Vgg16)), "15.47");
    assert_eq!(format!("{:.1}", cost(BackboneKind::Xception)), "8.4");
    assert_eq!(format!("{:.2}", cost(BackboneKind::MobileNetV2)), "0.30");
    assert_eq!(format!("{:.4}", cost(BackboneKind::EfficientNetLite0)), "0.3852");
    assert_eq!(format!("{:.4}", cost(BackboneKind::EfficientNetLite1)), "0.6002");
    assert_eq!(format!("{:.4}", cost(BackboneKind::EfficientNetLite2)), "0.8597");
}

/// 138,357,544 and 3,504,872 parameters (torchvision), batch normalization's running statistics apart.
#[test]
fn architectures_name_every_published_tensor() {
    let tensors = |kind: BackboneKind, source| {
        let architecture = kind.architecture(source);
        architecture
            .tensors(architecture.stages.len())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(tensors(BackboneKind::Vgg16, WeightSource::Keras).len(), 32);
    let torchvision = tensors(BackboneKind::Vgg16, WeightSource::Torchvision);
    for name in ["features.28.weight", "classifier.6.bias"] {
        assert!(torchvision.iter().any(|other| other == name), "{name}");
    }
    let torchvision = tensors(BackboneKind::MobileNetV2, WeightSource::Torchvision);
    assert_eq!(torchvision.len(), 262);
    for name in [
        "features.1.conv.2.running_var",
        "features.17.conv.3.bias",
        "classifier.1.weight",
    ] {
        assert!(torchvision.iter().any(|other| other == name), "{name}");
    }
    let timm = tensors(BackboneKind::MobileNetV2, WeightSource::Timm);
    assert_eq!(timm.len(), 262);
    for name in [
        "blocks.0.0.conv_pw.weight",
        "blocks.5.2.bn3.running_mean",
        "blocks.6.0.conv_pwl.weight",
    ] {
        assert!(timm.iter().any(|other| other == name), "{name}");
    }
    // Keras' file without its dense layer has 234.
    assert_eq!(
        tensors(BackboneKind::Xception, WeightSource::Keras).len(),
        234 + 2
    );
    let lite0 = |source| tensors(BackboneKind::EfficientNetLite0, source);
    assert_eq!(lite0(WeightSource::EfficientNetPytorch).len(), 247);
    assert_eq!(lite0(WeightSource::Timm).len(), 247);
    let lite2 = |source| tensors(BackboneKind::EfficientNetLite2, source);
    for (source, name) in [
        (WeightSource::EfficientNetPytorch, "_blocks.20._bn2.running_var"),
        (WeightSource::Timm, "blocks.6.0.bn3.running_var"),
        (WeightSource::Timm, "blocks.5.4.conv_pwl.weight"),
    ] {
        assert!(lite2(source).iter().any(|other| other == name), "{name}");
    }
}

#[test]
fn sources_are_recognized_by_their_marker_tensor() {
    let folder = tempfile::tempdir().unwrap();
    for kind in BackboneKind::iter() {
        for marker in kind.sources() {
            let architecture = kind.architecture(marker.source);
            let file = names_only(
                &folder.path().join("weights"),
                &architecture,
                architecture.stages.len(),
            );
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
    let folder = tempfile::tempdir().unwrap();
    let kind = BackboneKind::Vgg16;
    let architecture = kind.architecture(WeightSource::Keras);
    let chosen = |file: &WeightFile, layer| {
        load::choose_layer(kind, &architecture, file, layer)
            .map(|stage| architecture.stages[stage].name.clone())
    };
    let full = names_only(
        &folder.path().join("full"),
        &architecture,
        architecture.stages.len(),
    );
    assert_eq!(chosen(&full, None).unwrap(), "fc2");
    let top_less = names_only(&folder.path().join("notop"), &architecture, 18);
    assert_eq!(chosen(&top_less, None).unwrap(), "block5_pool");
    assert_eq!(chosen(&top_less, Some("block4_conv1")).unwrap(), "block4_conv1");
    let error = chosen(&top_less, Some("fc2")).unwrap_err().to_string();
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
    let folder = tempfile::tempdir().unwrap();
    let kind = BackboneKind::MobileNetV2;
    let architecture = kind.architecture(WeightSource::Torchvision);
    let file = names_only(
        &folder.path().join("mobilenet"),
        &architecture,
        architecture.stages.len(),
    );
    let error = |up_to| {
        kind.layer_range(&file, "features.17", up_to)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error("top"),
        "mobilenet_v2 has no layer \"top\": choose one of features, logits"
    );
    assert!(error("features.3").ends_with("or choose one of features, logits"));
}

#[test]
fn weights_of_another_network_are_refused_by_their_first_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let architecture = BackboneKind::MobileNetV2.architecture(WeightSource::Torchvision);
    let file = names_only(
        &folder.path().join("mobilenet"),
        &architecture,
        architecture.stages.len(),
    );
    let load = |kind| Backbone::load(kind, &file, None, &Cpu::default()).unwrap_err();
    let BackboneError::Weights(error) = load(BackboneKind::Vgg16) else {
        panic!()
    };
    assert!(matches!(error.fault, WeightsFault::Missing { name, .. } if name == "features.0.weight"));
    let BackboneError::Weights(error) = load(BackboneKind::MobileNetV2) else {
        panic!()
    };
    assert!(matches!(error.fault, WeightsFault::Shape { name, .. } if name == "features.0.0.weight"));
}

/// A network in miniature, with every kind of layer that has a layout of its own.
fn miniature(source: WeightSource) -> Architecture {
    let mut architecture = Architecture::new(Preprocessing::symmetric(5), &["dense"]);
    let (convolution, dense) = (
        WeightNames::biased(source, "convolution"),
        WeightNames::biased(source, "dense"),
    );
    architecture.stage(
        "convolution",
        [LayerSpec::Convolution {
            weights: convolution,
            window: SquareWindow::symmetric(3, 2),
            outputs: 4,
            activation: Activation::Relu,
        }],
    );
    architecture.stage(
        "dense",
        [LayerSpec::Dense {
            weights: dense,
            outputs: 2,
            activation: Activation::None,
        }],
    );
    architecture
}

#[test]
fn keras_and_torch_layouts_load_to_the_same_network() {
    const CONVOLUTION: Kernel = Kernel {
        height: 3,
        width: 3,
        inputs: 3,
        outputs: 4,
    };
    const DENSE: Kernel = Kernel {
        height: 3,
        width: 3,
        inputs: 4,
        outputs: 2,
    };
    let value =
        |h: usize, w: usize, i: usize, o: usize| ((h * 31 + w * 17 + i * 7 + o * 3) % 11) as f32 - 5.0;
    let hwio = |kernel: Kernel| -> Vec<f32> {
        let mut values = Vec::new();
        for h in 0..kernel.height {
            for w in 0..kernel.width {
                for i in 0..kernel.inputs {
                    values.extend((0..kernel.outputs).map(|o| value(h, w, i, o)));
                }
            }
        }
        values
    };
    let oihw = |kernel: Kernel| -> Vec<f32> {
        let mut values = Vec::new();
        for o in 0..kernel.outputs {
            for i in 0..kernel.inputs {
                for h in 0..kernel.height {
                    values.extend((0..kernel.width).map(|w| value(h, w, i, o)));
                }
            }
        }
        values
    };
    let bias = |outputs: usize| -> Vec<f32> { (0..outputs).map(|o| o as f32).collect() };
    let folder = tempfile::tempdir().unwrap();
    let keras = write(
        &folder.path().join("keras"),
        &[
            ("convolution/kernel", vec![3, 3, 3, 4], hwio(CONVOLUTION)),
            ("convolution/bias", vec![4], bias(4)),
            ("dense/kernel", vec![36, 2], hwio(DENSE)),
            ("dense/bias", vec![2], bias(2)),
        ],
    );
    let torch = |name: &str, dense_shape| {
        write(
            &folder.path().join(name),
            &[
                ("convolution.weight", vec![4, 3, 3, 3], oihw(CONVOLUTION)),
                ("convolution.bias", vec![4], bias(4)),
                ("dense.weight", dense_shape, oihw(DENSE)),
                ("dense.bias", vec![2], bias(2)),
            ],
        )
    };
    let cpu = Cpu::default();
    let images: Images<Cpu> =
        cpu.tensor_from_vec((0..75).map(|i| (i % 13) as f32 - 6.0).collect(), (1, 5, 5, 3));
    let run = |file: &WeightFile, source: WeightSource| {
        let layers = load::layers(&miniature(source), 0..usize::MAX, file, source.naming()).unwrap();
        Cpu::run_conv_net(&cpu.inference_conv_net(layers).unwrap(), images.clone())
            .unwrap()
            .as_vec()
    };
    let expected = run(&keras, WeightSource::Keras);
    assert!(expected.iter().all(|value| *value != 0.0), "{expected:?}");
    assert_eq!(
        run(&torch("dense", vec![2, 36]), WeightSource::Torchvision),
        expected
    );
    assert_eq!(
        run(&torch("convolution", vec![2, 4, 3, 3]), WeightSource::Timm),
        expected
    );
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
