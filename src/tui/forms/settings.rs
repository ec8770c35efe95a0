//! Form fields from the settings table, and the settings in them.

use crate::config::{self, Assignment, AssignmentError, ConfigError};
use crate::training::{RunSettings, SETTINGS, Setting, SettingsForm, Values};
use crate::tui::{Field, Form, FormError};
use serde_json::Value;

/// The fields of a form, with the values of `settings`.
pub fn fields(form: SettingsForm, settings: &RunSettings) -> Vec<Field> {
    let field = |(setting, label): (&Setting, &'static str)| {
        let value = setting.text_in(settings);
        match setting.values {
            Values::OneOf(names) => Field::choice(label, setting.help, names.iter().copied(), &value),
            _ => Field::text(label, setting.help, value),
        }
    };
    Setting::of_form(form).map(field).collect()
}

/// The settings in the fields that differ from the defaults.
pub fn changed(form: &Form, which: SettingsForm) -> Result<Vec<Assignment>, FormError> {
    let defaults = RunSettings::default();
    let of_field = |(setting, label): (&Setting, &'static str)| {
        let value = form.value(label);
        let is_default = value == setting.text_in(&defaults);
        (!is_default).then(|| assignment(label, &format!("{}={value}", setting.key)))
    };
    Setting::of_form(which).filter_map(of_field).collect()
}

pub fn assignment(field: &'static str, text: &str) -> Result<Assignment, FormError> {
    text.parse()
        .map_err(|error: AssignmentError| FormError::in_field(field, error.to_string()))
}

/// The defaults with these changes; an error is reported at the field of its setting, or else at `other`.
pub fn resolve(
    sets: &[Assignment],
    which: SettingsForm,
    other: Option<&'static str>,
) -> Result<RunSettings, FormError> {
    let fault = |key: Option<&str>, message: String| {
        let mut fields = Setting::of_form(which);
        let field = fields.find(|(setting, _)| Some(setting.key) == key);
        FormError {
            field: field.map(|(_, label)| label).or(other),
            message: message.trim_start_matches("--set: ").to_owned(),
        }
    };
    let settings = config::apply(&RunSettings::default(), None, sets)
        .map_err(|error| fault(key_of(&error), error.to_string()))?;
    settings
        .check()
        .map_err(|error| fault(Some(error.key), error.to_string()))?;
    Ok(settings)
}

fn key_of(error: &ConfigError) -> Option<&str> {
    match error {
        ConfigError::Unknown { key, .. } | ConfigError::Invalid { key, .. } => Some(key),
        _ => None,
    }
}

/// The settings in `one` that differ in `other`, by their dotted keys. Both are the JSON in a log.
pub fn differences(one: &Value, other: &Value) -> Vec<(&'static str, String)> {
    let of_setting = |setting: &Setting| {
        let text = text_in(one, setting.key)?;
        (Some(&text) != text_in(other, setting.key).as_ref()).then_some((setting.key, text))
    };
    SETTINGS.iter().filter_map(of_setting).collect()
}

/// The settings that differ from the defaults.
pub fn changes(settings: &Value) -> Vec<(&'static str, String)> {
    let defaults = serde_json::to_value(RunSettings::default()).unwrap_or(Value::Null);
    differences(settings, &defaults)
}

/// A setting as a user types it: numbers of single precision without their tail of digits.
pub fn text_in(settings: &Value, key: &str) -> Option<String> {
    let value = settings.pointer(&format!("/{}", key.replace('.', "/")))?;
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => (number.as_f64()? as f32).to_string(),
        other => other.to_string(),
    })
}
