//! The form that starts a training.

use super::{name_in, settings};
use crate::config::Assignment;
use crate::data::Format;
use crate::training::{RunSettings, Setting, SettingsForm, presets};
use crate::tui::{Field, Form, FormError};
use serde_json::Value;

pub const START_FROM: &str = "start from";
/// The starting point of the other fields depends on it.
pub const DATASET: &str = "dataset";
const RUN: &str = "run";
const MORE: &str = "more";

#[derive(Clone, Debug, PartialEq)]
pub struct StartingPoint {
    pub name: String,
    /// What differs from the defaults, by the keys of `--set`.
    pub settings: Vec<(&'static str, String)>,
}

impl StartingPoint {
    pub fn built_in() -> Vec<Self> {
        let named = |name: &str, sets: &[&'static str]| Self {
            name: name.into(),
            settings: sets
                .iter()
                .filter_map(|set| set.split_once('='))
                .map(|(key, value)| (key, value.into()))
                .collect(),
        };
        let mut all = vec![
            named("the defaults", &[]),
            named("the demo's settings", &presets::DEMO),
        ];
        all.extend(presets::PRESETS.map(|preset| named(preset.name, preset.settings)));
        all
    }

    /// The settings of a run, from its log.
    pub fn of_run(run: &str, settings: &Value) -> Self {
        Self {
            name: run.to_owned(),
            settings: settings::changes(settings),
        }
    }
}

pub fn form<'a>(datasets: impl Iterator<Item = &'a str>, dataset: &str, presets: &[StartingPoint]) -> Form {
    let likes = presets.iter().map(|preset| preset.name.as_str());
    let like = "fills the fields below: the defaults, a preset, or the settings of a run";
    let more = "further settings: key=value key=value, as --set takes them";
    let mut fields = vec![
        Field::choice(DATASET, "the dataset to train on", datasets, dataset),
        Field::choice(START_FROM, like, likes, ""),
        Field::text(RUN, "name of the run; default: numbered after the dataset", ""),
    ];
    fields.extend(settings::fields(SettingsForm::Train, &RunSettings::default()));
    fields.push(Field::text(MORE, more, ""));
    let mut form = Form::new("train", fields);
    choose_preset(&mut form, presets);
    form
}

/// Selects the starting point for the dataset: the demo's settings suit scenes only.
pub fn choose_preset(form: &mut Form, presets: &[StartingPoint]) {
    let quick = presets.get(1).map_or("", |preset| preset.name.as_str());
    let usual = presets.first().map_or("", |preset| preset.name.as_str());
    if form.value(DATASET) == Format::SCENES {
        form.set(START_FROM, quick);
    } else if form.value(START_FROM) == quick {
        form.set(START_FROM, usual);
    }
    fill(form, presets);
}

pub fn fill(form: &mut Form, presets: &[StartingPoint]) {
    let chosen = presets
        .iter()
        .find(|preset| preset.name == form.value(START_FROM));
    let settings = chosen.map_or(&[][..], |preset| &preset.settings);
    let mut more = Vec::new();
    for (setting, label) in Setting::of_form(SettingsForm::Train) {
        form.set(label, &setting.text_in(&RunSettings::default()));
    }
    for (key, value) in settings {
        match Setting::of_form(SettingsForm::Train).find(|(setting, _)| setting.key == *key) {
            Some((_, label)) => form.set(label, value),
            None => more.push(format!("{key}={value}")),
        }
    }
    form.set(MORE, &more.join(" "));
}

pub fn arguments(form: &Form) -> Result<Vec<String>, FormError> {
    let dataset = form.value(DATASET);
    if dataset.is_empty() {
        return Err(FormError::in_field(
            DATASET,
            "there is none yet: prepare one first",
        ));
    }
    let mut arguments: Vec<String> = vec!["train".into(), dataset.into()];
    if form.is_changed(RUN) {
        name_in(form, RUN)?;
        arguments.extend(form.flag(RUN));
    }
    for set in changed(form)? {
        arguments.extend(["--set".into(), format!("{}={}", set.key(), set.text())]);
    }
    arguments.push("--detach".into());
    Ok(arguments)
}

fn changed(form: &Form) -> Result<Vec<Assignment>, FormError> {
    let mut sets = settings::changed(form, SettingsForm::Train)?;
    for word in form.value(MORE).split_whitespace() {
        sets.push(settings::assignment(MORE, word)?);
    }
    settings::resolve(&sets, SettingsForm::Train, Some(MORE))?;
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn started(changes: &[(&str, &str)], dataset: &str) -> Result<String, FormError> {
        let presets = StartingPoint::built_in();
        let mut form = form(["flickr8k", "scenes"].into_iter(), dataset, &presets);
        for (name, value) in changes {
            form.set(name, value);
        }
        arguments(&form).map(|arguments| arguments.join(" "))
    }

    #[test]
    fn changed_fields_become_settings() {
        assert_eq!(started(&[], "flickr8k").unwrap(), "train flickr8k --detach");
        assert_eq!(
            started(
                &[
                    ("run", "wide"),
                    ("hidden size", "512"),
                    ("more", "search.beam_size=5")
                ],
                "flickr8k"
            )
            .unwrap(),
            "train flickr8k --run wide --set decoder.hidden_size=512 --set search.beam_size=5 --detach"
        );
    }

    #[test]
    fn scenes_get_settings_of_demo() {
        let started = started(&[], "scenes").unwrap();
        for set in presets::DEMO {
            let (key, value) = set.split_once('=').unwrap();
            let setting = Setting::find(key).unwrap();
            let is_default = setting.text_in(&RunSettings::default()) == value;
            assert!(
                is_default || started.contains(&format!("--set {key}=")),
                "{set}: {started}"
            );
        }
    }

    #[test]
    fn other_dataset_resets_settings_of_demo() {
        let presets = StartingPoint::built_in();
        let mut form = form(["flickr8k", "scenes"].into_iter(), "scenes", &presets);
        form.set(DATASET, "flickr8k");
        choose_preset(&mut form, &presets);
        assert_eq!(arguments(&form).unwrap().join(" "), "train flickr8k --detach");
    }

    #[test]
    fn invalid_setting_reported_at_field() {
        for (field, value, words) in [
            ("epochs", "0", "training.epochs"),
            ("learning rate", "fast", "expected a number"),
            ("dropout", "1", "out of range"),
            ("run", "a/b", "not a name"),
            ("more", "training.epoch=3", "did you mean"),
            ("more", "x", "has no `=`"),
            ("seed", "-1", "whole number"),
        ] {
            let fault = started(&[(field, value)], "flickr8k").unwrap_err();
            assert_eq!(fault.field, Some(field), "{fault:?}");
            assert!(fault.message.contains(words), "{fault:?}");
        }
    }

    #[test]
    fn run_repeats_with_its_settings() {
        let sets: Vec<Assignment> = ["decoder.kind=inject", "training.lr_schedule.warmup_steps=7"]
            .map(|set| set.parse().unwrap())
            .to_vec();
        let settings = config::apply(&RunSettings::default(), None, &sets).unwrap();
        let preset = StartingPoint::of_run("first", &serde_json::to_value(settings).unwrap());
        let presets = vec![preset];
        let form = form(["flickr8k"].into_iter(), "flickr8k", &presets);
        assert_eq!(
            arguments(&form).unwrap().join(" "),
            "train flickr8k --set decoder.kind=inject --set training.lr_schedule.warmup_steps=7 --detach"
        );
    }
}
