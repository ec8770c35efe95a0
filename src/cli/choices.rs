//! Flags that take one of a library's names: clap lists the names, the library reads them.

use std::error::Error;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::data::Format;
use crate::training::preset::Preset;
use crate::vision::backbones::{BackboneKind, FeatureForm};
use crate::vision::features::store::FeatureDtype;
use crate::vision::preprocess::Extent;

pub(super) fn backbone() -> impl TypedValueParser<Value = BackboneKind> {
    one_of(BackboneKind::ALL.map(BackboneKind::name))
}

pub(super) fn feature_form() -> impl TypedValueParser<Value = FeatureForm> {
    one_of(FeatureForm::ALL.map(FeatureForm::name))
}

pub(super) fn feature_dtype() -> impl TypedValueParser<Value = FeatureDtype> {
    one_of(FeatureDtype::ALL.map(FeatureDtype::name))
}

pub(super) fn crop_mode() -> impl TypedValueParser<Value = Extent> {
    one_of(Extent::ALL.map(Extent::name))
}

pub(super) fn format() -> impl TypedValueParser<Value = Format> {
    one_of(Format::ALL.map(|format| {
        let name = PossibleValue::new(format.name());
        match format {
            Format::Flickr8k => name.aliases(["flickr", "flickr30k"]),
            _ => name,
        }
    }))
}

pub(super) fn preset() -> impl TypedValueParser<Value = Preset> {
    one_of(Preset::ALL.map(|preset| PossibleValue::new(preset.name()).help(preset.about())))
}

fn one_of<T>(names: impl Into<PossibleValuesParser>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    names.into().try_map(|name| name.parse())
}
