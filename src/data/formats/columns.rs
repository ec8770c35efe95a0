//! What the columns of a table, or the keys of an object, mean.

use crate::data::image::SourceCaption;
use crate::data::index::CaptionIndex;
use crate::data::problems::ProblemKind;
use crate::data::split::Split;
use crate::text::is_missing;

/// Names of columns, in the order of preference: a file's name before a number.
const IMAGE: &[&str] = &[
    "image",
    "photo",
    "file_name",
    "filename",
    "image_name",
    "photo_name",
    "image_file",
    "image_path",
    "file_path",
    "filepath",
    "path",
    "file",
    "img",
    "img_path",
    "img_name",
    "name",
    "image_id",
    "img_id",
    "photo_id",
    "id",
    "url",
    "image_url",
];
const CAPTION: &[&str] = &[
    "caption",
    "captions",
    "comment",
    "comments",
    "text",
    "caption_text",
    "caption_str",
    "description",
    "descriptions",
    "desc",
    "sentence",
    "sentences",
    "raw",
    "label",
    "title",
    "reference",
    "references",
    "annotation",
];
const SPLIT: &[&str] = &["split", "subset", "set", "set_name", "partition", "fold"];

/// Names of columns that the user gives; empty: by the tables above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnNames {
    /// The column with the image's name.
    pub image: Option<String>,
    /// The column with a caption or several.
    pub caption: Option<String>,
    /// The column with the split.
    pub split: Option<String>,
}

/// The positions of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) image: usize,
    /// `caption`, or `caption_0` to `caption_4`.
    pub(super) captions: Vec<usize>,
    pub(super) split: Option<usize>,
    pub(super) count: usize,
}

impl Columns {
    /// The columns with these names; `None` if there are none of an image and a caption.
    pub(super) fn named(names: &[&str], given: &ColumnNames) -> Option<Self> {
        let names: Vec<String> = names.iter().map(|name| normalized(name)).collect();
        let find = |given: &Option<String>, known: &[&str]| match given {
            Some(given) => names.iter().position(|name| *name == normalized(given)),
            None => known
                .iter()
                .find_map(|known| names.iter().position(|name| name == known)),
        };
        let image = find(&given.image, IMAGE)?;
        let captions = match find(&given.caption, CAPTION) {
            Some(caption) => vec![caption],
            None => {
                let is_numbered = |name: &String| {
                    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
                    stem.len() < name.len() && CAPTION.contains(&stem.trim_end_matches('_'))
                };
                (0..names.len())
                    .filter(|&column| is_numbered(&names[column]))
                    .collect()
            }
        };
        let captions: Vec<usize> = captions.into_iter().filter(|&column| column != image).collect();
        (!captions.is_empty()).then(|| Self {
            image,
            captions,
            split: find(&given.split, SPLIT),
            count: names.len(),
        })
    }

    /// The columns in words, for a note; `None` if they have the usual names.
    pub(super) fn describe(&self, names: &[&str]) -> Option<String> {
        let name = |column: usize| names.get(column).map_or("", |name| name.trim());
        let captions: Vec<&str> = self.captions.iter().map(|&column| name(column)).collect();
        let is_usual = matches!(name(self.image), "image" | "photo") && captions == ["caption"];
        let split = self
            .split
            .map_or(String::new(), |column| format!(", split from `{}`", name(column)));
        (!is_usual).then(|| {
            format!(
                "image from `{}`, caption from `{}`{split}",
                name(self.image),
                captions.join("`, `")
            )
        })
    }

    /// Adds a row to the index.
    ///
    /// # Errors
    /// If the row has no image, or a split of an unknown name.
    pub(super) fn take(&self, index: &mut CaptionIndex, fields: &[Cell]) -> Result<(), String> {
        let cell = |column: usize| fields.get(column).cloned().unwrap_or_default();
        let image = cell(self.image).into_text();
        if is_missing(&image) {
            return Err("no image".to_owned());
        }
        let split = match self.split.map(|column| cell(column).into_text()) {
            Some(name) if !is_missing(&name) => Some(
                name.trim()
                    .parse::<Split>()
                    .map_err(|error| format!("in the split column: {error}"))?,
            ),
            _ => None,
        };
        index.image(&image);
        for caption in self
            .captions
            .iter()
            .flat_map(|&column| cell(column).into_captions())
        {
            match is_missing(&caption) {
                true => index
                    .problems
                    .add(ProblemKind::EmptyCaption, image.as_str(), caption),
                false => index.caption(&image, SourceCaption::new(caption)),
            }
        }
        if let Some(split) = split {
            index.split(&image, split);
        }
        Ok(())
    }
}

/// The value of a cell or of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell(Vec<String>);

impl Cell {
    /// The text of a table's cell, which may be a list as Python or JSON writes it.
    pub(super) fn of_text(text: &str) -> Self {
        let text = text.trim();
        let list = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        Self(list.and_then(parse_list).unwrap_or_else(|| vec![text.to_owned()]))
    }

    pub(super) fn of_list(list: Vec<String>) -> Self {
        Self(list)
    }

    fn into_text(self) -> String {
        let text = self.0.into_iter().next().unwrap_or_default();
        // pandas writes the ids of a column with a missing value as floats.
        match text.strip_suffix(".0") {
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number.to_owned(),
            _ => text,
        }
    }

    fn into_captions(self) -> Vec<String> {
        self.0
    }
}

/// The strings of `"a", 'b'`; `None` for anything else, such as a caption in brackets.
fn parse_list(text: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = text.trim_start();
    while let Some(quote) = rest.chars().next() {
        let mut item = String::new();
        let mut characters = rest.strip_prefix(['"', '\''])?.char_indices();
        let end = loop {
            match characters.next()? {
                (_, '\\') => item.push(characters.next()?.1),
                (at, character) if character == quote => break at,
                (_, character) => item.push(character),
            }
        };
        items.push(item);
        rest = rest[1 + end + 1..].trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => {}
            // numpy prints lists without commas.
            None if rest.starts_with(['"', '\'']) => {}
            None => return None,
        }
    }
    Some(items).filter(|items| !items.is_empty())
}

fn normalized(name: &str) -> String {
    let name = name.trim().trim_matches('"').trim();
    name.to_lowercase().replace([' ', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_synonyms_and_by_given_names() {
        let any = ColumnNames::default();
        let columns = |names: &[&str]| {
            let columns = Columns::named(names, &any)?;
            Some((columns.image, columns.captions, columns.split))
        };
        assert_eq!(columns(&["image", "caption"]), Some((0, vec![1], None)));
        assert_eq!(
            columns(&["image_name", " comment_number", " comment"]),
            Some((0, vec![2], None))
        );
        assert_eq!(
            columns(&["raw", "sentids", "split", "filename", "img_id"]),
            Some((3, vec![0], Some(2)))
        );
        assert_eq!(
            columns(&["File Name", "caption_0", "caption_1"]),
            Some((0, vec![1, 2], None))
        );
        assert_eq!(columns(&["a.jpg", "A dog"]), None);
        let given = ColumnNames {
            image: Some("where".into()),
            caption: Some("What".into()),
            split: None,
        };
        let columns = Columns::named(&["what", "where"], &given).unwrap();
        assert_eq!((columns.image, columns.captions), (1, vec![0]));
    }

    #[test]
    fn lists_in_cells_are_parsed() {
        let items = |text: &str| Cell::of_text(text).0;
        assert_eq!(
            items(r#"["A dog .", "A \"big\" dog"]"#),
            ["A dog .", "A \"big\" dog"]
        );
        assert_eq!(items("['A dog', \"It's a dog\"]"), ["A dog", "It's a dog"]);
        assert_eq!(items("[A dog]"), ["[A dog]"]);
        assert_eq!(items("A dog"), ["A dog"]);
        assert_eq!(items("[]"), ["[]"]);
    }
}
