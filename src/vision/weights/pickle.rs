//! A reader of the part of Python's pickle format that PyTorch state dicts use. It runs no code.
//!
//! A pickle is a program for a stack machine, which in Python can call any function. Here a call of one of the few known
//! [`Global`]s becomes data, and a call of any other becomes an object of which only the name and the attributes are kept.
//! Values refer to each other by index, so nesting and cycles use no stack. The opcodes are those of CPython's
//! `Lib/pickletools.py`, protocols 2 to 5.

use safetensors::Dtype;
use std::collections::HashMap;

/// More than in any state dict. Limits the memory to a few hundred megabytes.
const MAX_INSTRUCTIONS: usize = 4_000_000;

/// A function or class that a pickle refers to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global<'a> {
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`: storage, offset, size, stride, ...
    Tensor,
    /// A parameter around a tensor: tensor, requires_grad, ...
    Parameter,
    /// `torch._tensor._rebuild_from_type_v2`, a tensor with attributes: function, type, arguments, attributes.
    TensorOfType,
    /// `torch.Size`, around a tuple.
    Size,
    /// `torch.FloatStorage` and so on: the type of a storage's elements.
    Storage(Dtype),
    /// Any other.
    Foreign {
        module: &'a str,
        name: &'a str,
    },
}

impl<'a> Global<'a> {
    fn resolve(module: &'a str, name: &'a str) -> Self {
        match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::Parameter,
            ("torch.nn.parameter", "Parameter") => Self::Parameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::TensorOfType,
            ("torch", "Size") => Self::Size,
            ("torch" | "torch.cuda" | "torch.storage", name) => {
                storage_dtype(name).map_or(Self::Foreign { module, name }, Self::Storage)
            }
            _ => Self::Foreign { module, name },
        }
    }
}

fn storage_dtype(class: &str) -> Option<Dtype> {
    Some(match class {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" | "UntypedStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        _ => return None,
    })
}

/// A value on the machine's stack; composite ones are [`Node`]s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Integer(i64),
    /// An integer of more than 64 bits: little-endian two's complement.
    LongInteger(&'a [u8]),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Global(Global<'a>),
    Node(usize),
}

/// A composite value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// A call of a known function in Python.
    Call {
        function: Global<'a>,
        arguments: Value<'a>,
    },
    /// The result of any other call: what it was filled with afterwards.
    Object(PythonObject<'a>),
    /// A reference to something outside the pickle: a storage.
    Persistent(Value<'a>),
}

/// A Python object of a class that is not known here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PythonObject<'a> {
    /// Module and name of its class or of the function that returned it.
    pub(super) class: Option<(&'a str, &'a str)>,
    /// Entries, if it is a dict of its own class.
    pub(super) entries: Vec<(Value<'a>, Value<'a>)>,
    /// Its attributes: usually a dict.
    pub(super) state: Option<Value<'a>>,
}

/// A parsed pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    /// Its length in bytes.
    pub(super) len: usize,
    nodes: Vec<Node<'a>>,
}

/// Why a pickle is not well-formed, or which features it uses that checkpoints do not use.
#[derive(Debug, PartialEq)]
pub(super) struct Malformed(pub(super) String);

type Result<T> = std::result::Result<T, Malformed>;

fn malformed<T>(why: impl Into<String>) -> Result<T> {
    Err(Malformed(why.into()))
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` starts with.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut machine = Machine::new(bytes);
        for _ in 0..MAX_INSTRUCTIONS {
            if let Some(root) = machine.step()? {
                return Ok(Self {
                    root,
                    len: bytes.len() - machine.rest.len(),
                    nodes: machine.nodes,
                });
            }
        }
        malformed("more instructions than a state dict needs")
    }

    pub(super) fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(index) => self.nodes.get(index),
            _ => None,
        }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node<'a>> {
        self.nodes.iter()
    }

    pub(super) fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.node(value)? {
            Node::Dict(entries) => Some(entries),
            _ => None,
        }
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    nodes: Vec<Node<'a>>,
    /// Entries that were copied from lists.
    copied: usize,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            nodes: Vec::new(),
            copied: 0,
        }
    }

    /// Runs one instruction; STOP returns the value of the pickle.
    fn step(&mut self) -> Result<Option<Value<'a>>> {
        let [opcode] = self.take()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => self.protocol()?,
            0x95 => self.take::<8>().map(drop)?, // FRAME: a hint for readers of streams
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.pop().map(drop)?,
            b'1' => self.pop_to_mark().map(drop)?,
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            _ => self.scalar_or_composite(opcode)?,
        }
        Ok(None)
    }

    fn scalar_or_composite(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Integer(u8::from_le_bytes(self.take()?).into()),
            b'M' => Value::Integer(u16::from_le_bytes(self.take()?).into()),
            b'J' => Value::Integer(i32::from_le_bytes(self.take()?).into()),
            0x8a => integer(self.slice_with_len::<1>()?),
            0x8b => integer(self.slice_with_len::<4>()?),
            b'G' => Value::Float(f64::from_be_bytes(self.take()?)),
            b'X' => self.text_with_len::<4>()?,
            0x8c => self.text_with_len::<1>()?,
            0x8d => self.text_with_len::<8>()?,
            b'U' => self.text_with_len::<1>()?, // SHORT_BINSTRING: Python 2's str
            b'T' => self.text_with_len::<4>()?,
            b'C' => Value::Bytes(self.slice_with_len::<1>()?),
            b'B' => Value::Bytes(self.slice_with_len::<4>()?),
            0x8e | 0x96 => Value::Bytes(self.slice_with_len::<8>()?),
            b'h' => {
                let index = u8::from_le_bytes(self.take()?);
                self.recall(index.into())?
            }
            b'j' => {
                let index = u32::from_le_bytes(self.take()?);
                self.recall(index)?
            }
            _ => return self.composite(opcode),
        };
        self.stack.push(value);
        Ok(())
    }

    fn composite(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b')' => self.push_node(Node::Tuple(Vec::new())),
            0x85 => self.tuple_of_last(1)?,
            0x86 => self.tuple_of_last(2)?,
            0x87 => self.tuple_of_last(3)?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_node(Node::Tuple(items));
            }
            b']' | 0x8f => self.push_node(Node::List(Vec::new())), // a set is a list here
            b'l' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push_node(Node::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list([item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend_list(items)?;
            }
            b'}' => self.push_node(Node::Dict(Vec::new())),
            b'd' => {
                let entries = pairs(self.pop_to_mark()?)?;
                self.push_node(Node::Dict(entries));
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(vec![(key, value)])?;
            }
            b'u' => {
                let entries = pairs(self.pop_to_mark()?)?;
                self.extend_dict(entries)?;
            }
            _ => return self.reference(opcode),
        }
        Ok(())
    }

    fn reference(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b'q' => {
                let index = u8::from_le_bytes(self.take()?);
                self.remember(index.into())
            }
            b'r' => {
                let index = u32::from_le_bytes(self.take()?);
                self.remember(index)
            }
            0x94 => self.remember(self.memo.len() as u32), // fewer than `MAX_INSTRUCTIONS`
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.global(module, name),
                _ => malformed("a global whose name is no text"),
            },
            b'R' | 0x81 => self.call(),
            0x92 => {
                self.pop()?; // the named arguments
                self.call()
            }
            b'b' => self.build(),
            b'Q' => {
                let id = self.pop()?;
                self.push_node(Node::Persistent(id));
                Ok(())
            }
            _ => malformed(format!(
                "instruction 0x{opcode:02x}, which state dicts do not use"
            )),
        }
    }

    fn protocol(&mut self) -> Result<()> {
        match self.take()? {
            [2..=5] => Ok(()),
            [other] => malformed(format!("pickle protocol {other}")),
        }
    }

    fn global(&mut self, module: &'a str, name: &'a str) -> Result<()> {
        self.stack.push(Value::Global(Global::resolve(module, name)));
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let node = match callee {
            Value::Global(Global::OrderedDict) => Node::Dict(self.ordered_dict(arguments)?),
            Value::Global(Global::Foreign { module, name }) => Node::Object(PythonObject {
                class: Some((module, name)),
                ..PythonObject::default()
            }),
            Value::Global(function) => Node::Call { function, arguments },
            _ => Node::Object(PythonObject::default()),
        };
        self.push_node(node);
        Ok(())
    }

    /// The entries of `OrderedDict([[key, value], ...])`, as Python 2 writes it; no entries for `OrderedDict()`.
    fn ordered_dict(&mut self, arguments: Value<'a>) -> Result<Vec<(Value<'a>, Value<'a>)>> {
        let items = |value| match value {
            Value::Node(index) => match &self.nodes[index] {
                Node::List(items) | Node::Tuple(items) => items.as_slice(),
                _ => &[],
            },
            _ => &[],
        };
        let pairs = items(arguments).first().map_or(&[][..], |pairs| items(*pairs));
        let entries: Vec<_> = pairs
            .iter()
            .filter_map(|pair| match items(*pair) {
                [key, value] => Some((*key, *value)),
                _ => None,
            })
            .collect();
        // The same list can be the argument of many calls.
        self.copied += entries.len();
        if self.copied > MAX_INSTRUCTIONS {
            return malformed("more entries than a state dict needs");
        }
        Ok(entries)
    }

    /// Gives the object its attributes. Those of a dict, such as `_metadata`, are of no use here.
    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        if let Node::Object(object) = self.top_node()? {
            object.state = Some(state);
        }
        Ok(())
    }

    fn extend_list(&mut self, items: impl IntoIterator<Item = Value<'a>>) -> Result<()> {
        match self.top_node()? {
            Node::List(list) => list.extend(items),
            Node::Object(_) => {}
            _ => return malformed("items for something that is no list"),
        }
        Ok(())
    }

    fn extend_dict(&mut self, entries: Vec<(Value<'a>, Value<'a>)>) -> Result<()> {
        match self.top_node()? {
            Node::Dict(dict) => dict.extend(entries),
            Node::Object(object) => object.entries.extend(entries),
            _ => return malformed("entries for something that is no dict"),
        }
        Ok(())
    }

    fn tuple_of_last(&mut self, count: usize) -> Result<()> {
        let items = self.pop_from(self.stack.len().checked_sub(count))?;
        self.push_node(Node::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, index: u32) -> Result<()> {
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&self, index: u32) -> Result<Value<'a>> {
        match self.memo.get(&index) {
            Some(value) => Ok(*value),
            None => malformed("a reference to a value that was not kept"),
        }
    }

    fn push_node(&mut self, node: Node<'a>) {
        self.nodes.push(node);
        self.stack.push(Value::Node(self.nodes.len() - 1));
    }

    /// The height of the stack at the innermost open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value<'a>> {
        match self.stack.last() {
            Some(value) if self.stack.len() > self.floor() => Ok(*value),
            _ => malformed("a value is missing"),
        }
    }

    fn top_node(&mut self) -> Result<&mut Node<'a>> {
        match self.top()? {
            Value::Node(index) => Ok(&mut self.nodes[index]),
            _ => malformed("entries for something that holds none"),
        }
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let mark = self.marks.pop();
        self.pop_from(mark)
    }

    fn pop_from(&mut self, start: Option<usize>) -> Result<Vec<Value<'a>>> {
        match start {
            Some(start) if start >= self.floor() => Ok(self.stack.split_off(start)),
            _ => malformed("values are missing"),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return malformed("it ends in the middle");
        };
        self.rest = rest;
        Ok(*bytes)
    }

    fn take_slice(&mut self, len: usize) -> Result<&'a [u8]> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return malformed("it ends in the middle");
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// Bytes after their length of `N` bytes, little-endian.
    fn slice_with_len<const N: usize>(&mut self) -> Result<&'a [u8]> {
        let mut len = [0; 8];
        len[..N].copy_from_slice(&self.take::<N>()?);
        match usize::try_from(u64::from_le_bytes(len)) {
            Ok(len) => self.take_slice(len),
            Err(_) => malformed("it ends in the middle"),
        }
    }

    /// Text; bytes where it is not UTF-8, as Python 2's strings may be.
    fn text_with_len<const N: usize>(&mut self) -> Result<Value<'a>> {
        let bytes = self.slice_with_len::<N>()?;
        Ok(std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text))
    }

    fn line(&mut self) -> Result<&'a str> {
        let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') else {
            return malformed("it ends in the middle");
        };
        let line = self.take_slice(end)?;
        self.take::<1>()?;
        match std::str::from_utf8(line) {
            Ok(text) => Ok(text),
            Err(_) => malformed("a name that is not UTF-8"),
        }
    }
}

/// Little-endian two's complement of any length.
fn integer(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > 8 {
        return Value::LongInteger(bytes);
    }
    let negative = bytes.last().is_some_and(|&byte| byte & 0x80 != 0);
    let mut extended = [if negative { 0xff } else { 0 }; 8];
    extended[..bytes.len()].copy_from_slice(bytes);
    Value::Integer(i64::from_le_bytes(extended))
}

fn pairs(items: Vec<Value<'_>>) -> Result<Vec<(Value<'_>, Value<'_>)>> {
    let (pairs, []) = items.as_chunks::<2>() else {
        return malformed("a key without a value");
    };
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

#[cfg(test)]
mod tests;
