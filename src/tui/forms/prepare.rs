//! The form that prepares a data set.

use super::prompts::expanded;
use crate::dataset::Format;
use crate::runs::Name;
use crate::tui::form::{Fault, Field, Form};
use crate::vision::backbone::{BackboneKind, FeatureForm};

/// The field of what is read.
pub const SOURCE: &str = "source";
const NAME: &str = "name";
const FORMAT: &str = "format";
const RECOGNISED: &str = "recognised";
const MIN_COUNT: &str = "min count";
const CASE: &str = "upper case";
const PUNCTUATION: &str = "punctuation";
const DIGITS: &str = "digits";
const SEED: &str = "seed";
const PHOTOS: &str = "photos";
const BACKBONE: &str = "backbone";
const WEIGHTS: &str = "weights";
const KEPT: &str = "kept";
const NONE: &str = "none";

/// Asks what to prepare; `source` stands in it at first.
pub fn form(source: &str) -> Form {
    let formats = [RECOGNISED].into_iter().chain(Format::ALL.map(Format::name));
    let backbones = [NONE]
        .into_iter()
        .chain(BackboneKind::ALL.map(BackboneKind::name));
    Form::new(
        "prepare a data set",
        vec![
            Field::path(
                SOURCE,
                "a directory or captions file, Ctrl-O picks one; or scenes, the built-in data set",
                source,
            ),
            Field::text(NAME, "of the data set; after the source if empty", ""),
            Field::choice(FORMAT, "the form of the source", formats, RECOGNISED),
            Field::text(
                MIN_COUNT,
                "how often a word must come to be in the vocabulary",
                "5",
            ),
            Field::choice(CASE, "of captions", ["lowered", "kept"], ""),
            Field::choice(PUNCTUATION, "in captions", ["removed", "kept"], ""),
            Field::choice(DIGITS, "in captions", ["removed", "kept"], ""),
            Field::text(SEED, "draws splits where the source has none, and scenes", ""),
            Field::text(PHOTOS, "of scenes alone: how many to draw; 4000 if empty", ""),
            Field::choice(BACKBONE, "the CNN that looks at the photos", backbones, NONE),
            Field::path(
                WEIGHTS,
                "of the backbone: .safetensors, .pth or .h5; Ctrl-O picks",
                "",
            ),
            Field::choice(
                KEPT,
                "of what it sees: one vector a photo, or one a region",
                FeatureForm::ALL.map(FeatureForm::name),
                FeatureForm::default().name(),
            ),
        ],
    )
}

pub(super) fn arguments(form: &Form) -> Result<Vec<String>, Fault> {
    let source = form.value(SOURCE);
    if source.is_empty() {
        return Err(Fault::of(SOURCE, "the path of captioned photos, or scenes"));
    }
    let mut arguments = vec!["prepare".to_owned(), path(source)];
    let mut flag = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    flag("name", name(form)?);
    if form.value(FORMAT) != RECOGNISED {
        flag("format", form.value(FORMAT).to_owned());
    }
    flag("min-count", whole(form, MIN_COUNT)?);
    for (field, name) in [(SEED, "seed"), (PHOTOS, "photos")] {
        if !form.value(field).is_empty() {
            flag(name, whole(form, field)?);
        }
    }
    if form.value(BACKBONE) != NONE {
        flag("backbone", form.value(BACKBONE).to_owned());
        if form.value(WEIGHTS).is_empty() {
            return Err(Fault::of(WEIGHTS, "the file of the backbone's weights"));
        }
        flag("weights", path(form.value(WEIGHTS)));
        flag("form", form.value(KEPT).to_owned());
    }
    for (field, name) in [
        (CASE, "keep-case"),
        (PUNCTUATION, "keep-punctuation"),
        (DIGITS, "keep-digits"),
    ] {
        if form.value(field) == "kept" {
            arguments.push(format!("--{name}"));
        }
    }
    arguments.push("--detach".into());
    Ok(arguments)
}

fn path(typed: &str) -> String {
    expanded(typed).display().to_string()
}

fn name(form: &Form) -> Result<String, Fault> {
    let typed = form.value(NAME);
    if typed.is_empty() {
        let source = expanded(form.value(SOURCE));
        let stem = source.file_stem().unwrap_or(source.as_os_str());
        return Ok(Name::fitting(&stem.to_string_lossy()).to_string());
    }
    match typed.parse::<Name>() {
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(Fault::of(NAME, error.to_string())),
    }
}

fn whole(form: &Form, field: &'static str) -> Result<String, Fault> {
    let typed = form.value(field);
    match typed.parse::<u64>() {
        Ok(_) => Ok(typed.to_owned()),
        Err(_) => Err(Fault::of(field, "a whole number, 0 or more")),
    }
}
