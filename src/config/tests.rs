//! Tests of what wins over what, and of what is said of a key that is none.

use std::collections::BTreeMap;
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
struct Stop {
    patience: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    seed: u64,
    note: String,
    clip: Option<f32>,
    layers: Vec<u32>,
    decoder: Decoder,
    #[serde(default)]
    stop: Option<Stop>,
    weights: BTreeMap<String, f32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 7,
            note: String::new(),
            clip: None,
            layers: vec![1, 2],
            decoder: Decoder {
                kind: Kind::Merge,
                hidden: 256,
                dropout: 0.1,
            },
            stop: None,
            weights: BTreeMap::new(),
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

fn from_file(text: &str) -> Result<Settings, ConfigError> {
    resolve(Some(file(text).path()), &[])
}

fn from_sets(texts: &[&str]) -> Result<Settings, ConfigError> {
    resolve(None, &sets(texts))
}

#[track_caller]
fn message(result: Result<Settings, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn nothing_given_leaves_the_defaults() {
    assert_eq!(from_sets(&[]).unwrap(), Settings::default());
    assert_eq!(from_file("").unwrap(), Settings::default());
    assert_eq!(from_file("[decoder]\n").unwrap(), Settings::default());
}

#[test]
fn flags_lie_over_the_file_and_the_file_over_the_defaults() {
    let file = file("seed = 1\nclip = 5\n[decoder]\nhidden = 128\ndropout = 0.5\n");
    let settings: Settings = resolve(
        Some(file.path()),
        &sets(&["decoder.hidden=512", "layers=[3]", "decoder.kind=inject"]),
    )
    .unwrap();
    let expected = Settings {
        seed: 1,
        clip: Some(5.0),
        layers: vec![3],
        decoder: Decoder {
            kind: Kind::Inject,
            hidden: 512,
            dropout: 0.5,
        },
        ..Settings::default()
    };
    assert_eq!(settings, expected);
}

#[test]
fn the_last_of_two_flags_wins() {
    assert_eq!(from_sets(&["seed=1", "seed=2"]).unwrap().seed, 2);
}

#[test]
fn groups_that_are_not_set_by_default_can_be_set() {
    assert_eq!(
        from_sets(&["stop.patience=3"]).unwrap().stop,
        Some(Stop { patience: 3 })
    );
    assert_eq!(
        from_sets(&["stop={patience=3}"]).unwrap().stop,
        Some(Stop { patience: 3 })
    );
    assert_eq!(from_sets(&["weights.bleu=0.5"]).unwrap().weights["bleu"], 0.5);
}

#[test]
fn a_string_setting_takes_text_that_looks_like_something_else() {
    for text in ["2026-11-23", "12", "true", "a = b", "plain words", ""] {
        assert_eq!(from_sets(&[&format!("note={text}")]).unwrap().note, text);
    }
    assert_eq!(
        from_sets(&[r#"note="quoted # text""#]).unwrap().note,
        "quoted # text"
    );
}

#[test]
fn misspelt_keys_are_refused_with_the_nearest_one() {
    let advice = message(from_sets(&["decoder.hiden=3"]));
    assert_eq!(
        advice,
        "--set: there is no setting `decoder.hiden`; did you mean `decoder.hidden`?"
    );
    let advice = message(from_sets(&["hidden=3"]));
    assert!(advice.contains("did you mean `decoder.hidden`?"), "{advice}");
    let advice = message(from_sets(&["decodr.hidden=3"]));
    assert!(advice.contains("did you mean `decoder.hidden`?"), "{advice}");
    let advice = message(from_sets(&["decoder.momentum=3"]));
    assert!(advice.ends_with("known here: dropout, hidden, kind"), "{advice}");
    let advice = message(from_sets(&["stop.patience=3", "stop.patienc=3"]));
    assert!(
        advice.contains("there is no setting `stop.patienc`; did you mean `stop.patience`?"),
        "{advice}"
    );
}

#[test]
fn a_misspelt_key_in_a_file_is_named_with_its_line() {
    let file = file("seed = 1\n\n[decoder]\nhidden = 3\nhiden = 4\n");
    let error = resolve::<Settings>(Some(file.path()), &[]).unwrap_err();
    let expected = format!(
        "{}:5: there is no setting `decoder.hiden`; did you mean `decoder.hidden`?",
        file.path().display()
    );
    assert_eq!(error.to_string(), expected);
    let advice = message(from_file("\n[decodr]\n"));
    assert!(
        advice.contains(".toml:2: there is no setting `decodr`; did you mean `decoder`?"),
        "{advice}"
    );
}

#[test]
fn wrong_types_name_the_key_what_was_expected_and_what_came() {
    let error = message(from_file("seed = 1\ndecoder.hidden = \"many\"\n"));
    assert!(error.contains(".toml:2: the setting `decoder.hidden`"), "{error}");
    assert!(
        error.contains("invalid type: string \"many\", expected a whole number"),
        "{error}"
    );
    let error = message(from_sets(&["seed=1", "decoder.hidden=-1", "note=x"]));
    assert!(
        error.contains("`decoder.hidden`") && error.contains("`-1`"),
        "{error}"
    );
    let error = message(from_sets(&["decoder.kind=mrege"]));
    assert!(
        error.contains("`decoder.kind`") && error.contains("`merge` or `inject`"),
        "{error}"
    );
    let error = message(from_sets(&["decoder=3"]));
    assert!(
        error.contains("group of settings, set one of them: dropout, hidden, kind"),
        "{error}"
    );
    let error = message(from_sets(&["seed.start=3"]));
    assert!(error.contains("`seed` is one setting"), "{error}");
}

#[test]
fn broken_files_are_named_with_the_line() {
    let error = message(from_file("seed = 1\nnote = \"torn"));
    assert!(error.contains(".toml:2: not valid TOML"), "{error}");
    let error = message(resolve(Some(Path::new("nowhere/to/be/seen.toml")), &[]));
    assert!(
        error.starts_with("cannot read the settings in nowhere/to/be/seen.toml: "),
        "{error}"
    );
}

#[test]
fn assignments_that_are_none_say_what_one_looks_like() {
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
    fn no_bytes_in_a_file_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = resolve::<Settings>(Some(file(bytes).path()), &[]);
    }

    #[test]
    fn no_nearly_right_file_makes_it_panic(
        text in "(\\[?\\[?(decoder|seed|stop|weights|note|é)\\]?\\]?(\\.| ?= ?|\n)(hidden|\"é|1|-9e9|\\{|\\[|\n)*){0,6}",
    ) {
        let _ = resolve::<Settings>(Some(file(text).path()), &[]);
    }

    #[test]
    fn no_flag_makes_it_panic(text in "((decoder|seed|stop|weights|.)\\.?){0,4}=\\PC{0,20}") {
        if let Ok(set) = text.parse::<Assignment>() {
            let _ = resolve::<Settings>(None, &[set]);
        }
    }

    #[test]
    fn a_number_given_comes_out(seed in 0..=i64::MAX as u64, hidden: u32) {
        let sets = sets(&[&format!("seed={seed}"), &format!("decoder.hidden={hidden}")]);
        let settings: Settings = resolve(None, &sets).unwrap();
        prop_assert_eq!((settings.seed, settings.decoder.hidden), (seed, hidden));
    }
}
