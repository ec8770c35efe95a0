//! The index of a PyTorch checkpoint: the zip format (since 1.6) and the legacy format.
//!
//! Both have a pickle of an object, and in it tensors, each a view (offset, shape, strides) of a storage outside the pickle.
//! In the zip format, each storage is an entry `<archive>/data/<key>`. The legacy format is a sequence of pickles (magic
//! number, protocol, system, the object, the storages' keys), followed by the storages, each a number of elements (8 bytes,
//! little-endian) and its data.
//! Source: `torch/serialization.py`, functions `_save`, `_legacy_save`.
//!
//! A tensor is named by the keys on the way to it: `state_dict.features.0.weight`.

use super::archive::{self, Archive, damaged};
use super::pickle::{Global, Malformed, Node, Pickle, Value};
use super::tensor::{ByteOrder, Tensor, element_bytes};
use super::{Index, WeightsErrorKind};
use safetensors::Dtype;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

type Result<T> = std::result::Result<T, WeightsErrorKind>;

/// `0x1950a86a20f9469cfc6c` in a pickle.
const LEGACY_MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const LEGACY_PROTOCOL: i64 = 1001;
/// Deeper than the objects of any checkpoint; a module in a module is two.
const MAX_DEPTH: usize = 64;
/// More than the names in any checkpoint.
const MAX_NAME_BYTES: usize = 64 << 20;
/// A module's attributes, which its state dict does not name.
const IN_MODULES: [&str; 3] = ["_modules", "_parameters", "_buffers"];

/// Whether the file starts with the magic number. From protocol 4 on, a frame with its length is before it.
pub(super) fn recognizes_legacy(file: &[u8]) -> bool {
    const PROTOCOL: u8 = 0x80;
    const FRAME: u8 = 0x95;
    const LONG1: u8 = 0x8a;
    let Some(([PROTOCOL, _], rest)) = file.split_first_chunk() else {
        return false;
    };
    let rest = match rest.split_first_chunk::<9>() {
        Some(([FRAME, ..], rest)) => rest,
        _ => rest,
    };
    let magic = rest.strip_prefix(&[LONG1, LEGACY_MAGIC.len() as u8]);
    magic.is_some_and(|magic| magic.starts_with(LEGACY_MAGIC))
}

impl From<Malformed> for WeightsErrorKind {
    fn from(Malformed(why): Malformed) -> Self {
        Self::Damaged(format!("its pickle is malformed: {why}"))
    }
}

/// The folder of all entries, which PyTorch names after the file.
pub(super) fn folder(names: &[String]) -> Option<&str> {
    names.iter().find_map(|name| name.strip_suffix("/data.pkl"))
}

/// The tensors of a zip file, whose entries are in `folder`.
pub(super) fn index_zip(file: &[u8], archive: &mut Archive<'_>, folder: &str) -> Result<Index> {
    let order = match archive::read_entry(archive, &format!("{folder}/byteorder"))? {
        Some(order) if order != b"little" => ByteOrder::Big,
        _ => ByteOrder::Little,
    };
    // Not copied: arrays beside the weights can make it as large as these.
    let pickle = archive::uncompressed_range(archive, &format!("{folder}/data.pkl"))?;
    let pickle = file
        .get(pickle)
        .ok_or_else(|| damaged("its pickle is beyond its end"))?;
    let pickle = Pickle::read(pickle)?;
    let mut storages = HashMap::new();
    for storage in storages_of(&pickle) {
        let range = archive::uncompressed_range(archive, &format!("{folder}/data/{}", storage.key))?;
        let range = storage.checked(range, file.len())?;
        storages.insert(storage.key, range);
    }
    Tree::new(&pickle, &storages, order).index()
}

/// The tensors of a legacy file.
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
    let order = match entry(&system, system.root, "little_endian") {
        Some(Value::Bool(false)) => ByteOrder::Big,
        _ => ByteOrder::Little,
    };
    let object = next()?;
    let keys = next()?;
    let data = file.len() - rest.len();
    let storages = legacy_storages(file, data, &object, &keys)?;
    Tree::new(&object, &storages, order).index()
}

fn legacy_storages<'a>(
    file: &[u8],
    mut start: usize,
    object: &Pickle<'a>,
    keys: &Pickle<'a>,
) -> Result<HashMap<&'a str, Range<usize>>> {
    const COUNT_BYTES: usize = size_of::<u64>();
    let known: HashMap<_, _> = storages_of(object).into_iter().map(|s| (s.key, s)).collect();
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

/// The distinct storages of the pickle. Those of types that no network has are left out.
fn storages_of<'a>(pickle: &Pickle<'a>) -> Vec<Storage<'a>> {
    let ids = pickle.nodes().filter_map(|node| match node {
        Node::Persistent(id) => Storage::parse(pickle, *id),
        _ => None,
    });
    let storages: HashMap<&str, Storage<'a>> = ids.map(|storage| (storage.key, storage)).collect();
    storages.into_values().collect()
}

/// The walk over all objects of a pickle.
struct Tree<'p, 'a> {
    pickle: &'p Pickle<'a>,
    storages: &'p HashMap<&'a str, Range<usize>>,
    order: ByteOrder,
    /// Objects are walked once, though others may refer to them many times, or to those around them.
    walked: HashSet<usize>,
    depth: usize,
    name_bytes: usize,
    index: Index,
}

impl<'p, 'a> Tree<'p, 'a> {
    fn new(pickle: &'p Pickle<'a>, storages: &'p HashMap<&'a str, Range<usize>>, order: ByteOrder) -> Self {
        Self {
            pickle,
            storages,
            order,
            walked: HashSet::new(),
            depth: 0,
            name_bytes: 0,
            index: Index::default(),
        }
    }

    /// The tensors by name.
    fn index(mut self) -> Result<Index> {
        self.walk(self.pickle.root, &mut Vec::new())?;
        if self.index.tensors.is_empty() {
            return Err(WeightsErrorKind::NotAStateDict(self.description()));
        }
        Ok(self.index)
    }

    fn walk(&mut self, value: Value<'a>, path: &mut Vec<Cow<'a, str>>) -> Result<()> {
        if let Some(parts) = TensorParts::parse(self.pickle, value) {
            return self.add(parts, path);
        }
        let Value::Node(number) = value else {
            return Ok(());
        };
        if self.depth == MAX_DEPTH || !self.walked.insert(number) {
            return Ok(());
        }
        self.depth += 1;
        let pickle = self.pickle;
        match pickle.node(value) {
            Some(Node::Dict(entries)) => self.walk_entries(entries, path)?,
            Some(Node::Object(object)) => {
                self.walk_entries(&object.entries, path)?;
                let attributes = object.state.and_then(|state| pickle.dict(state));
                self.walk_entries(attributes.unwrap_or_default(), path)?;
            }
            Some(Node::List(items) | Node::Tuple(items)) => {
                for (number, item) in (0..).zip(items) {
                    self.walk_entry(Value::Integer(number), *item, path)?;
                }
            }
            _ => {}
        }
        self.depth -= 1;
        Ok(())
    }

    fn walk_entries(
        &mut self,
        entries: &[(Value<'a>, Value<'a>)],
        path: &mut Vec<Cow<'a, str>>,
    ) -> Result<()> {
        let mut entries = entries.iter();
        entries.try_for_each(|&(key, value)| self.walk_entry(key, value, path))
    }

    fn walk_entry(&mut self, key: Value<'a>, value: Value<'a>, path: &mut Vec<Cow<'a, str>>) -> Result<()> {
        let key = match key {
            Value::Text(key) if IN_MODULES.contains(&key) => return self.walk(value, path),
            Value::Text(key) => Cow::Borrowed(key),
            Value::Integer(key) => Cow::Owned(key.to_string()),
            _ => return Ok(()),
        };
        path.push(key);
        self.walk(value, path)?;
        path.pop();
        Ok(())
    }

    fn add(&mut self, parts: TensorParts<'a>, path: &[Cow<'a, str>]) -> Result<()> {
        // A key of any length may be part of many names.
        self.name_bytes += path.iter().map(|key| key.len() + 1).sum::<usize>();
        if self.name_bytes > MAX_NAME_BYTES {
            return Err(damaged("the names of its tensors are far too long"));
        }
        let name = path.join(".");
        let tensor = parts
            .tensor(self.storages)
            .ok_or_else(|| damaged(format!("tensor {name:?} reaches beyond its storage")))?;
        let tensor = tensor.in_order(self.order);
        self.index.tensors.entry(name).or_insert(tensor);
        Ok(())
    }

    /// What an object without tensors is.
    fn description(&self) -> String {
        const SHOWN: usize = 8;
        const MOST: usize = 40;
        match self.pickle.node(self.pickle.root) {
            Some(Node::Dict(entries)) => {
                let keys = entries.iter().filter_map(|(key, _)| match key {
                    Value::Text(key) => Some(format!("{:?}", key.chars().take(MOST).collect::<String>())),
                    _ => None,
                });
                let keys: Vec<String> = keys.take(SHOWN).collect();
                format!("its keys are {}", keys.join(", "))
            }
            Some(Node::Object(object)) => {
                let (module, name) = object.class.unwrap_or(("a", "call"));
                let function: String = format!("{module}.{name}").chars().take(MOST).collect();
                format!("it is what {function:?} returns in Python, and nothing in a file is run here")
            }
            _ => "it is no dict".to_owned(),
        }
    }
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
        let (function, arguments) = match (function, arguments) {
            (Global::Parameter, [tensor, ..]) => called(pickle, *tensor)?,
            _ => (function, arguments),
        };
        let (function, arguments) = match (function, arguments) {
            (Global::TensorOfType, [Value::Global(function), _, arguments, ..]) => {
                (*function, pickle.tuple(*arguments)?)
            }
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

fn called<'p, 'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<(Global<'a>, &'p [Value<'a>])> {
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
