//! Forms with a single field.

use super::{FormSubmission, name_in};
use crate::evaluation::ExportFormat;
use crate::fetch::{Asset, Catalog};
use crate::jobs::ControlCommand;
use crate::suggest::nearest;
use crate::tui::{Effect, Field, Form, FormError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const RATE: &str = "learning rate";
const NAME: &str = "name";
const NOTE: &str = "note";
const IMAGE: &str = "image";
const WORDS: &str = "words";
const FILE: &str = "file";

#[derive(Clone, Debug)]
pub enum Prompt {
    LearningRate { run: String },
    Rename { run: String },
    Note { run: String },
    OpenImage,
    Filter,
    Jump,
    Export,
    Fetch,
}

impl Prompt {
    pub fn form(&self, value: &str) -> Form {
        let (title, field, help) = match self {
            Self::LearningRate { run } => (
                format!("learning rate of {run}"),
                RATE,
                "peak learning rate, from the next step on; the schedule scales it",
            ),
            Self::Rename { run } => (format!("rename {run}"), NAME, "letters, digits, . _ and -"),
            Self::Note { run } => (
                format!("note on {run}"),
                NOTE,
                "stored with the run; empty removes it",
            ),
            Self::OpenImage => (
                "caption an image".to_owned(),
                IMAGE,
                "JPEG, PNG, GIF, WebP, TIFF or BMP; Ctrl-O opens the file picker",
            ),
            Self::Filter => (
                "search in captions".to_owned(),
                WORDS,
                "captions with all of these words; empty shows all images",
            ),
            Self::Jump => (
                "jump to an image".to_owned(),
                IMAGE,
                "its number in the list, or a prefix of its name",
            ),
            Self::Export => (
                "export the table".to_owned(),
                FILE,
                "file name ending in .csv, .json, .md or .tex",
            ),
            Self::Fetch => (
                "fetch from the publisher".to_owned(),
                NAME,
                "of `cutline fetch --list`; Enter accepts the license below; `cutline attach` shows the progress",
            ),
        };
        let field = match self {
            Self::OpenImage | Self::Export => Field::path(field, help, value),
            _ => Field::text(field, help, value),
        };
        Form::new(title, vec![field])
    }

    pub fn submit(&self, form: &Form) -> Result<FormSubmission, FormError> {
        Ok(match self {
            Self::LearningRate { run } => FormSubmission::Effect(Effect::Control {
                job: run.clone(),
                command: learning_rate(form)?,
            }),
            Self::Rename { run } => FormSubmission::Effect(Effect::Rename {
                run: run.clone(),
                to: name_in(form, NAME)?.to_string(),
            }),
            Self::Note { run } => FormSubmission::Effect(Effect::Note {
                run: run.clone(),
                text: form.value(NOTE).to_owned(),
            }),
            Self::OpenImage => match form.value(IMAGE) {
                "" => return Err(FormError::in_field(IMAGE, "the path of an image")),
                path => FormSubmission::Image(expanded(path)),
            },
            Self::Filter => FormSubmission::Filter(form.value(WORDS).to_owned()),
            Self::Jump => FormSubmission::Jump(form.value(IMAGE).to_owned()),
            Self::Export => {
                let path = expanded(form.value(FILE));
                export_format(&path).map_err(|why| FormError::in_field(FILE, why))?;
                FormSubmission::Export(path)
            }
            Self::Fetch => {
                let arguments = ["fetch", &asset(form)?.name, "--yes", "--detach"];
                FormSubmission::Effect(Effect::Start(arguments.map(str::to_owned).to_vec()))
            }
        })
    }

    /// What submitting agrees to.
    pub fn terms(&self, form: &Form) -> Option<String> {
        let asset = matches!(self, Self::Fetch).then(|| asset(form).ok()).flatten()?;
        Some(format!("license: {}", asset.license))
    }
}

/// The asset that the form names.
fn asset(form: &Form) -> Result<Asset, FormError> {
    let fault = |why: String| FormError::in_field(NAME, why);
    let catalog = Catalog::load(&|name| std::env::var_os(name)).map_err(|error| fault(error.to_string()))?;
    let name = form.value(NAME);
    catalog.find(name).cloned().map_err(|_| {
        let names = catalog.iter().map(|asset| asset.name.as_str());
        fault(match nearest(name, names) {
            Some(near) => format!("a name of `cutline fetch --list`, such as {near}"),
            None => "a name of `cutline fetch --list`".to_owned(),
        })
    })
}

fn learning_rate(form: &Form) -> Result<ControlCommand, FormError> {
    let typed = form.value(RATE);
    match typed.parse::<f32>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(ControlCommand::Set {
            settings: BTreeMap::from([("lr".to_owned(), typed.to_owned())]),
        }),
        _ => Err(FormError::in_field(RATE, "a number above 0, such as 5e-4")),
    }
}

/// The export format of a file name.
pub fn export_format(path: &Path) -> Result<ExportFormat, &'static str> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ExportFormat::ALL
        .into_iter()
        .find(|format| Some(format.extension()) == ending)
        .ok_or("a name that ends in .csv, .json, .md or .tex")
}

/// Expands `~` in a path, as a shell does.
pub fn expanded(typed: &str) -> PathBuf {
    let home = || std::env::home_dir();
    match typed.strip_prefix("~/") {
        Some(rest) => home().map_or_else(|| typed.into(), |home| home.join(rest)),
        None if typed == "~" => home().unwrap_or_else(|| typed.into()),
        None => typed.into(),
    }
}
