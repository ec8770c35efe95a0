//! Weights as training scripts save them: the same network in every form gives the same features, and other networks are
//! refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod pickles;
#[path = "../prepare/weights.rs"]
mod weights;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use cutline::nn::Images;
use cutline::vision::backbones::{Backbone, BackboneKind};
use cutline::vision::weights::WeightFile;
use dfdx::prelude::{Cpu, TensorFromVec};
use pickles::{Checkpoint, Object};
use support::{Workspace, err, text};
use tempfile::TempDir;
use weights::{NamedTensor, random, write, write_random};

/// MobileNetV2 under torchvision's names, without its classifier.
fn network() -> &'static [NamedTensor] {
    static NETWORK: OnceLock<Vec<NamedTensor>> = OnceLock::new();
    NETWORK.get_or_init(|| random(1))
}

/// The network's state dict, with these names.
fn renamed(name: impl Fn(&str) -> String) -> Object {
    let entries = network().iter().enumerate();
    Object::Dict(
        entries
            .map(|(number, tensor)| (name(&tensor.0), Object::Tensor(number)))
            .collect(),
    )
}

fn state_dict() -> Object {
    renamed(str::to_owned)
}

fn prefixed(prefix: &str) -> Object {
    renamed(|name| format!("{prefix}{name}"))
}

/// The features of an image of three colors.
fn features(path: &Path) -> Result<Vec<f32>, String> {
    let file = WeightFile::open(path).map_err(|error| error.to_string())?;
    let backbone = Backbone::load(BackboneKind::MobileNetV2, &file, None, &Cpu::default());
    let backbone = backbone.map_err(|error| error.to_string())?;
    let size = backbone.preprocessing().size as usize;
    let pixel = |at: usize| ((at * 7919) % 255) as f32 / 127.5 - 1.0;
    let pixels = (0..size * size * 3).map(pixel).collect();
    let image: Images<Cpu> = Cpu::default().tensor_from_vec(pixels, (1, size, size, 3));
    Ok(backbone.forward(image).unwrap().as_vec())
}

fn expected() -> &'static [f32] {
    static EXPECTED: OnceLock<Vec<f32>> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plain.safetensors");
        write_random(&path, 1);
        features(&path).unwrap()
    })
}

const OUT: &str = "out.safetensors";

/// `cutline features` of an image with these weights, into [`OUT`].
fn features_command(workspace: &Workspace, weights: &Path, more: &[&str]) -> Output {
    let image = workspace.file("image.png");
    image::RgbImage::from_pixel(40, 30, image::Rgb([9, 99, 199]))
        .save(&image)
        .unwrap();
    let out = workspace.file(OUT);
    let command = [
        "features",
        text(&image),
        "--backbone",
        "mobilenet_v2",
        "--weights",
        text(weights),
        "--out",
        text(&out),
    ];
    workspace.run(&[&command, more].concat())
}

#[track_caller]
fn assert_same(path: &Path) {
    let found = features(path).unwrap_or_else(|error| panic!("{error}"));
    assert!(found == expected(), "{}: other features", path.display());
}

#[track_caller]
fn assert_refused(path: &Path, parts: &[&str]) {
    let error = features(path).unwrap_err();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the zip form of the object, which has the network's tensors.
    fn saved(&self, name: &str, object: Object) -> PathBuf {
        let path = self.path(name);
        let checkpoint = Checkpoint {
            object,
            tensors: network(),
        };
        checkpoint.write_zip(&path);
        path
    }
}

#[test]
fn state_dict_under_any_key_has_the_same_features() {
    let files = Files::new();
    for key in [
        "net",
        "weights",
        "model_ema",
        "model_state",
        "params",
        "model_state_dict",
    ] {
        let object = Object::dict([("epoch", Object::Integer(3)), (key, state_dict())]);
        assert_same(&files.saved("checkpoint.pth", object));
    }
    let deep = Object::dict([("checkpoint", Object::dict([("state_dict", state_dict())]))]);
    assert_same(&files.saved("deep.pth.tar", deep));
    assert_same(&files.saved("list.pth", Object::List(vec![state_dict(), Object::None])));
}

#[test]
fn state_dict_with_any_prefix_has_the_same_features() {
    let files = Files::new();
    for prefix in [
        "module.",
        "model.",
        "backbone.",
        "encoder.",
        "_orig_mod.",
        "model.module.backbone.",
        "encoder.cnn._orig_mod.",
    ] {
        let object = Object::dict([("state_dict", prefixed(prefix))]);
        assert_same(&files.saved("checkpoint.ckpt", object));
        let tensors: Vec<NamedTensor> = network()
            .iter()
            .map(|(name, shape, values)| (format!("{prefix}{name}"), shape.clone(), values.clone()))
            .collect();
        let path = files.path("prefixed.safetensors");
        write(&path, &tensors);
        assert_same(&path);
    }
    let wrapped = renamed(|name| name.replacen("features.", "features.module.", 1));
    assert_same(&files.saved("wrapped.pth", wrapped));
}

#[test]
fn objects_beside_the_weights_are_not_run() {
    let files = Files::new();
    let scalar = |bytes: &[u8]| {
        let dtype = Object::Call("numpy", "dtype", vec![Object::text("f8")]);
        Object::Call(
            "numpy._core.multiarray",
            "scalar",
            vec![dtype, Object::Bytes(bytes.to_vec())],
        )
    };
    let array = Object::Call(
        "numpy.core.multiarray",
        "_reconstruct",
        vec![Object::Tuple(vec![Object::Integer(0)])],
    );
    let date = Object::Call("datetime", "datetime", vec![Object::Bytes(vec![7, 0xea, 0xff])]);
    let arguments = Object::Instance(
        "argparse",
        "Namespace",
        Box::new(Object::dict([("lr", Object::Integer(1))])),
    );
    let touched = files.path("touched");
    let attack = Object::Call(
        "os",
        "system",
        vec![Object::Text(format!("touch {}", touched.display()))],
    );
    let object = Object::dict([
        ("best_acc1", scalar(&[0; 8])),
        ("mean", array),
        ("date", date),
        ("args", arguments),
        ("attack", attack.clone()),
        ("state_dict", prefixed("module.")),
    ]);
    assert_same(&files.saved("checkpoint.pth.tar", object));
    assert_refused(
        &files.saved("attack.pth", attack),
        &["no tensors in it (it is what \"os.system\" returns in Python, and nothing in a file is run here)"],
    );
    assert!(!touched.exists());
}

#[test]
fn legacy_files_of_all_protocols_have_the_same_features() {
    let files = Files::new();
    let checkpoint = Checkpoint {
        object: Object::dict([("state_dict", state_dict())]),
        tensors: network(),
    };
    for protocol in [2, 3, 4, 5] {
        let path = files.path("legacy.pth");
        checkpoint.write_legacy(&path, protocol);
        assert_same(&path);
    }
}

#[test]
fn parts_and_children_of_the_module_have_the_same_features() {
    let files = Files::new();
    let rest = |name: &str| name.strip_prefix("features.").unwrap().to_owned();
    assert_same(&files.saved("features.pth", renamed(rest)));
    assert_same(&files.saved("children.pth", renamed(|name| format!("0.{}", rest(name)))));
    let captioner = Object::dict([
        ("encoder", renamed(|name| format!("cnn.0.{}", rest(name)))),
        ("decoder", Object::dict([("embed.weight", Object::Tensor(0))])),
        (
            "optimizer",
            Object::dict([("state", Object::List(vec![Object::Tensor(0)]))]),
        ),
    ]);
    assert_same(&files.saved("captioner.pth", captioner));
}

/// `torch.save(model)`: every module has its children and its parameters as attributes.
#[test]
fn pickled_module_has_the_same_features() {
    let mut root = Object::Dict(Vec::new());
    for (number, (name, ..)) in network().iter().enumerate() {
        let mut module = &mut root;
        let parts: Vec<&str> = name.split('.').collect();
        let (parameter, parents) = parts.split_last().unwrap();
        for parent in parents {
            module = entry(entry(module, "_modules"), parent);
        }
        *entry(entry(module, "_parameters"), parameter) = Object::Tensor(number);
    }
    let files = Files::new();
    let object = Object::Instance("torchvision.models.mobilenetv2", "MobileNetV2", Box::new(root));
    assert_same(&files.saved("module.pth", object));
}

/// The value of a dict's key, which is a dict at first.
fn entry<'o>(dict: &'o mut Object, key: &str) -> &'o mut Object {
    let Object::Dict(entries) = dict else {
        panic!("not a dict");
    };
    let place = entries.iter().position(|(other, _)| other == key);
    let place = place.unwrap_or_else(|| {
        entries.push((key.to_owned(), Object::Dict(Vec::new())));
        entries.len() - 1
    });
    &mut entries[place].1
}

#[test]
fn network_is_preferred_to_its_average() {
    let workspace = Workspace::new();
    let mut tensors = network().to_vec();
    tensors.extend(random(2));
    let average = random(2).into_iter().enumerate();
    let average = average.map(|(number, (name, ..))| (name, Object::Tensor(network().len() + number)));
    let average = Object::Dict(average.collect());
    let checkpoint = |key: &str| Checkpoint {
        object: Object::dict([("state_dict", state_dict()), (key, average.clone())]),
        tensors: &tensors,
    };
    let path = workspace.file("timm.pth");
    checkpoint("state_dict_ema").write_zip(&path);
    assert_same(&path);

    let output = features_command(&workspace, &path, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(
        err(&output).contains(
            "took the weights under \"state_dict\", not the average of them under \"state_dict_ema\""
        ),
        "{}",
        err(&output)
    );

    checkpoint("best").write_zip(&path);
    let output = features_command(&workspace, &path, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let error = err(&output);
    assert!(
        error.contains("several copies of mobilenet_v2 that differ, under \"best\" and under \"state_dict\"")
            || error.contains(
                "several copies of mobilenet_v2 that differ, under \"state_dict\" and under \"best\""
            ),
        "{error}"
    );
}

#[test]
fn listed_files_have_the_same_features_and_one_alone_is_rejected() {
    let files = Files::new();
    let (first, second) = network().split_at(100);
    let mut map = serde_json::Map::new();
    for (name, tensors) in [
        ("model-00001-of-00002.safetensors", first),
        ("model-00002-of-00002.safetensors", second),
    ] {
        write(&files.path(name), tensors);
        map.extend(tensors.iter().map(|tensor| (tensor.0.clone(), name.into())));
    }
    let list = files.path("model.safetensors.index.json");
    let contents = serde_json::json!({"metadata": {}, "weight_map": map});
    fs::write(&list, contents.to_string()).unwrap();
    assert_same(&list);
    assert_refused(
        &files.path("model-00001-of-00002.safetensors"),
        &["one of several files: give the list of them, such as model.safetensors.index.json"],
    );
    fs::remove_file(files.path("model-00002-of-00002.safetensors")).unwrap();
    assert_refused(&list, &["\"model-00002-of-00002.safetensors\" is missing"]);
}

#[test]
fn other_networks_and_empty_checkpoints_are_refused_by_what_they_hold() {
    let files = Files::new();
    let transformers = Object::dict([
        (
            "mobilenet_v2.conv_stem.first_conv.convolution.weight",
            Object::Tensor(0),
        ),
        (
            "mobilenet_v2.conv_stem.first_conv.normalization.weight",
            Object::Tensor(1),
        ),
    ]);
    assert_refused(
        &files.saved("transformers.bin", transformers),
        &[
            "no tensor \"features.0.0.weight\"",
            "seems to hold a network under the names of Hugging Face's transformers",
        ],
    );
    let unknown = Object::dict([(
        "state_dict",
        Object::dict([("stem.conv.weight", Object::Tensor(0))]),
    )]);
    assert_refused(
        &files.saved("unknown.pth", unknown),
        &["it holds tensors under \"state_dict\" (1)"],
    );
    let empty = Object::dict([("epoch", Object::Integer(3)), ("optimizer", Object::dict([]))]);
    assert_refused(
        &files.saved("empty.pth", empty),
        &["no tensors in it (its keys are \"epoch\", \"optimizer\")"],
    );
    let path = files.saved("cut.pth", state_dict());
    let contents = fs::read(&path).unwrap();
    fs::write(&path, &contents[..contents.len() * 2 / 3]).unwrap();
    assert_refused(&path, &["the file is cut short or damaged"]);
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let files = Files::new();
    let path = files.path("diverged.safetensors");
    for (name, value, part) in [
        (
            "features.18.0.weight",
            f32::NAN,
            "\"features.18.0.weight\" holds NaN",
        ),
        (
            "features.18.1.running_var",
            -1.0,
            "\"features.18.1.running_var\" holds -1, and a variance is not negative",
        ),
    ] {
        let mut tensors = network().to_vec();
        let tensor = tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap();
        tensor.2[3] = value;
        write(&path, &tensors);
        assert_refused(&path, &[part]);
    }
}

#[test]
fn features_that_are_no_numbers_are_refused() {
    let workspace = Workspace::new();
    let mut tensors = network().to_vec();
    let last = tensors
        .iter_mut()
        .find(|tensor| tensor.0 == "features.17.conv.3.bias")
        .unwrap();
    last.2.fill(f32::MAX);
    let file = workspace.file("large.safetensors");
    write(&file, &tensors);
    // The last layer is clipped at 6, the one before it is not.
    let output = features_command(
        &workspace,
        &file,
        &["--layer", "features.17", "--features", "pooled"],
    );
    assert_eq!(output.status.code(), Some(1));
    let error = err(&output);
    assert!(
        error.contains("image \"image.png\" has the feature inf"),
        "{error}"
    );
    assert!(!workspace.file(OUT).exists());
}
