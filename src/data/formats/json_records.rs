//! JSON that maps images to captions: a list of objects, an object of lists, or such a list under `data` (TextCaps).

use super::{Format, Reader, json};
use crate::data::error::DatasetError;
use crate::data::index::CaptionIndex;
use serde_json::Value;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Json,
    files: "captions.json",
    // Many formats have such names, so the content decides.
    is_named: |_| false,
    recognizes: json::has_extension,
    read,
    has_several_files: false,
};

pub(super) fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let mut first_problem = None;
    let mut any_used = false;
    let mut take = |record: &Value, index: &mut CaptionIndex| match json::take_record(record, index) {
        Ok(()) => any_used = true,
        Err(reason) => drop(first_problem.get_or_insert(reason)),
    };
    match json::read(file)? {
        Value::Array(records) => records.iter().for_each(|record| take(record, index)),
        Value::Object(map) => match ["data", "images", "annotations"]
            .iter()
            .find_map(|key| map.get(*key)?.as_array())
        {
            Some(records) => records.iter().for_each(|record| take(record, index)),
            None => {
                for (image, captions) in map {
                    take(
                        &serde_json::json!({ "image": image, "captions": captions }),
                        index,
                    );
                }
            }
        },
        _ => {}
    }
    match any_used {
        true => Ok(()),
        false => Err(DatasetError::NoUsableLine {
            file: file.to_owned(),
            first_problem: first_problem.unwrap_or_else(|| "it is neither a list nor an object".to_owned()),
        }),
    }
}
