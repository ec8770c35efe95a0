//! Conversion between little-endian floats on disk and `f32` in memory.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

/// The number of half-precision values that are converted at a time, in a buffer on the stack.
const CHUNK: usize = 512;

/// Reads `out.len()` little-endian `f32` values.
pub(crate) fn read_f32(bytes: &[u8], out: &mut [f32]) {
    read(bytes, out, f32::from_le_bytes);
}

/// Reads `out.len()` little-endian `f64` values, rounded to `f32`.
pub(crate) fn read_f64(bytes: &[u8], out: &mut [f32]) {
    read(bytes, out, |bytes| f64::from_le_bytes(bytes) as f32);
}

fn read<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    assert_eq!(bytes.len(), out.len() * N, "bytes of values");
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = value(*bytes);
    }
}

/// Reads `out.len()` little-endian IEEE half-precision values.
pub(crate) fn read_f16(bytes: &[u8], out: &mut [f32]) {
    read_halves(bytes, out, |bits, out| {
        bits.reinterpret_cast::<f16>().convert_to_f32_slice(out);
    });
}

/// Reads `out.len()` little-endian bfloat16 values.
pub(crate) fn read_bf16(bytes: &[u8], out: &mut [f32]) {
    read_halves(bytes, out, |bits, out| {
        bits.reinterpret_cast::<bf16>().convert_to_f32_slice(out);
    });
}

fn read_halves(bytes: &[u8], out: &mut [f32], convert: impl Fn(&[u16], &mut [f32])) {
    assert_eq!(bytes.len(), out.len() * 2, "bytes of 16-bit values");
    let mut bits = [0; CHUNK];
    for (bytes, out) in bytes.chunks(CHUNK * 2).zip(out.chunks_mut(CHUNK)) {
        for (bits, bytes) in bits.iter_mut().zip(bytes.as_chunks().0) {
            *bits = u16::from_le_bytes(*bytes);
        }
        convert(&bits[..out.len()], out);
    }
}

/// Appends the values as little-endian `f32`.
pub(crate) fn write_f32(values: &[f32], out: &mut Vec<u8>) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// Appends the values as little-endian half precision, rounded to nearest even.
pub(crate) fn write_f16(values: &[f32], out: &mut Vec<u8>) {
    let mut halves = [f16::ZERO; CHUNK];
    for values in values.chunks(CHUNK) {
        let halves = &mut halves[..values.len()];
        halves.convert_from_f32_slice(values);
        out.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read_by_their_bit_patterns() {
        // IEEE 754 binary16: 1.0 = 0x3c00, -2.0 = 0xc000, 65504 = 0x7bff, 2^-24 = 0x0001.
        let mut out = [0.0; 4];
        read_f16(&[0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00], &mut out);
        assert_eq!(out, [1.0, -2.0, 65504.0, 2f32.powi(-24)]);
        // bfloat16 is the upper half of an f32: 1.0 = 0x3f80, -3.0 = 0xc040.
        let mut out = [0.0; 2];
        read_bf16(&[0x80, 0x3f, 0x40, 0xc0], &mut out);
        assert_eq!(out, [1.0, -3.0]);
    }

    #[test]
    fn values_of_several_chunks_survive_writing() {
        let values: Vec<f32> = (0..2 * CHUNK + 7).map(|i| i as f32 * 0.25).collect();
        let mut out = vec![0.0; values.len()];
        let mut bytes = Vec::new();
        write_f16(&values, &mut bytes);
        read_f16(&bytes, &mut out);
        assert_eq!(out, values);
        bytes.clear();
        write_f32(&values, &mut bytes);
        read_f32(&bytes, &mut out);
        assert_eq!(out, values);
    }
}
