//! What happens to the workbench, and what it does: [`App::update`](super::app::App::update) takes the one and gives
//! the other.

use super::pages::gallery::{Album, AlbumRequest};
use super::pictures::{Picture, PictureKey};
use crate::data::{Image, Manifest, Report as DataReport};
use crate::evaluation::{Comparison, EnsembleMember, NamedReport, Report};
use crate::jobs::{ControlCommand, JobState, LogSummary, Record};
use crate::search::{Attention, SearchSettings, WrittenCaption};
use ratatui::crossterm::event::{KeyEvent, MouseEvent};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Something that has happened.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was used.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this size, in columns and rows.
    Resized(u16, u16),
    /// The runs there are.
    Runs(Vec<RunListing>),
    /// What the log of a run tells.
    Records {
        /// The run.
        run: String,
        /// What is new.
        records: Vec<Record>,
    },
    /// The data sets there are, and those being prepared.
    DataSets(Vec<DataSetListing>),
    /// The evaluations there are, and those at work.
    Evaluations(Vec<EvaluationListing>),
    /// What the machine is busy with.
    Machine(MachineLoad),
    /// A data set was read.
    DataSet {
        /// Its name.
        name: String,
        /// What is in it, or why it cannot be read.
        detail: Result<Arc<DataSetDetail>, String>,
    },
    /// What the process of a run has printed.
    Log {
        /// The run.
        run: String,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// What is in a directory.
    Entries {
        /// The directory.
        directory: PathBuf,
        /// What is in it, or why it cannot be read.
        entries: Result<Vec<DirectoryEntry>, String>,
    },
    /// What was recognized at a place that is to be prepared.
    Recognized {
        /// The place, as it was typed.
        place: String,
        /// In words.
        told: Result<String, String>,
    },
    /// Where the images lie that a run learned from.
    Images {
        /// The run.
        run: String,
        /// By their keys.
        files: HashMap<String, PathBuf>,
    },
    /// The images and captions of an evaluation.
    Album {
        /// Which was asked for.
        request: AlbumRequest,
        /// The album, or why there is none.
        album: Result<Arc<Album>, String>,
    },
    /// Evaluations were compared.
    Comparison {
        /// Which were asked for: run and evaluation, the baseline first.
        of: Vec<EvaluationKey>,
        /// How they compare, and their reports.
        outcome: Result<Arc<SideBySide>, String>,
    },
    /// An image was captioned.
    Captioned {
        /// What was asked for.
        request: CaptionRequest,
        /// What the search ended with, best first.
        captions: Result<Vec<WrittenCaption>, String>,
    },
    /// Where the decoder looked for each word of a caption was found out.
    Attended {
        /// What was asked for.
        request: AttentionRequest,
        /// Where, or why there is nothing to see.
        attention: Result<Attention, String>,
    },
    /// An image is ready to be drawn.
    Picture {
        /// Which, and how large.
        key: PictureKey,
        /// It, or why it cannot be drawn.
        picture: Picture,
    },
    /// What came of an effect.
    Done(Result<String, String>),
    /// What came of a command that was to be started.
    Started(Result<String, String>),
    /// The process is to be put to sleep.
    Suspend,
    /// The process is to end.
    Quit,
}

/// A run as it is found.
#[derive(Clone, Debug, PartialEq)]
pub struct RunListing {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: JobState,
    /// What a user has noted on it.
    pub note: Option<String>,
}

/// A data set as it is found.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSetListing {
    /// Its name.
    pub name: String,
    /// Whether it is whole.
    pub is_whole: bool,
    /// When it was last written, to know it from what it was before; in seconds since 1970.
    pub written: u64,
    /// The names of its features.
    pub features: Vec<String>,
    /// The job that prepares it, or did, where it tells of itself.
    pub job: Option<(JobState, LogSummary)>,
    /// The job, by the path that commands take.
    pub job_path: String,
}

/// What is in a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSetDetail {
    /// How it came about.
    pub manifest: Manifest,
    /// Its hash.
    pub hash: String,
    /// What was found when it was prepared.
    pub report: DataReport,
    /// A few of its images, from all over it.
    pub samples: Vec<Image>,
}

/// An evaluation, by its run and its own name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvaluationKey {
    /// The run.
    pub run: String,
    /// The evaluation.
    pub name: String,
}

impl std::fmt::Display for EvaluationKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.run, self.name)
    }
}

/// An evaluation as it is found.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationListing {
    /// Which.
    pub key: EvaluationKey,
    /// Its report without captions, where there is one.
    pub head: Option<Arc<Report>>,
    /// The job that makes it, or did, where it tells of itself.
    pub job: Option<(JobState, LogSummary)>,
    /// The job, by the path that commands take.
    pub job_path: String,
}

/// Evaluations that were compared.
#[derive(Clone, Debug)]
pub struct SideBySide {
    /// How they compare with the first.
    pub comparison: Comparison,
    /// Their reports, in the same order, with all captions.
    pub reports: Vec<NamedReport>,
}

/// What the machine is busy with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineLoad {
    /// Of each run trained on this machine: its share of a core, 1 for one core in full, and its bytes of memory.
    pub runs: Vec<(String, f32, u64)>,
    /// Each GPU in words.
    pub gpus: Vec<String>,
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: String,
    /// Whether there is more below it.
    pub kind: EntryKind,
}

/// What something in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// The checkpoints that write a caption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writers {
    /// The run of the first.
    pub run: String,
    /// `best` or `latest`.
    pub checkpoint: String,
    /// Those that write together with it.
    pub ensemble: Vec<EnsembleMember>,
}

impl fmt::Display for Writers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.run)?;
        for (at, other) in self.ensemble.iter().enumerate() {
            let joint = if at == 0 { " with" } else { "," };
            write!(out, "{joint} {}", other.run)?;
        }
        Ok(())
    }
}

/// A caption of which it is to be found out where its writers looked for each word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionRequest {
    /// Who looked.
    pub by: Writers,
    /// At this image.
    pub image: PathBuf,
    /// For the words of this caption.
    pub caption: String,
}

/// What the captioner is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum CaptionerRequest {
    /// To write a caption.
    Caption(CaptionRequest),
    /// To tell where its decoder looked.
    Attend(AttentionRequest),
}

/// A caption to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptionRequest {
    /// By these.
    pub by: Writers,
    /// Of this image.
    pub image: PathBuf,
    /// Found in this way.
    pub search: SearchSettings,
}

/// Something to be done outside.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Leave a command for a job: a run by its name, or any by its path.
    Control {
        /// The job.
        job: String,
        /// The command.
        command: ControlCommand,
    },
    /// Start a trainer that goes on with a run.
    TakeUp(String),
    /// Remove a run.
    Remove(String),
    /// Give a run another name.
    Rename {
        /// Its name now.
        run: String,
        /// Its name then.
        to: String,
    },
    /// Keep a note on a run.
    Note {
        /// The run.
        run: String,
        /// The note; an empty one is removed.
        text: String,
    },
    /// Start a command as a user would type it; these are the words after `cutline`.
    Start(Vec<String>),
    /// Read a data set.
    LoadDataSet(String),
    /// Read what the process of a run has printed.
    LoadLog(String),
    /// Read what is in a directory.
    List(PathBuf),
    /// Look what the captioned images at a place are.
    Recognize(String),
    /// Read the images and captions of an evaluation.
    LoadAlbum(AlbumRequest),
    /// Find the images that a run learned from.
    FindImages(String),
    /// Compare evaluations with the first of them.
    Compare(Vec<EvaluationKey>),
    /// Write the table of the last comparison into a file.
    Export {
        /// The file; the end of its name says in which form.
        path: PathBuf,
        /// What is compared.
        compared: Arc<SideBySide>,
    },
    /// Caption an image.
    Caption(CaptionRequest),
    /// Find out where the decoder looked for each word of a caption.
    Attend(AttentionRequest),
    /// Make these images ready to be drawn, and forget what was asked for before.
    Draw(Vec<PictureKey>),
    /// Give the terminal back to the shell until it comes back here.
    Suspend,
}
