//! Settings that are changed while a training runs.

use super::settings::RunSettings;
use super::validity::OutOfRange;
use crate::config::{self, Assignment, AssignmentError, ConfigError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What may change while a training runs. All else has shaped the model, the order of its batches or the state of
/// its optimizer already.
pub const CHANGEABLE: [&str; 19] = [
    "training.learning_rate",
    "training.epochs",
    "training.early_stopping_patience",
    "training.label_smoothing",
    "training.scst.epochs",
    "training.scst.learning_rate",
    "training.scst.dropout",
    "training.scst.reward.cider_d",
    "training.scst.reward.bleu_4",
    "training.checkpoint_steps",
    "training.checkpoint_minutes",
    "training.optimizer.max_grad_norm",
    "training.optimizer.weight_decay",
    "search.beam_size",
    "search.length_penalty",
    "search.mbr_weight",
    "search.mbr_temperature",
    "search.max_length",
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
    /// There is no such setting.
    #[error("there is no setting `{key}`; {advice}")]
    Unknown {
        /// The key.
        key: String,
        /// The nearest known one.
        advice: String,
    },
    /// The value is of the wrong type.
    #[error("`{key}` does not take this: {message}")]
    Value {
        /// The key.
        key: String,
        /// What was expected and what was found.
        message: String,
    },
    /// The settings cannot be put together.
    #[error(transparent)]
    Config(ConfigError),
    /// The value is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

impl ChangeError {
    /// Without where it was given: it came in a file that is gone.
    fn of(error: ConfigError) -> Self {
        match error {
            ConfigError::Unknown { key, advice, .. } => Self::Unknown { key, advice },
            ConfigError::Invalid { key, message, .. } => Self::Value { key, message },
            other => Self::Config(other),
        }
    }
}

/// Why this key is not one that can change: there is none of its name, or it is fixed.
fn not_changeable(key: String, value: &str) -> ChangeError {
    let assignment: Result<Assignment, _> = format!("{key}={value}").parse();
    let assignment = match assignment {
        Ok(assignment) => assignment,
        Err(error) => return error.into(),
    };
    match config::lay_over(&RunSettings::default(), &[assignment]) {
        Err(error @ ConfigError::Unknown { .. }) => ChangeError::of(error),
        _ => ChangeError::Fixed(key),
    }
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
            _ => Err(not_changeable(key, &value)),
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
        let settings = config::lay_over(settings, &assignments).map_err(ChangeError::of)?;
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
