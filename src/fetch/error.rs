//! Why something is not fetched.

use crate::files::FileKind;
use crate::suggest::UnknownName;
use std::io;
use std::path::{Path, PathBuf};

/// Why something is not fetched.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum FetchError {
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    #[error("{origin}: {message}")]
    Table { origin: String, message: String },
    #[error(
        "there is no directory for the cache: neither CUTLINE_CACHE, XDG_CACHE_HOME nor HOME is set; set one"
    )]
    NoCache,
    #[error("cannot use {}: {source}; check its permissions, or set CUTLINE_CACHE to another directory", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{} has {free} bytes free, and {needed} are needed; make space, or set CUTLINE_CACHE to a directory on another disk",
        path.display()
    )]
    NoSpace { path: PathBuf, needed: u64, free: u64 },
    #[error("{variable} is set, so nothing is downloaded; on a machine with a network run: {command}")]
    Offline { variable: &'static str, command: String },
    #[error("{name} has no address to fetch it from: {advice}")]
    NoAddress { name: String, advice: String },
    #[error("{url}: {problem}")]
    Address { url: String, problem: String },
    #[error("{file} was not fetched from any address:{}", lines(problems))]
    Unreachable { file: String, problems: Vec<FetchError> },
    #[error(
        "{place}: the checksum is wrong: {expected} was expected, {found} was found; the file is damaged or another one"
    )]
    Mismatch {
        place: String,
        expected: String,
        found: String,
    },
    #[error(
        "{place}: it has {found} bytes, and the published file has {expected}; it is damaged or another one"
    )]
    Length {
        place: String,
        expected: u64,
        found: u64,
    },
    #[error(
        "{url}: the server sent {kind} instead of the file; the address may need a login, or the file has moved"
    )]
    NotTheFile { url: String, kind: FileKind },
    #[error("{}: {problem}; it is not unpacked", path.display())]
    Archive { path: PathBuf, problem: String },
    #[error("{} is not in {}; `cutline fetch {asset} --urls` prints the addresses", missing.join(" and "), directory.display())]
    NotThere {
        asset: String,
        directory: PathBuf,
        missing: Vec<String>,
    },
    #[error("stopped; the part that was fetched is kept, and the same command continues")]
    Stopped,
}

impl FetchError {
    /// The conversion from an error of a file.
    pub(super) fn at(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.as_ref().to_owned(),
            source,
        }
    }
}

/// Each problem on a line of its own.
fn lines(problems: &[FetchError]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
