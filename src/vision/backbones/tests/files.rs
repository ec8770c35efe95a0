//! Tests of what files of weights hold: relatives, copies, other networks, untrained weights, and their preprocessing.

use super::*;

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
