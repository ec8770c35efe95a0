//! Tests of valid, damaged and unsupported files of weights.

use super::*;
use proptest::prelude::*;
use std::fs;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;

/// Opens `contents` as a file of weights.
fn open(contents: &[u8]) -> Result<WeightFile, WeightsError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), contents).unwrap();
    WeightFile::open(file.path())
}

fn fault(contents: &[u8]) -> WeightsErrorKind {
    open(contents).unwrap_err().kind
}

/// The index of a file's content.
fn index_of(contents: &[u8]) -> Result<Index, WeightsErrorKind> {
    index(&Window::new(contents.to_vec()))
}

/// Asserts that the file is an error of this pattern.
macro_rules! assert_fault {
    ($contents:expr, $fault:pat $(if $guard:expr)?) => {
        let fault = fault($contents);
        assert!(matches!(&fault, $fault $(if $guard)?), "{fault}");
    };
}

fn safetensors_of(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn keras_sample() -> Vec<u8> {
    safetensors_of(
        r#"{"conv/kernel":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]},
            "conv/bias":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},
            "step":{"dtype":"I64","shape":[1],"data_offsets":[8,16]}}"#,
        &[0x00, 0x3c, 0x00, 0xc0, 0, 0, 0x20, 0x41, 7, 0, 0, 0, 0, 0, 0, 0],
    )
}

/// PyTorch's pickle of a dict with a tensor `w` of shape `[2, 3]`, transposed from `[3, 2]` at offset 1 of storage "0" with 7
/// floats, and a counter `n` in storage "1".
fn state_dict_pickle() -> Vec<u8> {
    let mut pickle = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    pickle.extend(b"X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((");
    pickle.extend(b"X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x07tQ");
    pickle.extend(b"K\x01K\x02K\x03\x86K\x01K\x02\x86\x89ccollections\nOrderedDict\n)RtR");
    pickle.extend(b"X\x01\0\0\0nctorch._utils\n_rebuild_tensor_v2\n((");
    pickle.extend(b"X\x07\0\0\0storagectorch\nLongStorage\nX\x01\0\0\x001X\x03\0\0\0cpuK\x01tQ");
    pickle.extend(b"K\x00))\x89ccollections\nOrderedDict\n)RtRu.");
    pickle
}

fn storage_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

const STORED: [f32; 7] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
const TRANSPOSED: [f32; 6] = [1.0, 3.0, 5.0, 2.0, 4.0, 6.0];

fn torch_zip(pickle: &[u8], options: SimpleFileOptions) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let entries = [
        ("weights/data.pkl", pickle.to_vec()),
        ("weights/byteorder", b"little".to_vec()),
        ("weights/data/0", storage_of(&STORED)),
        ("weights/data/1", 9_i64.to_le_bytes().to_vec()),
    ];
    for (name, contents) in entries {
        archive.start_file(name, options).unwrap();
        archive.write_all(&contents).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)
}

fn torch_legacy() -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(b"\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    file.extend(state_dict_pickle());
    file.extend(b"\x80\x02](X\x01\0\0\x001X\x01\0\0\x000e.");
    file.extend([1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([7, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(storage_of(&STORED));
    file
}

#[test]
fn safetensors_of_several_dtypes_become_f32() {
    let file = open(&keras_sample()).unwrap();
    assert_eq!(file.get("conv/kernel", &[1, 2]).unwrap(), [1.0, -2.0]);
    assert_eq!(file.get("conv/bias", &[1]).unwrap(), [10.0]);
    assert_eq!(file.naming().unwrap(), Naming::Keras);
    assert_eq!(
        file.names().collect::<Vec<_>>(),
        ["conv/bias", "conv/kernel", "step"]
    );
    assert!(file.contains("step") && !file.contains("steps"));
    assert_eq!(file.hash(), blake3::hash(&keras_sample()).to_hex().to_string());
}

#[test]
fn both_formats_of_pytorch_give_the_same_tensors() {
    for contents in [torch_zip(&state_dict_pickle(), stored()), torch_legacy()] {
        let file = open(&contents).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["n", "w"]);
        assert_eq!(file.get("w", &[2, 3]).unwrap(), TRANSPOSED);
        assert_eq!(file.shape("n"), Some(&[][..]));
        assert!(matches!(
            file.get("n", &[]).unwrap_err().kind,
            WeightsErrorKind::NotFloat { .. }
        ));
    }
}

#[test]
fn state_dict_in_a_checkpoint_is_found() {
    let inner = state_dict_pickle();
    let inner = &inner[2..inner.len() - 1]; // without protocol and stop
    let before = b"\x80\x02}(X\x05\0\0\0epochK\x03X\x0a\0\0\0state_dict";
    let pickle = [before, inner, b"u."].concat();
    let file = open(&torch_zip(&pickle, stored())).unwrap();
    assert_eq!(file.get("state_dict.w", &[2, 3]).unwrap(), TRANSPOSED);
}

#[test]
fn legacy_file_of_protocol_4_is_recognized() {
    let mut file = torch_legacy();
    file[1] = 4;
    let frame = [&[0x95][..], &13_u64.to_le_bytes()].concat();
    file.splice(2..2, frame);
    assert_eq!(open(&file).unwrap().get("w", &[2, 3]).unwrap(), TRANSPOSED);
}

#[test]
fn big_endian_file_of_pytorch_has_the_same_values() {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let storage: Vec<u8> = STORED.iter().flat_map(|value| value.to_be_bytes()).collect();
    for (name, contents) in [
        ("weights/data.pkl", state_dict_pickle()),
        ("weights/byteorder", b"big".to_vec()),
        ("weights/data/0", storage),
        ("weights/data/1", vec![0; 8]),
    ] {
        archive.start_file(name, stored()).unwrap();
        archive.write_all(&contents).unwrap();
    }
    let file = open(&archive.finish().unwrap().into_inner()).unwrap();
    assert_eq!(file.get("w", &[2, 3]).unwrap(), TRANSPOSED);
}

#[test]
fn module_in_a_pickle_has_the_names_of_its_state_dict() {
    let inner = state_dict_pickle();
    let inner = &inner[2..inner.len() - 1];
    let pickle = [
        &b"\x80\x02cmymodel\nNet\n)\x81}(X\x08\0\0\0_modules}X\x01\0\0\0c"[..],
        b"cmymodel\nConv\n)\x81}X\x0b\0\0\0_parameters",
        inner,
        b"sbsub.",
    ]
    .concat();
    let file = open(&torch_zip(&pickle, stored())).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["c.n", "c.w"]);
}

#[test]
fn wrappers_are_left_out_of_names() {
    let header = r#"{"a.module.w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
        "module._orig_mod.b.w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},
        "c.module.w":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},
        "c.w":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#;
    let file = open(&safetensors_of(header, &[0; 16])).unwrap();
    assert_eq!(
        file.names().collect::<Vec<_>>(),
        ["a.w", "b.w", "c.module.w", "c.w"]
    );
}

/// An `.npy` file.
fn npy(descr: &str, is_fortran: bool, shape: &str, values: &[u8]) -> Vec<u8> {
    let order = if is_fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let len = header.len() as u16;
    [
        b"\x93NUMPY\x01\x00",
        &len.to_le_bytes()[..],
        header.as_bytes(),
        values,
    ]
    .concat()
}

/// An archive with the matrix `[[0, 1, 2], [3, 4, 5]]` in several forms, and an array of objects.
fn npz(options: SimpleFileOptions) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let big: Vec<u8> = (0..6_u8)
        .flat_map(|value| f32::from(value).to_be_bytes())
        .collect();
    let columns = [0.0_f64, 3.0, 1.0, 4.0, 2.0, 5.0];
    let columns: Vec<u8> = columns.iter().flat_map(|value| value.to_le_bytes()).collect();
    for (name, contents) in [
        (
            "rows.npy",
            npy(
                "<f4",
                false,
                "(2, 3)",
                &storage_of(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            ),
        ),
        ("big.npy", npy(">f4", false, "(2, 3)", &big)),
        ("layer/columns:0.npy", npy("<f8", true, "(2, 3)", &columns)),
        ("step.npy", npy("<i8", false, "()", &[7; 8])),
        ("objects.npy", npy("|O", false, "(1,)", b"\x80\x04N.")),
    ] {
        archive.start_file(name, options).unwrap();
        archive.write_all(&contents).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn arrays_of_numpy_have_the_same_values_in_every_order_compressed_or_not() {
    let deflated = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for options in [stored(), deflated] {
        let file = open(&npz(options)).unwrap();
        let names: Vec<&str> = file.names().collect();
        assert_eq!(names, ["big", "layer/columns", "rows", "step"]);
        for name in &names[..3] {
            assert_eq!(
                file.get(name, &[2, 3]).unwrap(),
                [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
                "{name}"
            );
        }
    }
}

#[test]
fn arrays_that_inflate_without_end_are_rejected() {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let deflated = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    archive.start_file("zeros.npy", deflated).unwrap();
    let zeros = npy("<f4", false, "(100000,)", &[0; 400_000]);
    archive.write_all(&zeros).unwrap();
    let contents = archive.finish().unwrap().into_inner();
    assert_fault!(&contents, WeightsErrorKind::Damaged(why) if why.contains("too large"));
}

/// Keras' archive of a file of weights and a model of these layers.
fn keras_archive(weights: &str, layers: [&str; 2]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/keras")
        .join(weights);
    let layers = layers.map(|name| serde_json::json!({"class_name": "Conv2D", "config": {"name": name}}));
    let config = serde_json::json!({"class_name": "Functional", "config": {"layers": layers}});
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in [
        ("config.json", config.to_string().into_bytes()),
        ("model.weights.h5", fs::read(path).unwrap()),
    ] {
        archive.start_file(name, stored()).unwrap();
        archive.write_all(&contents).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn model_of_keras_3_has_the_names_of_its_weights_or_of_its_config() {
    let bias = [100.0, 101.0, 102.0, 103.0];
    let named = open(&keras_archive("named.weights.h5", ["a", "b"])).unwrap();
    assert_eq!(named.get("conv/bias", &[4]).unwrap(), bias);
    let unnamed = open(&keras_archive("unnamed.weights.h5", ["a", "b"])).unwrap();
    assert_eq!(unnamed.names().collect::<Vec<_>>(), ["a/kernel", "b/kernel"]);
    assert_eq!(unnamed.get("b/kernel", &[4]).unwrap(), bias);
}

#[test]
fn listed_files_are_one_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("model.safetensors.index.json");
    let write_list = |first: &str| {
        let list_of =
            format!(r#"{{"metadata":{{}},"weight_map":{{"w":"{first}","conv/bias":"2.safetensors"}}}}"#);
        fs::write(&list, list_of).unwrap();
    };
    fs::write(
        folder.path().join("1.bin"),
        torch_zip(&state_dict_pickle(), stored()),
    )
    .unwrap();
    fs::write(folder.path().join("2.safetensors"), keras_sample()).unwrap();
    write_list("1.bin");
    let file = WeightFile::open(&list).unwrap();
    assert_eq!(file.get("w", &[2, 3]).unwrap(), TRANSPOSED);
    assert_eq!(file.get("conv/bias", &[1]).unwrap(), [10.0]);
    assert_ne!(
        file.hash(),
        blake3::hash(&fs::read(&list).unwrap()).to_hex().to_string()
    );

    for (other, part) in [
        ("3.bin", "\"3.bin\" is missing"),
        ("../1.bin", "is elsewhere"),
        ("/etc/passwd", "is elsewhere"),
    ] {
        write_list(other);
        let error = WeightFile::open(&list).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    fs::write(&list, r#"{"weights": {}}"#).unwrap();
    let error = WeightFile::open(&list).unwrap_err().to_string();
    assert!(error.contains("a text file"), "{error}");
}

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let file = open(&keras_sample()).unwrap();
    let missing = file.get("conv1/kernel", &[1, 2]).unwrap_err().to_string();
    assert!(
        missing.contains("\"conv1/kernel\"") && missing.contains("nearest: \"conv/kernel\""),
        "{missing}"
    );
    let shape = file.get("conv/kernel", &[2, 1]).unwrap_err().to_string();
    assert!(shape.contains("[1, 2] where [2, 1] is expected"), "{shape}");
    let nameless = open(&safetensors_of("{}", b"")).unwrap();
    assert!(matches!(
        nameless.naming().unwrap_err().kind,
        WeightsErrorKind::UnknownNaming { tensors: 0 }
    ));
}

#[test]
fn files_without_weights_are_recognized() {
    assert_fault!(b"", WeightsErrorKind::Empty);
    assert_fault!(
        b"<!DOCTYPE html>",
        WeightsErrorKind::NotWeights(FileKind::HtmlPage)
    );
    assert_fault!(b"\x89HDF\r\n\x1a\n\0\0\0\0", WeightsErrorKind::Damaged(_));
    let pdf = fault(b"%PDF-1.7").to_string();
    assert!(pdf.contains("PDF") && pdf.contains("safetensors"), "{pdf}");
    let pointer = fault(b"version https://git-lfs.github.com/spec/v1\n").to_string();
    assert!(pointer.contains("git lfs pull"), "{pointer}");
    let folder = tempfile::tempdir().unwrap();
    let directory = WeightFile::open(folder.path()).unwrap_err();
    assert!(matches!(directory.kind, WeightsErrorKind::NotAFile));
    let missing = WeightFile::open(folder.path().join("none.pth")).unwrap_err();
    assert!(missing.to_string().contains("none.pth"));
}

#[test]
fn pickles_other_than_state_dicts_are_rejected() {
    let attack = b"\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R.";
    let attack = torch_zip(attack, stored());
    assert_fault!(&attack, WeightsErrorKind::NotAStateDict(why) if why.contains("posix.system"));
    let empty = torch_zip(b"\x80\x02}X\x05\0\0\0epochK\x03s.", stored());
    assert_fault!(&empty, WeightsErrorKind::NotAStateDict(why) if why.contains("\"epoch\""));
    let mut deep = b"\x80\x02".to_vec();
    deep.extend(b"}X\x08\0\0\0_modules".repeat(100_000));
    deep.extend(b"N");
    deep.extend([b's'; 100_000]);
    deep.push(b'.');
    assert_fault!(&torch_zip(&deep, stored()), WeightsErrorKind::NotAStateDict(_));
    let deflated = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let compressed = torch_zip(&state_dict_pickle(), deflated);
    assert_fault!(&compressed, WeightsErrorKind::Compressed(_));
}

#[test]
fn archives_with_weights_are_rejected_by_the_name_of_the_weights() {
    let mut wheel = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["package/__init__.py", "package/models/lite1.pth"] {
        wheel.start_file(name, stored()).unwrap();
        wheel.write_all(b"contents").unwrap();
    }
    let wheel = wheel.finish().unwrap().into_inner();
    assert_fault!(&wheel, WeightsErrorKind::Packed(name) if name == "package/models/lite1.pth");
}

/// A file of each format but HDF5.
fn samples() -> [Vec<u8>; 4] {
    let zip = torch_zip(&state_dict_pickle(), stored());
    [keras_sample(), zip, torch_legacy(), npz(stored())]
}

#[test]
fn truncated_files_are_errors() {
    let samples = samples();
    for (kind, sample) in samples.iter().enumerate() {
        for len in 0..sample.len() {
            assert!(
                index_of(&sample[..len]).is_err(),
                "kind {kind} truncated to {len} bytes"
            );
        }
    }
    let legacy = &samples[2];
    assert_fault!(&legacy[..legacy.len() - 5], WeightsErrorKind::Damaged(_));
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        kind in 0..4_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = samples()[kind].clone();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        for tensor in index_of(&bytes).unwrap_or_default().tensors.values() {
            if tensor.part == 0 && tensor.len() < 1000 {
                let _ = tensor.values(&bytes);
            }
        }
    }
}

/// A file of published weights, if the environment variable names their folder.
fn published(file: &str) -> Option<WeightFile> {
    let Some(folder) = std::env::var_os("CUTLINE_WEIGHTS") else {
        eprintln!("skipped: CUTLINE_WEIGHTS names no folder with {file}");
        return None;
    };
    Some(WeightFile::open(Path::new(&folder).join(file)).unwrap())
}

#[test]
fn tensors_of_torchvision_mobilenet_v2_equal_numpy() {
    let Some(file) = published("mobilenet_v2-b0353104.pth") else {
        return;
    };
    assert_eq!(file.names().count(), 314);
    assert_eq!(file.naming().unwrap(), Naming::Torch);
    // Sums, and sums weighted by the index modulo 97, computed with NumPy.
    #[rustfmt::skip]
    let expected = [
        ("features.0.0.weight", &[32, 3, 3, 3][..], -0.7730716340520303, -74.19802369521494),
        ("features.1.conv.0.0.weight", &[32, 1, 3, 3], 1.99875668543973, -51.67081346589839),
        ("features.17.conv.2.weight", &[320, 960, 1, 1], 1.3528751114155853, -1733.066241567832),
        ("features.18.1.running_var", &[1280], 24.652515053749084, 1170.8400683160871),
        ("classifier.1.weight", &[1000, 1280], 0.12846647834186342, -997.3438251807165),
        ("classifier.1.bias", &[1000], -0.00010184831626247615, 28.989736546709537),
    ];
    for (name, shape, sum, weighted_sum) in expected {
        let values = file.get(name, shape).unwrap();
        let weighted = values
            .iter()
            .enumerate()
            .map(|(i, v)| (i % 97) as f64 * f64::from(*v));
        assert!((weighted.sum::<f64>() - weighted_sum).abs() < 1e-6, "{name}");
        assert!(
            (values.iter().map(|v| f64::from(*v)).sum::<f64>() - sum).abs() < 1e-6,
            "{name}"
        );
    }
}

#[test]
fn published_safetensors_have_their_naming() {
    for (name, naming, tensors) in [
        ("vgg16_imagenet_notop_keras_hwio.kernels_f16", Naming::Keras, 26),
        (
            "xception_imagenet_notop_keras_hwio.kernels_f16",
            Naming::Keras,
            234,
        ),
        ("efficientnet_lite0_imagenet_torch_oihw", Naming::Torch, 247),
    ] {
        if let Some(file) = published(&format!("{name}.safetensors")) {
            assert_eq!(file.naming().unwrap(), naming, "{name}");
            assert_eq!(file.names().count(), tensors, "{name}");
        }
    }
}
