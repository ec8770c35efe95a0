//! Files of published weights: `.safetensors`, both formats of PyTorch's `.pth`, and Keras' `.h5`.

mod hdf5;
pub mod layout;
mod pickle;
mod safetensors;
mod tensor;
mod torch;

pub use layout::Naming;

use super::file_kind::FileKind;
use memmap2::Mmap;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use tensor::Tensor;

/// A memory-mapped file of named tensors.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    bytes: Mmap,
    tensors: BTreeMap<String, Tensor>,
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
    #[error("not a regular file: give the path of the .safetensors, .pth or .h5 file itself")]
    NotAFile,
    #[error("the file is empty (0 bytes): download or copy it again")]
    Empty,
    #[error("this is {kind}, not .safetensors, PyTorch's .pth or Keras' .h5: {advice}", kind = .0, advice = advice(*.0))]
    NotWeights(FileKind),
    #[error("the file is cut short or damaged ({0}): download or copy it again")]
    Damaged(String),
    #[error(
        "it asks Python for {0:?}, and nothing in a file of weights is ever run here: \
         save the state dict alone, torch.save(model.state_dict(), \"weights.pth\")"
    )]
    ForeignGlobal(String),
    #[error("no state dict in it ({0}): save one with torch.save(model.state_dict(), \"weights.pth\")")]
    NotAStateDict(String),
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
        "several of its tensors would be called {0:?}, as in Keras 3's .weights.h5, which does not keep the names \
         of layers: save the whole model, model.save(\"model.h5\")"
    )]
    UnnamedLayers(String),
    #[error("its numbers are big-endian: load and save it with PyTorch on a common (little-endian) machine")]
    BigEndian,
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

impl WeightFile {
    /// Maps the file and reads its index. The format is recognized by content.
    ///
    /// # Errors
    /// If the file is not of a supported format, is truncated, or its pickle calls other functions than those of tensors.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref().to_owned();
        match map(&path).and_then(|bytes| Ok((index(&path, &bytes)?, bytes))) {
            Ok((tensors, bytes)) => Ok(Self { path, bytes, tensors }),
            Err(kind) => Err(WeightsError { path, kind }),
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// BLAKE3 of the whole file, in hexadecimal. It identifies the weights.
    pub fn hash(&self) -> String {
        blake3::hash(&self.bytes).to_hex().to_string()
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
        tensor.values(&self.bytes).ok_or_else(|| {
            self.error(WeightsErrorKind::NotFloat {
                name: name.to_owned(),
                dtype: format!("{:?}", tensor.dtype),
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

fn index(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, WeightsErrorKind> {
    if torch::recognizes_zip(bytes) {
        torch::index_zip(bytes)
    } else if torch::recognizes_legacy(bytes) {
        torch::index_legacy(bytes)
    } else if safetensors::recognizes(bytes) {
        safetensors::index(bytes)
    } else if hdf5::recognizes(bytes) {
        hdf5::index(path, bytes.len())
    } else {
        Err(WeightsErrorKind::NotWeights(FileKind::detect(bytes)))
    }
}

#[cfg(test)]
mod tests;
