//! Checkpoints: one safetensors file with the model's weights and specification. Captioning needs the vocabulary besides.
//!
//! Training adds its own tensors (the optimizer's moments, the moving average) and its state; captioning ignores them. A
//! packed file is a checkpoint too: with a description and other tensors in place of those of the training.

use super::normalization::FeatureNormalization;
use super::{Model, ModelSpec};
use crate::files::ConfinedPath;
use crate::nn::{Backend, Matrix, random_stream};
use crate::vision::weights::{WeightFile, WeightsError, WeightsErrorKind};
use half::f16;
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// The version of the header.
const FORMAT: u32 = 1;
/// The header's key in the file's metadata.
const HEADER: &str = "cutline";
/// The tensors of a [`FeatureNormalization`].
const FEATURE_MEAN: &str = "features.mean";
const FEATURE_SCALE: &str = "features.scale";

/// An error of a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// An error of the operating system.
    #[error("{}: {source}; check that the path is right, its permissions and the space left", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Not a checkpoint, or not all of one.
    #[error("{}: not a complete checkpoint: {why}; evaluate and caption can use the other one of the run (--checkpoint best or latest)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// A tensor is missing or has another shape.
    #[error("{}: tensor `{tensor}` {why}; the checkpoint is of another model: use one of the same run", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The reason.
        why: String,
    },
    /// The device failed, mostly for lack of memory.
    #[error("{}: cannot put the weights on the device: {why}; free some of its memory, then try again", path.display())]
    Device {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
}

impl CheckpointError {
    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    version: String,
    model: ModelSpec,
    /// The state of the training.
    #[serde(default)]
    training: serde_json::Value,
    /// The description of a packed file.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pack: serde_json::Value,
}

/// A named matrix to be saved.
#[derive(Clone, Debug)]
pub struct NamedMatrix {
    /// Its name.
    pub name: String,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// Its rows as little-endian `f32`.
    pub bytes: Vec<u8>,
}

impl NamedMatrix {
    /// Copies a matrix from its device.
    pub fn new<D: Backend>(name: impl Into<String>, matrix: &Matrix<D>) -> Self {
        use dfdx::prelude::HasShape;
        Self::from_values(name, *matrix.shape(), &matrix.as_vec())
    }

    fn from_values(name: impl Into<String>, shape: (usize, usize), values: &[f32]) -> Self {
        Self {
            name: name.into(),
            shape,
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

/// The matrices of a model: its parameters, and the normalization of its features.
pub fn matrices<D: Backend>(model: &Model<D>) -> Vec<NamedMatrix> {
    let parameters = model.parameters().into_iter();
    let mut matrices: Vec<NamedMatrix> = parameters
        .map(|p| NamedMatrix::new(p.name.clone(), &p.value))
        .collect();
    if let Some(FeatureNormalization { mean, scale }) = model.normalization() {
        let shape = (1, mean.len());
        matrices.push(NamedMatrix::from_values(FEATURE_MEAN, shape, mean));
        matrices.push(NamedMatrix::from_values(FEATURE_SCALE, shape, scale));
    }
    matrices
}

/// The metadata of the file of a model, with the state of its training or the description of a packed file.
///
/// # Errors
/// If one of both has no JSON.
pub fn metadata(
    model: &ModelSpec,
    training: serde_json::Value,
    pack: serde_json::Value,
) -> serde_json::Result<HashMap<String, String>> {
    let header = Header {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        model: model.clone(),
        training,
        pack,
    };
    Ok(HashMap::from([(
        HEADER.to_owned(),
        serde_json::to_string(&header)?,
    )]))
}

/// Writes a checkpoint atomically: after a crash, the file is the old one or the new one.
///
/// `extra` are the tensors of the training, `training` is its state.
///
/// # Errors
/// Fails if the file cannot be written; the old one is kept.
pub fn save<D: Backend>(
    path: impl Into<ConfinedPath>,
    model: &Model<D>,
    extra: Vec<NamedMatrix>,
    training: serde_json::Value,
) -> Result<(), CheckpointError> {
    let path = path.into();
    let failed = |source: io::Error| CheckpointError::Io {
        path: (&path).into(),
        source,
    };
    let metadata =
        metadata(model.spec(), training, serde_json::Value::Null).map_err(|error| failed(error.into()))?;
    let mut tensors = matrices(model);
    tensors.extend(extra);
    let views = tensors
        .iter()
        .map(|NamedMatrix { name, shape, bytes }| {
            Ok((name, TensorView::new(Dtype::F32, vec![shape.0, shape.1], bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| failed(io::Error::other(error)))?;
    let bytes =
        safetensors::serialize(views, Some(metadata)).map_err(|error| failed(io::Error::other(error)))?;
    path.write_atomically(|out| out.write_all(&bytes)).map_err(failed)
}

/// An open checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    tensors: WeightFile,
    /// The length of the file.
    bytes: usize,
    model: ModelSpec,
    training: serde_json::Value,
    pack: serde_json::Value,
}

impl Checkpoint {
    /// Opens a checkpoint and reads its header.
    ///
    /// # Errors
    /// Fails if the file is not a complete checkpoint of this format.
    pub fn open(path: impl Into<ConfinedPath>) -> Result<Self, CheckpointError> {
        let path = path.into();
        let io = |source| CheckpointError::Io {
            path: (&path).into(),
            source,
        };
        let damaged = |why: String| CheckpointError::Damaged {
            path: (&path).into(),
            why,
        };
        let file = path.open().map_err(io)?;
        // SAFETY: the mapping is read-only, and checkpoints are replaced by renaming, never changed in place.
        let bytes = unsafe { Mmap::map(&file) }.map_err(io)?;
        if bytes.is_empty() {
            return Err(damaged("it is empty (0 bytes)".into()));
        }
        if bytes.get(size_of::<u64>()) != Some(&b'{') {
            return Err(damaged("it is no safetensors file".into()));
        }
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let header = metadata
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(HEADER));
        let header = header.ok_or_else(|| damaged("it is another kind of safetensors file".into()))?;
        let header: Header = serde_json::from_str(header).map_err(|error| damaged(error.to_string()))?;
        if header.format != FORMAT {
            let why = format!(
                "its format is {}, this version of Cutline knows {FORMAT}",
                header.format
            );
            return Err(damaged(why));
        }
        header.model.check().map_err(damaged)?;
        let len = bytes.len();
        let tensors = WeightFile::of_safetensors(path.as_path(), bytes);
        let tensors = tensors.map_err(|error| damaged(error.kind.to_string()))?;
        Ok(Self {
            path: path.into(),
            tensors,
            bytes: len,
            model: header.model,
            training: header.training,
            pack: header.pack,
        })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tensors of the file.
    pub fn tensors(&self) -> &WeightFile {
        &self.tensors
    }

    /// The description of a packed file; null in the checkpoint of a run.
    pub fn pack(&self) -> &serde_json::Value {
        &self.pack
    }

    /// The model's specification.
    pub fn spec(&self) -> &ModelSpec {
        &self.model
    }

    /// The state of the training.
    pub fn training(&self) -> &serde_json::Value {
        &self.training
    }

    /// The model with its weights.
    ///
    /// # Errors
    /// Names the tensor that is missing, has another shape, or holds numbers that are not finite.
    pub fn model<D: Backend>(&self, device: &D) -> Result<Model<D>, CheckpointError> {
        // A damaged or hostile header may ask for more memory than there is: check it before anything is allocated.
        let parameters = self.model.min_parameters();
        if parameters > self.bytes / size_of::<f16>() {
            return Err(CheckpointError::Damaged {
                path: self.path.clone(),
                why: format!(
                    "it is too short for the {parameters} or more parameters of the model in its header"
                ),
            });
        }
        // The stream's name matters to nothing: all weights are replaced.
        let mut weights = random_stream(0, "replaced by those of the checkpoint", 0);
        let mut model =
            Model::new(device, self.model.clone(), &mut weights).map_err(|error| self.device_error(error))?;
        self.restore(&mut model)?;
        self.check_finite(&model)?;
        Ok(model)
    }

    /// With a NaN, every caption would be empty.
    fn check_finite<D: Backend>(&self, model: &Model<D>) -> Result<(), CheckpointError> {
        let is_finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let failed = |tensor: &str| CheckpointError::Tensor {
            path: self.path.clone(),
            tensor: tensor.into(),
            why: "holds numbers that are not finite".into(),
        };
        if let Some(FeatureNormalization { mean, scale }) = model.normalization() {
            for (name, values) in [(FEATURE_MEAN, mean), (FEATURE_SCALE, scale)] {
                if !is_finite(values) {
                    return Err(failed(name));
                }
            }
        }
        let parameters = model.parameters();
        match parameters
            .iter()
            .find(|parameter| !is_finite(&parameter.value.as_vec()))
        {
            Some(parameter) => Err(failed(&parameter.name)),
            None => Ok(()),
        }
    }

    /// Loads the weights into `model`.
    ///
    /// # Errors
    /// Names the tensor that is missing or has another shape.
    pub fn restore<D: Backend>(&self, model: &mut Model<D>) -> Result<(), CheckpointError> {
        let device = model.device().clone();
        for parameter in model.parameters_mut() {
            parameter.value = self.matrix(&device, &parameter.name, parameter.shape())?;
        }
        if let Some(FeatureNormalization { mean, scale }) = model.normalization_mut() {
            let shape = (1, mean.len());
            *mean = self.values(FEATURE_MEAN, shape)?;
            *scale = self.values(FEATURE_SCALE, shape)?;
        }
        Ok(())
    }

    /// A tensor of the file.
    ///
    /// # Errors
    /// Fails if it is missing or has another shape.
    pub fn matrix<D: Backend>(
        &self,
        device: &D,
        name: &str,
        shape: (usize, usize),
    ) -> Result<Matrix<D>, CheckpointError> {
        device
            .try_tensor_from_vec(self.values(name, shape)?, shape)
            .map_err(|error| self.device_error(error))
    }

    fn values(&self, name: &str, shape: (usize, usize)) -> Result<Vec<f32>, CheckpointError> {
        let (rows, columns) = shape;
        let invalid = |WeightsError { kind, .. }| CheckpointError::Tensor {
            path: self.path.clone(),
            tensor: name.into(),
            why: match kind {
                WeightsErrorKind::Missing { .. } => "is missing".to_owned(),
                WeightsErrorKind::Shape { found, .. } => {
                    format!("has shape {found:?} where [{rows}, {columns}] is expected")
                }
                other => other.to_string(),
            },
        };
        self.tensors.get(name, &[rows, columns]).map_err(invalid)
    }

    fn device_error(&self, error: impl std::fmt::Display) -> CheckpointError {
        CheckpointError::Device {
            path: self.path.clone(),
            why: error.to_string(),
        }
    }
}
