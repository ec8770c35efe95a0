//! Tests of the order of layers and of messages about wrong keys and values.

use std::io::Write as _;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Merge,
    Inject,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Decoder {
    kind: Kind,
    hidden: u32,
    dropout: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    seed: u64,
    note: String,
    layers: Vec<u32>,
    decoder: Decoder,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 7,
            note: String::new(),
            layers: vec![1, 2],
            decoder: Decoder {
                kind: Kind::Merge,
                hidden: 256,
                dropout: 0.1,
            },
        }
    }
}

fn file(text: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

fn sets(texts: &[&str]) -> Vec<Assignment> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn resolve(file: Option<&Path>, texts: &[&str]) -> Result<Settings, ConfigError> {
    apply(&Settings::default(), file, &sets(texts))
}

fn from_file(text: impl AsRef<[u8]>) -> Result<Settings, ConfigError> {
    resolve(Some(file(text).path()), &[])
}

fn from_sets(texts: &[&str]) -> Result<Settings, ConfigError> {
    resolve(None, texts)
}

#[track_caller]
fn message(result: Result<Settings, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn defaults_are_kept_without_changes() {
    assert_eq!(from_sets(&[]).unwrap(), Settings::default());
    assert_eq!(from_file("").unwrap(), Settings::default());
    assert_eq!(from_file("[decoder]\n").unwrap(), Settings::default());
}

#[test]
fn flags_override_the_file_and_the_file_overrides_the_defaults() {
    let file = file("seed = 1\n[decoder]\nhidden = 128\ndropout = 0.5\n");
    let sets = [
        "decoder={hidden=512}",
        "layers=[4]",
        "layers=[3]",
        "decoder.kind=inject",
    ];
    let expected = Settings {
        seed: 1,
        layers: vec![3],
        decoder: Decoder {
            kind: Kind::Inject,
            hidden: 512,
            dropout: 0.5,
        },
        ..Settings::default()
    };
    assert_eq!(resolve(Some(file.path()), &sets).unwrap(), expected);
}

#[test]
fn string_settings_take_text_that_looks_like_another_type() {
    for text in ["2026-11-23", "12", "true", "a = b", "plain words", ""] {
        assert_eq!(from_sets(&[&format!("note={text}")]).unwrap().note, text);
    }
    assert_eq!(
        from_sets(&[r#"note="quoted # text""#]).unwrap().note,
        "quoted # text"
    );
}

#[test]
fn unknown_keys_are_rejected_with_the_nearest_one() {
    for (set, advice) in [
        ("decoder.hiden=3", "did you mean `decoder.hidden`?"),
        ("hidden=3", "did you mean `decoder.hidden`?"),
        ("decodr.hidden=3", "did you mean `decoder.hidden`?"),
        ("decoder.momentum=3", "known here: dropout, hidden, kind"),
    ] {
        let key = set.trim_end_matches("=3");
        let expected = format!("--set: there is no setting `{key}`; {advice}");
        assert_eq!(message(from_sets(&[set])), expected);
    }
}

#[test]
fn unknown_keys_in_a_file_are_named_with_their_line() {
    let file = file("seed = 1\n\n[decoder]\nhidden = 3\nhiden = 4\n");
    let expected = format!(
        "{}:5: there is no setting `decoder.hiden`; did you mean `decoder.hidden`?",
        file.path().display()
    );
    assert_eq!(message(resolve(Some(file.path()), &[])), expected);
    let advice = message(from_file("\n[decodr]\n"));
    assert!(
        advice.contains(".toml:2: there is no setting `decodr`; did you mean `decoder`?"),
        "{advice}"
    );
}

#[test]
fn invalid_values_are_named_with_the_key_and_the_expected_value() {
    let error = message(from_file("seed = 1\ndecoder.hidden = \"many\"\n"));
    assert!(
        error.contains(".toml:2: the setting `decoder.hidden`")
            && error.contains("invalid type: string \"many\", expected a whole number"),
        "{error}"
    );
    for (sets, key, expected) in [
        (
            &["seed=1", "decoder.hidden=-1", "note=x"][..],
            "decoder.hidden",
            "`-1`",
        ),
        (&["decoder.kind=mrege"], "decoder.kind", "`merge` or `inject`"),
        (
            &["decoder=3"],
            "decoder",
            "group of settings, set one of them: dropout, hidden, kind",
        ),
        (&["seed.start=3"], "seed.start", "`seed` is one setting"),
        (&["seed={}"], "seed", "expected a whole number"),
    ] {
        let error = message(from_sets(sets));
        assert!(
            error.contains(&format!("`{key}`")) && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn unreadable_files_are_named() {
    let error = message(from_file("seed = 1\nnote = \"torn"));
    assert!(error.contains(".toml:2: not valid TOML"), "{error}");
    let error = message(resolve(Some(Path::new("no/such/file.toml")), &[]));
    assert!(
        error.starts_with("cannot read the settings in no/such/file.toml: "),
        "{error}"
    );
}

#[test]
fn assignment_without_equals_sign_or_key_is_an_error() {
    let parse = |text: &str| text.parse::<Assignment>().unwrap_err();
    assert_eq!(parse("seed"), AssignmentError::NoEqualsSign("seed".into()));
    assert_eq!(parse("=1"), AssignmentError::Key(String::new()));
    assert_eq!(parse("a..b=1"), AssignmentError::Key("a..b".into()));
    assert_eq!(parse("a b=1"), AssignmentError::Key("a b".into()));
    assert!(matches!(
        parse(&format!("{}a=1", "a.".repeat(100_000))),
        AssignmentError::Key(_)
    ));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = from_file(bytes);
    }

    #[test]
    fn nearly_valid_files_never_panic(
        text in "(\\[?\\[?(decoder|seed|note|é)\\]?\\]?(\\.| ?= ?|\n)(hidden|\"é|1|-9e9|\\{|\\[|\n)*){0,6}",
    ) {
        let _ = from_file(text);
    }

    #[test]
    fn random_flags_never_panic(text in "((decoder|seed|.)\\.?){0,4}=\\PC{0,20}") {
        if let Ok(set) = text.parse::<Assignment>() {
            let _ = apply(&Settings::default(), None, &[set]);
        }
    }

    #[test]
    fn numbers_are_kept(seed in 0..=i64::MAX as u64, hidden: u32) {
        let settings = from_sets(&[&format!("seed={seed}"), &format!("decoder.hidden={hidden}")]).unwrap();
        prop_assert_eq!((settings.seed, settings.decoder.hidden), (seed, hidden));
    }
}
