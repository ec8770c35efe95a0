//! The fields for search settings, shared by the forms for one image and for a whole split.

use super::settings;
use crate::search::{SearchSettings, Strategy};
use crate::training::{RunSettings, Setting, SettingsForm};
use crate::tui::{Field, Form, FormError};

pub fn form(settings: &SearchSettings) -> Form {
    Form::new("other search settings", fields(settings))
}

pub fn fields(settings: &SearchSettings) -> Vec<Field> {
    let settings = RunSettings {
        search: settings.clone(),
        ..RunSettings::default()
    };
    settings::fields(SettingsForm::Search, &settings)
}

pub fn settings(form: &Form) -> Result<SearchSettings, FormError> {
    let sets = settings::changed(form, SettingsForm::Search)?;
    Ok(settings::resolve(&sets, SettingsForm::Search, None)?.search)
}

/// The flags of `evaluate` for the settings in the fields, without defaults.
pub fn flags(form: &Form) -> Result<Vec<String>, FormError> {
    // Flags of the one strategy conflict with those of the other.
    let (always, never): (&[&str], &[&str]) = match settings(form)?.strategy {
        Strategy::Beam => (&["beam size"], &["strategy", "temperature", "seed"]),
        Strategy::Sample => (&["temperature", "seed"], &["strategy", "beam size"]),
    };
    let labels = Setting::of_form(SettingsForm::Search).map(|(_, label)| label);
    let passed =
        labels.filter(|label| always.contains(label) || (form.is_changed(label) && !never.contains(label)));
    Ok(passed.flat_map(|label| form.flag(label)).collect())
}
