//! All forms: their fields, checks and outcomes.

pub mod evaluate;
pub mod prepare;
pub mod prompts;
pub mod search;
pub mod settings;
pub mod train;

use super::form::{Form, FormError};
use super::message::Effect;
use crate::jobs::Name;
use prompts::Prompt;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub enum FormPurpose {
    Prepare,
    /// Start a run, with the presets that the form offers.
    Train(Vec<train::StartingPoint>),
    Evaluate,
    /// Caption the current image with other search settings.
    Search,
    Prompt(Prompt),
}

#[derive(Clone, Debug)]
pub enum FormSubmission {
    Effect(Effect),
    Search(crate::search::SearchSettings),
    Image(PathBuf),
    Export(PathBuf),
    Filter(String),
    Jump(String),
}

impl FormSubmission {
    /// Whether the outcome is known only later: on failure the form reopens.
    pub fn may_fail(&self) -> bool {
        matches!(
            self,
            Self::Effect(Effect::Start(_) | Effect::Rename { .. }) | Self::Export(_)
        )
    }

    fn describe(&self) -> String {
        match self {
            Self::Effect(Effect::Start(arguments)) => command_line(arguments),
            Self::Export(path) => format!("writes {}", path.display()),
            _ => String::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct OpenForm {
    pub purpose: FormPurpose,
    pub form: Form,
}

impl OpenForm {
    pub fn new(purpose: FormPurpose, form: Form) -> Self {
        let mut open = Self { purpose, form };
        open.check();
        open
    }

    /// Shows the outcome that submitting would have now.
    pub fn check(&mut self) {
        let terms = match &self.purpose {
            FormPurpose::Prompt(prompt) => prompt.terms(&self.form),
            _ => None,
        };
        self.form.outcome = self.submit().map(|submission| match terms {
            Some(terms) => format!("{terms}; {}", submission.describe()),
            None => submission.describe(),
        });
    }

    pub fn submit(&self) -> Result<FormSubmission, FormError> {
        let form = &self.form;
        let start = |arguments| FormSubmission::Effect(Effect::Start(arguments));
        match &self.purpose {
            FormPurpose::Prepare => prepare::arguments(form).map(start),
            FormPurpose::Train(_) => train::arguments(form).map(start),
            FormPurpose::Evaluate => evaluate::arguments(form).map(start),
            FormPurpose::Search => search::settings(form).map(FormSubmission::Search),
            FormPurpose::Prompt(prompt) => prompt.submit(form),
        }
    }

    /// Updates the fields that depend on `changed`.
    pub fn follow(&mut self, changed: &str) {
        match &self.purpose {
            FormPurpose::Train(presets) if changed == train::DATASET => {
                train::choose_preset(&mut self.form, presets);
            }
            FormPurpose::Train(presets) if changed == train::START_FROM => {
                train::fill(&mut self.form, presets)
            }
            _ => {}
        }
    }

    /// The source of captioned images in the form that prepares a dataset.
    pub fn source(&self) -> Option<&str> {
        matches!(self.purpose, FormPurpose::Prepare).then(|| self.form.value(prepare::SOURCE))
    }

    pub fn recognize_source(&self) -> Option<Effect> {
        self.source().map(|source| Effect::Recognize(source.to_owned()))
    }
}

fn name_in(form: &Form, field: &'static str) -> Result<Name, FormError> {
    let name = form.value(field).parse::<Name>();
    name.map_err(|error| FormError::in_field(field, error.to_string()))
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
