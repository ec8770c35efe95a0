//! JSON that maps images to captions: a list of objects, an object of lists or of objects, columns as pandas writes them, or
//! one of these under `data` (TextCaps) or under the names of splits.

use super::coco::CocoFile;
use super::columns::Columns;
use super::{Format, Reader, json};
use crate::data::error::DatasetError;
use crate::data::image_files::is_image_name;
use crate::data::index::CaptionIndex;
use crate::data::split::Split;
use serde_json::{Map, Value};
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Json,
    files: "captions.json",
    // Many formats have such names, so the content decides.
    is_named: |_| false,
    recognizes: |file, _| json::has_extension(file),
    read,
    has_several_files: false,
};

/// Keys of lists of objects.
const LISTS: [&str; 9] = [
    "data",
    "images",
    "annotations",
    "captions",
    "items",
    "records",
    "samples",
    "examples",
    "rows",
];
/// Keys that may be beside the splits.
const METADATA: [&str; 7] = [
    "info", "licenses", "license", "metadata", "meta", "version", "dataset",
];

pub(super) fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    if json::has_lines(file) {
        return json::read_lines(file, index);
    }
    let value = json::read(file, index)?;
    let mut records = Records {
        index,
        first_problem: None,
        any_used: false,
    };
    records.take_all(value, None);
    match records.any_used {
        true => Ok(()),
        false => Err(DatasetError::NoUsableLine {
            file: file.to_owned(),
            first_problem: records.first_problem.unwrap_or_else(|| "it is empty".to_owned()),
        }),
    }
}

/// Adds objects to an index.
struct Records<'a> {
    index: &'a mut CaptionIndex,
    first_problem: Option<String>,
    any_used: bool,
}

impl Records<'_> {
    /// Takes a list of objects, or an object in one of the forms; `split` is that of objects which name none.
    fn take_all(&mut self, value: Value, split: Option<Split>) {
        match value {
            Value::Array(records) => records.into_iter().for_each(|record| self.take(record, split)),
            Value::Object(map) => self.take_map(map, split),
            other => self.take(other, split),
        }
    }

    fn take_map(&mut self, mut map: Map<String, Value>, split: Option<Split>) {
        if map.get("annotations").is_some_and(is_list_of_objects) && map.contains_key("images") {
            return self.take_coco(map, split);
        }
        if is_by_split(&map) {
            for (name, value) in map {
                match name.parse() {
                    Ok(split) => self.take_all(value, Some(split)),
                    Err(_) => self
                        .index
                        .note(format!("`{name}` is not read: it names no split")),
                }
            }
            return;
        }
        if let Some(rows) = rows_with_names(&map).or_else(|| self.rows_of_columns(&map)) {
            rows.into_iter().for_each(|row| self.take(row, split));
            return;
        }
        let list = LISTS
            .iter()
            .find(|key| map.get(**key).is_some_and(is_list_of_objects));
        if let Some(list) = list.and_then(|key| map.remove(*key)) {
            return self.take_all(list, split);
        }
        let wrapped = map
            .iter()
            .find(|(key, value)| LISTS.contains(&key.as_str()) && value.is_object());
        if let Some((key, _)) = wrapped
            && map
                .iter()
                .all(|(other, value)| other == key || !is_container(value))
        {
            let key = key.clone();
            return self.take_all(map.remove(&key).unwrap_or_default(), split);
        }
        for (image, captions) in map {
            let record = self.named(image, captions);
            self.take(record, split);
        }
    }

    /// Takes COCO's images and annotations, which a file for several splits may have for each.
    fn take_coco(&mut self, map: Map<String, Value>, split: Option<Split>) {
        let annotations = map
            .get("annotations")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut objects = annotations.filter_map(Value::as_object);
        let first_keys = objects
            .clone()
            .next()
            .map(|first| first.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
        if !objects.any(|annotation| annotation.contains_key("caption")) {
            let keys = first_keys.unwrap_or_default();
            let reason = format!(
                "its annotations have no captions, as those of object detection; their keys are {keys}"
            );
            self.first_problem.get_or_insert(reason);
            return;
        }
        match serde_json::from_value::<CocoFile>(Value::Object(map)) {
            Ok(coco) => {
                coco.take("annotations", split, self.index);
                self.any_used = true;
            }
            Err(error) => drop(self.first_problem.get_or_insert(error.to_string())),
        }
    }

    /// Takes an object, `{"a.jpg": "A dog"}` or `["a.jpg", "A dog"]`.
    fn take(&mut self, record: Value, split: Option<Split>) {
        let record = match record {
            Value::Array(mut pair) if pair.len() > 1 && pair[0].is_string() => {
                let captions = Value::Array(pair.split_off(1));
                self.named(pair[0].as_str().unwrap_or_default().to_owned(), captions)
            }
            Value::Object(map) if map.len() == 1 && map.keys().all(|key| is_image_name(Path::new(key))) => {
                return self.take_map(map, split);
            }
            record => record,
        };
        self.index.split_of_rows = split;
        match json::take_record(&record, self.index) {
            Ok(()) => self.any_used = true,
            Err(reason) => drop(self.first_problem.get_or_insert(reason)),
        }
        self.index.split_of_rows = None;
    }

    /// The object of an image from its name and its captions, or from an object that may name the image itself.
    fn named(&self, image: String, captions: Value) -> Value {
        let image_key = self
            .index
            .columns
            .image
            .clone()
            .unwrap_or_else(|| "image".to_owned());
        let Value::Object(mut record) = captions else {
            return Value::Object(Map::from_iter([
                (image_key, image.into()),
                ("captions".to_owned(), captions),
            ]));
        };
        let names_image = |record: &Map<String, Value>| {
            let keys: Vec<&str> = record.keys().map(String::as_str).collect();
            let columns = Columns::named(&keys, &self.index.columns)?;
            let name = json::texts(record.values().nth(columns.image)?)
                .into_iter()
                .next()?;
            Some(is_image_name(Path::new(&name)) || self.index.files.have(&name))
        };
        if is_image_name(Path::new(&image)) || names_image(&record) != Some(true) {
            record.insert(image_key, image.into());
        }
        Value::Object(record)
    }

    /// The rows of `{"image": ["a.jpg"], "caption": ["A dog"]}` or of `{"image": {"0": "a.jpg"}, "caption": {"0": "A dog"}}`.
    fn rows_of_columns(&self, map: &Map<String, Value>) -> Option<Vec<Value>> {
        let keys: Vec<&str> = map.keys().map(String::as_str).collect();
        let columns = Columns::named(&keys, &self.index.columns)?;
        let cell = |column: &Value, at: usize, row: &str| match column {
            Value::Array(values) => values.get(at).cloned(),
            Value::Object(values) => values.get(row).cloned(),
            _ => None,
        };
        let names: Vec<String> = match map.values().nth(columns.image)? {
            Value::Array(values) => (0..values.len()).map(|row| row.to_string()).collect(),
            Value::Object(values) => values.keys().cloned().collect(),
            // One object of an image.
            _ => return Some(vec![Value::Object(map.clone())]),
        };
        let row = |(at, row): (usize, &String)| {
            map.iter()
                .filter_map(|(key, column)| Some((key.clone(), cell(column, at, row)?)))
                .collect()
        };
        Some(names.iter().enumerate().map(row).collect())
    }
}

/// The rows of pandas' `{"columns": ["image", "caption"], "data": [["a.jpg", "A dog"]]}`.
fn rows_with_names(map: &Map<String, Value>) -> Option<Vec<Value>> {
    let names = map.get("columns")?.as_array()?;
    let names: Vec<&str> = names.iter().map(Value::as_str).collect::<Option<_>>()?;
    let row = |row: &Value| {
        let cells = names.iter().zip(row.as_array()?);
        Some(
            cells
                .map(|(name, cell)| ((*name).to_owned(), cell.clone()))
                .collect(),
        )
    };
    map.get("data")?.as_array()?.iter().map(row).collect()
}

fn is_container(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

fn is_list_of_objects(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|list| list.first().is_none_or(Value::is_object))
}

/// Whether the keys are the names of splits, with objects for captions below them.
fn is_by_split(map: &Map<String, Value>) -> bool {
    let is_split = |name: &str| name.parse::<Split>().is_ok();
    let is_pair = |value: &Value| {
        value
            .as_array()
            .is_some_and(|pair| pair.len() > 1 && pair[0].is_string())
    };
    let are_pairs = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(is_pair));
    let has_captions = |value: &Value| value.is_object() || is_list_of_objects(value) || are_pairs(value);
    map.keys().any(|name| is_split(name))
        && map.iter().all(|(name, value)| match is_split(name) {
            true => has_captions(value),
            false => !is_container(value) || METADATA.contains(&name.as_str()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Image, split and captions in a line each.
    fn lines(json: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        for name in ["101_a.jpg", "102_b.jpg"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let file = directory.path().join("captions.json");
        std::fs::write(&file, json).unwrap();
        let mut index = CaptionIndex::of_images(vec![directory.path().to_owned()]);
        read(&file, &mut index).unwrap();
        let found = index.find_images().unwrap();
        let line = |image: &crate::data::SourceImage| {
            let captions: Vec<&str> = image
                .captions
                .iter()
                .map(|caption| caption.raw.as_str())
                .collect();
            let split = image.split.map_or("-", Into::into);
            format!("{} {split} {}", image.key, captions.join("/"))
        };
        found.images.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn objects_are_read_in_all_forms() {
        let plain = "101_a.jpg - A dog\n102_b.jpg - A cat";
        let split = "101_a.jpg train A dog\n102_b.jpg dev A cat";
        for (json, expected) in [
            (
                r#"{"data": [{"image": "101_a.jpg", "caption": "A dog"}, {"image": "102_b.jpg", "caption": "A cat"}]}"#,
                plain,
            ),
            (
                r#"{"images": [{"filename": "101_a.jpg", "captions": ["A dog"]}, {"filename": "102_b.jpg", "captions": ["A cat"]}]}"#,
                plain,
            ),
            (
                r#"{"data": {"101_a.jpg": "A dog", "102_b.jpg": ["A cat"]}, "version": 1}"#,
                plain,
            ),
            (
                r#"{"101_a.jpg": {"captions": ["A dog"]}, "102_b.jpg": {"caption": "A cat"}}"#,
                plain,
            ),
            (
                r#"{"0": {"image": "101_a.jpg", "caption": "A dog"}, "1": {"image": "102_b.jpg", "caption": "A cat"}}"#,
                plain,
            ),
            (
                r#"{"image": {"0": "101_a.jpg", "1": "102_b.jpg"}, "caption": {"0": "A dog", "1": "A cat"}}"#,
                plain,
            ),
            (
                r#"{"image": ["101_a.jpg", "102_b.jpg"], "caption": ["A dog", "A cat"]}"#,
                plain,
            ),
            (
                r#"{"101_a.jpg": [{"caption": "A dog", "id": 1}], "102_b.jpg": [{"raw": "A cat"}]}"#,
                plain,
            ),
            (
                "{\"image\": \"101_a.jpg\", \"caption\": \"A dog\"}\n{\"image\": \"102_b.jpg\", \"caption\": \"A cat\"}\n",
                plain,
            ),
            (
                r#"{"train": [{"image": "101_a.jpg", "caption": "A dog"}], "val": [{"image": "102_b.jpg", "caption": "A cat"}]}"#,
                split,
            ),
            (
                r#"{"train": [["101_a.jpg", "A dog"]], "val": [["102_b.jpg", "A cat"]], "test": []}"#,
                split,
            ),
            (
                r#"{"info": {"by": "me"}, "Training": {"101_a.jpg": ["A dog"]}, "validation": {"102_b.jpg": "A cat"}}"#,
                split,
            ),
            (
                r#"{"101_a.jpg": {"caption": "A dog", "split": "train"}, "102_b.jpg": {"caption": "A cat", "split": "val"}}"#,
                split,
            ),
            (
                r#"{"train": {"data": [{"image": "101_a.jpg", "caption": "A dog"}]}, "dev": {"image": ["102_b.jpg"], "caption": ["A cat"]}}"#,
                split,
            ),
            (
                r#"{"image": ["101_a.jpg", "102_b.jpg"], "caption": ["A dog", "A cat"], "is_train": [true, false]}"#,
                split,
            ),
        ] {
            assert_eq!(lines(json), expected, "{json}");
        }
        assert_eq!(
            lines(r#"{"101_a": {"id": 7, "captions": ["A dog", "A puppy"]}}"#),
            "101_a - A dog/A puppy"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_values_never_panic(
            keys in prop::collection::vec(prop_oneof![Just("train"), Just("image"), Just("caption"), Just("data"), Just("a.jpg")], 0..6),
            text in ".{0,20}",
        ) {
            let nested = keys.iter().fold(Value::String(text), |value, key| {
                serde_json::json!({ *key: value, "list": [value], "images": value })
            });
            let mut records = Records { index: &mut CaptionIndex::default(), first_problem: None, any_used: false };
            records.take_all(nested, None);
        }
    }
}
