//! Why a source could not be read, or a data set not be prepared, saved or loaded.

use super::formats::Format;
use crate::text::{VocabularyError, display_path, display_safe};
use std::io;
use std::path::PathBuf;

/// Names the file, line or name at fault and the next thing to try; safe to print on a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The source the user named is not there.
    #[error(
        "{} does not exist: name a directory with images and captions, a captions file, or `scenes` for the \
         built-in data set",
        display_path(.0)
    )]
    NoSuchSource(PathBuf),
    /// No captions file of a known form is there.
    #[error(
        "no captions found in {}: looked for {looked_for}; name the captions file with --captions and its \
         form with --format",
        display_path(.path)
    )]
    NotRecognized {
        /// The directory or file that was looked at.
        path: PathBuf,
        /// The file names of every form that was looked for.
        looked_for: String,
    },
    /// Several captions files of one form are there.
    #[error("several files could hold the {format} captions: {}: choose one with --captions", list(.files))]
    Ambiguous {
        /// The form.
        format: Format,
        /// The candidates.
        files: Vec<PathBuf>,
    },
    /// A split list's name does not tell its split.
    #[error(
        "{}: the name of a split list must hold train, dev (or val) or test: rename the file",
        display_path(.0)
    )]
    UnnamedSplit(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}: {source}: check the path and its permissions", display_path(.file))]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}: check space and permissions, then prepare again", display_path(.file))]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A JSON file is cut short.
    #[error(
        "{} ends in the middle (line {line}, column {column}): it is cut short; copy or download it again",
        display_path(.file)
    )]
    TornJson {
        /// The file.
        file: PathBuf,
        /// The line it ends in, from 1.
        line: usize,
        /// The column it ends at.
        column: usize,
    },
    /// A JSON file is not what its form asks for.
    #[error(
        "{}, line {line}, column {column}: {}: mend the file there, or name its form with --format",
        display_path(.file),
        display_safe(.detail)
    )]
    Json {
        /// The file.
        file: PathBuf,
        /// The line at fault, from 1.
        line: usize,
        /// The column at fault.
        column: usize,
        /// What is wrong there.
        detail: String,
    },
    /// A table's first line does not name its columns.
    #[error(
        "{}: the first line must name the columns `image` (or `photo`) and `caption`, but is {:?}: add such a \
         line, or name the form with --format",
        display_path(.file),
        display_safe(.found)
    )]
    Header {
        /// The file.
        file: PathBuf,
        /// Its first line.
        found: String,
    },
    /// A captions file in which not one line can be used.
    #[error(
        "{} holds no usable caption ({}): is it the right file, and of the right --format?",
        display_path(.file),
        display_safe(.first_problem)
    )]
    NoUsableLine {
        /// The file.
        file: PathBuf,
        /// The first problem found in it.
        first_problem: String,
    },
    /// Captions there are, but not one of their images.
    #[error(
        "not one of the {images} captioned images was found: looked for {} in {}: name the directory of the \
         images with --images",
        display_safe(.example),
        list(.looked_in)
    )]
    NoImages {
        /// How many images the captions name.
        images: usize,
        /// One of them.
        example: String,
        /// Where they were looked for.
        looked_in: Vec<PathBuf>,
    },
    /// The check left nothing to train on.
    #[error("no image is left to train on: {0}; see what is wrong with the others, or draw new splits")]
    NothingToTrainOn(String),
    /// The built-in data set cannot be read from disk.
    #[error("`scenes` is drawn by the program, not read: prepare it with the source `scenes` alone")]
    ScenesAreDrawn,
    /// The data set asked for has not been prepared.
    #[error("no data set at {}: {}", display_path(.directory), beside(.others))]
    NoSuchDataset {
        /// Where it should be.
        directory: PathBuf,
        /// The names of the data sets beside it.
        others: Vec<String>,
    },
    /// A file of a prepared data set is not what was written.
    #[error("{}, line {line}: {}: prepare the data set again", display_path(.file), display_safe(.detail))]
    Torn {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// The manifest or the report cannot be understood.
    #[error("{}: {}: prepare the data set again", display_path(.file), display_safe(.detail))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The files of a data set were not written together.
    #[error(
        "the files in {} do not belong together (their hash differs from the one in dataset.toml): prepare \
         the data set again",
        display_path(.0)
    )]
    HashDiffers(PathBuf),
    /// The vocabulary cannot be written or read.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
}

impl DatasetError {
    pub(super) fn reading(file: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Read { file, source }
    }

    pub(super) fn writing(file: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Write { file, source }
    }
}

fn list(files: &[PathBuf]) -> String {
    let files: Vec<_> = files.iter().map(|file| display_path(file)).collect();
    files.join(", ")
}

fn beside(names: &[String]) -> String {
    match names {
        [] => "prepare one with `cutline prepare SOURCE --name NAME`".to_owned(),
        names => format!(
            "there are {}; prepare another with `cutline prepare`",
            display_safe(&names.join(", "))
        ),
    }
}
