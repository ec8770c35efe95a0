//! The index of a `.safetensors` file.

use super::tensor::Tensor;
use super::{Index, WeightsErrorKind};
use safetensors::SafeTensors;

/// Whether the file starts with a length and a JSON object.
pub(super) fn recognizes(file: &[u8]) -> bool {
    file.get(8) == Some(&b'{')
}

/// The tensors by name.
pub(super) fn index(file: &[u8]) -> Result<Index, WeightsErrorKind> {
    let (header, metadata) =
        SafeTensors::read_metadata(file).map_err(|error| WeightsErrorKind::Damaged(error.to_string()))?;
    let data = size_of::<u64>() + header;
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let (start, end) = info.data_offsets;
        let tensor = Tensor::contiguous(info.dtype, info.shape.clone(), data + start..data + end);
        (name, tensor)
    });
    Ok(Index {
        tensors: tensors.collect(),
        ..Index::default()
    })
}
