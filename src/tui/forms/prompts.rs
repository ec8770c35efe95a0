//! Forms with a single field.

use crate::evaluation::ExportFormat;
use crate::jobs::ControlCommand;
use crate::jobs::Name;
use crate::tui::form::{Field, Form, FormError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const RATE: &str = "learning rate";
const NAME: &str = "name";
pub const NOTE: &str = "note";
pub const IMAGE: &str = "image";
pub const WORDS: &str = "words";
const FILE: &str = "file";

pub fn learning_rate_form(run: &str, now: &str) -> Form {
    let help = "peak learning rate, from the next step on; the schedule scales it";
    Form::new(
        format!("learning rate of {run}"),
        vec![Field::text(RATE, help, now)],
    )
}

pub fn rename_form(run: &str) -> Form {
    let help = "letters, digits, . _ and -";
    Form::new(format!("rename {run}"), vec![Field::text(NAME, help, run)])
}

pub fn note_form(run: &str, note: &str) -> Form {
    let help = "stored with the run; empty removes it";
    Form::new(format!("note on {run}"), vec![Field::text(NOTE, help, note)])
}

pub fn image_form() -> Form {
    let help = "JPEG, PNG, GIF, WebP, TIFF or BMP; Ctrl-O opens the file picker";
    Form::new("caption an image", vec![Field::path(IMAGE, help, "")])
}

pub fn filter_form(words: &str) -> Form {
    let help = "captions with all of these words; empty shows all images";
    Form::new("search in captions", vec![Field::text(WORDS, help, words)])
}

pub fn jump_form() -> Form {
    let help = "its number in the list, or a prefix of its name";
    Form::new("jump to an image", vec![Field::text(IMAGE, help, "")])
}

pub fn export_form() -> Form {
    let help = "file name ending in .csv, .json, .md or .tex";
    Form::new("export the table", vec![Field::path(FILE, help, "comparison.md")])
}

pub fn learning_rate(form: &Form) -> Result<ControlCommand, FormError> {
    let typed = form.value(RATE);
    match typed.parse::<f32>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(ControlCommand::Set {
            settings: BTreeMap::from([("lr".to_owned(), typed.to_owned())]),
        }),
        _ => Err(FormError::of(RATE, "a number above 0, such as 5e-4")),
    }
}

pub fn name(form: &Form) -> Result<String, FormError> {
    match form.value(NAME).parse::<Name>() {
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(FormError::of(NAME, error.to_string())),
    }
}

pub fn image(form: &Form) -> Result<PathBuf, FormError> {
    match form.value(IMAGE) {
        "" => Err(FormError::of(IMAGE, "the path of an image")),
        path => Ok(expanded(path)),
    }
}

pub fn export(form: &Form) -> Result<PathBuf, FormError> {
    let path = expanded(form.value(FILE));
    match export_format(&path) {
        Some(_) => Ok(path),
        None => Err(FormError::of(
            FILE,
            "a name that ends in .csv, .json, .md or .tex",
        )),
    }
}

/// The export format of a file name.
pub fn export_format(path: &Path) -> Option<ExportFormat> {
    let ending = path.extension()?.to_str()?;
    ExportFormat::ALL
        .into_iter()
        .find(|format| format.extension() == ending)
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
