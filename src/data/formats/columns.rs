//! What the columns of a table, or the keys of an object, mean.

use super::cell::Cell;
use crate::data::image::SourceCaption;
use crate::data::image_files::is_image_name;
use crate::data::index::CaptionIndex;
use crate::data::problems::ProblemKind;
use crate::data::report::SplitsFrom;
use crate::data::split::Split;
use crate::suggest::UnknownName;
use crate::text::is_missing;
use std::mem;
use std::path::Path;

/// Names of columns without letter case, blanks and underscores, in the order of preference: a file's name before a number.
const IMAGE: &[&str] = &[
    "image",
    "photo",
    "filename",
    "imagename",
    "photoname",
    "imagefile",
    "imagepath",
    "filepath",
    "path",
    "file",
    "img",
    "imgpath",
    "imgname",
    "picture",
    "picturename",
    "picturepath",
    "photopath",
    "photofile",
    "imgfile",
    "imagefilename",
    "imgfilename",
    "imagefilepath",
    "pic",
    "fname",
    "name",
    "imageid",
    "imgid",
    "photoid",
    "pictureid",
    "id",
    "key",
    "imagekey",
    "url",
    "imageurl",
    "imgurl",
    "photourl",
    "pictureurl",
];
const CAPTION: &[&str] = &[
    "caption",
    "captions",
    "comment",
    "comments",
    "text",
    "captiontext",
    "captionstr",
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
    "rawcaption",
    "imagecaption",
    "imagedescription",
    "alttext",
    "alt",
    "prompt",
    "suffix",
];
/// What is no caption in names such as `caption_id`, where `caption_en` is one.
const ABOUT_CAPTIONS: &[&str] = &[
    "id", "ids", "no", "nr", "num", "number", "n", "count", "index", "idx", "length", "len", "score",
];
const SPLIT: &[&str] = &[
    "split",
    "subset",
    "set",
    "setname",
    "partition",
    "splitname",
    "phase",
    "stage",
    "usage",
    FOLD,
];
/// Often the number of a part in cross-validation, which is no split.
const FOLD: &str = "fold";

/// Names of columns that the user gives; empty: by the tables above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnNames {
    /// The column with the image's name.
    pub image: Option<String>,
    /// The column with a caption or several.
    pub caption: Option<String>,
    /// The column with the split.
    pub split: Option<String>,
    /// Names of a column with captions that go before the usual ones.
    pub preferred_captions: &'static [&'static str],
}

impl ColumnNames {
    /// Whether the user gives any column.
    pub(super) fn are_given(&self) -> bool {
        [&self.image, &self.caption, &self.split]
            .into_iter()
            .any(Option::is_some)
    }
}

/// The positions of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) image: usize,
    /// `caption`, or `caption_0` to `caption_4`.
    pub(super) captions: Vec<usize>,
    pub(super) split: Option<usize>,
    /// Other columns with the name of captions.
    unread: Vec<usize>,
    /// Whether `|` separates the captions in a cell.
    has_bars: bool,
    /// Columns such as `is_train`, which have 1 for the images of a split.
    flags: Vec<(usize, Split)>,
    /// Whether numbers in the column of the split are parts of a cross-validation.
    has_folds: bool,
    pub(super) count: usize,
}

impl Columns {
    /// The columns with these names; `None` if there are none of an image and a caption.
    pub(super) fn named(names: &[&str], given: &ColumnNames) -> Option<Self> {
        let names: Vec<String> = names.iter().map(|name| normalized(name)).collect();
        let find = |given: &Option<String>, known: &[&str]| match given {
            Some(given) => names.iter().position(|name| *name == normalized(given)),
            None => position(&names, known),
        };
        let image = find(&given.image, IMAGE)?;
        let split = find(&given.split, SPLIT);
        let is_free = |column: usize| column != image && Some(column) != split;
        let texts: Vec<usize> = (0..names.len())
            .filter(|&column| is_free(column) && is_like_captions(&names[column]))
            .collect();
        let all = |is: &dyn Fn(&str) -> bool| -> Vec<usize> {
            texts
                .iter()
                .copied()
                .filter(|&column| is(&names[column]))
                .collect()
        };
        let preferred = given
            .preferred_captions
            .iter()
            .find_map(|preferred| names.iter().position(|name| *name == normalized(preferred)));
        let captions = match (preferred.or(find(&given.caption, CAPTION)), &given.caption) {
            (Some(caption), _) if preferred.is_some() => vec![caption],
            (Some(caption), Some(_)) => vec![caption],
            (Some(caption), None) if CAPTION[..2].contains(&names[caption].as_str()) => {
                all(&|name| CAPTION[..2].contains(&name) || is_numbered(name))
            }
            (Some(caption), None) => vec![caption],
            (None, _) => match all(&is_numbered) {
                numbered if numbered.is_empty() => texts.first().copied().into_iter().collect(),
                numbered => numbered,
            },
        };
        let captions: Vec<usize> = captions.into_iter().filter(|&column| column != image).collect();
        let is_unread = |column: &usize| given.caption.is_none() && !captions.contains(column);
        let unread = texts.iter().copied().filter(is_unread).collect();
        let flags = match split {
            Some(_) => Vec::new(),
            None => flags(&names),
        };
        (!captions.is_empty()).then(|| Self {
            split,
            flags,
            unread,
            has_folds: given.split.is_none() && split.is_some_and(|column| names[column] == FOLD),
            ..Self::at(image, captions, names.len())
        })
    }

    /// The columns with the names of images and, if there is one, their splits.
    pub(super) fn image_and_split(names: &[&str]) -> Option<(usize, Option<usize>)> {
        let names: Vec<String> = names.iter().map(|name| normalized(name)).collect();
        Some((position(&names, IMAGE)?, position(&names, SPLIT)))
    }

    /// The columns of a table without header.
    pub(super) fn at(image: usize, captions: Vec<usize>, count: usize) -> Self {
        Self {
            image,
            captions,
            split: None,
            unread: Vec::new(),
            has_bars: false,
            flags: Vec::new(),
            has_folds: false,
            count,
        }
    }

    /// The columns that the user gives by their numbers, from 1 on, in a table of this many.
    pub(super) fn numbered(given: &ColumnNames, count: usize) -> Option<Self> {
        let number = |given: &String| given.trim().parse::<usize>().ok()?.checked_sub(1);
        let column = |given: &String| number(given).filter(|&column| column < count);
        let image = column(given.image.as_ref()?)?;
        let caption = column(given.caption.as_ref()?)?;
        let split = match &given.split {
            Some(split) => Some(column(split)?),
            None => None,
        };
        (image != caption).then(|| Self {
            split,
            ..Self::at(image, vec![caption], count)
        })
    }

    /// The columns of rows of the same length, by what most cells hold: names of images, texts of several words, and
    /// names of splits.
    pub(super) fn by_content(rows: &[Vec<String>], is_image: &dyn Fn(&str) -> bool) -> Option<Self> {
        let count = rows.first()?.len();
        if rows.iter().any(|row| row.len() != count) {
            return None;
        }
        let most = |column: usize, is: &dyn Fn(&str) -> bool| {
            2 * rows.iter().filter(|row| is(&row[column])).count() > rows.len()
        };
        // The number of a row may be the name of an image too, without its extension.
        let is_whole_name = |cell: &str| is_image(cell) && Path::new(cell.trim()).extension().is_some();
        let image = (0..count)
            .find(|&column| most(column, &is_whole_name))
            .or_else(|| (0..count).find(|&column| most(column, is_image)))?;
        let is_split = |&column: &usize| {
            column != image && rows.iter().all(|row| row[column].trim().parse::<Split>().is_ok())
        };
        let split = (0..count).find(is_split);
        let others = (0..count).filter(|&column| column != image && Some(column) != split);
        let others: Vec<usize> = others.collect();
        let captions = match others[..] {
            [only] => vec![only],
            _ => others
                .into_iter()
                .filter(|&column| most(column, &|cell| cell.trim().contains(' ')))
                .collect(),
        };
        (!captions.is_empty()).then(|| Self {
            split,
            ..Self::at(image, captions, count)
        })
    }

    /// Finds what the cells of these rows say: whether `|` separates captions and, if no column is named so, which one has
    /// nothing but names of splits.
    pub(super) fn look_at(&mut self, rows: &[Vec<String>]) {
        if let [caption] = self.captions[..] {
            let has_bar = |row: &Vec<String>| {
                let parts = row.get(caption).and_then(|cell| cell.split_once('|'));
                parts.is_some_and(|(one, other)| !one.trim().is_empty() && !other.trim().is_empty())
            };
            self.has_bars = !rows.is_empty() && rows.iter().all(has_bar);
        }
        if self.split.is_some() || !self.flags.is_empty() || rows.is_empty() {
            return;
        }
        let is_split = |&column: &usize| {
            let names_split = |row: &Vec<String>| {
                let name = row.get(column).map(|cell| cell.trim().parse::<Split>());
                name.is_some_and(|split| split.is_ok())
            };
            column != self.image && !self.captions.contains(&column) && rows.iter().all(names_split)
        };
        self.split = (0..self.count).find(is_split);
    }

    /// The column that delimiters in unquoted captions belong to: the last one, or the only one of captions.
    pub(super) fn caption_with_delimiters(&self) -> Option<usize> {
        let last = self
            .captions
            .iter()
            .copied()
            .find(|column| 1 + column == self.count);
        last.or(match self.captions[..] {
            [only] => Some(only),
            _ => None,
        })
    }

    /// Whether the columns of captions have one name but for numbers, such as `ref1` and `ref2`.
    pub(super) fn captions_are_alike(&self, names: &[String]) -> bool {
        let stem = |&column: &usize| {
            let name = names.get(column).map_or("", |name| name.trim());
            name.trim_end_matches(|c: char| c.is_ascii_digit())
        };
        let mut stems = self.captions.iter().map(stem);
        let first = stems.next();
        stems.all(|stem| Some(stem) == first)
    }

    /// The numbers of the columns in words, for a note.
    pub(super) fn describe_numbers(&self) -> String {
        let captions: Vec<String> = self
            .captions
            .iter()
            .map(|column| (1 + column).to_string())
            .collect();
        let columns = if captions.len() == 1 { "column" } else { "columns" };
        let split = self
            .split
            .map(|column| format!(", split from column {}", 1 + column));
        format!(
            "image from column {}, caption from {columns} {}{}",
            1 + self.image,
            captions.join(", "),
            split.unwrap_or_default()
        )
    }

    /// The first name that the user gives and no column has.
    pub(super) fn missing(names: &[&str], given: &ColumnNames) -> Option<UnknownName> {
        let has = |wanted: &&String| names.iter().any(|name| normalized(name) == normalized(wanted));
        let given = [&given.image, &given.caption, &given.split];
        let missing = given.into_iter().flatten().find(|wanted| !has(wanted))?;
        let names = names.iter().map(|name| name.trim());
        Some(UnknownName::new("column", missing, names))
    }

    /// The columns in words, for a note; `None` if they have the usual names.
    pub(super) fn describe(&self, names: &[&str]) -> Option<String> {
        let name = |column: usize| names.get(column).map_or("", |name| name.trim());
        let captions: Vec<&str> = self.captions.iter().map(|&column| name(column)).collect();
        let is_usual =
            matches!(name(self.image), "image" | "photo") && matches!(captions[..], ["caption" | "captions"]);
        let is_usual_split = self
            .split
            .is_none_or(|column| normalized(name(column)) == SPLIT[0]);
        let is_usual =
            is_usual && is_usual_split && self.flags.is_empty() && self.unread.is_empty() && !self.has_bars;
        let splits: Vec<&str> = self
            .split
            .iter()
            .chain(self.flags.iter().map(|(column, _)| column))
            .map(|&column| name(column))
            .collect();
        let split = match splits.is_empty() {
            true => String::new(),
            false => format!(", split from `{}`", splits.join("`, `")),
        };
        let unread: Vec<&str> = self.unread.iter().map(|&column| name(column)).collect();
        let unread = match unread.is_empty() {
            true => String::new(),
            false => format!(
                "; not read: `{}` (--caption-column takes one)",
                unread.join("`, `")
            ),
        };
        let bars = if self.has_bars {
            ", several between `|`"
        } else {
            ""
        };
        (!is_usual).then(|| {
            format!(
                "image from `{}`, caption from `{}`{bars}{split}{unread}",
                name(self.image),
                captions.join("`, `")
            )
        })
    }

    /// Adds a row to the index.
    ///
    /// # Errors
    /// If the row has no image, or a split of an unknown name.
    pub(super) fn take(&self, index: &mut CaptionIndex, mut fields: Vec<Cell>) -> Result<(), String> {
        let split = self.split_of(index, &fields)?.or(index.split_of_rows);
        let mut cell = |column: usize| fields.get_mut(column).map(mem::take).unwrap_or_default();
        let image = cell(self.image).into_text();
        if is_missing(&image) {
            return Err("no image".to_owned());
        }
        let image = file_name_in(&image);
        index.image(image);
        let mut captions: Vec<String> = Vec::new();
        for &column in &self.captions {
            let mut texts = cell(column).into_captions();
            if self.has_bars {
                texts = texts
                    .iter()
                    .flat_map(|text| text.split('|'))
                    .map(|text| text.trim().to_owned())
                    .collect();
            }
            // `caption` and `captions` of an object may hold the same.
            let others = captions.len();
            texts.retain(|text| !captions[..others].contains(text));
            captions.extend(texts);
        }
        for caption in captions {
            match is_missing(&caption) {
                true => index.problems.add(ProblemKind::EmptyCaption, image, caption),
                false => index.caption(image, SourceCaption::new(caption)),
            }
        }
        if let Some(split) = split {
            index.split(image, split);
        }
        Ok(())
    }

    fn split_of(&self, index: &mut CaptionIndex, fields: &[Cell]) -> Result<Option<Split>, String> {
        let text = |column: usize| fields.get(column).map_or("", Cell::text).trim();
        if let Some(column) = self.split.filter(|&column| !is_missing(text(column))) {
            let name = text(column);
            return match name.parse() {
                Ok(split) => Ok(Some(split)),
                Err(_) if self.has_folds && name.parse::<f64>().is_ok() => {
                    index.note(format!(
                        "`{FOLD}` has numbers, which name no split: it is not used; name a column with --split-column"
                    ));
                    Ok(None)
                }
                Err(_) if index.splits_from == SplitsFrom::Drawn => Ok(None),
                Err(error) => Err(format!(
                    "in the split column: {error}, or draw the splits with --random-splits"
                )),
            };
        }
        let values = self
            .flags
            .iter()
            .map(|&(column, split)| Some((is_set(text(column))?, split)));
        let Some(values) = values.collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let set = values.iter().find(|(is_set, _)| *is_set).map(|&(_, split)| split);
        // The splits without a column have the rest: `is_train` and 0 is dev.
        let is_rest = |split: &Split| values.iter().all(|(_, flagged)| flagged != split);
        let rest = Split::ALL
            .into_iter()
            .find(is_rest)
            .filter(|_| !values.is_empty());
        Ok(set.or(rest))
    }
}

/// Whether a name is that of captions: `caption`, `caption_1`, `caption_en`, `raw_caption`.
fn is_like_captions(name: &str) -> bool {
    let rest = name
        .strip_prefix("caption")
        .or_else(|| name.trim_end_matches('s').strip_suffix("caption"));
    CAPTION.contains(&name) || is_numbered(name) || rest.is_some_and(|rest| !ABOUT_CAPTIONS.contains(&rest))
}

fn is_numbered(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.len() < name.len() && CAPTION.contains(&stem)
}

/// The position of the first of the known names that is there.
fn position(names: &[String], known: &[&str]) -> Option<usize> {
    known
        .iter()
        .find_map(|known| names.iter().position(|name| name == known))
}

/// The columns that have 1 for the images of a split, by their names: `is_train`, `train`, `is_valid`.
fn flags(names: &[String]) -> Vec<(usize, Split)> {
    let split = |name: &str| name.strip_prefix("is").unwrap_or(name).parse().ok();
    let columns = names.iter().enumerate();
    columns
        .filter_map(|(column, name)| Some((column, split(name)?)))
        .collect()
}

/// The value of a flag; `None` for another text.
fn is_set(text: &str) -> Option<bool> {
    const VALUES: [(&str, bool); 8] = [
        ("1", true),
        ("true", true),
        ("yes", true),
        ("1.0", true),
        ("0", false),
        ("false", false),
        ("no", false),
        ("0.0", false),
    ];
    let value = VALUES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    value.map(|&(_, is_set)| is_set)
}

/// The path in a URL, and a name without the number of its caption: `http://host/a/x.jpg?w=1` is `a/x.jpg`, `x.jpg#0` is
/// `x.jpg`.
pub(super) fn file_name_in(text: &str) -> &str {
    if let Some((_, url)) = text.split_once("://") {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        return path.split_once('/').map_or(path, |(_, path)| path);
    }
    let numbered = text
        .rsplit_once('#')
        .filter(|(_, number)| number.parse::<u32>().is_ok());
    match numbered {
        Some((name, _)) if is_image_name(Path::new(name)) => name,
        _ => text,
    }
}

fn normalized(name: &str) -> String {
    let name = name.trim_matches(|character: char| character.is_whitespace() || "\"'#".contains(character));
    name.to_lowercase().replace([' ', '-', '_'], "")
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
        assert_eq!(columns(&["image", "caption_id", "num_captions"]), None);
        for names in [
            ["Picture", "Comment"],
            ["photo_name", "alt text"],
            ["imgPath", "raw_caption"],
            ["'img_path'", "'caption'"],
            ["# image", "caption"],
            ["image", "caption_en"],
            ["image", "blip captions"],
            ["image_path", "caption_text"],
            ["image", "caption_str"],
        ] {
            assert_eq!(columns(&names), Some((0, vec![1], None)), "{names:?}");
        }
        assert_eq!(
            columns(&["image", "caption", "captions", "caption_2", "title"]),
            Some((0, vec![1, 2, 3], None))
        );
        let described = |names: &[&str]| Columns::named(names, &any).unwrap().describe(names);
        assert_eq!(described(&["image", "caption", "caption_id"]), None);
        assert_eq!(
            described(&["image", "Caption_EN", "caption_hi"]).unwrap(),
            "image from `image`, caption from `Caption_EN`; not read: `caption_hi` (--caption-column takes one)"
        );
        assert_eq!(
            columns(&["image", "phase", "caption"]),
            Some((0, vec![2], Some(1)))
        );
        let given = ColumnNames {
            image: Some("where".into()),
            caption: Some("What".into()),
            split: None,
            ..ColumnNames::default()
        };
        let missing = Columns::missing(&["were", "what"], &given).unwrap().to_string();
        assert_eq!(
            missing,
            "unknown column \"where\" (nearest: \"were\"): choose one of were, what"
        );
        let columns = Columns::named(&["what", "where"], &given).unwrap();
        assert_eq!((columns.image, columns.captions), (1, vec![0]));
    }

    #[test]
    fn flags_and_folds_give_splits() {
        let splits = |names: &[&str], rows: &[&[&str]]| -> Vec<Option<Split>> {
            let names = [&["image", "caption"], names].concat();
            let columns = Columns::named(&names, &ColumnNames::default()).unwrap();
            let mut index = CaptionIndex::default();
            let cells = |row: &[&str]| {
                [&["a", "b"], row]
                    .concat()
                    .into_iter()
                    .map(Cell::of_text)
                    .collect::<Vec<_>>()
            };
            rows.iter()
                .map(|row| columns.split_of(&mut index, &cells(row)).unwrap())
                .collect()
        };
        let [train, dev, test] = Split::ALL.map(Some);
        assert_eq!(
            splits(&["is_train"], &[&["1"], &["0"], &["True"], &["?"]]),
            [train, dev, train, None]
        );
        assert_eq!(splits(&["is_valid"], &[&["False"], &["True"]]), [train, dev]);
        assert_eq!(
            splits(&["train", "test"], &[&["1", "0"], &["0", "0"], &["0", "1"]]),
            [train, dev, test]
        );
        assert_eq!(splits(&["fold"], &[&["0"], &["val"]]), [None, dev]);
        assert_eq!(splits(&["is_train", "split"], &[&["0", "test"]]), [test]);
    }

    #[test]
    fn image_names_are_taken_from_urls_and_numbered_names() {
        for (text, name) in [
            ("http://h/a/x.jpg?w=1#top", "a/x.jpg"),
            ("https://h/x.jpg", "x.jpg"),
            ("file:///home/x.jpg", "home/x.jpg"),
            ("s3://bucket", "bucket"),
            ("x.jpg#4", "x.jpg"),
            ("a #1", "a #1"),
        ] {
            assert_eq!(file_name_in(text), name);
        }
    }

    #[test]
    fn preferred_captions_go_before_the_usual_ones() {
        let preferring = ColumnNames {
            preferred_captions: &["generated_caption", "prediction"],
            ..ColumnNames::default()
        };
        let captions = |names: &[&str]| Columns::named(names, &preferring).map(|columns| columns.captions);
        assert_eq!(captions(&["image", "caption", "prediction"]), Some(vec![2]));
        assert_eq!(
            captions(&["image", "Generated Caption", "reference"]),
            Some(vec![1])
        );
        assert_eq!(captions(&["image", "caption"]), Some(vec![1]));
    }

    #[test]
    fn names_with_extensions_go_before_numbers_that_are_names_too() {
        let rows = [["0", "3.jpg", "a dog runs"], ["1", "2.jpg", "a cat sits"]];
        let rows: Vec<Vec<String>> = rows.map(|row| row.map(str::to_owned).to_vec()).into();
        let numbered = |cell: &str| cell.trim_end_matches(".jpg").parse::<u8>().is_ok();
        let columns = Columns::by_content(&rows, &numbered).unwrap();
        assert_eq!((columns.image, columns.captions), (1, vec![2]));
    }
}
