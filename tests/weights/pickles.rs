//! A writer of the files of `torch.save`: objects of Python, with tensors in them.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use super::NamedTensor;
use zip::write::SimpleFileOptions;

/// An object of Python.
#[derive(Clone)]
pub(super) enum Object {
    None,
    Integer(i32),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Object>),
    Tuple(Vec<Object>),
    Dict(Vec<(String, Object)>),
    /// A call of a function: module, name, arguments.
    Call(&'static str, &'static str, Vec<Object>),
    /// An object of a class with attributes.
    Instance(&'static str, &'static str, Box<Object>),
    /// A float tensor, by its place among the tensors.
    Tensor(usize),
}

impl Object {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn dict<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Dict(entries.map(|(key, value)| (key.to_owned(), value)).into())
    }
}

/// A checkpoint: the object of a file, and the tensors that it refers to.
pub(super) struct Checkpoint<'t> {
    pub(super) object: Object,
    pub(super) tensors: &'t [NamedTensor],
}

impl Checkpoint<'_> {
    pub(super) fn write_zip(&self, path: &Path) {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let mut entry = |name: String, contents: &[u8]| {
            archive.start_file(format!("archive/{name}"), options).unwrap();
            archive.write_all(contents).unwrap();
        };
        entry("data.pkl".to_owned(), &self.pickle(2, &self.object));
        for (number, tensor) in self.tensors.iter().enumerate() {
            entry(format!("data/{number}"), &bytes(tensor));
        }
        fs::write(path, archive.finish().unwrap().into_inner()).unwrap();
    }

    pub(super) fn write_legacy(&self, path: &Path, protocol: u8) {
        const MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
        let mut file = vec![0x80, protocol];
        if protocol >= 4 {
            file.push(0x95);
            file.extend((MAGIC.len() as u64).to_le_bytes());
        }
        file.extend(MAGIC);
        file.extend(self.pickle(protocol, &Object::Integer(1001)));
        file.extend(self.pickle(protocol, &Object::Dict(Vec::new())));
        file.extend(self.pickle(protocol, &self.object));
        let keys = (0..self.tensors.len()).map(|number| Object::Text(number.to_string()));
        file.extend(self.pickle(protocol, &Object::List(keys.collect())));
        for tensor in self.tensors {
            file.extend((tensor.2.len() as u64).to_le_bytes());
            file.extend(bytes(tensor));
        }
        fs::write(path, file).unwrap();
    }

    fn pickle(&self, protocol: u8, object: &Object) -> Vec<u8> {
        let mut pickle = vec![0x80, protocol];
        self.push(object, &mut pickle);
        pickle.push(b'.');
        pickle
    }

    fn push(&self, object: &Object, out: &mut Vec<u8>) {
        match object {
            Object::None => out.push(b'N'),
            Object::Integer(value) => {
                out.push(b'J');
                out.extend(value.to_le_bytes());
            }
            Object::Text(text) => sized(b'X', text.as_bytes(), out),
            Object::Bytes(bytes) => sized(b'B', bytes, out),
            Object::List(items) => {
                out.extend(b"](");
                items.iter().for_each(|item| self.push(item, out));
                out.push(b'e');
            }
            Object::Tuple(items) => {
                out.push(b'(');
                items.iter().for_each(|item| self.push(item, out));
                out.push(b't');
            }
            Object::Dict(entries) => {
                out.extend(b"ccollections\nOrderedDict\n)R(");
                for (key, value) in entries {
                    sized(b'X', key.as_bytes(), out);
                    self.push(value, out);
                }
                out.push(b'u');
            }
            Object::Call(module, name, arguments) => {
                out.extend(format!("c{module}\n{name}\n").as_bytes());
                self.push(&Object::Tuple(arguments.clone()), out);
                out.push(b'R');
            }
            Object::Instance(module, name, attributes) => {
                out.extend(format!("c{module}\n{name}\n").as_bytes());
                out.extend(b")\x81");
                self.push(attributes, out);
                out.push(b'b');
            }
            Object::Tensor(number) => self.push_tensor(*number, out),
        }
    }

    /// A call of `torch._utils._rebuild_tensor_v2` with the storage of this number.
    fn push_tensor(&self, number: usize, out: &mut Vec<u8>) {
        let (_, shape, values) = &self.tensors[number];
        let integers = |sizes: &[usize]| {
            let sizes = sizes.iter().map(|&size| Object::Integer(size as i32));
            Object::Tuple(sizes.collect())
        };
        let mut strides = vec![1; shape.len()];
        for at in (1..shape.len()).rev() {
            strides[at - 1] = strides[at] * shape[at];
        }
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        sized(b'X', b"storage", out);
        out.extend(b"ctorch\nFloatStorage\n");
        sized(b'X', number.to_string().as_bytes(), out);
        sized(b'X', b"cpu", out);
        self.push(&Object::Integer(values.len() as i32), out);
        out.extend(b"tQ");
        self.push(&Object::Integer(0), out);
        self.push(&integers(shape), out);
        self.push(&integers(&strides), out);
        out.push(0x89); // requires no gradient
        self.push(&Object::Dict(Vec::new()), out);
        out.extend(b"tR");
    }
}

fn sized(opcode: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(opcode);
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn bytes((_, _, values): &NamedTensor) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
