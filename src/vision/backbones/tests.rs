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

fn refusal(kind: BackboneKind, file: &WeightFile) -> String {
    Fit::of(kind, file).unwrap_err().to_string()
}

#[test]
fn relatives_with_more_tensors_are_rejected() {
    let lite = |kind: BackboneKind, source| kind.architecture(source);
    let published = lite(BackboneKind::EfficientNetLite0, WeightSource::EfficientNetPytorch);
    let b0 = [
        &names(&published)[..],
        &["_blocks.3._se_reduce.weight", "_blocks.3._se_reduce.bias"],
    ]
    .concat();
    let deeper = lite(BackboneKind::EfficientNetLite1, WeightSource::Timm);
    let vgg16 = BackboneKind::Vgg16.architecture(WeightSource::Keras);
    let vgg19 = [&names(&vgg16)[..], &["block3_conv4/kernel", "block3_conv4/bias"]].concat();
    for (kind, file, parts) in [
        (
            BackboneKind::EfficientNetLite0,
            file_of(b0),
            [
                "2 of its tensors, such as \"_blocks.3._se_reduce.bias\"",
                "seems to hold an EfficientNet-B",
            ],
        ),
        (
            BackboneKind::EfficientNetLite0,
            names_only(&deeper),
            ["75 of its tensors, such as \"blocks.1.2.bn1.bias\"", "--backbone"],
        ),
        (
            BackboneKind::Vgg16,
            file_of(vgg19),
            [
                "2 of its tensors, such as \"block3_conv4/bias\"",
                "seems to hold Keras' VGG19",
            ],
        ),
    ] {
        let error = refusal(kind, &file);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let file = names_only(&published);
    assert!(Fit::of(BackboneKind::EfficientNetLite0, &file).is_ok());
}

#[test]
fn new_heads_and_counters_are_no_other_network() {
    let architecture = BackboneKind::MobileNetV2.architecture(WeightSource::Torchvision);
    let mut names = names(&architecture);
    names.extend([
        "features.0.1.num_batches_tracked",
        "features.0.0.total_ops",
        "classifier.4.weight",
        "linear.weight",
        "projection.conv.weight",
        "bn.running_mean",
    ]);
    assert!(Fit::of(BackboneKind::MobileNetV2, &file_of(names.clone())).is_ok());
    names.push("features.19.0.weight");
    let error = refusal(BackboneKind::MobileNetV2, &file_of(names));
    assert!(
        error.contains("1 of its tensors, such as \"features.19.0.weight\""),
        "{error}"
    );
}

#[test]
fn tensors_are_found_under_any_prefix_and_by_the_numbers_of_modules() {
    let architecture = BackboneKind::MobileNetV2.architecture(WeightSource::Timm);
    let numbers = [
        ("conv_stem", "0"),
        ("bn1", "1"),
        ("blocks", "2"),
        ("conv_head", "3"),
        ("bn2", "4"),
    ];
    let numbered = |name: &str| {
        let (module, rest) = name.split_once('.').unwrap();
        let number = numbers.iter().find(|(child, _)| *child == module)?.1;
        Some(format!("encoder.net.{number}.{rest}"))
    };
    let names: Vec<String> = names(&architecture).into_iter().filter_map(numbered).collect();
    let file = file_of(names.iter().map(String::as_str).chain(["encoder.head.weight"]));
    let fit = Fit::of(BackboneKind::MobileNetV2, &file).unwrap();
    assert_eq!(fit.tensors.prefix(), "encoder.net");
    assert!(fit.tensors.contains("blocks.6.0.conv_pwl.weight"));
    assert!(!fit.tensors.contains("classifier.weight"));
}

#[test]
fn one_of_several_copies_is_taken_unless_they_differ() {
    let kind = BackboneKind::MobileNetV2;
    let architecture = kind.architecture(WeightSource::Torchvision);
    let copies = |prefixes: [&str; 2], second: f32| {
        let named = |prefix: &str| -> Vec<String> {
            let names = names(&architecture).into_iter();
            names.map(|name| format!("{prefix}.{name}")).collect()
        };
        let names = prefixes.map(named);
        let values = names.iter().zip([0.0, second]);
        let tensors = values.flat_map(|(names, value)| {
            let names = names.iter();
            names.map(move |name| (name.as_str(), vec![1], vec![value]))
        });
        write(&tensors.collect::<Vec<_>>())
    };
    let same = copies(["model", "net"], 0.0);
    assert!(Fit::of(kind, &same).is_ok_and(|fit| fit.choice().is_none()));
    let averaged = copies(["ema_model.model", "state_dict"], 1.0);
    let fit = Fit::of(kind, &averaged).unwrap();
    assert_eq!(fit.tensors.prefix(), "state_dict");
    assert_eq!(
        fit.choice().unwrap(),
        "took the weights under \"state_dict\", not the average of them under \"ema_model.model\""
    );
    let error = refusal(kind, &copies(["best", "last"], 1.0));
    assert!(error.contains("under \"best\" and under \"last\""), "{error}");
    let fit =
        Fit::of(kind, &copies(["encoder_k", "encoder_q"], 1.0)).map(|fit| fit.tensors.prefix().to_owned());
    assert_eq!(fit.unwrap(), "encoder_q");
}

/// The names of a network under a prefix, with this value in each tensor.
fn tower(kind: BackboneKind, prefix: &str, value: f32) -> Vec<(String, f32)> {
    let architecture = kind.architecture(WeightSource::Torchvision);
    let names = names(&architecture).into_iter();
    names.map(|name| (format!("{prefix}{name}"), value)).collect()
}

fn file_of_towers(towers: &[Vec<(String, f32)>]) -> WeightFile {
    let tensors = towers.iter().flatten();
    let tensors = tensors.map(|(name, value)| (name.as_str(), vec![1], vec![*value]));
    write(&tensors.collect::<Vec<_>>())
}

#[test]
fn student_with_a_new_head_is_taken_before_its_teacher() {
    let kind = BackboneKind::MobileNetV2;
    let mut student = tower(kind, "student.", 1.0);
    student.retain(|(name, _)| !name.contains("classifier"));
    student.push(("student.head.weight".to_owned(), 1.0));
    let file = file_of_towers(&[student, tower(kind, "teacher.", 0.0)]);
    let fit = Fit::of(kind, &file).unwrap();
    assert_eq!(
        fit.choice().unwrap(),
        "took the weights under \"student\", not the average of them under \"teacher\""
    );
    assert_eq!(
        fit.unused().unwrap(),
        "tensors of other layers or networks are not used: 1, under \"student.head\" (1)"
    );
}

#[test]
fn copy_that_lacks_tensors_is_named() {
    let kind = BackboneKind::MobileNetV2;
    let mut other = tower(kind, "other.", 1.0);
    other.retain(|(name, _)| !name.contains("running_"));
    let file = file_of_towers(&[tower(kind, "", 0.0), other]);
    let fit = Fit::of(kind, &file).unwrap();
    assert_eq!(
        fit.choice().unwrap(),
        "took the weights at the top of the file, not the others under \"other\""
    );
    assert_eq!(fit.unused(), None);
}

#[test]
fn second_network_is_counted_and_optimizers_are_not() {
    let kind = BackboneKind::MobileNetV2;
    let more = [
        "model.text.embeddings.weight",
        "model.text.attn.weight",
        "model.visual_head.weight",
        "optimizer.state.0.exp_avg",
        "model.visual.classifier.4.weight",
        "model.visual.features.0.1.num_batches_tracked",
    ];
    let more = more.iter().map(|name| ((*name).to_owned(), 1.0)).collect();
    let file = file_of_towers(&[tower(kind, "model.visual.", 0.0), more]);
    let fit = Fit::of(kind, &file).unwrap();
    assert_eq!(fit.choice(), None);
    assert_eq!(
        fit.unused().unwrap(),
        "tensors of other layers or networks are not used: 3, under \"model.text\" (2), \"model.visual_head\" (1)"
    );
}

/// The tensors of MobileNetV2 with the values that `values` gives for a name and a number of values.
fn mobilenet_v2_of(values: impl Fn(&str, usize) -> Vec<f32>) -> WeightFile {
    let architecture = BackboneKind::MobileNetV2.architecture(WeightSource::Torchvision);
    let tensors = architecture.tensors(architecture.last_default());
    let tensors = tensors.map(|(name, len)| (name, shape_of(name, &architecture), values(name, len)));
    write(&tensors.collect::<Vec<_>>())
}

/// The shape of a tensor of MobileNetV2, whose convolutions are of 1 x 1, 3 x 3 or depthwise.
fn shape_of(name: &str, architecture: &Architecture) -> Vec<usize> {
    let mut tensors = architecture.tensors(architecture.stages.len()).peekable();
    while let Some((found, len)) = tensors.next() {
        let outputs = tensors.peek().map_or(len, |(_, outputs)| *outputs);
        if found == name {
            return match () {
                () if len == outputs || !name.ends_with("weight") => vec![len],
                () if len == 9 * outputs => vec![outputs, 1, 3, 3],
                () if name == "features.0.0.weight" => vec![outputs, 3, 3, 3],
                () => vec![outputs, len / outputs, 1, 1],
            };
        }
    }
    panic!("{name}");
}

/// Numbers that are spread as trained weights are: the cubes of a sequence between -1 and 1.
fn heavy_tailed(len: usize) -> Vec<f32> {
    (0..len)
        .map(|at| ((at * 7919 % 1009) as f32 / 504.0 - 1.0).powi(5) * 0.1)
        .collect()
}

#[test]
fn weights_of_zeros_are_rejected_and_untrained_ones_are_named() {
    let kind = BackboneKind::MobileNetV2;
    let load = |file: &WeightFile| Backbone::load(kind, file, None, &Cpu::default());
    let trained = |_: &str, len| heavy_tailed(len).into_iter().map(|value| value + 0.2).collect();
    let backbone = load(&mobilenet_v2_of(trained)).unwrap();
    assert!(backbone.notes().is_empty(), "{:?}", backbone.notes());

    let file = mobilenet_v2_of(|name, len| match name {
        "features.3.conv.1.0.weight" => vec![0.0; len],
        _ => trained(name, len),
    });
    let error = load(&file).unwrap_err().to_string();
    assert!(
        error.contains("tensor \"features.3.conv.1.0.weight\" holds only zeros"),
        "{error}"
    );

    let initial = |name: &str, len| match name {
        _ if name.ends_with("running_mean") => vec![0.0; len],
        _ if name.ends_with("running_var") => vec![1.0; len],
        _ => trained(name, len),
    };
    let constant = |name: &str, len| match len {
        4096.. => vec![0.5; len],
        _ => trained(name, len),
    };
    let uniform = |_: &str, len| (0..len).map(|at| (at % 1000) as f32 / 1000.0 + 0.1).collect();
    for (file, sign) in [
        (mobilenet_v2_of(initial), "mean 0 and variance 1 everywhere"),
        (
            mobilenet_v2_of(constant),
            "all values of \"features.4.conv.2.weight\" are the same",
        ),
        (mobilenet_v2_of(uniform), "distributed as initial weights are"),
    ] {
        let backbone = load(&file).unwrap();
        let notes = backbone.notes();
        assert!(notes.len() == 1 && notes[0].contains(sign), "{notes:?}");
    }
}

/// VGG16's names, with a first kernel of these norms in each input channel.
fn vgg16_with(norms: [f32; 3]) -> WeightFile {
    let architecture = BackboneKind::Vgg16.architecture(WeightSource::Torchvision);
    let (outputs, taps) = (64, 9);
    let value = |channel: usize| norms[channel] / ((outputs * taps) as f32).sqrt();
    let kernel =
        (0..outputs).flat_map(|_| (0..3).flat_map(|channel| std::iter::repeat_n(value(channel), taps)));
    let mut tensors: Vec<_> = names(&architecture)
        .into_iter()
        .map(|name| (name, vec![1], vec![0.0]))
        .collect();
    tensors[0] = ("features.0.weight", vec![64, 3, 3, 3], kernel.collect());
    write(&tensors)
}

#[test]
fn weights_of_caffe_under_names_of_torchvision_have_their_own_preprocessing() {
    for (norms, order, mean) in [
        ([4.3978, 5.4642, 4.9638], ChannelOrder::Bgr, 103.939),
        ([4.97, 5.45, 4.40], ChannelOrder::Rgb, 123.0),
        ([6.0, 5.0, 4.0], ChannelOrder::Rgb, 0.485),
    ] {
        let file = vgg16_with(norms);
        let fit = Fit::of(BackboneKind::Vgg16, &file).unwrap();
        let recipe = fit.recipe().unwrap();
        assert_eq!(recipe.preprocessing.channel_order, order, "{norms:?}");
        assert_eq!(recipe.preprocessing.normalization.mean[0], mean, "{norms:?}");
        assert_eq!(
            notes(&fit, 0, recipe)
                .filter(|note| note.contains("preprocessing"))
                .count(),
            usize::from(mean > 1.0),
            "{norms:?}"
        );
    }
}

/// Weights with the names of others are recognized by the path that they are published under.
#[test]
fn preprocessing_of_resnets_follows_the_path_of_the_file() {
    let kind = BackboneKind::ResNet50;
    let architecture = kind.architecture(WeightSource::Torchvision);
    let folder = tempfile::tempdir().unwrap();
    let tensors: Vec<_> = (names(&architecture).into_iter())
        .map(|name| (name, vec![1], vec![0.0]))
        .collect();
    let recipe = |path: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serialized(&tensors)).unwrap();
        let file = WeightFile::open(path).unwrap();
        let fit = Fit::of(kind, &file).unwrap();
        let recipe = fit.recipe().unwrap();
        (
            recipe.kind,
            recipe.preprocessing.resize,
            notes(&fit, 0, recipe)
                .filter(|note| note.contains("preprocessing"))
                .count(),
        )
    };
    let first = (PreprocessingKind::Torchvision, Resize::ShorterSide(256), 0);
    assert_eq!(recipe("resnet50-0676ba61.pth"), first);
    assert_eq!(recipe("weights.safetensors"), first);
    let second = (PreprocessingKind::TorchvisionV2, Resize::ShorterSide(232), 1);
    assert_eq!(recipe("resnet50-11ad3fa6.pth"), second);
    let timm = (PreprocessingKind::Timm, Resize::ShorterSide(235), 1);
    assert_eq!(
        recipe("models--timm--resnet50.a1_in1k/snapshots/1/model.safetensors"),
        timm
    );
}

#[test]
fn preprocessing_of_another_source_keeps_the_size_of_the_network() {
    let of = |kind: BackboneKind, name, size| kind.preprocessing(name, &Preprocessing::torchvision(size));
    let timm = of(BackboneKind::EfficientNetB2, PreprocessingKind::Timm, 288).unwrap();
    assert_eq!((timm.size, timm.resize), (288, Resize::ShorterSide(329)));
    let keras = of(BackboneKind::ResNet50, PreprocessingKind::Keras, 224).unwrap();
    assert_eq!(
        (keras.interpolation, keras.resize),
        (Interpolation::Nearest, Resize::Squash)
    );
    let symmetric = of(BackboneKind::ResNet50, PreprocessingKind::Symmetric, 224).unwrap();
    assert_eq!(symmetric, Preprocessing::symmetric(224).shorter_side(256));
    let error = of(
        BackboneKind::ResNet50,
        PreprocessingKind::EfficientnetPytorch,
        224,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no weights of resnet50 have the preprocessing efficientnet_pytorch: choose one of keras, timm, torchvision, torchvision_v2"
    );
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
