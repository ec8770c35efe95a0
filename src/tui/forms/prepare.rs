//! The form that prepares a dataset.

use super::name_in;
use super::prompts::expanded;
use crate::data::Format;
use crate::jobs::Name;
use crate::suggest::Named;
use crate::tui::{Field, Form, FormError};
use crate::vision::backbones::{BackboneKind, FeatureKind};
use crate::vision::features::store::FeatureDtype;
use crate::vision::preprocess::CropMode;
use strum::VariantNames;

pub const SOURCE: &str = "source";
const NAME: &str = "name";
const FORMAT: &str = "format";
const MIN_COUNT: &str = "min count";
const SEED: &str = "seed";
const NUM_IMAGES: &str = "num images";
const BACKBONE: &str = "backbone";
const NO_BACKBONE: &str = "none";
const WEIGHTS: &str = "weights";
const LAYER: &str = "layer";
const FEATURES: &str = "features";
const DTYPE: &str = "dtype";
const CROP_MODE: &str = "crop mode";
const HFLIP: &str = "hflip";
const RANDOM_CROPS: &str = "random crops";
const KEEP_CASE: &str = "keep case";
const KEEP_PUNCTUATION: &str = "keep punctuation";
const KEEP_DIGITS: &str = "keep digits";

#[rustfmt::skip] // A field is a line.
pub fn form(source: &str) -> Form {
    let formats = ["detected"].into_iter().chain(Format::VARIANTS.iter().copied());
    let backbones = [NO_BACKBONE].into_iter().chain(BackboneKind::VARIANTS.iter().copied());
    let crop_modes = ["as the CNN was trained"].into_iter().chain(CropMode::VARIANTS.iter().copied());
    let features = FeatureKind::VARIANTS.iter().copied();
    let dtypes = FeatureDtype::VARIANTS.iter().copied();
    Form::new("prepare a dataset", vec![
        Field::path(SOURCE, "directory or captions file (Ctrl-O opens the file picker), a name of cutline fetch, or scenes", source),
        Field::text(NAME, "of the dataset; default: after the source", ""),
        Field::choice(FORMAT, "of the source", formats, ""),
        Field::text(MIN_COUNT, "minimum occurrences of a word in the vocabulary", "5"),
        Field::switch(KEEP_CASE, "keep upper case in captions"),
        Field::switch(KEEP_PUNCTUATION, "keep punctuation in captions"),
        Field::switch(KEEP_DIGITS, "keep digits in captions"),
        Field::text(SEED, "for random splits and scenes", ""),
        Field::text(NUM_IMAGES, "number of scenes to draw; default: 4000", ""),
        Field::choice(BACKBONE, "the CNN that extracts features", backbones, NO_BACKBONE),
        Field::path(WEIGHTS, "of the backbone: .safetensors, .pth or .h5 (Ctrl-O opens the file picker); default: those of cutline fetch", ""),
        Field::text(LAYER, "of the backbone whose output is stored; default: that of the backbone", ""),
        Field::choice(FEATURES, "one pooled vector per image, or a grid of regions", features, FeatureKind::default().name()),
        Field::choice(DTYPE, "of stored features; f16 takes half the space", dtypes, FeatureDtype::F32.name()),
        Field::choice(CROP_MODE, "resize the whole image, or take its center crop", crop_modes, ""),
        Field::switch(HFLIP, "also store flipped training images, for augment.hflip_prob"),
        Field::text(RANDOM_CROPS, "of each training image to store, for augment.random_crops", "0"),
    ])
}

pub fn arguments(form: &Form) -> Result<Vec<String>, FormError> {
    let source = form.value(SOURCE);
    if source.is_empty() {
        return Err(FormError::in_field(
            SOURCE,
            "a path of captioned images, or scenes",
        ));
    }
    let mut arguments = vec!["prepare".into(), path(source), "--name".into(), name(form)?];
    arguments.extend(form.changed_flags(&[FORMAT]));
    check_numbers(form, &[MIN_COUNT, SEED, NUM_IMAGES])?;
    arguments.extend(form.flag(MIN_COUNT));
    arguments.extend(form.changed_flags(&[SEED, NUM_IMAGES]));
    if form.value(BACKBONE) != NO_BACKBONE {
        check_numbers(form, &[RANDOM_CROPS])?;
        arguments.extend(form.flag(BACKBONE));
        if !form.value(WEIGHTS).is_empty() {
            arguments.extend(["--weights".into(), path(form.value(WEIGHTS))]);
        }
        arguments.extend(form.flag(FEATURES));
        arguments.extend(form.changed_flags(&[LAYER, DTYPE, CROP_MODE, RANDOM_CROPS, HFLIP]));
    }
    arguments.extend(form.changed_flags(&[KEEP_CASE, KEEP_PUNCTUATION, KEEP_DIGITS]));
    arguments.push("--detach".into());
    Ok(arguments)
}

fn path(typed: &str) -> String {
    expanded(typed).display().to_string()
}

fn name(form: &Form) -> Result<String, FormError> {
    if form.is_changed(NAME) {
        return Ok(name_in(form, NAME)?.to_string());
    }
    let source = expanded(form.value(SOURCE));
    let stem = source.file_stem().unwrap_or(source.as_os_str());
    Ok(Name::sanitized(&stem.to_string_lossy()).to_string())
}

fn check_numbers(form: &Form, fields: &[&'static str]) -> Result<(), FormError> {
    let is_wrong = |field: &&&str| form.is_changed(field) && form.value(field).parse::<u64>().is_err();
    match fields.iter().find(is_wrong) {
        Some(field) => Err(FormError::in_field(field, "a whole number, 0 or more")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command of the form with these changes.
    fn command(changes: &[(&str, &str)]) -> Result<String, FormError> {
        let mut form = form("/images/flickr8k");
        for (name, value) in changes {
            form.set(name, value);
        }
        arguments(&form).map(|arguments| arguments.join(" "))
    }

    #[test]
    fn changed_fields_become_flags() {
        let plain = "prepare /images/flickr8k --name flickr8k --min-count 5";
        let backbone = [(BACKBONE, "vgg16"), (WEIGHTS, "/w.pth")];
        let grid = [
            (BACKBONE, "efficientnet_lite2"),
            (WEIGHTS, "/w.pth"),
            (LAYER, "blocks.19"),
            (FEATURES, "grid"),
            (DTYPE, "f16"),
            (CROP_MODE, "squash"),
            (HFLIP, "yes"),
            (RANDOM_CROPS, "6"),
            (KEEP_DIGITS, "yes"),
        ];
        for (changes, flags) in [
            (&[][..], ""),
            (&backbone, " --backbone vgg16 --weights /w.pth --features pooled"),
            (&backbone[..1], " --backbone vgg16 --features pooled"),
            (
                &grid,
                " --backbone efficientnet_lite2 --weights /w.pth --features grid --layer blocks.19 --dtype f16 \
                 --crop-mode squash --random-crops 6 --hflip --keep-digits",
            ),
        ] {
            assert_eq!(command(changes).unwrap(), format!("{plain}{flags} --detach"));
        }
    }

    #[test]
    fn invalid_value_reported_at_field() {
        for (field, value) in [
            (MIN_COUNT, "few"),
            (MIN_COUNT, ""),
            (SEED, "-1"),
            (NAME, "a/b"),
            (RANDOM_CROPS, "two"),
        ] {
            let changes = [(BACKBONE, "vgg16"), (WEIGHTS, "/w.pth"), (field, value)];
            assert_eq!(command(&changes).unwrap_err().field, Some(field));
        }
    }
}
