//! Settings that are changed while a training runs.

use super::settings::RunSettings;
use super::validity::OutOfRange;
use crate::config::{self, Assignment, AssignmentError, ConfigError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What may change while a training runs. All else has shaped the model, the order of its batches or the state of
/// its optimiser already.
pub const CHANGEABLE: [&str; 12] = [
    "training.learning_rate",
    "training.epochs",
    "training.patience",
    "training.label_smoothing",
    "training.checkpoint_steps",
    "training.checkpoint_minutes",
    "training.optimiser.gradient_clip",
    "training.optimiser.weight_decay",
    "search.beam",
    "search.length_penalty",
    "search.maximum_length",
    "search.no_repeat_ngram",
];
/// A short name, because it is typed most often.
const LEARNING_RATE: &str = "lr";

/// Settings changed since a training began, by their dotted keys, as a command line would give them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(BTreeMap<String, String>);

/// Why settings cannot be changed now.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The setting is fixed once a run has started.
    #[error("`{0}` cannot change while a run is trained; these can: lr, {list}", list = CHANGEABLE.join(", "))]
    Fixed(String),
    /// The key or the value cannot be read.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The value is of the wrong type.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The value is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

impl Changes {
    /// Changes from pairs of key and value; `lr` stands for `training.learning_rate`.
    ///
    /// # Errors
    /// Where a key is none of [`CHANGEABLE`].
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, ChangeError> {
        let change = |(key, value): (String, String)| match key.as_str() {
            LEARNING_RATE => Ok((CHANGEABLE[0].to_owned(), value)),
            known if CHANGEABLE.contains(&known) => Ok((key, value)),
            _ => Err(ChangeError::Fixed(key)),
        };
        pairs.into_iter().map(change).collect::<Result<_, _>>().map(Self)
    }

    /// `settings` with these changes.
    ///
    /// # Errors
    /// Where a value does not fit its setting.
    pub fn over(&self, settings: &RunSettings) -> Result<RunSettings, ChangeError> {
        let assignments = self
            .0
            .iter()
            .map(|(key, value)| format!("{key}={value}").parse())
            .collect::<Result<Vec<Assignment>, _>>()?;
        let settings = config::lay_over(settings, &assignments)?;
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
        Changes::new([(key.to_owned(), value.to_owned())])?.over(&RunSettings::default())
    }

    #[test]
    fn everything_changeable_is_a_setting_and_keeps_its_value() {
        let defaults = serde_json::to_value(RunSettings::default()).unwrap();
        for key in CHANGEABLE {
            let pointer = format!("/{}", key.replace('.', "/"));
            let value = defaults.pointer(&pointer).unwrap().to_string();
            assert_eq!(changed(key, &value).unwrap(), RunSettings::default(), "{key}");
        }
    }

    #[test]
    fn the_learning_rate_has_a_short_name() {
        assert_eq!(changed("lr", "5e-4").unwrap().training.learning_rate, 5e-4);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        for (key, value, reason) in [
            ("decoder.hidden", "512", "cannot change while a run is trained"),
            ("lr", "fast", "training.learning_rate"),
            ("lr", "-1", "a number above 0"),
            ("training.epochs", "0", "1 or more"),
        ] {
            let error = changed(key, value).unwrap_err().to_string();
            assert!(error.contains(reason), "{key}={value}: {error}");
        }
    }
}
