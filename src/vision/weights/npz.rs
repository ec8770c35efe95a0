//! The index of NumPy's `.npz`: a zip archive with an `.npy` file for every array, named as the array is.
//!
//! Source: `numpy/lib/format.py`. An `.npy` file is a magic number, a version, the length of the header, the header (the
//! text of a Python dict with dtype, order and shape) and the values.

use super::archive::{self, Archive, damaged};
use super::tensor::{ByteOrder, Tensor};
use super::{Index, WeightsErrorKind};
use safetensors::Dtype;
use std::ops::Range;

type Result<T> = std::result::Result<T, WeightsErrorKind>;

const MAGIC: &[u8] = b"\x93NUMPY";

/// `numpy.savez_compressed` makes weights a little smaller. More than this many times is an attack on the memory.
pub(super) const MAX_COMPRESSION: usize = 16;

/// Whether all entries are arrays.
pub(super) fn recognizes(names: &[String]) -> bool {
    !names.is_empty() && names.iter().all(|name| name.ends_with(".npy"))
}

/// The arrays by name. Arrays of other types than numbers are left out.
pub(super) fn index(file: &[u8], archive: &mut Archive<'_>) -> Result<Index> {
    let mut index = Index::default();
    let mut room = file.len().saturating_mul(MAX_COMPRESSION);
    for entry in archive::names(archive) {
        let name = entry.trim_end_matches(".npy").trim_end_matches(":0");
        if let Some(range) = archive::stored_range(archive, &entry)? {
            let bytes = file.get(range.clone());
            let bytes = bytes.ok_or_else(|| damaged(format!("{entry:?} is beyond its end")))?;
            if let Some(header) = ArrayHeader::read(&entry, bytes)? {
                let tensor = header.tensor(&entry, range)?;
                index.tensors.insert(name.to_owned(), tensor);
            }
            continue;
        }
        let contents = archive::inflated(archive, &entry, room as u64)?;
        let contents = contents.ok_or_else(|| damaged("its arrays are far too large"))?;
        room -= contents.len();
        if let Some(header) = ArrayHeader::read(&entry, &contents)? {
            let tensor = header.tensor(&entry, 0..contents.len())?;
            index.add_inflated(name.to_owned(), tensor, contents);
        }
    }
    if index.tensors.is_empty() {
        return Err(WeightsErrorKind::NotAStateDict(
            "none of its arrays holds numbers".to_owned(),
        ));
    }
    Ok(index)
}

/// Whether the file is a single array.
pub(super) fn recognizes_array(file: &[u8]) -> bool {
    file.starts_with(MAGIC)
}

/// The array of an `.npy` file, under an empty name.
pub(super) fn index_array(file: &[u8]) -> Result<Index> {
    let header = ArrayHeader::read("the file", file)?;
    let header = header
        .ok_or_else(|| WeightsErrorKind::NotAStateDict("its array does not hold numbers".to_owned()))?;
    let tensor = header.tensor("the file", 0..file.len())?;
    Ok(Index {
        tensors: [(String::new(), tensor)].into(),
        ..Index::default()
    })
}

/// The description of an array.
struct ArrayHeader {
    dtype: Dtype,
    order: ByteOrder,
    is_fortran: bool,
    shape: Vec<usize>,
    /// The number of bytes before the values.
    len: usize,
}

impl ArrayHeader {
    /// `None` for arrays of Python objects and of records.
    fn read(entry: &str, bytes: &[u8]) -> Result<Option<Self>> {
        let malformed = || damaged(format!("{entry:?} is no array"));
        let (text, len) = header_text(bytes).ok_or_else(malformed)?;
        let Some(descr) = value(text, "descr").and_then(quoted) else {
            return Ok(None);
        };
        let Some((dtype, order)) = dtype(descr) else {
            return Ok(None);
        };
        Ok(Some(Self {
            dtype,
            order,
            is_fortran: value(text, "fortran_order")
                .ok_or_else(malformed)?
                .starts_with("True"),
            shape: value(text, "shape").and_then(tuple).ok_or_else(malformed)?,
            len,
        }))
    }

    /// The array whose file has this range.
    fn tensor(self, entry: &str, range: Range<usize>) -> Result<Tensor> {
        let Self {
            dtype, order, shape, ..
        } = self;
        let strides = if self.is_fortran {
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            let mut strides = super::layout::row_major_strides(&reversed);
            strides.reverse();
            strides
        } else {
            super::layout::row_major_strides(&shape)
        };
        let values = range.start + self.len..range.end;
        let tensor = Tensor::view(dtype, shape, strides, 0, &values);
        let tensor = tensor.ok_or_else(|| damaged(format!("the values of {entry:?} are incomplete")))?;
        Ok(tensor.in_order(order))
    }
}

/// The header, and the number of bytes up to its end.
fn header_text(bytes: &[u8]) -> Option<(&str, usize)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let ([major, _minor], rest) = rest.split_first_chunk()?;
    let (len, rest) = if *major == 1 {
        let (len, rest) = rest.split_first_chunk()?;
        (u16::from_le_bytes(*len).into(), rest)
    } else {
        let (len, rest) = rest.split_first_chunk()?;
        (u32::from_le_bytes(*len), rest)
    };
    let text = rest.get(..usize::try_from(len).ok()?)?;
    Some((
        std::str::from_utf8(text).ok()?,
        bytes.len() - rest.len() + text.len(),
    ))
}

/// What follows a key of the header.
fn value<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    Some(rest.trim_start())
}

fn quoted(text: &str) -> Option<&str> {
    Some(text.strip_prefix('\'')?.split_once('\'')?.0)
}

/// `(3, 3, 64)`, `(64,)` or `()`.
fn tuple(text: &str) -> Option<Vec<usize>> {
    let (items, _) = text.strip_prefix('(')?.split_once(')')?;
    let items = items.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.parse().ok()).collect()
}

/// `<f4`: byte order, kind and bytes. Other numbers than floats become integers, which no network reads.
fn dtype(descr: &str) -> Option<(Dtype, ByteOrder)> {
    let (order, kind) = descr.split_at_checked(1)?;
    let order = if order == ">" {
        ByteOrder::Big
    } else {
        ByteOrder::Little
    };
    let dtype = match kind {
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "i8" | "u8" => Dtype::I64,
        "i4" | "u4" => Dtype::I32,
        "i2" | "u2" => Dtype::I16,
        "i1" | "u1" | "b1" => Dtype::U8,
        _ => return None,
    };
    Some((dtype, order))
}
