use super::tensors::{PackedTensor, write};
use super::{PackDtype, PackError};
use crate::model::NamedMatrix;
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;

fn matrix(name: &str, shape: (usize, usize), values: &[f32]) -> NamedMatrix {
    NamedMatrix {
        name: name.to_owned(),
        shape,
        bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

#[test]
fn half_precision_keeps_vectors_and_large_numbers_whole() {
    let packed = |matrix: &NamedMatrix| PackedTensor::of_model(matrix, PackDtype::F16).unwrap();
    let tensors = vec![
        packed(&matrix("bias", (1, 3), &[1e-8, 0.1, 2.0])),
        packed(&matrix("large", (2, 2), &[0.1, 70_000.0, 1.0, 2.0])),
        packed(&matrix("weight", (2, 2), &[0.1, -2.0, 65_504.0, 0.0])),
        PackedTensor::of_text("words", b"odd".to_vec()),
    ];
    let mut file = Vec::new();
    write(
        tensors,
        HashMap::from([("key".to_owned(), "value".to_owned())]),
        &mut file,
    )
    .unwrap();
    let read = SafeTensors::deserialize(&file).unwrap();
    let dtypes = ["bias", "large", "weight", "words"].map(|name| read.tensor(name).unwrap().dtype());
    assert_eq!(dtypes, [Dtype::F32, Dtype::F32, Dtype::F16, Dtype::U8]);
    assert_eq!(read.tensor("bias").unwrap().data()[..4], 1e-8_f32.to_le_bytes());
    let halves = read.tensor("weight").unwrap().data();
    assert_eq!(halves[..2], half::f16::from_f32(0.1).to_le_bytes());
    let (header, metadata) = SafeTensors::read_metadata(&file).unwrap();
    assert_eq!(header % 8, 0, "numbers are aligned");
    assert_eq!(metadata.metadata().as_ref().unwrap()["key"], "value");
}

#[test]
fn weights_that_are_no_numbers_are_rejected() {
    for value in [f32::NAN, f32::INFINITY] {
        let rejected = PackedTensor::of_model(&matrix("w", (1, 1), &[value]), PackDtype::F32);
        assert!(matches!(rejected, Err(PackError::NotFinite { .. })), "{value}");
    }
}
