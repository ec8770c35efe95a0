//! JSON files of captions, as coco-caption and pycocoevalcap take them.
//!
//! ```text
//! {"id": "a dog runs"}                                      one caption per image
//! {"id": ["a dog runs", "a brown dog"]}                     a list per image
//! [{"image_id": 7, "caption": "a dog runs"}]                COCO's results
//! {"annotations": [{"image_id": 7, "caption": "..."}], ...} COCO's annotations
//! ```
//!
//! A caption that is `null` is empty. Ids are text; numbers are written out.

use encoding_rs::UTF_8;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

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
    pub fn parse(bytes: &[u8]) -> Result<Self, CaptionsFileError> {
        let (text, ..) = UTF_8.decode(bytes);
        match text.trim_start().chars().next() {
            Some('[') => from_entries(&serde_json::from_str::<Vec<Value>>(&text)?),
            Some('{') => {
                let UniqueKeys(object) = serde_json::from_str(&text)?;
                match object.get("annotations") {
                    Some(Value::Array(entries)) if entries.iter().all(Value::is_object) => {
                        from_entries(entries)
                    }
                    _ => from_object(object),
                }
            }
            _ => {
                Err(serde_json::from_str::<Value>(&text)
                    .map_or_else(Into::into, |_| CaptionsFileError::Shape))
            }
        }
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

fn from_entries(entries: &[Value]) -> Result<CaptionsFile, CaptionsFileError> {
    let mut captions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, entry) in (1..).zip(entries) {
        let missing = |key| move || CaptionsFileError::Entry { number, key };
        let id = entry
            .get("image_id")
            .and_then(id_text)
            .ok_or_else(missing("image_id"))?;
        let caption = entry
            .get("caption")
            .and_then(caption_text)
            .ok_or_else(missing("caption"))?;
        captions.entry(id).or_default().push(caption);
    }
    Ok(CaptionsFile(captions))
}

fn from_object(object: BTreeMap<String, Value>) -> Result<CaptionsFile, CaptionsFileError> {
    let captions = |(id, value): (String, Value)| {
        let captions = match &value {
            Value::Array(captions) => captions.iter().map(caption_in_list).collect(),
            caption => caption_text(caption).map(|caption| vec![caption]),
        };
        match captions {
            Some(captions) => Ok((id, captions)),
            None => Err(CaptionsFileError::Captions { id }),
        }
    };
    object
        .into_iter()
        .map(captions)
        .collect::<Result<_, _>>()
        .map(CaptionsFile)
}

/// pycocoevalcap's tokenizer takes lists of `{"caption": "a dog runs"}` too.
fn caption_in_list(value: &Value) -> Option<String> {
    caption_text(value.get("caption").unwrap_or(value))
}

fn caption_text(value: &Value) -> Option<String> {
    match value {
        Value::String(caption) => Some(caption.clone()),
        Value::Null => Some(String::new()),
        _ => None,
    }
}

fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// A JSON object with unique keys; serde alone would silently keep the last of two equal keys.
struct UniqueKeys(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueKeysVisitor)
    }
}

struct UniqueKeysVisitor;

impl<'de> Visitor<'de> for UniqueKeysVisitor {
    type Value = UniqueKeys;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with one entry for each id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((id, value)) = map.next_entry::<String, Value>()? {
            if entries.contains_key(&id) {
                return Err(A::Error::custom(format_args!("the id `{id}` appears twice")));
            }
            entries.insert(id, value);
        }
        Ok(UniqueKeys(entries))
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
        CaptionsFile::parse(text.as_bytes()).unwrap().0
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
        ] {
            assert_eq!(parsed(text), one, "{text}");
        }
        let utf_16: Vec<u8> = "\u{feff}{\"7\": \"a dog\"}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(CaptionsFile::parse(&utf_16).unwrap().0, one);
    }

    #[test]
    fn null_is_an_empty_caption() {
        assert_eq!(parsed(r#"{"a": null, "b": ["x", null]}"#)["a"], [""]);
    }

    #[test]
    fn faulty_files_are_rejected_with_the_place() {
        for (text, fault) in [
            (r#"{"a": "x", "a": "y"}"#, "the id `a` appears twice"),
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
            let error = CaptionsFile::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(fault), "{text}: {error}");
        }
        let two = CaptionsFile::parse(br#"{"a": ["x", "y"]}"#)
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
            let _ = CaptionsFile::parse(&bytes);
        }
    }
}
