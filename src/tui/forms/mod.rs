//! The forms there are: what each asks for, whether it makes sense, and what it comes to.

pub mod evaluate;
pub mod prepare;
pub mod prompts;
pub mod search;
pub mod train;

use super::form::{Fault, Form};
use super::message::Effect;
use std::path::PathBuf;

/// What a form is for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// To prepare a data set.
    Prepare,
    /// To start a training, from settings that others were started with.
    Train(Vec<train::Preset>),
    /// To score a checkpoint.
    Evaluate,
    /// To caption the image that is looked at with other settings.
    Search,
    /// To change a run's learning rate.
    LearningRate {
        /// The run.
        run: String,
    },
    /// To give a run another name.
    Rename {
        /// Its name now.
        run: String,
    },
    /// To keep a note on a run.
    Note {
        /// The run.
        run: String,
    },
    /// To caption an image on disk.
    OpenImage,
    /// To look for words in captions.
    Filter,
    /// To jump to an image.
    Jump,
    /// To write a table.
    Export,
}

/// What a form comes to once it is carried out.
#[derive(Clone, Debug)]
pub enum Submission {
    /// Something to be done outside.
    Effect(Effect),
    /// Search settings to try.
    Search(crate::search::SearchSettings),
    /// An image to caption.
    Image(PathBuf),
    /// A file to write the table into.
    Export(PathBuf),
    /// Words to look for; none for all captions.
    Filter(String),
    /// An image to jump to, by number or name.
    Jump(String),
}

impl Purpose {
    /// What the form as it stands comes to, for the reader; or what is wrong with it.
    ///
    /// # Errors
    /// Names the field.
    pub fn describe(&self, form: &Form) -> Result<String, Fault> {
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

    /// Carries the form out.
    ///
    /// # Errors
    /// As [`Purpose::describe`].
    pub fn submit(&self, form: &Form) -> Result<Submission, Fault> {
        let start = |arguments| Submission::Effect(Effect::Start(arguments));
        Ok(match self {
            Self::Prepare => start(prepare::arguments(form)?),
            Self::Train(_) => start(train::arguments(form)?),
            Self::Evaluate => start(evaluate::arguments(form)?),
            Self::Search => Submission::Search(search::settings(form)?),
            Self::LearningRate { run } => {
                let command = prompts::learning_rate(form)?;
                Submission::Effect(Effect::Control {
                    job: run.clone(),
                    command,
                })
            }
            Self::Rename { run } => Submission::Effect(Effect::Rename {
                run: run.clone(),
                to: prompts::name(form)?,
            }),
            Self::Note { run } => Submission::Effect(Effect::Note {
                run: run.clone(),
                text: form.value(prompts::NOTE).to_owned(),
            }),
            Self::OpenImage => Submission::Image(prompts::image(form)?),
            Self::Filter => Submission::Filter(form.value(prompts::WORDS).to_owned()),
            Self::Jump => Submission::Jump(form.value(prompts::IMAGE).to_owned()),
            Self::Export => Submission::Export(prompts::export(form)?),
        })
    }

    /// Fills other fields in after one has changed.
    pub fn follow(&self, form: &mut Form, changed: &str) {
        match self {
            Self::Train(presets) if changed == train::DATA_SET => train::choose_preset(form, presets),
            Self::Train(presets) if changed == train::LIKE => train::fill(form, presets),
            _ => {}
        }
    }
}

/// The command as it would be typed.
fn command_line(arguments: &[String]) -> String {
    let words = arguments.iter().map(|word| shell_word(word));
    format!("$ cutline {}", words.collect::<Vec<_>>().join(" "))
}

/// A word as a shell reads it.
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
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(
            command_line(&["prepare".into(), "my images".into(), "it's".into(), String::new()]),
            r"$ cutline prepare 'my images' 'it'\''s' ''"
        );
    }
}
