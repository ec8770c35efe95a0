//! How captions are searched for: the fields that the forms for one image and for a whole split share.

use crate::captioning::{SearchSettings, Strategy};
use crate::tui::form::{Fault, Field, Form};
use std::str::FromStr;

const WORDS_BY: &str = "words by";
const BEAM: &str = "beam";
const LENGTH_PENALTY: &str = "length penalty";
const CONSENSUS: &str = "consensus";
const SPREAD: &str = "consensus temp";
const NO_REPEAT: &str = "no repeat";
const MOST: &str = "most words";
const TEMPERATURE: &str = "temperature";
const SEED: &str = "seed";
const BEAM_SEARCH: &str = "beam search";
const DRAWING: &str = "drawing";
/// The widest beam that commands take.
const WIDEST: usize = 100;

/// Asks for search settings, with these in its fields.
pub fn form(settings: &SearchSettings) -> Form {
    Form::new("other search settings", fields(settings))
}

/// The fields, with these settings in them.
pub(super) fn fields(settings: &SearchSettings) -> Vec<Field> {
    let chosen = match settings.strategy {
        Strategy::Beam => BEAM_SEARCH,
        Strategy::Sample => DRAWING,
    };
    vec![
        Field::choice(
            WORDS_BY,
            "keep the likeliest captions, or draw words at random",
            [BEAM_SEARCH, DRAWING],
            chosen,
        ),
        Field::text(
            BEAM,
            "captions kept at each step; 1 takes the likeliest word",
            settings.beam.to_string(),
        ),
        Field::text(
            LENGTH_PENALTY,
            "0 favors short captions, 1 judges by the mean",
            settings.length_penalty.to_string(),
        ),
        Field::text(
            CONSENSUS,
            "how much the agreement of a beam's captions counts; 0 to 1",
            settings.consensus.to_string(),
        ),
        Field::text(
            SPREAD,
            "below 1 the likeliest of them count for more",
            settings.consensus_temperature.to_string(),
        ),
        Field::text(
            NO_REPEAT,
            "no run of so many words twice; 0 allows all",
            settings.no_repeat_ngram.to_string(),
        ),
        Field::text(
            MOST,
            "captions are cut after so many",
            settings.maximum_length.to_string(),
        ),
        Field::text(
            TEMPERATURE,
            "of drawing: below 1 plainer, above 1 bolder",
            settings.temperature.to_string(),
        ),
        Field::text(
            SEED,
            "of drawing: the same seed gives the same captions",
            settings.seed.to_string(),
        ),
    ]
}

/// The settings that stand in the fields.
///
/// # Errors
/// Names the field that makes no sense.
pub(super) fn settings(form: &Form) -> Result<SearchSettings, Fault> {
    Ok(SearchSettings {
        strategy: match form.value(WORDS_BY) {
            DRAWING => Strategy::Sample,
            _ => Strategy::Beam,
        },
        beam: number(form, BEAM, "1 to 100", |&beam| (1..=WIDEST).contains(&beam))?,
        length_penalty: number(form, LENGTH_PENALTY, "a number", |penalty: &f64| {
            penalty.is_finite()
        })?,
        consensus: number(form, CONSENSUS, "0 to 1", |share: &f64| {
            (0.0..=1.0).contains(share)
        })?,
        consensus_temperature: number(form, SPREAD, "a number above 0", is_positive)?,
        no_repeat_ngram: number(form, NO_REPEAT, "a whole number, 0 or more", |_| true)?,
        maximum_length: number(form, MOST, "a whole number, 1 or more", |&most| most > 0)?,
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
) -> Result<T, Fault> {
    let parsed = form.value(field).parse().ok().filter(is_valid);
    parsed.ok_or_else(|| Fault::of(field, expected))
}

/// The flags that ask `evaluate` for what stands in the fields, where it is not the usual.
pub(super) fn flags(form: &Form) -> Result<Vec<String>, Fault> {
    let (wanted, usual) = (settings(form)?, SearchSettings::default());
    let mut flags = Vec::new();
    let mut flag = |name: &str, value: String| flags.extend([format!("--{name}"), value]);
    match wanted.strategy {
        Strategy::Beam => flag("beam", wanted.beam.to_string()),
        Strategy::Sample => {
            flag("temperature", wanted.temperature.to_string());
            flag("seed", wanted.seed.to_string());
        }
    }
    if wanted.length_penalty != usual.length_penalty {
        flag("length-penalty", wanted.length_penalty.to_string());
    }
    if wanted.consensus != usual.consensus {
        flag("consensus", wanted.consensus.to_string());
    }
    if wanted.consensus_temperature != usual.consensus_temperature {
        flag("consensus-temperature", wanted.consensus_temperature.to_string());
    }
    if wanted.no_repeat_ngram != usual.no_repeat_ngram {
        flag("no-repeat", wanted.no_repeat_ngram.to_string());
    }
    if wanted.maximum_length != usual.maximum_length {
        flag("max-words", wanted.maximum_length.to_string());
    }
    Ok(flags)
}
