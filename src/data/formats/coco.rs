//! COCO's captions JSON (`captions_train2014.json`): images by id and annotations that point at them.
//!
//! Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server" (2015).

use super::{Format, Reader, columns, json, json_records};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::index::CaptionIndex;
use crate::data::problems::ProblemKind;
use crate::data::split::{self, Split};
use crate::text::counted;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Coco,
    files: "captions_*.json",
    is_named: |name| name.starts_with("captions_") && name.ends_with(".json"),
    // Files of object detection also have annotations.
    recognizes: |file, _| json::mentions(file, &["annotations", "image_id", "caption"]),
    read,
    has_several_files: true,
};

#[derive(Deserialize)]
pub(super) struct CocoFile {
    /// Without them, the ids are taken for names.
    #[serde(default)]
    images: Vec<CocoImage>,
    annotations: Option<Vec<Annotation>>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: Id,
    #[serde(alias = "filename", alias = "file")]
    file_name: Option<String>,
    /// Which ends in the file's name.
    coco_url: Option<String>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Id,
    /// `null` if it is missing.
    caption: Option<String>,
    /// VizWiz marks captions that its scores leave out.
    #[serde(default)]
    is_rejected: bool,
    #[serde(default)]
    is_precanned: bool,
}

/// An id: a number, or a text that may be a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Float(f64),
    Text(String),
}

impl Id {
    /// The id as text, the same for `42`, `42.0`, `"42"` and `"000042"`.
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => match text.strip_suffix(".0").unwrap_or(&text).parse::<i64>() {
                Ok(number) => number.to_string(),
                Err(_) => text,
            },
        }
    }
}

/// Reads one file. The split of its images is in its name (`captions_val2014.json`: dev).
fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let coco: CocoFile = json::read(file, index)?;
    if coco.annotations.is_none() {
        // They may be below the names of splits.
        return json_records::read(file, index);
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    coco.take(&file.display().to_string(), split::named_in(&name), index);
    Ok(())
}

impl CocoFile {
    /// Adds the captions; `origin` is for messages.
    pub(super) fn take(self, origin: &str, split: Option<Split>, index: &mut CaptionIndex) {
        let has_names = !self.images.is_empty();
        if !has_names {
            index.note(format!(
                "{origin}: no `images`; their ids are taken for names of files"
            ));
        }
        let mut names = HashMap::new();
        for CocoImage {
            id,
            file_name,
            coco_url,
        } in self.images
        {
            let id = id.into_text();
            let url = || Some(columns::file_name_in(coco_url.as_deref()?).to_owned());
            let name = file_name.or_else(url).unwrap_or_else(|| id.clone());
            index.image(&name);
            if let Some(split) = split {
                index.split(&name, split);
            }
            names.insert(id, name);
        }
        let annotations = self.annotations.into_iter().flatten();
        let (marked, annotations): (Vec<_>, Vec<_>) =
            annotations.partition(|annotation| annotation.is_rejected || annotation.is_precanned);
        if !marked.is_empty() {
            let captions = counted(marked.len() as u64, "captions");
            index.note(format!(
                "{origin}: {captions} marked `is_rejected` or `is_precanned` are left out, as VizWiz's scores do"
            ));
        }
        for Annotation {
            image_id, caption, ..
        } in annotations
        {
            let caption = caption.unwrap_or_default();
            let id = image_id.into_text();
            match names.get(&id) {
                Some(key) => index.caption(key, SourceCaption::new(caption)),
                None if has_names => {
                    let location = format!("{origin}, image id {id}");
                    let problems = &mut index.problems;
                    problems.add(ProblemKind::CaptionWithoutImage, location, caption);
                }
                None => {
                    index.caption(&id, SourceCaption::new(caption));
                    if let Some(split) = split {
                        index.split(&id, split);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_same_as_numbers_and_as_texts() {
        let ids = ["42", "42.0", "\"42\"", "\"000000000042\"", "\"42.0\""];
        for id in ids {
            let id: Id = serde_json::from_str(id).unwrap();
            assert_eq!(id.into_text(), "42");
        }
        let text: Id = serde_json::from_str("\"a1\"").unwrap();
        assert_eq!(text.into_text(), "a1");
    }
}
