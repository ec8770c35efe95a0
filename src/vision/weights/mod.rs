//! Files of published weights: `.safetensors`, both formats of PyTorch's `.pth`, Keras' `.h5` and `.keras`, and NumPy's
//! `.npz`.
//!
//! Every file is a set of named tensors. A network's tensors can be under any prefix in it; see `state_dict.rs`.

mod archive;
mod hdf5;
mod keras_config;
pub mod layout;
mod npz;
mod pickle;
mod safetensors;
mod sharded;
pub(crate) mod state_dict;
mod tensor;
mod torch;

pub use layout::Naming;

use crate::files::FileKind;
use ::safetensors::Dtype;
use memmap2::Mmap;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensor::Tensor;

/// A memory-mapped file of named tensors, or several that are one checkpoint.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    parts: Vec<TensorBytes>,
    tensors: BTreeMap<String, Tensor>,
    /// Stated instead of computed, for tensors that were copied from another file.
    hash: Option<String>,
}

/// Bytes with tensors. Clones of a file's share them.
#[derive(Clone, Debug)]
enum TensorBytes {
    File(Window),
    /// From a compressed array of a file.
    Inflated(Vec<u8>),
}

impl TensorBytes {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::File(window) => window.bytes(),
            Self::Inflated(bytes) => bytes,
        }
    }
}

/// A range of a file's bytes. Clones share them.
#[derive(Clone)]
struct Window {
    file: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Window {
    /// The whole file.
    fn new(file: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        let range = 0..file.as_ref().len();
        Self {
            file: Arc::new(file),
            range,
        }
    }

    fn bytes(&self) -> &[u8] {
        &(*self.file).as_ref()[self.range.clone()]
    }

    /// The range of the file that is `range` of this window; `None` if it reaches beyond its end.
    fn within(&self, range: Range<usize>) -> Option<Range<usize>> {
        let end = range.end.checked_add(self.range.start)?;
        (end <= self.range.end && range.start <= range.end).then_some(self.range.start + range.start..end)
    }
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({:?})", self.range)
    }
}

/// The tensors of one file by name. Their part is 0, or `n` for `inflated[n - 1]`.
#[derive(Debug, Default)]
struct Index {
    tensors: BTreeMap<String, Tensor>,
    inflated: Vec<Vec<u8>>,
}

impl Index {
    fn add_inflated(&mut self, name: String, mut tensor: Tensor, bytes: Vec<u8>) {
        self.inflated.push(bytes);
        tensor.part = self.inflated.len();
        self.tensors.insert(name, tensor);
    }
}

/// An error of a file of weights.
#[derive(Debug, thiserror::Error)]
#[error("weights {path:?}: {kind}")]
#[expect(missing_docs, reason = "the message describes the fields")]
pub struct WeightsError {
    pub path: PathBuf,
    pub kind: WeightsErrorKind,
}

/// Why a file of weights could not be read, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum WeightsErrorKind {
    #[error("cannot be read ({0}): check the path and its permissions")]
    Unreadable(io::Error),
    #[error(
        "not a regular file: give the path of the .safetensors, .pth or .h5 file itself, \
         or of model.safetensors.index.json where there are several"
    )]
    NotAFile,
    #[error("the file is empty (0 bytes): download or copy it again")]
    Empty,
    #[error("this is {kind}, not .safetensors, PyTorch's .pth or Keras' .h5: {advice}", kind = .0, advice = advice(*.0))]
    NotWeights(FileKind),
    #[error("the file is cut short or damaged ({0}): download or copy it again")]
    Damaged(String),
    #[error("no tensors in it ({0}): save a state dict, torch.save(model.state_dict(), \"weights.pth\")")]
    NotAStateDict(String),
    #[error(
        "it lists the files of a checkpoint, of which {0}: put all of them beside it, under their own names"
    )]
    Shards(String),
    #[error(
        "this is a TorchScript archive (it holds {0:?}): save the weights alone, \
         torch.save(torch.jit.load(FILE).state_dict(), \"weights.pth\")"
    )]
    TorchScript(String),
    #[error("this is an archive with {0:?} in it: unpack it, and give that file")]
    Packed(String),
    #[error(
        "entry {0:?} is compressed or cut in pieces, which neither PyTorch nor Keras does: \
         use the original file, or save it again"
    )]
    Compressed(String),
    #[error(
        "its tensors are named after the classes of layers (such as {0:?}), as older versions of Keras 3 write .weights.h5: \
         save the whole model, model.save(\"model.keras\"), or save it with Keras 3.15"
    )]
    UnnamedLayers(String),
    #[error(
        "its {tensors} tensors are named neither as Keras does (\"block1_conv1/kernel\") nor as PyTorch does \
         (\"features.0.weight\"): check that these are a network's weights"
    )]
    UnknownNaming { tensors: usize },
    #[error(
        "no tensor {name:?} among its {tensors}{}: check that these are the weights of this very network, \
         classification layers included where they are used",
        nearest_hint(.nearest.as_deref())
    )]
    Missing {
        name: String,
        tensors: usize,
        nearest: Option<String>,
    },
    #[error(
        "tensor {name:?} has shape {found:?} where {expected:?} is expected: \
         check that these are the weights of this very network, at its usual width"
    )]
    Shape {
        name: String,
        expected: Vec<usize>,
        found: Vec<usize>,
    },
    #[error("tensor {name:?} holds {dtype} values where f16, bf16, f32 or f64 is expected: save it as f32")]
    NotFloat { name: String, dtype: String },
    #[error(
        "tensor {name:?} {why}: the training that wrote it diverged, or this layer was left out; \
         give another checkpoint, or choose an earlier layer"
    )]
    Invalid { name: String, why: String },
}

fn advice(kind: FileKind) -> &'static str {
    match kind {
        FileKind::GitLfsPointer => "fetch the file with `git lfs pull`",
        FileKind::HtmlPage => "the download failed; open the address in a browser and see what it wants",
        FileKind::Pickle => "save a state dict, torch.save(model.state_dict(), \"weights.pth\")",
        FileKind::Gzip => "unpack it first",
        FileKind::Zeros => "the download did not finish; start it again",
        _ => "check the path",
    }
}

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (nearest: {name:?})"))
}

/// How the tensors of a file are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TensorNames {
    /// After the layers of a network.
    OfLayers,
    /// As the file names them; those of HDF5 are paths.
    AsStored,
}

impl WeightFile {
    /// Maps the file and reads its index. The format is recognized by content.
    ///
    /// # Errors
    /// If the file is not of a supported format, is truncated, or has no tensors.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        Self::open_named(path.as_ref(), TensorNames::OfLayers)
    }

    /// [`open`](Self::open) for tensors that are no network's: each keeps its name, datasets of HDF5 may be cut in pieces
    /// and compressed, and `.npy` is a file of one tensor, whose name is empty.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_arrays(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        Self::open_named(path.as_ref(), TensorNames::AsStored)
    }

    fn open_named(path: &Path, names: TensorNames) -> Result<Self, WeightsError> {
        let mut file = Self::empty(path);
        match file.read(names) {
            Ok(()) => Ok(file),
            Err(kind) => Err(file.error(kind)),
        }
    }

    fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            parts: Vec::new(),
            tensors: BTreeMap::new(),
            hash: None,
        }
    }

    /// The tensors of a safetensors file that is mapped already.
    ///
    /// # Errors
    /// If its header is invalid.
    pub(crate) fn of_safetensors(path: &Path, bytes: Mmap) -> Result<Self, WeightsError> {
        let mut file = Self::empty(path);
        match safetensors::index(&bytes) {
            Ok(index) => {
                file.tensors = index.tensors;
                file.parts.push(TensorBytes::File(Window::new(bytes)));
                Ok(file)
            }
            Err(kind) => Err(file.error(kind)),
        }
    }

    /// The tensors whose names start with `prefix`, without it: a copy of a file with this hash.
    pub(crate) fn part(&self, prefix: &str, hash: String) -> Self {
        let named = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
        };
        Self {
            path: self.path.clone(),
            parts: self.parts.clone(),
            tensors: self.tensors.iter().filter_map(named).collect(),
            hash: Some(hash),
        }
    }

    /// A tensor of bytes; `None` if there is none of this name.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        let tensor = self
            .tensors
            .get(name)
            .filter(|tensor| tensor.dtype == Dtype::U8)?;
        self.parts[tensor.part].bytes().get(tensor.bytes.clone())
    }

    fn read(&mut self, names: TensorNames) -> Result<(), WeightsErrorKind> {
        let window = Window::new(map(&self.path)?);
        let Some(shards) = sharded::shards(window.bytes(), &self.path) else {
            return self.add(window, names);
        };
        // The list is part of the hash.
        self.parts.push(TensorBytes::File(window));
        for shard in shards? {
            self.add(Window::new(map(&shard)?), names)
                .map_err(|error| WeightsErrorKind::Shards(format!("{shard:?} is not one ({error})")))?;
        }
        Ok(())
    }

    fn add(&mut self, window: Window, names: TensorNames) -> Result<(), WeightsErrorKind> {
        let index = match names {
            TensorNames::OfLayers => index(&window)?,
            TensorNames::AsStored => index_arrays(&window)?,
        };
        let first = self.parts.len();
        self.parts.push(TensorBytes::File(window));
        self.parts
            .extend(index.inflated.into_iter().map(TensorBytes::Inflated));
        let mut tensors = index.tensors;
        if names == TensorNames::OfLayers {
            without_wrappers(&mut tensors);
        }
        for (name, mut tensor) in tensors {
            tensor.part += first;
            self.tensors.insert(name, tensor);
        }
        Ok(())
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// BLAKE3 of the whole file, or of all files in order, in hexadecimal. It identifies the weights.
    pub fn hash(&self) -> String {
        if let Some(hash) = &self.hash {
            return hash.clone();
        }
        let mut hasher = blake3::Hasher::new();
        for part in &self.parts {
            if let TensorBytes::File(window) = part {
                hasher.update(window.bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The tensors' names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, if there is one of this name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// Whether the tensor of this name has floating-point numbers, as weights have.
    pub(crate) fn is_float(&self, name: &str) -> bool {
        const FLOATS: [Dtype; 4] = [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64];
        self.tensors
            .get(name)
            .is_some_and(|tensor| FLOATS.contains(&tensor.dtype))
    }

    /// The framework whose names and layout the tensors have.
    ///
    /// # Errors
    /// [`WeightsErrorKind::UnknownNaming`] if no name ends in `kernel` after a slash, or in `.weight`.
    pub fn naming(&self) -> Result<Naming, WeightsError> {
        let mut namings = self.names().filter_map(|name| {
            let is_keras = name.contains('/') && name.ends_with("kernel");
            if is_keras {
                return Some(Naming::Keras);
            }
            name.ends_with(".weight").then_some(Naming::Torch)
        });
        namings.next().ok_or_else(|| {
            self.error(WeightsErrorKind::UnknownNaming {
                tensors: self.tensors.len(),
            })
        })
    }

    /// The values of a tensor as `f32`, in row-major order.
    ///
    /// # Errors
    /// [`WeightsErrorKind::Missing`], [`WeightsErrorKind::Shape`] or [`WeightsErrorKind::NotFloat`].
    pub fn get(&self, name: &str, expected_shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let tensor = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        if tensor.shape != expected_shape {
            return Err(self.error(WeightsErrorKind::Shape {
                name: name.to_owned(),
                expected: expected_shape.to_vec(),
                found: tensor.shape.clone(),
            }));
        }
        self.values(name, tensor)
    }

    /// The values of `tensor[row]` as `f32`.
    ///
    /// # Errors
    /// [`WeightsErrorKind::Missing`], also of the row, or [`WeightsErrorKind::NotFloat`].
    pub fn get_row(&self, name: &str, row: usize) -> Result<Vec<f32>, WeightsError> {
        let tensor = self.tensors.get(name).and_then(|tensor| tensor.row(row));
        self.values(name, &tensor.ok_or_else(|| self.missing(name))?)
    }

    fn values(&self, name: &str, tensor: &Tensor) -> Result<Vec<f32>, WeightsError> {
        let part = self.parts[tensor.part].bytes();
        tensor.values(part).ok_or_else(|| {
            let name = name.to_owned();
            self.error(if tensor.is_repeated(part) {
                let why = "has more values than the file".to_owned();
                WeightsErrorKind::Invalid { name, why }
            } else {
                let dtype = format!("{:?}", tensor.dtype);
                WeightsErrorKind::NotFloat { name, dtype }
            })
        })
    }

    fn missing(&self, name: &str) -> WeightsError {
        let similarity = |other: &&str| strsim::normalized_damerau_levenshtein(name, other);
        self.error(WeightsErrorKind::Missing {
            name: name.to_owned(),
            tensors: self.tensors.len(),
            nearest: self
                .names()
                .max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
                .map(str::to_owned),
        })
    }

    fn error(&self, kind: WeightsErrorKind) -> WeightsError {
        WeightsError {
            path: self.path.clone(),
            kind,
        }
    }
}

fn map(path: &Path) -> Result<Mmap, WeightsErrorKind> {
    // Checked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(WeightsErrorKind::Unreadable)?;
    if !metadata.is_file() {
        return Err(WeightsErrorKind::NotAFile);
    }
    if metadata.len() == 0 {
        return Err(WeightsErrorKind::Empty);
    }
    let file = File::open(path).map_err(WeightsErrorKind::Unreadable)?;
    // SAFETY: the mapping is read-only and private to this value. The user must not change the file in place meanwhile,
    // as with every mapped file. Any bytes are valid numbers.
    unsafe { Mmap::map(&file) }.map_err(WeightsErrorKind::Unreadable)
}

fn index(window: &Window) -> Result<Index, WeightsErrorKind> {
    let bytes = window.bytes();
    if archive::recognizes(bytes) {
        index_archive(window)
    } else if torch::recognizes_legacy(bytes) {
        torch::index_legacy(bytes)
    } else if safetensors::recognizes(bytes) {
        safetensors::index(bytes)
    } else if hdf5::recognizes(bytes) {
        hdf5::index(window, &BTreeMap::new())
    } else {
        Err(WeightsErrorKind::NotWeights(FileKind::detect(bytes)))
    }
}

/// [`index`] for tensors with names of their own.
fn index_arrays(window: &Window) -> Result<Index, WeightsErrorKind> {
    let bytes = window.bytes();
    if npz::recognizes_array(bytes) {
        npz::index_array(bytes)
    } else if hdf5::recognizes(bytes) {
        hdf5::index_paths(window)
    } else {
        index(window)
    }
}

/// The file of weights in Keras' `.keras`.
const KERAS_WEIGHTS: &str = "model.weights.h5";

fn index_archive(window: &Window) -> Result<Index, WeightsErrorKind> {
    let mut archive = archive::open(window.bytes())?;
    let names = archive::names(&archive);
    let is_script = |name: &&String| name.ends_with("/constants.pkl") || name.contains("/code/");
    if let Some(name) = names.iter().find(is_script) {
        return Err(WeightsErrorKind::TorchScript(name.clone()));
    }
    if let Some(folder) = torch::folder(&names) {
        return torch::index_zip(window.bytes(), &mut archive, folder);
    }
    if names.iter().any(|name| name == KERAS_WEIGHTS) {
        let range = archive::uncompressed_range(&mut archive, KERAS_WEIGHTS)?;
        let range =
            (window.within(range)).ok_or_else(|| archive::damaged("its weights are beyond its end"))?;
        let config = archive::read_entry(&mut archive, "config.json")?;
        let names = config.map(|config| keras_config::layer_names(&config));
        let window = Window {
            range,
            ..window.clone()
        };
        return hdf5::index(&window, &names.unwrap_or_default());
    }
    if npz::recognizes(&names) {
        return npz::index(window.bytes(), &mut archive);
    }
    // Other archives, such as Python packages, perhaps with a file of weights inside.
    const WEIGHTS: [&str; 4] = [".pth", ".pt", ".safetensors", ".h5"];
    let packed = |name: &&String| WEIGHTS.iter().any(|ending| name.ends_with(ending));
    Err(match names.iter().find(packed) {
        Some(name) => WeightsErrorKind::Packed(name.clone()),
        None => WeightsErrorKind::NotAStateDict("its archive has no data.pkl".to_owned()),
    })
}

/// Modules that PyTorch wraps others in, for several GPUs or compiled code. Names are the same without them.
const WRAPPERS: [&str; 4] = [
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
];

/// Leaves wrappers out of the names, except where two tensors would have the same name.
fn without_wrappers(tensors: &mut BTreeMap<String, Tensor>) {
    let is_wrapper = |part: &str| WRAPPERS.contains(&part);
    let wrapped = tensors.keys().filter(|name| name.split('.').any(is_wrapper));
    for name in wrapped.cloned().collect::<Vec<_>>() {
        let parts: Vec<&str> = name.split('.').filter(|part| !is_wrapper(part)).collect();
        let unwrapped = parts.join(".");
        if !tensors.contains_key(&unwrapped)
            && let Some(tensor) = tensors.remove(&name)
        {
            tensors.insert(unwrapped, tensor);
        }
    }
}

#[cfg(test)]
mod tests;
