//! The tensors of a packed file, written one after another: a large CNN is never in memory as a whole.

use super::{PackDtype, PackError};
use crate::model::NamedMatrix;
use crate::vision::backbones::NetworkTensor;
use crate::vision::floats;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::HashMap;
use std::io::{self, Write};

/// A tensor of a packed file.
#[derive(Debug)]
pub(super) struct PackedTensor<'f> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    content: Content<'f>,
}

#[derive(Debug)]
enum Content<'f> {
    /// Numbers in memory.
    Values(Vec<f32>),
    /// Numbers in a file of weights.
    Network(NetworkTensor<'f>),
    Bytes(Vec<u8>),
}

impl<'f> PackedTensor<'f> {
    /// A matrix of the model.
    pub(super) fn of_model(matrix: &NamedMatrix, dtype: PackDtype) -> Result<Self, PackError> {
        let mut values = vec![0.0; matrix.bytes.len() / size_of::<f32>()];
        floats::read_f32(&matrix.bytes, &mut values);
        let shape = vec![matrix.shape.0, matrix.shape.1];
        Ok(Self {
            dtype: kept(&matrix.name, &values, &shape, dtype)?,
            name: matrix.name.clone(),
            shape,
            content: Content::Values(values),
        })
    }

    /// A tensor of the CNN.
    pub(super) fn of_network(
        name: String,
        tensor: NetworkTensor<'f>,
        dtype: PackDtype,
    ) -> Result<Self, PackError> {
        Ok(Self {
            dtype: kept(&name, &tensor.values()?, &tensor.shape, dtype)?,
            name,
            shape: tensor.shape.clone(),
            content: Content::Network(tensor),
        })
    }

    /// A text.
    pub(super) fn of_text(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            dtype: Dtype::U8,
            shape: vec![bytes.len()],
            content: Content::Bytes(bytes),
        }
    }

    fn len(&self) -> usize {
        self.shape.iter().product::<usize>() * (self.dtype.bitsize() / 8)
    }

    fn bytes(self) -> io::Result<Vec<u8>> {
        let values = match self.content {
            Content::Bytes(bytes) => return Ok(bytes),
            Content::Values(values) => values,
            Content::Network(tensor) => tensor.values().map_err(io::Error::other)?,
        };
        let mut bytes = Vec::with_capacity(values.len() * size_of::<f32>());
        match self.dtype {
            Dtype::F16 => floats::write_f16(&values, &mut bytes),
            _ => floats::write_f32(&values, &mut bytes),
        }
        Ok(bytes)
    }
}

/// How the numbers of a tensor are kept: vectors, such as the statistics of batch normalization, cost little and stay exact.
fn kept(name: &str, values: &[f32], shape: &[usize], dtype: PackDtype) -> Result<Dtype, PackError> {
    if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
        let tensor = name.to_owned();
        return Err(PackError::NotFinite { tensor, value });
    }
    let is_vector = shape.iter().filter(|&&side| side > 1).count() <= 1;
    let is_too_large = |value: &f32| value.abs() > half::f16::MAX.to_f32();
    Ok(match dtype {
        PackDtype::F16 if !is_vector && !values.iter().any(is_too_large) => Dtype::F16,
        _ => Dtype::F32,
    })
}

/// Writes a safetensors file: the widest numbers first, so that all are aligned.
pub(super) fn write(
    mut tensors: Vec<PackedTensor<'_>>,
    metadata: HashMap<String, String>,
    out: &mut dyn Write,
) -> io::Result<()> {
    tensors.sort_by(|one, other| (other.dtype.cmp(&one.dtype)).then_with(|| one.name.cmp(&other.name)));
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += tensor.len();
        let info = TensorInfo {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            data_offsets: (start, end),
        };
        (tensor.name.clone(), info)
    });
    let header = Metadata::new(Some(metadata), infos.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    tensors
        .into_iter()
        .try_for_each(|tensor| out.write_all(&tensor.bytes()?))
}
