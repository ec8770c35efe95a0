//! Forms of a single line.

use crate::evaluation::Format;
use crate::jobs::{ControlCommand, Name};
use crate::tui::form::{Fault, Field, Form};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The field of a learning rate.
const RATE: &str = "learning rate";
/// The field of a name.
const NAME: &str = "name";
/// The field of a note.
pub(super) const NOTE: &str = "note";
/// The field of an image.
pub(super) const IMAGE: &str = "image";
/// The field of words to look for.
pub(super) const WORDS: &str = "words";
/// The field of a file.
const FILE: &str = "file";

/// Asks for a learning rate; that of now stands in it.
pub fn learning_rate_form(run: &str, now: &str) -> Form {
    let help = "the highest one: the schedule goes on from the next step and takes its share of it";
    Form::new(
        format!("learning rate of {run}"),
        vec![Field::text(RATE, help, now)],
    )
}

/// Asks for a name.
pub fn rename_form(run: &str) -> Form {
    let help = "letters, digits, . _ and -";
    Form::new(format!("rename {run}"), vec![Field::text(NAME, help, run)])
}

/// Asks for a note.
pub fn note_form(run: &str, note: &str) -> Form {
    let help = "kept beside the run; an empty one is removed";
    Form::new(format!("note on {run}"), vec![Field::text(NOTE, help, note)])
}

/// Asks for an image on disk.
pub fn image_form() -> Form {
    let help = "JPEG, PNG, GIF, WebP, TIFF or BMP; Ctrl-O picks it";
    Form::new("caption an image", vec![Field::path(IMAGE, help, "")])
}

/// Asks for words to look for.
pub fn filter_form(words: &str) -> Form {
    let help = "captions that hold all of these words; empty: every image";
    Form::new("search in captions", vec![Field::text(WORDS, help, words)])
}

/// Asks for an image of those that are listed.
pub fn jump_form() -> Form {
    let help = "its number in the list, or the beginning of its name";
    Form::new("jump to an image", vec![Field::text(IMAGE, help, "")])
}

/// Asks for a file to write a table into.
pub fn export_form() -> Form {
    let help = "the end of its name says how: .csv .json .md .tex";
    Form::new("export the table", vec![Field::path(FILE, help, "comparison.md")])
}

pub(super) fn learning_rate(form: &Form) -> Result<ControlCommand, Fault> {
    let typed = form.value(RATE);
    match typed.parse::<f32>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(ControlCommand::Set {
            settings: BTreeMap::from([("lr".to_owned(), typed.to_owned())]),
        }),
        _ => Err(Fault::of(RATE, "a number above 0, such as 5e-4")),
    }
}

pub(super) fn name(form: &Form) -> Result<String, Fault> {
    match form.value(NAME).parse::<Name>() {
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(Fault::of(NAME, error.to_string())),
    }
}

pub(super) fn image(form: &Form) -> Result<PathBuf, Fault> {
    match form.value(IMAGE) {
        "" => Err(Fault::of(IMAGE, "the path of an image")),
        path => Ok(expanded(path)),
    }
}

pub(super) fn export(form: &Form) -> Result<PathBuf, Fault> {
    let path = expanded(form.value(FILE));
    match export_format(&path) {
        Some(_) => Ok(path),
        None => Err(Fault::of(FILE, "a name that ends in .csv, .json, .md or .tex")),
    }
}

/// In which form a table is written into a file of that name.
pub(in crate::tui) fn export_format(path: &Path) -> Option<Format> {
    let ending = path.extension()?.to_str()?;
    Format::ALL
        .into_iter()
        .find(|format| format.extension() == ending)
}

/// The path that was typed; `~` is the home directory, as in a shell.
pub(in crate::tui) fn expanded(typed: &str) -> PathBuf {
    let home = || std::env::home_dir();
    match typed.strip_prefix("~/") {
        Some(rest) => home().map_or_else(|| typed.into(), |home| home.join(rest)),
        None if typed == "~" => home().unwrap_or_else(|| typed.into()),
        None => typed.into(),
    }
}
