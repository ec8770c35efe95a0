//! Errors of reading a source and of building, saving and loading a dataset.

use super::formats::Format;
use super::formats::other_kinds::OtherFiles;
use crate::files::FileKind;
use crate::suggest::UnknownName;
use crate::text::{VocabularyError, counted, display_path, display_safe};
use std::io;
use std::path::PathBuf;

/// Why a dataset could not be read, built, saved or loaded. Messages are safe to print on a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum DatasetError {
    #[error(
        "{} does not exist: name a directory with images and captions, a captions file, or `scenes` for the \
         built-in dataset",
        display_path(.0)
    )]
    NoSuchSource(PathBuf),
    #[error("{}: there is no such directory of images: correct --images", display_path(.0))]
    NoSuchImages(PathBuf),
    #[error(
        "no captions found in {}: looked for {looked_for}; name the captions file with --captions and its \
         form with --format{}",
        display_path(.path),
        and(.others)
    )]
    NotRecognized {
        path: PathBuf,
        looked_for: String,
        others: Option<Box<OtherFiles>>,
    },
    #[error("several files could hold the {format} captions: {}: choose one with --captions", list(.files))]
    Ambiguous { format: Format, files: Vec<PathBuf> },
    #[error(
        "{}: neither its name nor its lines name a split (train, dev or val, test): rename the file, or write an image and its \
         split on each line",
        display_path(.0)
    )]
    UnnamedSplit(PathBuf),
    #[error("cannot read {}: {source}: check the path and its permissions", display_path(.file))]
    Read { file: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}: check space and permissions, then prepare again", display_path(.file))]
    Write { file: PathBuf, source: io::Error },
    #[error(
        "{} ends in the middle (line {line}, column {column}): it is cut short; copy or download it again",
        display_path(.file)
    )]
    TruncatedJson {
        file: PathBuf,
        line: usize,
        column: usize,
    },
    #[error(
        "{}, line {line}, column {column}: {}: mend the file there, or name its form with --format",
        display_path(.file),
        display_safe(.detail)
    )]
    Json {
        file: PathBuf,
        line: usize,
        column: usize,
        detail: String,
    },
    #[error(
        "{}: cannot tell the columns of image and caption from the first line, which is {:?}: name them with \
         --image-column and --caption-column",
        display_path(.file),
        display_safe(.found)
    )]
    Header { file: PathBuf, found: String },
    #[error(
        "{} holds no usable caption ({}): is it the right file, and of the right --format?",
        display_path(.file),
        display_safe(.first_problem)
    )]
    NoUsableLine { file: PathBuf, first_problem: String },
    #[error("{}: it is empty: copy or download it again", display_path(.file))]
    Empty { file: PathBuf },
    #[error("{} is {kind}, which holds no captions that are read: {next}", display_path(.file))]
    NotCaptions {
        file: PathBuf,
        kind: FileKind,
        next: &'static str,
    },
    #[error("{}: {}", display_path(.file), display_safe(&.unknown.to_string()))]
    Column { file: PathBuf, unknown: UnknownName },
    #[error(
        "captions are found in several directories of {}: {}: name one of them as SOURCE",
        display_path(.path),
        list(.directories)
    )]
    SeveralSources {
        path: PathBuf,
        directories: Vec<PathBuf>,
    },
    #[error(
        "no image name in the captions was found as one file; {} may be several files, such as {}: write the directory in \
         the names, or name one directory with --images",
        counted(*.names as u64, "names"),
        display_safe(&.examples.join(", "))
    )]
    AmbiguousImages { names: usize, examples: Vec<String> },
    #[error(
        "none of {} in the captions was found: looked for {} in {}{}: name the directory of the \
         images with --images{}",
        counted(*.images as u64, "image names"),
        display_safe(.example),
        list(.looked_in),
        .nearest.as_ref().map_or(String::new(), |name| format!(", where there is {}", display_safe(name))),
        and(.others)
    )]
    NoImages {
        images: usize,
        nearest: Option<String>,
        example: String,
        looked_in: Vec<PathBuf>,
        others: Option<Box<OtherFiles>>,
    },
    #[error("no image is left to train on: {0}; see what is wrong with them")]
    NothingToTrainOn(String),
    #[error(
        "no image is in the training split: {0}; to train on these images, draw the splits with --random-splits or give \
         lists with --splits; to score a run on them, caption them with `cutline caption RUN IMAGES --json`, write the \
         captions as {{\"image\": \"caption\"}} and their references as {{\"image\": [\"caption\", ...]}}, and compare both with \
         `cutline score`"
    )]
    NoTrainingSplit(String),
    #[error(
        "the vocabulary has no words: none occurs {minimum_count} times or more in the training captions; prepare with a lower --min-count, and a language \
         without spaces with --tokenizer icu"
    )]
    NoWords { minimum_count: u64 },
    #[error(
        "{}: this build does not read Parquet; build with --features parquet, or save the table as metadata.csv", display_path(.file)
    )]
    NoParquet { file: PathBuf },
    #[error("{} is not a tar file: download it again, or remove it from the shards", display_path(.file))]
    NotTar { file: PathBuf },
    #[error("{} cannot be unpacked ({}): if it is cut short or damaged, download or copy it again", display_path(.file), display_safe(.detail))]
    DamagedShard { file: PathBuf, detail: String },
    #[error(
        "{origin}: no sample of an image and its caption; the entries of a sample have one name, such as 0001.jpg and 0001.txt or 0001.json; unpack \
         an archive of a directory with `tar xf`, and name the directory"
    )]
    NoSamples { origin: String },
    #[error("`scenes` is drawn by the program, not read: prepare it with the source `scenes` alone")]
    ScenesAreDrawn,
    #[error("no dataset at {}: {}", display_path(.directory), beside(.others))]
    NoSuchDataset { directory: PathBuf, others: Vec<String> },
    #[error("{}, line {line}: {}: prepare the dataset again", display_path(.file), display_safe(.detail))]
    InvalidLine {
        file: PathBuf,
        line: usize,
        detail: String,
    },
    #[error("{}: {}: prepare the dataset again", display_path(.file), display_safe(.detail))]
    Unreadable { file: PathBuf, detail: String },
    #[error(
        "the files in {} do not belong together (their hash differs from the one in dataset.toml): prepare \
         the dataset again",
        display_path(.0)
    )]
    HashDiffers(PathBuf),
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

fn and(others: &Option<Box<OtherFiles>>) -> String {
    others
        .as_ref()
        .map_or(String::new(), |others| format!("; {others}"))
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
