//! The index of a PyTorch state dict: the zip format (since 1.6) and the legacy format.
//!
//! Both have a pickle of `{name: tensor}`, where a tensor is a view (offset, shape, strides) of a storage outside the
//! pickle. In the zip format, each storage is an entry `<archive>/data/<key>`. The legacy format is a sequence of pickles
//! (magic number, protocol, system, the object, the storages' keys), followed by the storages, each a number of elements
//! (8 bytes, little-endian) and its data.
//! Source: `torch/serialization.py`, functions `_save`, `_legacy_save`.

use super::WeightsErrorKind;
use super::pickle::{Global, Node, Pickle, PickleError, Value};
use super::tensor::{Tensor, element_bytes};
use safetensors::Dtype;
use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::ops::Range;
use zip::{CompressionMethod, ZipArchive};

type Index = BTreeMap<String, Tensor>;
type Result<T> = std::result::Result<T, WeightsErrorKind>;

/// `0x1950a86a20f9469cfc6c` in a pickle.
const LEGACY_MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const LEGACY_PROTOCOL: i64 = 1001;
/// Larger than any pickle of a state dict, which does not contain the tensors' values.
const LARGEST_PICKLE: u64 = 64 << 20;
/// The usual keys of the state dict in a checkpoint.
const NESTED_UNDER: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

pub(super) fn recognizes_zip(file: &[u8]) -> bool {
    file.starts_with(b"PK\x03\x04")
}

pub(super) fn recognizes_legacy(file: &[u8]) -> bool {
    const LONG1: u8 = 0x8a;
    file.first() == Some(&0x80)
        && file.get(2..4) == Some(&[LONG1, LEGACY_MAGIC.len() as u8])
        && file.get(4..4 + LEGACY_MAGIC.len()) == Some(LEGACY_MAGIC)
}

impl From<PickleError> for WeightsErrorKind {
    fn from(error: PickleError) -> Self {
        match error {
            PickleError::Global(name) => Self::ForeignGlobal(name),
            PickleError::Malformed(why) => Self::Damaged(format!("its pickle is malformed: {why}")),
        }
    }
}

/// The tensors by name of a zip file.
pub(super) fn index_zip(file: &[u8]) -> Result<Index> {
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(damaged)?;
    let folder = archive_folder(&archive)?;
    if let Some(order) = read_entry(&mut archive, &format!("{folder}/byteorder"))?
        && order != b"little"
    {
        return Err(WeightsErrorKind::BigEndian);
    }
    let Some(bytes) = read_entry(&mut archive, &format!("{folder}/data.pkl"))? else {
        return Err(without_pickle());
    };
    let pickle = Pickle::read(&bytes)?;
    let mut storages = HashMap::new();
    for storage in storages_of(&pickle)? {
        let range = stored_range(&mut archive, &format!("{folder}/data/{}", storage.key))?;
        let range = storage.checked(range, file.len())?;
        storages.insert(storage.key, range);
    }
    tensors(&pickle, &storages)
}

/// The tensors by name of a legacy file.
pub(super) fn index_legacy(file: &[u8]) -> Result<Index> {
    let mut rest = file;
    let mut next = || -> Result<Pickle<'_>> {
        let pickle = Pickle::read(rest)?;
        rest = &rest[pickle.len..];
        Ok(pickle)
    };
    next()?; // the magic number, already recognized
    let protocol = next()?;
    if protocol.root != Value::Integer(LEGACY_PROTOCOL) {
        return Err(damaged(format!("legacy protocol {:?}", protocol.root)));
    }
    let system = next()?;
    if entry(&system, system.root, "little_endian") == Some(Value::Bool(false)) {
        return Err(WeightsErrorKind::BigEndian);
    }
    let object = next()?;
    let keys = next()?;
    let data = file.len() - rest.len();
    tensors(&object, &legacy_storages(file, data, &object, &keys)?)
}

fn legacy_storages<'a>(
    file: &[u8],
    mut start: usize,
    object: &Pickle<'a>,
    keys: &Pickle<'a>,
) -> Result<HashMap<&'a str, Range<usize>>> {
    const COUNT_BYTES: usize = size_of::<u64>();
    let known: HashMap<_, _> = storages_of(object)?.into_iter().map(|s| (s.key, s)).collect();
    let Some(Node::List(keys)) = keys.node(keys.root) else {
        return Err(damaged("the list of storages is missing"));
    };
    let mut storages = HashMap::new();
    for key in keys {
        let Value::Text(key) = *key else {
            return Err(damaged("a storage's key is not text"));
        };
        let storage = known
            .get(key)
            .ok_or_else(|| damaged(format!("storage {key:?} belongs to no tensor")))?;
        let data = storage.checked(start + COUNT_BYTES..usize::MAX, file.len())?;
        start = data.end;
        storages.insert(key, data);
    }
    Ok(storages)
}

/// A storage in the pickle: `("storage", class, key, location, elements[, view])`.
struct Storage<'a> {
    key: &'a str,
    dtype: Dtype,
    elements: usize,
}

impl<'a> Storage<'a> {
    fn parse(pickle: &Pickle<'a>, id: Value<'a>) -> Option<Self> {
        match *pickle.tuple(id)? {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                Value::Integer(elements),
                // Before PyTorch 0.4, a sixth element was a view of another storage.
                ref view @ ..,
            ] if matches!(view, [] | [Value::None]) => Some(Self {
                key,
                dtype,
                elements: usize::try_from(elements).ok()?,
            }),
            _ => None,
        }
    }

    /// The storage's bytes at the start of `range`.
    ///
    /// # Errors
    /// If they exceed the range or the file.
    fn checked(&self, range: Range<usize>, file_len: usize) -> Result<Range<usize>> {
        self.elements
            .checked_mul(element_bytes(self.dtype))
            .and_then(|bytes| bytes.checked_add(range.start))
            .filter(|&end| end <= range.end.min(file_len))
            .map(|end| range.start..end)
            .ok_or_else(|| damaged(format!("the data of storage {:?} is incomplete", self.key)))
    }
}

/// The distinct storages of the pickle.
fn storages_of<'a>(pickle: &Pickle<'a>) -> Result<Vec<Storage<'a>>> {
    let mut storages: HashMap<&str, Storage<'a>> = HashMap::new();
    for node in pickle.nodes() {
        let Node::Persistent(id) = node else { continue };
        let storage = Storage::parse(pickle, *id).ok_or_else(|| {
            WeightsErrorKind::NotAStateDict(
                "its references to data are those of PyTorch before 0.4".to_owned(),
            )
        })?;
        storages.insert(storage.key, storage);
    }
    Ok(storages.into_values().collect())
}

/// The tensors of the state dict, each checked to be within its storage.
fn tensors<'a>(pickle: &Pickle<'a>, storages: &HashMap<&'a str, Range<usize>>) -> Result<Index> {
    let mut index = Index::new();
    for &(key, value) in state_dict(pickle)? {
        let (Value::Text(name), Value::Node(_)) = (key, value) else {
            continue; // some files have counters beside tensors
        };
        let Some(parts) = TensorParts::parse(pickle, value) else {
            continue;
        };
        let tensor = parts
            .tensor(storages)
            .ok_or_else(|| damaged(format!("tensor {name:?} reaches beyond its storage")))?;
        index.insert(name.to_owned(), tensor);
    }
    Ok(index)
}

/// The first dict, from the top, that holds tensors.
fn state_dict<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<&'p [(Value<'a>, Value<'a>)]> {
    let nested = NESTED_UNDER
        .iter()
        .filter_map(|key| entry(pickle, pickle.root, key));
    std::iter::once(pickle.root)
        .chain(nested)
        .filter_map(|value| pickle.dict(value))
        .find(|dict| dict.iter().any(|(_, value)| is_tensor(pickle, *value)))
        .ok_or_else(|| {
            let keys = NESTED_UNDER.join("\", \"");
            WeightsErrorKind::NotAStateDict(format!("no tensors at the top, nor under \"{keys}\""))
        })
}

fn is_tensor<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> bool {
    TensorParts::parse(pickle, value).is_some()
}

fn entry<'a>(pickle: &Pickle<'a>, dict: Value<'a>, key: &str) -> Option<Value<'a>> {
    let entries = pickle.dict(dict)?;
    let (_, value) = entries.iter().find(|(found, _)| *found == Value::Text(key))?;
    Some(*value)
}

/// The arguments of `_rebuild_tensor_v2`.
struct TensorParts<'a> {
    storage: Storage<'a>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'a> TensorParts<'a> {
    fn parse(pickle: &Pickle<'a>, value: Value<'a>) -> Option<Self> {
        let (function, arguments) = called(pickle, value)?;
        // A parameter has a tensor as its first argument, never another parameter.
        let (function, arguments) = match function {
            Global::Parameter => called(pickle, *arguments.first()?)?,
            _ => (function, arguments),
        };
        let (Global::Tensor, [storage, Value::Integer(offset), shape, strides, ..]) = (function, arguments)
        else {
            return None;
        };
        let Node::Persistent(id) = pickle.node(*storage)? else {
            return None;
        };
        Some(Self {
            storage: Storage::parse(pickle, *id)?,
            offset: usize::try_from(*offset).ok()?,
            shape: sizes(pickle, *shape)?,
            strides: sizes(pickle, *strides)?,
        })
    }

    fn tensor(self, storages: &HashMap<&'a str, Range<usize>>) -> Option<Tensor> {
        let storage = storages.get(self.storage.key)?;
        Tensor::view(self.storage.dtype, self.shape, self.strides, self.offset, storage)
    }
}

fn called<'p, 'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<(Global, &'p [Value<'a>])> {
    match pickle.node(value)? {
        Node::Call { function, arguments } => Some((*function, pickle.tuple(*arguments)?)),
        _ => None,
    }
}

/// A shape or strides: a tuple of integers, or `torch.Size` around one.
fn sizes<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<Vec<usize>> {
    let value = match called(pickle, value) {
        Some((Global::Size, [inner])) => *inner,
        _ => value,
    };
    let size = |value: &Value<'_>| match value {
        Value::Integer(size) => usize::try_from(*size).ok(),
        _ => None,
    };
    pickle.tuple(value)?.iter().map(size).collect()
}

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// The folder of all entries; PyTorch names it after the file.
fn archive_folder(archive: &Archive<'_>) -> Result<String> {
    let mut names = archive.file_names().filter_map(|name| name.ok());
    if let Some(name) = names.find(|name| name.ends_with("/constants.pkl") || name.contains("/code/")) {
        return Err(WeightsErrorKind::TorchScript(name.into_owned()));
    }
    archive
        .file_names()
        .filter_map(|name| name.ok())
        .find_map(|name| name.strip_suffix("/data.pkl").map(str::to_owned))
        .ok_or_else(|| not_weights_itself(archive))
}

/// The error for other archives, such as Python packages, perhaps with a file of weights inside.
fn not_weights_itself(archive: &Archive<'_>) -> WeightsErrorKind {
    const WEIGHTS: [&str; 4] = [".pth", ".pt", ".safetensors", ".h5"];
    let mut names = archive.file_names().filter_map(|name| name.ok());
    match names.find(|name| WEIGHTS.iter().any(|ending| name.ends_with(ending))) {
        Some(name) => WeightsErrorKind::Packed(name.into_owned()),
        None => without_pickle(),
    }
}

fn without_pickle() -> WeightsErrorKind {
    WeightsErrorKind::NotAStateDict("its archive has no data.pkl".to_owned())
}

/// The content of a small entry, if there is one of this name.
fn read_entry(archive: &mut Archive<'_>, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(index) = archive.index_for_name(name) else {
        return Ok(None);
    };
    let entry = archive.by_index(index).map_err(damaged)?;
    if entry.size() > LARGEST_PICKLE {
        return Err(WeightsErrorKind::NotAStateDict(format!(
            "{name:?} is far too large"
        )));
    }
    let mut contents = Vec::new();
    let mut entry = entry.take(LARGEST_PICKLE);
    entry.read_to_end(&mut contents).map_err(damaged)?;
    Ok(Some(contents))
}

/// The range of an entry's bytes in the file. PyTorch never compresses them.
fn stored_range(archive: &mut Archive<'_>, name: &str) -> Result<Range<usize>> {
    let index = archive
        .index_for_name(name)
        .ok_or_else(|| damaged(format!("entry {name:?} is missing")))?;
    let entry = archive.by_index_raw(index).map_err(damaged)?;
    if entry.compression() != CompressionMethod::Stored {
        return Err(WeightsErrorKind::Compressed(name.to_owned()));
    }
    let range = entry.data_start().and_then(|start| {
        let end = start.checked_add(entry.size())?;
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    });
    range.ok_or_else(|| damaged(format!("entry {name:?} has no data")))
}

fn damaged(why: impl ToString) -> WeightsErrorKind {
    WeightsErrorKind::Damaged(why.to_string())
}
