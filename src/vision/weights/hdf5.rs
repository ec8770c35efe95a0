//! The index of Keras' `.h5`: a group for every layer, a dataset for every tensor, named as in safetensors converted from
//! Keras.
//!
//! Files of weights of Keras 1 and 2 (`~/.keras/models`), saved models of all versions and Keras 3's `.weights.h5` are
//! supported. The last has groups by the class of layers and numbers for tensors; current versions keep the name of each
//! layer as an attribute.

use super::layout::row_major_strides;
use super::npz::MAX_COMPRESSION;
use super::tensor::{ByteOrder, Tensor, element_bytes};
use super::{Index, WeightsErrorKind, Window};
use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::{Dataset, Datatype, Hdf5File, OpenOptions};
use safetensors::Dtype;
use std::collections::{BTreeMap, BTreeSet};

/// The first bytes of every HDF5 file.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// The group of weights in a saved model; another group has the optimizer's.
const MODEL_WEIGHTS: &str = "model_weights";

/// Deeper than the groups of any file of weights.
const MAX_DEPTH: usize = 16;

/// Whether the file has HDF5's signature.
pub(super) fn recognizes(file: &[u8]) -> bool {
    file.starts_with(SIGNATURE)
}

/// The group of a layer's variables in Keras 3's `.weights.h5`.
const VARIABLES: &str = "vars";

/// The tensors by name of the file in `window`. `names` are those of layers by their group, where the file has them not.
pub(super) fn index(window: &Window, names: &LayerNames) -> Result<Index, WeightsErrorKind> {
    let options = OpenOptions::default();
    let file = Hdf5File::from_owner(window.clone(), options).map_err(damaged)?;
    let mut entries = Vec::new();
    collect(&weights(&file)?, names, None, &mut Vec::new(), &mut entries)?;
    let layers = Layers::of(&entries);
    let mut index = Index::default();
    for entry in &entries {
        let Some(name) = layers.tensor_name(entry) else {
            continue;
        };
        let tensor = tensor(&file, entry, window)?;
        let name = name_of_kernel(name, &tensor.shape);
        let is_unnamed = entry.place.as_ref().is_some_and(|place| place.is_unnamed);
        if is_unnamed || index.tensors.insert(name.clone(), tensor).is_some() {
            return Err(WeightsErrorKind::UnnamedLayers(name));
        }
    }
    Ok(index)
}

/// The datasets of the file in `window` by their paths, such as `group/dataset`. Those that are cut in pieces or compressed
/// are read at once. Datasets of other types than floats are left out.
pub(super) fn index_paths(window: &Window) -> Result<Index, WeightsErrorKind> {
    let file = Hdf5File::from_owner(window.clone(), OpenOptions::default()).map_err(damaged)?;
    let mut entries = Vec::new();
    let root = file.root_group().map_err(damaged)?;
    collect(&root, &LayerNames::new(), None, &mut Vec::new(), &mut entries)?;
    let mut index = Index::default();
    let mut room = window.bytes().len().saturating_mul(MAX_COMPRESSION);
    for entry in &entries {
        let name = entry.path.join("/");
        if !matches!(entry.dataset.dtype(), Datatype::FloatingPoint { .. }) {
            continue;
        }
        match tensor(&file, entry, window) {
            Ok(tensor) => {
                index.tensors.insert(name, tensor);
            }
            Err(WeightsErrorKind::Compressed(_)) => {
                let (tensor, bytes) = inflated(entry, room)?;
                room -= bytes.len();
                index.add_inflated(name, tensor, bytes);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(index)
}

/// A dataset in pieces, of at most `room` bytes.
fn inflated(entry: &Variable, room: usize) -> Result<(Tensor, Vec<u8>), WeightsErrorKind> {
    let dataset = &entry.dataset;
    let len = dataset.raw_byte_len().map_err(damaged)?;
    if len > room {
        let why = format!("{:?} is far larger than the file", entry.path.join("/"));
        return Err(WeightsErrorKind::Damaged(why));
    }
    let bytes = dataset.read_raw_bytes().map_err(damaged)?;
    let (dtype, order) = dtype(dataset);
    let shape: Option<Vec<usize>> = (dataset.shape().iter())
        .map(|&side| side.try_into().ok())
        .collect();
    let strides = shape.as_deref().map(row_major_strides);
    let tensor = shape.zip(strides).and_then(|(shape, strides)| {
        let tensor = Tensor::view(dtype, shape, strides, 0, &(0..bytes.len()))?;
        Some(tensor.in_order(order))
    });
    let beyond = || WeightsErrorKind::Damaged(format!("{:?} is incomplete", entry.path.join("/")));
    Ok((tensor.ok_or_else(beyond)?, bytes))
}

/// Keras 3 calls the kernel of a depthwise convolution `kernel` in `.h5`; it is known by its shape.
fn name_of_kernel(name: String, shape: &[usize]) -> String {
    match (name.strip_suffix("/kernel"), shape) {
        (Some(layer), [_, _, _, 1]) => format!("{layer}/depthwise_kernel"),
        _ => name,
    }
}

/// The group of layers: the root, or a group of a saved model.
fn weights(file: &Hdf5File) -> Result<Group, WeightsErrorKind> {
    let root = file.root_group().map_err(damaged)?;
    let (groups, _) = root.member_names().map_err(damaged)?;
    if groups.iter().any(|name| name == MODEL_WEIGHTS) {
        root.group(MODEL_WEIGHTS).map_err(damaged)
    } else {
        Ok(root)
    }
}

fn damaged(error: Error) -> WeightsErrorKind {
    WeightsErrorKind::Damaged(error.to_string())
}

/// The names of layers by their groups.
type LayerNames = BTreeMap<String, String>;

/// A tensor and its place in the network.
struct Variable {
    /// The names of its groups and its own.
    path: Vec<String>,
    dataset: Dataset,
    /// `None` for a dataset in no group, or of the optimizer.
    place: Option<Place>,
}

/// The name of a tensor in three parts.
struct Place {
    /// The models around the layer, each followed by a slash.
    models: String,
    layer: String,
    tensor: String,
    /// Whether the layer has only the name of its class.
    is_unnamed: bool,
}

/// Adds the datasets of a group, which may have a layer's name as an attribute.
fn collect(
    group: &Group,
    names: &LayerNames,
    layer: Option<&str>,
    path: &mut Vec<String>,
    entries: &mut Vec<Variable>,
) -> Result<(), WeightsErrorKind> {
    if path.len() == MAX_DEPTH {
        return Err(WeightsErrorKind::Damaged(
            "its groups are nested without end".into(),
        ));
    }
    let (groups, datasets) = group.members().map_err(damaged)?;
    let variables = datasets.len();
    for dataset in datasets {
        let path: Vec<String> = path.iter().cloned().chain([dataset.name().to_owned()]).collect();
        let is_variable = path.iter().rev().nth(1).is_some_and(|group| group == VARIABLES);
        let place = if is_variable {
            Place::of_variable(&path, layer, variables)
        } else {
            Place::of(&path)
        };
        entries.push(Variable { path, dataset, place });
    }
    for group in groups {
        let layer = match group.name() {
            VARIABLES => {
                let name = group.attribute("name").and_then(|name| name.read_string());
                name.ok().or_else(|| names.get(&path.join("/")).cloned())
            }
            _ => None,
        };
        path.push(group.name().to_owned());
        collect(&group, names, layer.as_deref(), path, entries)?;
        path.pop();
    }
    Ok(())
}

impl Place {
    /// The layer is the outermost group, or the innermost for a model within a model.
    fn of(path: &[String]) -> Option<Self> {
        let [groups @ .., tensor] = path else { return None };
        // A layer's name may have a slash: conv1/conv in the group conv1/conv.
        let (before, after) = groups.split_at(groups.len() / 2);
        if groups.len() > 2 && before == after {
            return Some(Self {
                models: String::new(),
                layer: before.join("/"),
                tensor: tensor.split(':').next()?.to_owned(),
                is_unnamed: false,
            });
        }
        let (outermost, innermost) = (groups.first()?, groups.last()?);
        let (models, layer) = if innermost.starts_with(outermost.as_str()) {
            (&[][..], outermost)
        } else {
            (&groups[..groups.len() - 1], innermost)
        };
        Some(Self {
            models: slashed(models.iter()),
            layer: layer.clone(),
            tensor: tensor.split(':').next()?.to_owned(),
            is_unnamed: false,
        })
    }

    /// `layers/conv2d_1/vars/0`, with the name of the layer if the file has it. A layer has this number of `variables`.
    fn of_variable(path: &[String], layer: Option<&str>, variables: usize) -> Option<Self> {
        let [groups @ .., group, _, number] = path else {
            return None;
        };
        if path[0] == "optimizer" {
            return None;
        }
        let class = group.trim_end_matches(|c: char| c.is_ascii_digit());
        let class = class.strip_suffix('_').unwrap_or(group);
        let named = VARIABLES_OF
            .iter()
            .find(|row| row.0 == class && variables <= row.1.len());
        let names = named.map_or(&["kernel", "bias"][..], |row| row.1);
        let number: Option<usize> = number.parse().ok();
        let tensor = number.and_then(|number| names.get(number));
        Some(Self {
            models: slashed(groups.iter().filter(|group| *group != "layers")),
            layer: layer.unwrap_or(group).to_owned(),
            tensor: tensor.map_or_else(|| path[path.len() - 1].clone(), |name| (*name).to_owned()),
            is_unnamed: layer.is_none() && named.is_some(),
        })
    }
}

fn slashed<'g>(groups: impl Iterator<Item = &'g String>) -> String {
    groups.map(|group| format!("{group}/")).collect()
}

/// The variables of each class of layers in order; those that a layer lacks are the last, unless a row says otherwise.
const VARIABLES_OF: [(&str, &[&str]); 6] = [
    ("conv2d", &["kernel", "bias"]),
    ("depthwise_conv2d", &["depthwise_kernel", "bias"]),
    (
        "separable_conv2d",
        &["depthwise_kernel", "pointwise_kernel", "bias"],
    ),
    ("dense", &["kernel", "bias"]),
    ("batch_normalization", &["beta", "moving_mean", "moving_variance"]), // without scale
    (
        "batch_normalization",
        &["gamma", "beta", "moving_mean", "moving_variance"],
    ),
];

fn tensor(file: &Hdf5File, entry: &Variable, window: &Window) -> Result<Tensor, WeightsErrorKind> {
    let dataset = &entry.dataset;
    let name = || entry.path.join("/");
    let (dtype, order) = dtype(dataset);
    let header = file.get_or_parse_header(dataset.address()).map_err(damaged)?;
    let layout = header.messages.iter().find_map(|message| match message {
        HdfMessage::DataLayout(message) => Some(&message.layout),
        _ => None,
    });
    let Some(&DataLayout::Contiguous { address, .. }) = layout else {
        return Err(WeightsErrorKind::Compressed(name()));
    };
    let beyond = || WeightsErrorKind::Damaged(format!("{:?} is beyond its end", name()));
    let side = |&side: &u64| usize::try_from(side).map_err(|_| beyond());
    let shape: Vec<usize> = dataset.shape().iter().map(side).collect::<Result<_, _>>()?;
    let range = || {
        let start = address.checked_add(file.superblock().base_address)?;
        let start = usize::try_from(start).ok()?;
        let bytes = (shape.iter()).try_fold(element_bytes(dtype), |bytes, &side| bytes.checked_mul(side))?;
        window.within(start..bytes.checked_add(start)?)
    };
    let range = range().ok_or_else(beyond)?;
    Ok(Tensor::contiguous(dtype, shape, range).in_order(order))
}

/// Other types than floats become bytes, whose values [`WeightFile::get`](super::WeightFile::get) rejects.
fn dtype(dataset: &Dataset) -> (Dtype, ByteOrder) {
    // Keras writes bfloat16 as a type of its own, and says so.
    let declared = dataset.attribute("dtype").and_then(|dtype| dtype.read_string());
    let is_bfloat16 = declared.is_ok_and(|dtype| dtype == "bfloat16");
    match dataset.dtype() {
        Datatype::FloatingPoint { size, byte_order } => {
            let dtype = match size {
                2 => Dtype::F16,
                4 => Dtype::F32,
                8 => Dtype::F64,
                _ => Dtype::U8,
            };
            let order = match byte_order {
                hdf5_reader::ByteOrder::LittleEndian => ByteOrder::Little,
                hdf5_reader::ByteOrder::BigEndian => ByteOrder::Big,
            };
            (dtype, order)
        }
        Datatype::Opaque { size: 2, .. } if is_bfloat16 => (Dtype::BF16, ByteOrder::Little),
        _ => (Dtype::U8, ByteOrder::Little),
    }
}

/// The layers with automatic names, by model, class and number. The numbers depend on the layers of other models in the
/// same process, so the layers of each model are renumbered from one.
struct Layers<'e> {
    automatic: BTreeMap<(&'e str, &'static str), BTreeSet<u32>>,
}

/// A class of layers: its automatic name, and that of Keras 1.
const CLASSES: [(&str, &str); 2] = [
    ("conv2d", "convolution2d"),
    ("batch_normalization", "batchnormalization"),
];

/// Keras 1's names of tensors, and the current ones. Its "running_std" is the variance.
const RENAMED: [(&str, &str); 4] = [
    ("W", "kernel"),
    ("b", "bias"),
    ("running_mean", "moving_mean"),
    ("running_std", "moving_variance"),
];

impl<'e> Layers<'e> {
    fn of(entries: &'e [Variable]) -> Self {
        let mut automatic: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for place in entries.iter().filter_map(|entry| entry.place.as_ref()) {
            if let Some((class, number)) = automatic_name(&place.layer) {
                let key = (place.models.as_str(), class);
                automatic.entry(key).or_default().insert(number);
            }
        }
        Self { automatic }
    }

    /// `block1_conv1/kernel`; `None` for a dataset in no group.
    fn tensor_name(&self, entry: &Variable) -> Option<String> {
        let Place {
            models,
            layer,
            tensor,
            ..
        } = entry.place.as_ref()?;
        // Keras 1: block1_conv1_W_1 in the group block1_conv1.
        let tensor = tensor
            .strip_prefix(layer.as_str())
            .and_then(|rest| rest.strip_prefix('_'))
            .map_or(tensor.as_str(), without_number);
        let tensor = RENAMED
            .iter()
            .find_map(|(old, new)| (*old == tensor).then_some(*new))
            .unwrap_or(tensor);
        Some(format!("{models}{}/{tensor}", self.layer_name(models, layer)))
    }

    fn layer_name(&self, models: &str, layer: &str) -> String {
        let Some((class, number)) = automatic_name(layer) else {
            return layer.to_owned();
        };
        let before = self.automatic[&(models, class)].range(..number).count();
        format!("{class}_{}", before + 1)
    }
}

/// `conv2d_3` -> `conv2d` and 3; `conv2d` has number 0.
fn automatic_name(layer: &str) -> Option<(&'static str, u32)> {
    CLASSES.iter().find_map(|&(class, old)| {
        let rest = layer.strip_prefix(class).or_else(|| layer.strip_prefix(old))?;
        let number = if rest.is_empty() {
            0
        } else {
            rest.strip_prefix('_')?.parse().ok()?
        };
        Some((class, number))
    })
}

/// `W_1` -> `W`.
fn without_number(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((rest, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests;
