//! Settings that are changed while a training runs.

use super::settings::RunSettings;
use super::settings_table::{OutOfRange, SETTINGS, Setting};
use crate::config::{self, Assignment, AssignmentError, ConfigError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The alias of `training.learning_rate`.
const LEARNING_RATE: &str = "lr";

/// Settings changed since the start of a run: keys and values as in `--set`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(BTreeMap<String, String>);

/// Why settings cannot be changed now.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum ChangeError {
    #[error("`{0}` cannot change while a run is trained; these can: lr, {list}", list = live_keys().join(", "))]
    Fixed(String),
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    #[error("there is no setting `{key}`; {advice}")]
    Unknown { key: String, advice: String },
    #[error("`{key}` does not take this: {message}")]
    Value { key: String, message: String },
    #[error(transparent)]
    Config(ConfigError),
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

impl ChangeError {
    /// Without the origin, a control file that no longer exists.
    pub(super) fn of(error: ConfigError) -> Self {
        match error {
            ConfigError::Unknown { key, advice, .. } => Self::Unknown { key, advice },
            ConfigError::Invalid { key, message, .. } => Self::Value { key, message },
            other => Self::Config(other),
        }
    }
}

fn live_keys() -> Vec<&'static str> {
    let mutable = SETTINGS.iter().filter(|setting| setting.mutable_during_training);
    mutable.map(|setting| setting.key).collect()
}

/// Why a key cannot change: it is unknown, or fixed.
fn not_changeable(key: String, value: &str) -> ChangeError {
    let assignment: Result<Assignment, _> = format!("{key}={value}").parse();
    let assignment = match assignment {
        Ok(assignment) => assignment,
        Err(error) => return error.into(),
    };
    match config::apply(&RunSettings::default(), None, &[assignment]) {
        Err(error @ ConfigError::Unknown { .. }) => ChangeError::of(error),
        _ => ChangeError::Fixed(key),
    }
}

impl Changes {
    /// Changes from pairs of key and value; `lr` stands for `training.learning_rate`.
    ///
    /// # Errors
    /// If a setting is unknown or fixed.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, ChangeError> {
        let change = |(key, value): (String, String)| match key.as_str() {
            LEARNING_RATE => Ok(("training.learning_rate".to_owned(), value)),
            known if Setting::find(known).is_some_and(|setting| setting.mutable_during_training) => {
                Ok((key, value))
            }
            _ => Err(not_changeable(key, &value)),
        };
        pairs.into_iter().map(change).collect::<Result<_, _>>().map(Self)
    }

    /// Changes of `settings`; a fixed setting may be given its present value, which changes nothing.
    ///
    /// # Errors
    /// If a setting is unknown, or fixed at another value.
    pub fn of(
        settings: &RunSettings,
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ChangeError> {
        let is_changed = |(key, value): &(String, String)| match Setting::find(key) {
            Some(setting) if !setting.mutable_during_training => {
                let assigned = setting.parse(value).ok();
                let applied = assigned.and_then(|set| config::apply(settings, None, &[set]).ok());
                applied.as_ref() != Some(settings)
            }
            _ => true,
        };
        Self::new(pairs.into_iter().filter(is_changed))
    }

    /// `settings` with these changes.
    ///
    /// # Errors
    /// If a value does not fit its setting.
    pub fn apply_to(&self, settings: &RunSettings) -> Result<RunSettings, ChangeError> {
        let assignments = self
            .0
            .iter()
            .map(|(key, value)| format!("{key}={value}").parse())
            .collect::<Result<Vec<Assignment>, _>>()?;
        let settings = config::apply(settings, None, &assignments).map_err(ChangeError::of)?;
        settings.check()?;
        Ok(settings)
    }

    /// Adds later changes to these.
    pub(super) fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(key: &str, value: &str) -> Result<RunSettings, ChangeError> {
        Changes::new([(key.to_owned(), value.to_owned())])?.apply_to(&RunSettings::default())
    }

    #[test]
    fn live_setting_keeps_its_value() {
        let defaults = serde_json::to_value(RunSettings::default()).unwrap();
        for key in live_keys() {
            let pointer = format!("/{}", key.replace('.', "/"));
            let value = defaults.pointer(&pointer).unwrap().to_string();
            assert_eq!(changed(key, &value).unwrap(), RunSettings::default(), "{key}");
        }
    }

    #[test]
    fn fixed_setting_accepts_its_present_value_only() {
        let settings = RunSettings::default();
        let of = |value: &str| Changes::of(&settings, [("decoder.hidden_size".to_owned(), value.to_owned())]);
        let present = settings.decoder.hidden_size.to_string();
        assert_eq!(of(&present).unwrap(), Changes::default());
        assert!(matches!(of("7"), Err(ChangeError::Fixed(_))));
    }

    #[test]
    fn lr_is_short_for_learning_rate() {
        assert_eq!(changed("lr", "5e-4").unwrap().training.learning_rate, 5e-4);
    }

    #[test]
    fn invalid_change_is_rejected_with_reason() {
        for (key, value, reason) in [
            (
                "decoder.hidden_size",
                "512",
                "cannot change while a run is trained",
            ),
            (
                "lr",
                "fast",
                "`training.learning_rate` does not take this: invalid type: string \"fast\", expected a number",
            ),
            (
                "training.epoch",
                "3",
                "there is no setting `training.epoch`; did you mean `training.epochs`?",
            ),
            ("lr", "-1", "a number above 0"),
            ("training.epochs", "0", "1 or more"),
        ] {
            let error = changed(key, value).unwrap_err().to_string();
            assert!(error.contains(reason), "{key}={value}: {error}");
        }
    }
}
