//! All forms: their fields, checks and outcomes.

pub mod evaluate;
pub mod prepare;
pub mod prompts;
pub mod search;
pub mod settings;
pub mod train;

use super::form::{Form, FormError};
use super::message::Effect;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub enum FormPurpose {
    Prepare,
    /// Start a run, with the presets that the form offers.
    Train(Vec<train::StartingPoint>),
    Evaluate,
    /// Caption the current image with other search settings.
    Search,
    LearningRate {
        run: String,
    },
    Rename {
        run: String,
    },
    Note {
        run: String,
    },
    OpenImage,
    Filter,
    Jump,
    Export,
}

/// The outcome of a submitted form.
#[derive(Clone, Debug)]
pub enum FormSubmission {
    Effect(Effect),
    Search(crate::search::SearchSettings),
    Image(PathBuf),
    Export(PathBuf),
    Filter(String),
    Jump(String),
}

impl FormPurpose {
    /// The outcome so far, as text.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn describe(&self, form: &Form) -> Result<String, FormError> {
        match self {
            Self::Prepare => Ok(command_line(&prepare::arguments(form)?)),
            Self::Train(_) => Ok(command_line(&train::arguments(form)?)),
            Self::Evaluate => Ok(command_line(&evaluate::arguments(form)?)),
            Self::Search => search::settings(form).map(|_| String::new()),
            Self::LearningRate { .. } => prompts::learning_rate(form).map(|_| String::new()),
            Self::Rename { .. } => prompts::name(form).map(|_| String::new()),
            Self::OpenImage => prompts::image(form).map(|_| String::new()),
            Self::Export => prompts::export(form).map(|path| format!("writes {}", path.display())),
            Self::Note { .. } | Self::Filter | Self::Jump => Ok(String::new()),
        }
    }

    /// Submits the form.
    ///
    /// # Errors
    /// As [`FormPurpose::describe`].
    pub fn submit(&self, form: &Form) -> Result<FormSubmission, FormError> {
        let start = |arguments| FormSubmission::Effect(Effect::Start(arguments));
        Ok(match self {
            Self::Prepare => start(prepare::arguments(form)?),
            Self::Train(_) => start(train::arguments(form)?),
            Self::Evaluate => start(evaluate::arguments(form)?),
            Self::Search => FormSubmission::Search(search::settings(form)?),
            Self::LearningRate { run } => {
                let command = prompts::learning_rate(form)?;
                FormSubmission::Effect(Effect::Control {
                    job: run.clone(),
                    command,
                })
            }
            Self::Rename { run } => FormSubmission::Effect(Effect::Rename {
                run: run.clone(),
                to: prompts::name(form)?,
            }),
            Self::Note { run } => FormSubmission::Effect(Effect::Note {
                run: run.clone(),
                text: form.value(prompts::NOTE).to_owned(),
            }),
            Self::OpenImage => FormSubmission::Image(prompts::image(form)?),
            Self::Filter => FormSubmission::Filter(form.value(prompts::WORDS).to_owned()),
            Self::Jump => FormSubmission::Jump(form.value(prompts::IMAGE).to_owned()),
            Self::Export => FormSubmission::Export(prompts::export(form)?),
        })
    }

    /// Updates the fields that depend on `changed`.
    pub fn follow(&self, form: &mut Form, changed: &str) {
        match self {
            Self::Train(presets) if changed == train::DATA_SET => train::choose_preset(form, presets),
            Self::Train(presets) if changed == train::LIKE => train::fill(form, presets),
            _ => {}
        }
    }
}

/// The command as typed in a shell.
fn command_line(arguments: &[String]) -> String {
    let words = arguments.iter().map(|word| shell_word(word));
    format!("$ cutline {}", words.collect::<Vec<_>>().join(" "))
}

/// Quotes a word where a shell would split it.
fn shell_word(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:+@%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_quotes_words() {
        assert_eq!(
            command_line(&["prepare".into(), "my images".into(), "it's".into(), String::new()]),
            r"$ cutline prepare 'my images' 'it'\''s' ''"
        );
    }
}
