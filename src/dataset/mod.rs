//! Captioned data sets: readers, splits, checks, and what `prepare` leaves on disk.

pub mod scenes;

use std::path::PathBuf;

/// Which part of a data set a photo belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Learned from.
    Train,
    /// Looked at while training, to choose settings and the best checkpoint.
    Dev,
    /// Looked at once, at the end.
    Test,
}

/// A photo as its source gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePhoto {
    /// The name by which the source knows the photo.
    pub key: String,
    /// Where the photo lies.
    pub path: PathBuf,
    /// The split the source puts it in, if it has splits.
    pub split: Option<Split>,
    /// Every caption the source has for it.
    pub captions: Vec<SourceCaption>,
}

/// A caption as its source gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceCaption {
    /// The text as written.
    pub raw: String,
    /// Its tokens, where the source brings its own.
    pub tokens: Option<Vec<String>>,
}
