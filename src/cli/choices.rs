//! Parsers of flags that take a name: clap lists the names, the library parses them.

use std::error::Error;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use strum::VariantNames;

use crate::data::{Format, Split};
use crate::decoders::DecoderKind;
use crate::suggest::{Named, UnknownName};
use crate::training::presets::{PRESETS, Preset};

/// A flag for an enum with names.
pub(super) fn named<T>() -> impl TypedValueParser<Value = T>
where
    T: Named + FromStr<Err = UnknownName> + Send + Sync + 'static,
{
    one_of(T::VARIANTS.iter().copied())
}

pub(super) fn format() -> impl TypedValueParser<Value = Format> {
    one_of(Format::VARIANTS.iter().map(|&name| match name {
        "flickr8k" => PossibleValue::new(name).aliases(["flickr", "flickr30k"]),
        _ => PossibleValue::new(name),
    }))
}

pub(super) fn decoder() -> impl TypedValueParser<Value = DecoderKind> {
    one_of(DecoderKind::VARIANTS.iter().map(|&name| match name {
        "soft-attention" => PossibleValue::new(name).alias("attend"),
        _ => PossibleValue::new(name),
    }))
}

pub(super) fn split() -> impl TypedValueParser<Value = Split> {
    one_of([
        PossibleValue::new("train").help("the training split"),
        PossibleValue::new("dev")
            .aliases(["val", "valid", "validation"])
            .help("the validation split, also `val`: settings are chosen on it"),
        PossibleValue::new("test").help("the test split: nothing is chosen on it"),
    ])
}

pub(super) fn preset() -> impl TypedValueParser<Value = Preset> {
    one_of(PRESETS.map(|preset| PossibleValue::new(preset.name).help(preset.help)))
}

fn one_of<T>(names: impl Into<PossibleValuesParser>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    names.into().try_map(|name| name.parse())
}
