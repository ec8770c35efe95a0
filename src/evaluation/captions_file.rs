//! Files of captions, as coco-caption, pycocoevalcap and programs for captioning write them.
//!
//! ```text
//! {"id": "a dog runs"}                                      one caption per image
//! {"id": ["a dog runs", "a brown dog"]}                     a list per image
//! [{"image_id": 7, "caption": "a dog runs"}]                COCO's results
//! {"annotations": [{"image_id": 7, "caption": "..."}], ...} COCO's annotations
//! {"predictions": {"id": "a dog runs"}, ...}                any of these under a known key
//! {"val": {"id": "..."}, "test": {"id": "..."}}             any of these for each split
//! {"image_id": 7, "caption": "a dog runs"}                  an object on each line
//! 7<TAB>a dog runs                                          no JSON; also 7#0<TAB>a dog runs
//! ```
//!
//! A caption that is missing (`null`, `NaN`, `"None"`) is empty. Ids are text; numbers are written out, and `42.0` is 42.

use crate::data::{ImageNames, Split};
use crate::text::{is_missing, with_nulls};
use encoding_rs::UTF_8;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// Keys of captions in a file that holds something else too.
const WRAPPERS: [&str; 7] = [
    "annotations",
    "results",
    "predictions",
    "hypotheses",
    "references",
    "captions",
    "data",
];
/// Keys of an image in an entry, the first one that is there.
const IMAGE_KEYS: [&str; 6] = ["image_id", "img_id", "image", "file_name", "filename", "id"];
/// Keys of its caption or captions.
const CAPTION_KEYS: [&str; 6] = ["caption", "captions", "text", "raw", "prediction", "hypothesis"];

/// Which captions are wanted of a file that may hold both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptionRole {
    /// Those of a model.
    Hypothesis,
    /// Those of people.
    Reference,
}

impl CaptionRole {
    /// The keys and columns that hold these captions only; they go before those that may hold either.
    #[rustfmt::skip] // A role is a line or two.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Hypothesis => &[
                "hypothesis", "hypotheses", "prediction", "predictions", "predicted", "pred", "generated_caption",
                "generated", "candidate", "model_output",
            ],
            Self::Reference => &["references", "reference", "ground_truth", "gt_caption", "gt", "gts", "target", "actual"],
        }
    }

    /// The names, then `others`.
    fn before<'n>(self, others: &'n [&'n str]) -> Vec<&'n str> {
        [self.names(), others].concat()
    }
}

/// Why a file holds no captions by id.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum CaptionsFileError {
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is a number, a text or null, not an object or a list")]
    Shape,
    #[error(
        "entry {number} of the list has no `{key}`; an entry is {{\"image_id\": 7, \"caption\": \"a dog runs\"}}"
    )]
    Entry { number: usize, key: &'static str },
    #[error("the id `{id}` appears twice")]
    Twice { id: String },
    #[error("the captions of `{id}` are neither text nor a list of texts")]
    Captions { id: String },
    #[error("the image `{id}` has {count} captions; a hypothesis is one caption per image")]
    Several { id: String, count: usize },
}

/// The captions of a JSON file, by image id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptionsFile(pub BTreeMap<String, Vec<String>>);

impl CaptionsFile {
    /// Reads any of the forms above, in UTF-8 or, with a byte order mark, UTF-16.
    ///
    /// # Errors
    /// If the text is not JSON or has another form.
    pub fn parse(bytes: &[u8], role: CaptionRole) -> Result<Self, CaptionsFileError> {
        let (text, ..) = UTF_8.decode(bytes);
        if let Some(captions) = tab_separated(&text) {
            return Ok(Self(captions));
        }
        let parsed = parse(&text).or_else(|error| {
            let without_words = with_nulls(text.as_bytes());
            let text = without_words.and_then(|bytes| String::from_utf8(bytes).ok());
            text.map_or(Err(error), |text| parse(&text))
        });
        let reader = JsonReader {
            wrappers: role.before(&WRAPPERS),
            captions: role.before(&CAPTION_KEYS),
        };
        let mut captions = BTreeMap::new();
        reader.collect(parsed?, &mut captions)?;
        Ok(Self(captions))
    }

    /// One caption per image.
    ///
    /// # Errors
    /// If an image has several captions, or an empty list.
    pub fn into_hypotheses(self) -> Result<BTreeMap<String, String>, CaptionsFileError> {
        let only = |(id, captions): (String, Vec<String>)| match <[String; 1]>::try_from(captions) {
            Ok([caption]) => Ok((id, caption)),
            Err(captions) => Err(CaptionsFileError::Several {
                id,
                count: captions.len(),
            }),
        };
        self.0.into_iter().map(only).collect()
    }
}

/// Captions whose ids are those of references, or else names of the same images: another extension or directory, or COCO's
/// number of the image. The second value is the number of ids that are such names.
pub fn with_ids_of<V, W>(
    captions: BTreeMap<String, V>,
    references: &BTreeMap<String, W>,
) -> (BTreeMap<String, V>, usize) {
    if captions.keys().all(|id| references.contains_key(id)) {
        return (captions, 0);
    }
    let ids: Vec<&String> = references.keys().collect();
    let names = ImageNames::new(ids.iter().map(|id| id.as_str()));
    let mut found: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for id in captions.keys() {
        let index = names.find(id);
        if let Some(index) = index.filter(|&index| id == ids[index] || !captions.contains_key(ids[index])) {
            found.entry(ids[index]).or_default().push(id.clone());
        }
    }
    let mut captions = captions;
    let mut matched = 0;
    for (reference, named) in found {
        if let [id] = &named[..]
            && id != reference
            && let Some(caption) = captions.remove(id)
        {
            captions.insert(reference.clone(), caption);
            matched += 1;
        }
    }
    (captions, matched)
}

/// The captions of lines `name<TAB>caption`, as `cutline caption` prints them; `None` for any other text.
fn tab_separated(text: &str) -> Option<CaptionsById> {
    let mut captions = CaptionsById::new();
    let rows = || text.lines().filter(|line| !line.trim().is_empty());
    // A table with other columns.
    if rows().all(|line| line.matches('\t').count() > 1) {
        return None;
    }
    let is_header = |line: &str| {
        let names = line.trim_start_matches('\u{feff}').split_once('\t');
        names.is_some_and(|(image, caption)| {
            let has =
                |keys: &[&str], name: &str| keys.iter().any(|key| name.trim().eq_ignore_ascii_case(key));
            has(&IMAGE_KEYS, image) && has(&CAPTION_KEYS, caption)
        })
    };
    let header = usize::from(rows().next().is_some_and(is_header));
    for line in rows().skip(header) {
        let (name, caption) = line.split_once('\t')?;
        let numbered = name.rsplit_once('#');
        let id = numbered
            .filter(|(_, number)| number.parse::<u32>().is_ok())
            .map_or(name, |(id, _)| id);
        let is_name = !id.is_empty() && !id.starts_with(['{', '[', '"']);
        let caption = if is_missing(caption) { "" } else { caption.trim() };
        captions
            .entry(is_name.then(|| plain_id(id).to_owned())?)
            .or_default()
            .push(caption.to_owned());
    }
    Some(captions).filter(|captions| !captions.is_empty())
}

type CaptionsById = BTreeMap<String, Vec<String>>;

/// One value, or several as a list: an object on each line.
fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
        .map(|UniqueKeys(value)| value)
        .or_else(|error| {
            let lines = serde_json::Deserializer::from_str(text).into_iter::<UniqueKeys>();
            let lines: Result<Vec<Value>, _> =
                lines.map(|line| line.map(|UniqueKeys(value)| value)).collect();
            match lines {
                Ok(lines) if lines.len() > 1 => Ok(Value::Array(lines)),
                _ => Err(error),
            }
        })
}

/// Reads captions from JSON, by these keys.
struct JsonReader<'n> {
    /// Keys of captions in a file that holds something else too.
    wrappers: Vec<&'n str>,
    /// Keys of an entry's caption or captions.
    captions: Vec<&'n str>,
}

impl JsonReader<'_> {
    /// Adds the captions of a file, or of a part of it.
    fn collect(&self, value: Value, captions: &mut CaptionsById) -> Result<(), CaptionsFileError> {
        let mut object = match value {
            Value::Array(entries) => return self.collect_entries(&entries, captions),
            Value::Object(object) => object,
            _ => return Err(CaptionsFileError::Shape),
        };
        let wrapper = self
            .wrappers
            .iter()
            .copied()
            .find(|key| object.get(*key).is_some_and(|value| self.is_nested(value)));
        if let Some(inner) = wrapper.and_then(|key| object.remove(key)) {
            return self.collect(inner, captions);
        }
        let is_split = |(name, value): (&String, &Value)| match value {
            Value::Object(_) => self.is_nested(value),
            _ => name.parse::<Split>().is_ok() && self.is_nested(value),
        };
        if !object.is_empty() && object.iter().all(is_split) {
            return object.into_iter().try_for_each(|(_, inner)| {
                let mut part = CaptionsById::new();
                self.collect(inner, &mut part)?;
                part.into_iter()
                    .try_for_each(|(id, texts)| insert(captions, id, texts))
            });
        }
        object
            .into_iter()
            .try_for_each(|(id, value)| match self.texts(&value) {
                Some(texts) => insert(captions, plain_id(&id).to_owned(), texts),
                None => Err(CaptionsFileError::Captions { id }),
            })
    }

    /// Whether these are captions of several images: a map, but no entry, or a list of entries.
    fn is_nested(&self, value: &Value) -> bool {
        match value {
            Value::Object(object) => first_of(object, &self.captions)
                .and_then(|value| self.texts(value))
                .is_none(),
            Value::Array(entries) => entries.iter().all(|entry| {
                entry
                    .as_object()
                    .is_some_and(|entry| first_of(entry, &IMAGE_KEYS).is_some())
            }),
            _ => false,
        }
    }

    fn collect_entries(
        &self,
        entries: &[Value],
        captions: &mut CaptionsById,
    ) -> Result<(), CaptionsFileError> {
        for (number, entry) in (1..).zip(entries) {
            let missing = |key| move || CaptionsFileError::Entry { number, key };
            let entry = entry.as_object().ok_or_else(missing("image_id"))?;
            let id = first_of(entry, &IMAGE_KEYS)
                .and_then(id_text)
                .ok_or_else(missing("image_id"))?;
            let texts = first_of(entry, &self.captions)
                .and_then(|value| self.texts(value))
                .ok_or_else(missing("caption"))?;
            captions.entry(id).or_default().extend(texts);
        }
        Ok(())
    }

    /// The captions of an image: a text, a list, or an entry that holds these.
    fn texts(&self, value: &Value) -> Option<Vec<String>> {
        match value {
            Value::Array(captions) => captions.iter().map(caption_in_list).collect(),
            Value::Object(entry) => first_of(entry, &self.captions)
                .filter(|value| !value.is_object())
                .and_then(|value| self.texts(value)),
            caption => caption_text(caption).map(|caption| vec![caption]),
        }
    }
}

fn insert(captions: &mut CaptionsById, id: String, texts: Vec<String>) -> Result<(), CaptionsFileError> {
    match captions.contains_key(&id) {
        true => Err(CaptionsFileError::Twice { id }),
        false => {
            captions.insert(id, texts);
            Ok(())
        }
    }
}

fn first_of<'v>(object: &'v Map<String, Value>, keys: &[&str]) -> Option<&'v Value> {
    keys.iter().find_map(|key| object.get(*key))
}

/// pycocoevalcap's tokenizer takes lists of `{"caption": "a dog runs"}` too.
fn caption_in_list(value: &Value) -> Option<String> {
    caption_text(value.get("caption").unwrap_or(value))
}

fn caption_text(value: &Value) -> Option<String> {
    match value {
        Value::String(caption) if is_missing(caption) => Some(String::new()),
        Value::String(caption) => Some(caption.clone()),
        Value::Null => Some(String::new()),
        _ => None,
    }
}

fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(plain_id(id).to_owned()),
        Value::Number(id) => Some(plain_id(&id.to_string()).to_owned()),
        _ => None,
    }
}

/// The id without the fraction that pandas gives to numbers: `42` for `42.0`.
fn plain_id(id: &str) -> &str {
    match id.strip_suffix(".0") {
        Some(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => number,
        _ => id,
    }
}

/// A JSON value whose objects have unique keys; serde alone would silently keep the last of two equal keys.
struct UniqueKeys(Value);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueKeysVisitor).map(Self)
    }
}

struct UniqueKeysVisitor;

impl<'de> Visitor<'de> for UniqueKeysVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with one entry for each id")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(UniqueKeys(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Map::new();
        while let Some((id, UniqueKeys(value))) = map.next_entry::<String, UniqueKeys>()? {
            if entries.contains_key(&id) {
                return Err(A::Error::custom(format_args!("the id `{id}` appears twice")));
            }
            entries.insert(id, value);
        }
        Ok(entries.into())
    }
}

/// An entry of COCO's results format.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CocoResult<'a> {
    /// A number if the image is COCO's, as COCO's server requires, or else its key.
    pub image_id: Value,
    /// The caption.
    pub caption: &'a str,
}

impl<'a> CocoResult<'a> {
    /// The entry of an image. COCO's file names end in the id: `COCO_val2014_000000391895.jpg`, `000000391895.jpg`.
    pub fn new(key: &str, caption: &'a str) -> Self {
        let name = key.rsplit('/').next().unwrap_or(key);
        let stem = name.split('.').next().unwrap_or(name);
        let digits = stem.rsplit('_').next().unwrap_or(stem);
        let is_coco = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
        // The id of another file that `score` converts may be a number already, in one form only.
        let is_number = |text: &str| text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
        let image_id = match (digits.parse::<u64>(), key.parse::<u64>()) {
            (Ok(id), _) if is_coco => id.into(),
            (_, Ok(id)) if is_number(key) => id.into(),
            _ => key.into(),
        };
        Self { image_id, caption }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> BTreeMap<String, Vec<String>> {
        CaptionsFile::parse(text.as_bytes(), CaptionRole::Hypothesis)
            .unwrap()
            .0
    }

    #[test]
    fn all_forms_hold_the_same_captions() {
        let one: BTreeMap<_, _> = [("7".to_owned(), vec!["a dog".to_owned()])].into();
        for text in [
            r#"{"7": "a dog"}"#,
            r#"{"7": ["a dog"]}"#,
            r#"{"7": [{"image_id": 7, "caption": "a dog"}]}"#,
            "\u{feff} {\"7\": \"a dog\"}",
            r#"[{"image_id": 7, "caption": "a dog"}]"#,
            r#"[{"image_id": "7", "caption": "a dog"}]"#,
            r#"{"info": {}, "images": [{"id": 7}], "annotations": [{"id": 1, "image_id": 7, "caption": "a dog"}]}"#,
            r#"{"results": [{"image_id": 7, "caption": "a dog"}]}"#,
            r#"{"model": "lstm", "predictions": {"7": "a dog"}}"#,
            r#"{"predictions": {"val": {"7": ["a dog"]}}}"#,
            r#"{"test": {"7": "a dog"}, "val": {}}"#,
            r#"{"val": [{"image_id": 7, "caption": "a dog"}], "test": []}"#,
            r#"{"7": {"caption": "a dog"}}"#,
            r#"{"7.0": "a dog"}"#,
            r#"[{"image_id": 7.0, "caption": "a dog"}]"#,
            r#"[{"image": "7", "captions": ["a dog"]}]"#,
        ] {
            assert_eq!(parsed(text), one, "{text}");
        }
        let utf_16: Vec<u8> = "\u{feff}{\"7\": \"a dog\"}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(
            CaptionsFile::parse(&utf_16, CaptionRole::Hypothesis).unwrap().0,
            one
        );
    }

    #[test]
    fn role_chooses_among_captions_of_both_kinds() {
        for text in [
            r#"[{"image": "7", "caption": "a cow", "prediction": "a dog", "reference": "a cat"}]"#,
            r#"{"7": {"hypothesis": "a dog", "references": ["a cat"]}}"#,
            r#"{"predictions": {"7": "a dog"}, "references": {"7": ["a cat"]}}"#,
        ] {
            for (role, expected) in [
                (CaptionRole::Hypothesis, "a dog"),
                (CaptionRole::Reference, "a cat"),
            ] {
                let file = CaptionsFile::parse(text.as_bytes(), role).unwrap();
                assert_eq!(file.0["7"], [expected], "{text}");
            }
        }
    }

    #[test]
    fn header_of_tab_separated_lines_is_no_caption() {
        let with_header = "image\tcaption\n7\ta dog\n";
        assert_eq!(parsed(with_header), parsed("7\ta dog\n"));
        let with_scores = "a.jpg\ta dog\t-3.2\nb.jpg\ta cat\t-1.5\n";
        assert_eq!(tab_separated(with_scores), None, "a table");
    }

    #[test]
    fn lines_of_objects_are_entries() {
        let lines = "{\"image_id\": 0.0, \"caption\": \"x\"}\n{\"image_id\": 1, \"caption\": NaN}\n";
        assert_eq!(
            parsed(lines),
            [
                ("0".to_owned(), vec!["x".to_owned()]),
                ("1".to_owned(), vec![String::new()])
            ]
            .into()
        );
    }

    #[test]
    fn tab_separated_lines_are_captions() {
        let expected: CaptionsById = [
            ("1".to_owned(), vec!["a dog".to_owned(), "a cat".to_owned()]),
            ("b.jpg".to_owned(), vec!["x\ty".to_owned()]),
        ]
        .into();
        assert_eq!(parsed("1.0#0\ta dog\r\n1#1\ta cat\n\nb.jpg\tx\ty"), expected);
        assert!(CaptionsFile::parse(b"a dog\nb\tcat", CaptionRole::Hypothesis).is_err());
    }

    #[test]
    fn ids_are_matched_as_names_of_images() {
        let references: CaptionsById = ["42", "7", "a/x.jpg", "b/x.jpg", "y"]
            .map(|id| (id.to_owned(), Vec::new()))
            .into();
        let captions = |ids: &[&str]| {
            ids.iter()
                .map(|id| ((*id).to_owned(), ()))
                .collect::<BTreeMap<_, _>>()
        };
        for (ids, expected, renamed) in [
            (&["COCO_val2014_000000000042.jpg", "y"][..], &["42", "y"][..], 1),
            (
                &["000000000042", "/tmp/b/x.png", "images/y.jpg"],
                &["42", "b/x.jpg", "y"],
                3,
            ),
            (&["x.jpg", "42"], &["42", "x.jpg"], 0),
            (&["000000000042.jpg", "0042"], &["000000000042.jpg", "0042"], 0),
            (&["42", "0042"], &["0042", "42"], 0),
        ] {
            assert_eq!(
                with_ids_of(captions(ids), &references),
                (captions(expected), renamed),
                "{ids:?}"
            );
        }
    }

    #[test]
    fn missing_captions_are_empty() {
        let captions =
            parsed(r#"{"a": null, "b": ["NaN there", null], "c": NaN, "d": "None", "e": [-Infinity]}"#);
        assert_eq!(captions["b"], ["NaN there", ""]);
        for id in ["a", "c", "d", "e"] {
            assert_eq!(captions[id], [""], "{id}");
        }
    }

    #[test]
    fn faulty_files_are_rejected_with_the_place() {
        for (text, fault) in [
            (r#"{"a": "x", "a": "y"}"#, "the id `a` appears twice"),
            (
                r#"{"predictions": {"a": "x", "a": "y"}}"#,
                "the id `a` appears twice",
            ),
            (r#"{"7": "x", "7.0": "y"}"#, "the id `7` appears twice"),
            (
                r#"{"train": {"a": "x"}, "val": {"a": "y"}}"#,
                "the id `a` appears twice",
            ),
            (r#"[{"image_id": 1}]"#, "entry 1 of the list has no `caption`"),
            (
                r#"[{"image_id": 1, "caption": "x"}, {"caption": "y"}]"#,
                "entry 2 of the list has no `image_id`",
            ),
            (r#"{"a": 3}"#, "the captions of `a`"),
            ("3", "not an object or a list"),
            ("{", "not JSON"),
            ("", "not JSON"),
        ] {
            let error = CaptionsFile::parse(text.as_bytes(), CaptionRole::Hypothesis)
                .unwrap_err()
                .to_string();
            assert!(error.contains(fault), "{text}: {error}");
        }
        let two = CaptionsFile::parse(br#"{"a": ["x", "y"]}"#, CaptionRole::Hypothesis)
            .unwrap()
            .into_hypotheses();
        assert!(two.unwrap_err().to_string().contains("`a` has 2 captions"));
    }

    #[test]
    fn coco_result_has_a_number_for_coco_images() {
        for (key, id) in [
            ("COCO_val2014_000000391895.jpg", Value::from(391_895)),
            ("val2017/000000000139.jpg", Value::from(139)),
            ("42", Value::from(42)),
            ("042", Value::from("042")),
            (
                "1000268201_693b08cb0e.jpg",
                Value::from("1000268201_693b08cb0e.jpg"),
            ),
        ] {
            assert_eq!(CocoResult::new(key, "").image_id, id);
        }
    }

    proptest! {
        #[test]
        fn parse_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = CaptionsFile::parse(&bytes, CaptionRole::Reference);
        }
    }
}
