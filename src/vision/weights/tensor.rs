//! Tensors in files of any format, and the conversion of their values to `f32`.

use super::layout::{gather, row_major_strides};
use crate::vision::floats;
use safetensors::Dtype;
use std::ops::Range;

/// PyTorch's limit of dimensions.
const MAX_RANK: usize = 64;

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

/// A tensor in a file, checked to be within it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) dtype: Dtype,
    order: ByteOrder,
    pub(super) shape: Vec<usize>,
    /// In elements. PyTorch saves views (transposed tensors, slices) as such.
    strides: Vec<usize>,
    /// The index of the bytes that the range is of.
    pub(super) part: usize,
    /// From the first element to the end of the last one.
    pub(super) bytes: Range<usize>,
}

impl Tensor {
    /// A contiguous row-major tensor that fills `bytes` of the first part.
    pub(super) fn contiguous(dtype: Dtype, shape: Vec<usize>, bytes: Range<usize>) -> Self {
        let strides = row_major_strides(&shape);
        Self {
            dtype,
            order: ByteOrder::Little,
            shape,
            strides,
            part: 0,
            bytes,
        }
    }

    /// The same tensor with the bytes of its numbers in this order.
    pub(super) fn in_order(self, order: ByteOrder) -> Self {
        Self { order, ..self }
    }

    /// The tensor at an index of the first dimension; `None` if there is none.
    pub(super) fn row(&self, index: usize) -> Option<Self> {
        let (&rows, shape) = self.shape.split_first()?;
        let (&stride, strides) = self.strides.split_first()?;
        if index >= rows {
            return None;
        }
        let offset = index.checked_mul(stride)?;
        let row = Self::view(self.dtype, shape.to_vec(), strides.to_vec(), offset, &self.bytes)?;
        Some(Self {
            order: self.order,
            part: self.part,
            ..row
        })
    }

    /// The number of elements; saturating.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().fold(1, |len, &side| len.saturating_mul(side))
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
        if shape.len() > MAX_RANK {
            return None;
        }
        let elements = if count == 0 { 0 } else { reach(&shape, &strides)? };
        let start = offset.checked_mul(element)?.checked_add(storage.start)?;
        let end = elements.checked_mul(element)?.checked_add(start)?;
        (shape.len() == strides.len() && end <= storage.end).then_some(Self {
            strides,
            ..Self::contiguous(dtype, shape, start..end)
        })
    }

    /// Whether reading the values takes more memory than its part: a stride of 0 repeats elements.
    pub(super) fn is_repeated(&self, part: &[u8]) -> bool {
        self.len() > part.len() / element_bytes(self.dtype)
    }

    /// The values in row-major order; `None` if they are not floating-point numbers, or repeated.
    pub(super) fn values(&self, part: &[u8]) -> Option<Vec<f32>> {
        let read = match self.dtype {
            Dtype::F16 => floats::read_f16,
            Dtype::BF16 => floats::read_bf16,
            Dtype::F32 => floats::read_f32,
            Dtype::F64 => floats::read_f64,
            _ => return None,
        };
        if self.is_repeated(part) {
            return None;
        }
        let element = element_bytes(self.dtype);
        let bytes = &part[self.bytes.clone()];
        let mut reached = vec![0.0; bytes.len() / element];
        match self.order {
            ByteOrder::Little => read(bytes, &mut reached),
            ByteOrder::Big => {
                let mut bytes = bytes.to_vec();
                bytes.chunks_exact_mut(element).for_each(<[u8]>::reverse);
                read(&bytes, &mut reached);
            }
        }
        if self.strides == row_major_strides(&self.shape) || reached.is_empty() {
            return Some(reached);
        }
        let mut values = Vec::with_capacity(self.len());
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
    fn rows_of_a_transposed_tensor_are_its_columns() {
        let file = file_of(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let tensor = Tensor::view(Dtype::F32, vec![3, 2], vec![1, 3], 0, &(3..file.len())).unwrap();
        let row = |index| tensor.row(index)?.values(&file);
        assert_eq!(row(0).unwrap(), [0.0, 3.0]);
        assert_eq!(row(2).unwrap(), [2.0, 5.0]);
        assert_eq!(row(3), None);
        assert_eq!(tensor.row(0).unwrap().row(0).unwrap().row(0), None);
    }

    #[test]
    fn big_endian_values_are_reversed() {
        let file = [0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0]; // 1 and -2
        let tensor = Tensor::contiguous(Dtype::F32, vec![2], 0..8).in_order(ByteOrder::Big);
        assert_eq!(tensor.values(&file).unwrap(), [1.0, -2.0]);
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
        let repeated = view(&[8], &[0], 0).unwrap();
        assert!(
            repeated.values(&[0; 31]).is_none(),
            "more elements than the file has"
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
