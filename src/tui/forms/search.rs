//! The fields of the search settings, shared by the forms for one image and for a split.

use crate::search::{SearchSettings, Strategy};
use crate::tui::form::{Field, Form, FormError};
use std::str::FromStr;

const STRATEGY: &str = "strategy";
const BEAM_SIZE: &str = "beam size";
const LENGTH_PENALTY: &str = "length penalty";
const MBR_WEIGHT: &str = "mbr weight";
const MBR_TEMPERATURE: &str = "mbr temperature";
const NO_REPEAT_NGRAM: &str = "no repeat ngram";
const MAX_LENGTH: &str = "max length";
const TEMPERATURE: &str = "temperature";
const SEED: &str = "seed";
const BEAM_SEARCH: &str = "beam search";
const SAMPLING: &str = "sampling";
/// The widest beam that the commands accept.
const WIDEST: usize = 100;

pub fn form(settings: &SearchSettings) -> Form {
    Form::new("other search settings", fields(settings))
}

pub fn fields(settings: &SearchSettings) -> Vec<Field> {
    let chosen = match settings.strategy {
        Strategy::Beam => BEAM_SEARCH,
        Strategy::Sample => SAMPLING,
    };
    vec![
        Field::choice(
            STRATEGY,
            "beam search, or sampling from the distribution",
            [BEAM_SEARCH, SAMPLING],
            chosen,
        ),
        Field::text(
            BEAM_SIZE,
            "hypotheses kept at each step; 1 is greedy search",
            settings.beam_size.to_string(),
        ),
        Field::text(
            LENGTH_PENALTY,
            "exponent of the length; 0 favors short captions, 1 takes the mean",
            settings.length_penalty.to_string(),
        ),
        Field::text(
            MBR_WEIGHT,
            "weight of minimum Bayes risk (expected CIDEr-D) in ranking; 0 to 1",
            settings.mbr_weight.to_string(),
        ),
        Field::text(
            MBR_TEMPERATURE,
            "below 1, likely hypotheses count for more",
            settings.mbr_temperature.to_string(),
        ),
        Field::text(
            NO_REPEAT_NGRAM,
            "no n-gram of this size twice in a caption; 0 allows all",
            settings.no_repeat_ngram.to_string(),
        ),
        Field::text(
            MAX_LENGTH,
            "in words; longer captions are truncated",
            settings.max_length.to_string(),
        ),
        Field::text(
            TEMPERATURE,
            "of sampling: divides the logits; below 1 favors likely words",
            settings.temperature.to_string(),
        ),
        Field::text(
            SEED,
            "of sampling: the same seed gives the same captions",
            settings.seed.to_string(),
        ),
    ]
}

/// The settings that stand in the fields.
///
/// # Errors
/// Names the field that makes no sense.
pub fn settings(form: &Form) -> Result<SearchSettings, FormError> {
    Ok(SearchSettings {
        strategy: match form.value(STRATEGY) {
            SAMPLING => Strategy::Sample,
            _ => Strategy::Beam,
        },
        beam_size: number(form, BEAM_SIZE, "1 to 100", |&beam| (1..=WIDEST).contains(&beam))?,
        length_penalty: number(form, LENGTH_PENALTY, "a number", |penalty: &f64| {
            penalty.is_finite()
        })?,
        mbr_weight: number(form, MBR_WEIGHT, "0 to 1", |share: &f64| {
            (0.0..=1.0).contains(share)
        })?,
        mbr_temperature: number(form, MBR_TEMPERATURE, "a number above 0", is_positive)?,
        no_repeat_ngram: number(form, NO_REPEAT_NGRAM, "a whole number, 0 or more", |_| true)?,
        max_length: number(form, MAX_LENGTH, "a whole number, 1 or more", |&most| most > 0)?,
        temperature: number(form, TEMPERATURE, "a number above 0", is_positive)?,
        seed: number(form, SEED, "a whole number, 0 or more", |_| true)?,
        ..SearchSettings::default()
    })
}

fn is_positive(&number: &f64) -> bool {
    number > 0.0 && number.is_finite()
}

fn number<T: FromStr>(
    form: &Form,
    field: &'static str,
    expected: &str,
    is_valid: impl Fn(&T) -> bool,
) -> Result<T, FormError> {
    let parsed = form.value(field).parse().ok().filter(is_valid);
    parsed.ok_or_else(|| FormError::of(field, expected))
}

/// The flags that ask `evaluate` for what stands in the fields, where it is not the usual.
pub fn flags(form: &Form) -> Result<Vec<String>, FormError> {
    let (wanted, usual) = (settings(form)?, SearchSettings::default());
    let mut flags = Vec::new();
    let mut flag = |name: &str, value: String| flags.extend([format!("--{name}"), value]);
    match wanted.strategy {
        Strategy::Beam => flag("beam-size", wanted.beam_size.to_string()),
        Strategy::Sample => {
            flag("temperature", wanted.temperature.to_string());
            flag("seed", wanted.seed.to_string());
        }
    }
    if wanted.length_penalty != usual.length_penalty {
        flag("length-penalty", wanted.length_penalty.to_string());
    }
    if wanted.mbr_weight != usual.mbr_weight {
        flag("mbr-weight", wanted.mbr_weight.to_string());
    }
    if wanted.mbr_temperature != usual.mbr_temperature {
        flag("mbr-temperature", wanted.mbr_temperature.to_string());
    }
    if wanted.no_repeat_ngram != usual.no_repeat_ngram {
        flag("no-repeat-ngram", wanted.no_repeat_ngram.to_string());
    }
    if wanted.max_length != usual.max_length {
        flag("max-length", wanted.max_length.to_string());
    }
    Ok(flags)
}
