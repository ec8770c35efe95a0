//! The index of Keras' `.h5`: a group for every layer, a dataset for every tensor, named as in safetensors converted from
//! Keras.
//!
//! Files of weights of Keras 1 and 2 (`~/.keras/models`) and saved models of all versions are supported, Keras 3's
//! `.weights.h5` is not: it names tensors by number and most layers by class.

use super::WeightsErrorKind;
use super::tensor::{Tensor, element_bytes};
use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::{ByteOrder, Dataset, Datatype, Hdf5File};
use safetensors::Dtype;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

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

/// The tensors by name of the file at `path` of `len` bytes.
pub(super) fn index(path: &Path, len: usize) -> Result<BTreeMap<String, Tensor>, WeightsErrorKind> {
    tensors(&Hdf5File::open(path).map_err(damaged)?, len)
}

fn tensors(file: &Hdf5File, len: usize) -> Result<BTreeMap<String, Tensor>, WeightsErrorKind> {
    let mut entries = Vec::new();
    collect(&weights(file)?, &mut Vec::new(), &mut entries)?;
    let layers = Layers::of(&entries);
    let mut tensors = BTreeMap::new();
    for (path, dataset) in entries {
        let Some(name) = layers.tensor_name(&path) else {
            continue;
        };
        let tensor = tensor(file, &dataset, &path.join("/"), len)?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(WeightsErrorKind::UnnamedLayers(name));
        }
    }
    Ok(tensors)
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

/// A dataset and its path: the names of its groups and its own.
type Entry = (Vec<String>, Dataset);

fn collect(group: &Group, path: &mut Vec<String>, entries: &mut Vec<Entry>) -> Result<(), WeightsErrorKind> {
    if path.len() == MAX_DEPTH {
        return Err(WeightsErrorKind::Damaged(
            "its groups are nested without end".into(),
        ));
    }
    let (groups, datasets) = group.members().map_err(damaged)?;
    for dataset in datasets {
        let name = dataset.name().to_owned();
        entries.push((path.iter().cloned().chain([name]).collect(), dataset));
    }
    for group in groups {
        path.push(group.name().to_owned());
        collect(&group, path, entries)?;
        path.pop();
    }
    Ok(())
}

fn tensor(file: &Hdf5File, dataset: &Dataset, name: &str, len: usize) -> Result<Tensor, WeightsErrorKind> {
    let dtype = dtype(dataset.dtype())?;
    let header = file.get_or_parse_header(dataset.address()).map_err(damaged)?;
    let layout = header.messages.iter().find_map(|message| match message {
        HdfMessage::DataLayout(message) => Some(&message.layout),
        _ => None,
    });
    let Some(&DataLayout::Contiguous { address, .. }) = layout else {
        return Err(WeightsErrorKind::Compressed(name.to_owned()));
    };
    let beyond = || WeightsErrorKind::Damaged(format!("{name:?} is beyond its end"));
    let side = |&side: &u64| usize::try_from(side).map_err(|_| beyond());
    let shape: Vec<usize> = dataset.shape().iter().map(side).collect::<Result<_, _>>()?;
    let range = || {
        let start = address.checked_add(file.superblock().base_address)?;
        let start = usize::try_from(start).ok()?;
        let bytes = (shape.iter()).try_fold(element_bytes(dtype), |bytes, &side| bytes.checked_mul(side))?;
        let end = bytes.checked_add(start)?;
        (end <= len).then_some(start..end)
    };
    let range = range().ok_or_else(beyond)?;
    Ok(Tensor::contiguous(dtype, shape, range))
}

/// Other types than floats become bytes, whose values [`WeightFile::get`](super::WeightFile::get) rejects.
fn dtype(datatype: &Datatype) -> Result<Dtype, WeightsErrorKind> {
    match datatype {
        Datatype::FloatingPoint {
            byte_order: ByteOrder::BigEndian,
            ..
        } => Err(WeightsErrorKind::BigEndian),
        Datatype::FloatingPoint { size: 2, .. } => Ok(Dtype::F16),
        Datatype::FloatingPoint { size: 4, .. } => Ok(Dtype::F32),
        Datatype::FloatingPoint { size: 8, .. } => Ok(Dtype::F64),
        _ => Ok(Dtype::U8),
    }
}

/// The layers with automatic names, by class and number. The numbers depend on the layers of other models in the same
/// process, so layers are renumbered from one.
struct Layers {
    automatic: BTreeMap<&'static str, BTreeSet<u32>>,
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

impl Layers {
    fn of(entries: &[Entry]) -> Self {
        let mut automatic: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let names = entries
            .iter()
            .filter_map(|(path, _)| automatic_name(layer(path)?));
        for (class, number) in names {
            automatic.entry(class).or_default().insert(number);
        }
        Self { automatic }
    }

    /// `block1_conv1/kernel`; `None` for a dataset in no group.
    fn tensor_name(&self, path: &[String]) -> Option<String> {
        let layer = layer(path)?;
        let tensor = path.last()?.split(':').next()?;
        // Keras 1: block1_conv1_W_1 in the group block1_conv1.
        let tensor = tensor
            .strip_prefix(layer)
            .and_then(|rest| rest.strip_prefix('_'))
            .map_or(tensor, without_number);
        let tensor = RENAMED
            .iter()
            .find_map(|(old, new)| (*old == tensor).then_some(*new))
            .unwrap_or(tensor);
        Some(format!("{}/{tensor}", self.layer_name(layer)))
    }

    fn layer_name(&self, layer: &str) -> String {
        let Some((class, number)) = automatic_name(layer) else {
            return layer.to_owned();
        };
        let before = self.automatic[class].range(..number).count();
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

/// The layer of a tensor: the outermost group, or the innermost for a model within a model.
fn layer(path: &[String]) -> Option<&str> {
    let (outermost, innermost) = (path.first()?, path.iter().rev().nth(1)?);
    let layer = if innermost.starts_with(outermost.as_str()) {
        outermost
    } else {
        innermost
    };
    Some(layer)
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
