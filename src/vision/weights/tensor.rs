//! Tensors in files of any format, and the conversion of their values to `f32`.

use super::layout::{gather, row_major_strides};
use crate::vision::floats;
use safetensors::Dtype;
use std::ops::Range;

/// PyTorch's limit of dimensions.
const MAX_RANK: usize = 64;

/// A tensor in a mapped file, checked to be within it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// In elements. PyTorch saves views (transposed tensors, slices) as such.
    strides: Vec<usize>,
    /// From the first element to the end of the last one.
    bytes: Range<usize>,
}

impl Tensor {
    /// A contiguous row-major tensor that fills `bytes`.
    pub(super) fn contiguous(dtype: Dtype, shape: Vec<usize>, bytes: Range<usize>) -> Self {
        let strides = row_major_strides(&shape);
        Self {
            dtype,
            shape,
            strides,
            bytes,
        }
    }

    /// A view of `storage` at an offset in elements; `None` if it is not within the storage.
    pub(super) fn view(
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: &Range<usize>,
    ) -> Option<Self> {
        let element = element_bytes(dtype);
        let count = shape
            .iter()
            .try_fold(1_usize, |count, &side| count.checked_mul(side))?;
        // A stride of 0 repeats elements: reading them must not take more memory than the file is long.
        if shape.len() > MAX_RANK || count > storage.len() / element {
            return None;
        }
        let elements = if count == 0 { 0 } else { reach(&shape, &strides)? };
        let start = offset.checked_mul(element)?.checked_add(storage.start)?;
        let end = elements.checked_mul(element)?.checked_add(start)?;
        (shape.len() == strides.len() && end <= storage.end).then_some(Self {
            dtype,
            shape,
            strides,
            bytes: start..end,
        })
    }

    /// The values in row-major order; `None` if they are not floating-point numbers.
    pub(super) fn values(&self, file: &[u8]) -> Option<Vec<f32>> {
        let read = match self.dtype {
            Dtype::F16 => floats::read_f16,
            Dtype::BF16 => floats::read_bf16,
            Dtype::F32 => floats::read_f32,
            Dtype::F64 => floats::read_f64,
            _ => return None,
        };
        let mut reached = vec![0.0; self.bytes.len() / element_bytes(self.dtype)];
        read(&file[self.bytes.clone()], &mut reached);
        if self.strides == row_major_strides(&self.shape) || reached.is_empty() {
            return Some(reached);
        }
        let mut values = Vec::with_capacity(self.shape.iter().product());
        gather(&reached, &self.shape, &self.strides, &mut values);
        Some(values)
    }
}

/// The number of elements from the first to the last, inclusive.
fn reach(shape: &[usize], strides: &[usize]) -> Option<usize> {
    (shape.iter().zip(strides)).try_fold(1_usize, |reach, (&side, &stride)| {
        (side - 1).checked_mul(stride)?.checked_add(reach)
    })
}

/// Bytes of an element; smaller elements count as one byte, as they are never read.
pub(super) fn element_bytes(dtype: Dtype) -> usize {
    dtype.bitsize().div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(values: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0xee; 3]; // a tensor need not be aligned
        floats::write_f32(values, &mut bytes);
        bytes
    }

    #[test]
    fn transposed_slice_is_read_in_its_own_order() {
        let file = file_of(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let storage = 3..file.len();
        let view = Tensor::view(Dtype::F32, vec![3, 2], vec![1, 3], 1, &storage).unwrap();
        assert_eq!(view.values(&file).unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn views_beyond_their_storage_are_rejected() {
        let storage = 3..3 + 7 * 4;
        let view = |shape: &[usize], strides: &[usize], offset| {
            Tensor::view(Dtype::F32, shape.to_vec(), strides.to_vec(), offset, &storage)
        };
        assert!(view(&[7], &[1], 0).is_some());
        assert!(view(&[7], &[1], 1).is_none());
        assert!(view(&[2, 2], &[6, 1], 0).is_none());
        assert!(view(&[2], &[usize::MAX], 0).is_none());
        assert!(view(&[usize::MAX, 2], &[0, 0], 0).is_none());
        assert!(view(&[2], &[1, 1], 0).is_none());
        assert!(
            view(&[8], &[0], 0).is_none(),
            "more elements than the storage has"
        );
        assert!(view(&[1; 65], &[1; 65], 0).is_none());
        assert!(view(&[0], &[1], 7).is_some());
    }

    #[test]
    fn scalars_and_empty_tensors_have_values() {
        let file = file_of(&[2.5]);
        let storage = 3..file.len();
        let scalar = Tensor::view(Dtype::F32, vec![], vec![], 0, &storage).unwrap();
        assert_eq!(scalar.values(&file).unwrap(), [2.5]);
        let empty = Tensor::view(Dtype::F32, vec![0, 3], vec![3, 1], 0, &storage).unwrap();
        assert!(empty.values(&file).unwrap().is_empty());
    }
}
