//! The form that prepares a data set.

use super::prompts::expanded;
use crate::data::Format;
use crate::jobs::Name;
use crate::suggest::Named;
use crate::tui::form::{Field, Form, FormError};
use crate::vision::backbones::{BackboneKind, FeatureKind};
use crate::vision::features::store::FeatureDtype;
use crate::vision::preprocess::CropMode;
use strum::VariantNames;

pub const SOURCE: &str = "source";
const NAME: &str = "name";
const FORMAT: &str = "format";
const RECOGNIZED: &str = "recognized";
const MIN_COUNT: &str = "min count";
const CASE: &str = "upper case";
const PUNCTUATION: &str = "punctuation";
const DIGITS: &str = "digits";
const SEED: &str = "seed";
const IMAGES: &str = "num images";
const BACKBONE: &str = "backbone";
const WEIGHTS: &str = "weights";
const LAYER: &str = "layer";
const FEATURES: &str = "features";
const DTYPE: &str = "dtype";
const CROP_MODE: &str = "crop mode";
const AS_TRAINED: &str = "as the CNN was trained";
const HFLIP: &str = "hflip";
const YES: &str = "yes";
const NO: &str = "no";
const RANDOM_CROPS: &str = "random crops";
const NONE: &str = "none";

pub fn form(source: &str) -> Form {
    let formats = [RECOGNIZED].into_iter().chain(Format::VARIANTS.iter().copied());
    let backbones = [NONE].into_iter().chain(BackboneKind::VARIANTS.iter().copied());
    let extents = [AS_TRAINED].into_iter().chain(CropMode::VARIANTS.iter().copied());
    Form::new(
        "prepare a data set",
        vec![
            Field::path(
                SOURCE,
                "directory or captions file (Ctrl-O opens the file picker), or scenes, the built-in data set",
                source,
            ),
            Field::text(NAME, "of the data set; default: after the source", ""),
            Field::choice(FORMAT, "of the source", formats, RECOGNIZED),
            Field::text(MIN_COUNT, "minimum occurrences of a word in the vocabulary", "5"),
            Field::choice(CASE, "of captions", ["lowered", "kept"], ""),
            Field::choice(PUNCTUATION, "in captions", ["removed", "kept"], ""),
            Field::choice(DIGITS, "in captions", ["removed", "kept"], ""),
            Field::text(SEED, "for random splits and scenes", ""),
            Field::text(IMAGES, "number of scenes to draw; default: 4000", ""),
            Field::choice(BACKBONE, "the CNN that extracts features", backbones, NONE),
            Field::path(
                WEIGHTS,
                "of the backbone: .safetensors, .pth or .h5; Ctrl-O opens the file picker",
                "",
            ),
            Field::text(
                LAYER,
                "of the backbone whose output is stored; default: that of the backbone",
                "",
            ),
            Field::choice(
                FEATURES,
                "one pooled vector per image, or a grid of regions",
                FeatureKind::VARIANTS.iter().copied(),
                FeatureKind::default().name(),
            ),
            Field::choice(
                DTYPE,
                "of stored features; f16 takes half the space",
                FeatureDtype::VARIANTS.iter().copied(),
                FeatureDtype::F32.name(),
            ),
            Field::choice(
                CROP_MODE,
                "resize the whole image, or take its center crop",
                extents,
                AS_TRAINED,
            ),
            Field::choice(
                HFLIP,
                "also store flipped training images, for augment.hflip_prob",
                [NO, YES],
                NO,
            ),
            Field::text(
                RANDOM_CROPS,
                "of each training image to store, for augment.random_crops",
                "0",
            ),
        ],
    )
}

pub fn arguments(form: &Form) -> Result<Vec<String>, FormError> {
    let source = form.value(SOURCE);
    if source.is_empty() {
        return Err(FormError::of(SOURCE, "a path of captioned images, or scenes"));
    }
    let mut arguments = vec!["prepare".to_owned(), path(source)];
    let mut flag = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    flag("name", name(form)?);
    if form.value(FORMAT) != RECOGNIZED {
        flag("format", form.value(FORMAT).to_owned());
    }
    flag("min-count", whole(form, MIN_COUNT)?);
    for (field, name) in [(SEED, "seed"), (IMAGES, "num-images")] {
        if !form.value(field).is_empty() {
            flag(name, whole(form, field)?);
        }
    }
    if form.value(BACKBONE) != NONE {
        flag("backbone", form.value(BACKBONE).to_owned());
        if form.value(WEIGHTS).is_empty() {
            return Err(FormError::of(WEIGHTS, "a weights file for the backbone"));
        }
        flag("weights", path(form.value(WEIGHTS)));
        flag("features", form.value(FEATURES).to_owned());
        if !form.value(LAYER).is_empty() {
            flag("layer", form.value(LAYER).to_owned());
        }
        if form.value(DTYPE) != FeatureDtype::F32.name() {
            flag("dtype", form.value(DTYPE).to_owned());
        }
        if form.value(CROP_MODE) != AS_TRAINED {
            flag("crop-mode", form.value(CROP_MODE).to_owned());
        }
        match whole(form, RANDOM_CROPS)?.as_str() {
            "0" => {}
            crops => flag("random-crops", crops.to_owned()),
        }
        if form.value(HFLIP) == YES {
            arguments.push("--hflip".into());
        }
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

fn name(form: &Form) -> Result<String, FormError> {
    let typed = form.value(NAME);
    if typed.is_empty() {
        let source = expanded(form.value(SOURCE));
        let stem = source.file_stem().unwrap_or(source.as_os_str());
        return Ok(Name::sanitized(&stem.to_string_lossy()).to_string());
    }
    match typed.parse::<Name>() {
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(FormError::of(NAME, error.to_string())),
    }
}

fn whole(form: &Form, field: &'static str) -> Result<String, FormError> {
    let typed = form.value(field);
    match typed.parse::<u64>() {
        Ok(_) => Ok(typed.to_owned()),
        Err(_) => Err(FormError::of(field, "a whole number, 0 or more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(changes: &[(&str, &str)]) -> Result<String, FormError> {
        let mut form = form("/images/flickr8k");
        for (name, value) in changes {
            form.set(name, value);
        }
        arguments(&form).map(|arguments| arguments.join(" "))
    }

    #[test]
    fn default_fields_add_no_flags() {
        let plain = "prepare /images/flickr8k --name flickr8k --min-count 5";
        assert_eq!(asked(&[]).unwrap(), format!("{plain} --detach"));
        let eye = [(BACKBONE, "vgg16"), (WEIGHTS, "/w.pth")];
        let seen = format!("{plain} --backbone vgg16 --weights /w.pth --features pooled");
        assert_eq!(asked(&eye).unwrap(), format!("{seen} --detach"));
    }

    #[test]
    fn form_covers_flags_of_preset_best() {
        let asked = asked(&[
            (BACKBONE, "efficientnet_lite2"),
            (WEIGHTS, "/w.pth"),
            (LAYER, "blocks.19"),
            (FEATURES, "grid"),
            (DTYPE, "f16"),
            (CROP_MODE, "squash"),
            (HFLIP, YES),
            (RANDOM_CROPS, "6"),
        ])
        .unwrap();
        assert!(
            asked.ends_with(
                "--features grid --layer blocks.19 --dtype f16 --crop-mode squash --random-crops 6 --hflip --detach"
            ),
            "{asked}"
        );
    }

    #[test]
    fn invalid_value_reported_at_field() {
        for (field, value) in [
            (MIN_COUNT, "few"),
            (SEED, "-1"),
            (NAME, "a/b"),
            (RANDOM_CROPS, "two"),
        ] {
            let changes = [(BACKBONE, "vgg16"), (WEIGHTS, "/w.pth"), (field, value)];
            assert_eq!(asked(&changes).unwrap_err().field, Some(field));
        }
        let blind = asked(&[(BACKBONE, "vgg16")]).unwrap_err();
        assert_eq!(blind.field, Some(WEIGHTS));
    }
}
