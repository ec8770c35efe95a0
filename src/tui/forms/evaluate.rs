//! The form of `cutline evaluate`.

use super::{name_in, search};
use crate::jobs::Name;
use crate::search::SearchSettings;
use crate::tui::{Field, Form, FormError};

const RUN: &str = "run";
const CHECKPOINT: &str = "checkpoint";
const SPLIT: &str = "split";
const ENSEMBLE: &str = "ensemble";
const NAME: &str = "name";

pub fn form<'a>(runs: impl Iterator<Item = &'a str>, run: &str) -> Form {
    let checkpoint = "best: highest dev score; latest: last saved";
    let split = "dev: validation; test: not used in training";
    let ensemble = "other runs to average log-probabilities with, separated by spaces";
    let name = "of the evaluation; default: SPLIT-CHECKPOINT (replaces an earlier one)";
    let mut fields = vec![
        Field::choice(RUN, "the run to score", runs, run),
        Field::choice(CHECKPOINT, checkpoint, ["best", "latest"], "best"),
        Field::choice(SPLIT, split, ["dev", "test", "train"], "dev"),
        Field::text(ENSEMBLE, ensemble, ""),
        Field::text(NAME, name, ""),
    ];
    fields.extend(search::fields(&SearchSettings::default()));
    Form::new("evaluate a checkpoint", fields)
}

pub fn arguments(form: &Form) -> Result<Vec<String>, FormError> {
    let mut arguments: Vec<String> = vec!["evaluate".into(), form.value(RUN).into()];
    arguments.extend([CHECKPOINT, SPLIT].into_iter().flat_map(|field| form.flag(field)));
    for other in form.value(ENSEMBLE).split_whitespace() {
        other
            .parse::<Name>()
            .map_err(|error| FormError::in_field(ENSEMBLE, error.to_string()))?;
        arguments.extend(["--ensemble".into(), other.into()]);
    }
    if form.is_changed(NAME) {
        name_in(form, NAME)?;
        arguments.extend(form.flag(NAME));
    }
    arguments.extend(search::flags(form)?);
    arguments.push("--detach".into());
    Ok(arguments)
}
