//! The form of `cutline evaluate`.

use super::search;
use crate::jobs::Name;
use crate::search::SearchSettings;
use crate::tui::form::{Field, Form, FormError};

const RUN: &str = "run";
const CHECKPOINT: &str = "checkpoint";
const SPLIT: &str = "split";
const ENSEMBLE: &str = "ensemble";
const NAME: &str = "name";

pub fn form<'a>(runs: impl Iterator<Item = &'a str>, run: &str) -> Form {
    let mut fields = vec![
        Field::choice(RUN, "the run to score", runs, run),
        Field::choice(
            CHECKPOINT,
            "best: highest dev score; latest: last saved",
            ["best", "latest"],
            "best",
        ),
        Field::choice(
            SPLIT,
            "dev: validation; test: not used in training",
            ["dev", "test", "train"],
            "dev",
        ),
        Field::text(
            ENSEMBLE,
            "other runs to average log-probabilities with, separated by spaces",
            "",
        ),
        Field::text(
            NAME,
            "of the evaluation; default: SPLIT-CHECKPOINT (replaces an earlier one)",
            "",
        ),
    ];
    fields.extend(search::fields(&SearchSettings::default()));
    Form::new("evaluate a checkpoint", fields)
}

pub fn arguments(form: &Form) -> Result<Vec<String>, FormError> {
    let mut arguments: Vec<String> = vec![
        "evaluate".into(),
        form.value(RUN).into(),
        "--checkpoint".into(),
        form.value(CHECKPOINT).into(),
        "--split".into(),
        form.value(SPLIT).into(),
    ];
    for other in form.value(ENSEMBLE).split_whitespace() {
        other
            .parse::<Name>()
            .map_err(|error| FormError::of(ENSEMBLE, error.to_string()))?;
        arguments.extend(["--ensemble".into(), other.into()]);
    }
    let name = form.value(NAME);
    if !name.is_empty() {
        name.parse::<Name>()
            .map_err(|error| FormError::of(NAME, error.to_string()))?;
        arguments.extend(["--name".into(), name.into()]);
    }
    arguments.extend(search::flags(form)?);
    arguments.push("--detach".into());
    Ok(arguments)
}
