//! Tests of valid, damaged and malicious pickles.

use super::*;
use proptest::prelude::*;

/// `pickle.dumps({"a": (1, -2, True, None), "b": [0.5, "x", 2**70]}, 2)` of CPython 3.11.
const SAMPLE: &[u8] = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01(K\x01J\xfe\xff\xff\xff\x88Ntq\x02\
    X\x01\x00\x00\x00bq\x03]q\x04(G?\xe0\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00xq\x05\
    \x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@eu.";

#[test]
fn pickle_of_python_is_read() {
    let with_more_behind = [SAMPLE, b"more"].concat();
    let pickle = Pickle::read(&with_more_behind).unwrap();
    assert_eq!(pickle.len, SAMPLE.len());
    let entries = pickle.dict(pickle.root).unwrap();
    assert_eq!(entries[0].0, Value::Text("a"));
    assert_eq!(
        pickle.tuple(entries[0].1).unwrap(),
        [
            Value::Integer(1),
            Value::Integer(-2),
            Value::Bool(true),
            Value::None
        ]
    );
    assert_eq!(
        pickle.node(entries[1].1),
        Some(&Node::List(vec![
            Value::Float(0.5),
            Value::Text("x"),
            Value::LongInteger(&[0, 0, 0, 0, 0, 0, 0, 0, 0x40]),
        ]))
    );
}

#[test]
fn frames_and_memos_of_newer_protocols_are_read() {
    // `pickle.dumps(collections.OrderedDict(a=1), 4)` of CPython 3.11.
    let bytes = b"\x80\x04\x95)\x00\x00\x00\x00\x00\x00\x00\x8c\x0bcollections\x94\x8c\x0bOrderedDict\
        \x94\x93\x94)R\x94\x8c\x01a\x94K\x01s.";
    let pickle = Pickle::read(bytes).unwrap();
    assert_eq!(
        pickle.dict(pickle.root).unwrap(),
        [(Value::Text("a"), Value::Integer(1))]
    );
}

#[test]
fn unknown_class_becomes_an_object_with_its_attributes() {
    // `pickle.dumps(argparse.Namespace(lr=1), 2)` of CPython 3.11.
    let bytes = b"\x80\x02cargparse\nNamespace\nq\x00)\x81q\x01}q\x02X\x02\x00\x00\x00lrq\x03K\x01sb.";
    let pickle = Pickle::read(bytes).unwrap();
    let Some(Node::Object(object)) = pickle.node(pickle.root) else {
        panic!("{pickle:?}");
    };
    assert_eq!(object.class, Some(("argparse", "Namespace")));
    assert_eq!(
        pickle.dict(object.state.unwrap()).unwrap(),
        [(Value::Text("lr"), Value::Integer(1))]
    );
    let attack = Pickle::read(b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.").unwrap();
    let Some(Node::Object(object)) = attack.node(attack.root) else {
        panic!("{attack:?}");
    };
    assert_eq!(object.class, Some(("posix", "system")));
}

#[test]
fn ordered_dict_of_pairs_has_their_entries() {
    // `pickle.dumps(collections.OrderedDict(a=1), 2)` of CPython 2.7.
    let bytes = b"\x80\x02ccollections\nOrderedDict\n]]X\x01\x00\x00\x00aaK\x01aa\x85R.";
    let pickle = Pickle::read(bytes).unwrap();
    assert_eq!(
        pickle.dict(pickle.root).unwrap(),
        [(Value::Text("a"), Value::Integer(1))]
    );
}

#[test]
fn nesting_and_cycles_use_no_stack() {
    let mut nested = b"\x80\x02N".to_vec();
    nested.extend(std::iter::repeat_n(0x85, 1_000_000));
    nested.push(b'.');
    assert!(Pickle::read(&nested).is_ok());
    let cycle = b"\x80\x02]q\x00h\x00a.";
    assert!(Pickle::read(cycle).is_ok());
    let endless = vec![b'N'; MAX_INSTRUCTIONS + 1];
    assert!(matches!(Pickle::read(&endless), Err(Malformed(_))));
}

#[test]
fn truncated_pickle_is_an_error() {
    for len in 0..SAMPLE.len() {
        assert!(Pickle::read(&SAMPLE[..len]).is_err(), "truncated to {len}");
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Pickle::read(&bytes);
    }

    #[test]
    fn mutated_pickles_never_panic(changes in proptest::collection::vec((0..SAMPLE.len(), any::<u8>()), 1..6)) {
        let mut bytes = SAMPLE.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let _ = Pickle::read(&bytes);
    }

    /// Opcodes cover more of the machine than random bytes.
    #[test]
    fn random_programs_never_panic(
        program in proptest::collection::vec(proptest::sample::select(&b"(012NK\x88]l}dtaesuq\x94hRb)Q\x81\x85\x86\x87\x8f\x90\x91\x92."[..]), 0..200)
    ) {
        let _ = Pickle::read(&program);
    }
}
