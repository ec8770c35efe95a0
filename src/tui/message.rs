//! Messages, effects and the data they carry: [`App::update`](super::app::App::update) turns messages into effects.

use super::{ImageKey, PreparedImage};
use crate::data::{DatasetManifest, Image, PrepareReport};
use crate::evaluation::{Comparison, NamedReport, Report};
use crate::jobs::{CheckpointRef, ControlCommand, JobState, LogSummary, Record};
use crate::search::{Attention, SearchSettings, WrittenCaption};
use ratatui::crossterm::event::{KeyEvent, MouseEvent};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Something that happened: input, news from the disk, the outcome of an effect.
#[derive(Debug)]
pub enum Message {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    Resized(u16, u16),
    Runs(Vec<RunListing>),
    Records {
        run: String,
        records: Arc<Vec<Record>>,
        /// How much of the log has been read.
        percent_read: u8,
    },
    Datasets(Vec<DatasetListing>),
    Evaluations(Vec<EvaluationListing>),
    Machine(MachineLoad),
    Dataset {
        name: String,
        detail: Result<Arc<DatasetDetail>, String>,
    },
    Log {
        run: String,
        lines: Vec<String>,
    },
    Entries {
        directory: PathBuf,
        entries: Result<Vec<DirectoryEntry>, String>,
    },
    /// The format of the captioned images at a path.
    Recognized {
        /// The path as typed in the form.
        source: String,
        outcome: Result<String, String>,
    },
    /// The image files of the dataset of a run.
    Images {
        run: String,
        files: HashMap<String, PathBuf>,
    },
    GalleryImages {
        request: GalleryRequest,
        images: Result<Arc<GalleryImages>, String>,
    },
    Comparison {
        /// The compared evaluations, baseline first.
        of: Vec<EvaluationKey>,
        outcome: Result<Arc<ComparedEvaluations>, String>,
    },
    Hypotheses {
        request: CaptionRequest,
        captions: Result<Vec<WrittenCaption>, String>,
    },
    AttentionWeights {
        request: AttentionRequest,
        attention: Result<Attention, String>,
    },
    ImageReady {
        key: ImageKey,
        image: PreparedImage,
    },
    Done(Result<String, String>),
    Submitted(Result<String, String>),
    Suspend,
    Quit,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RunListing {
    pub name: String,
    pub state: JobState,
    pub note: Option<String>,
    /// The time of the last event when the workbench found the run, in seconds since 1970.
    pub last_active: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatasetListing {
    pub name: String,
    pub is_whole: bool,
    /// Modification time in seconds since 1970: shows when to reload it.
    pub written: u64,
    pub features: Vec<String>,
    /// The job that prepares it, if it left a log.
    pub job: Option<(JobState, LogSummary)>,
    /// The path by which commands name the job.
    pub job_path: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DatasetDetail {
    pub manifest: DatasetManifest,
    pub hash: String,
    pub report: PrepareReport,
    pub samples: Vec<Image>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvaluationKey {
    pub run: String,
    pub name: String,
}

impl std::fmt::Display for EvaluationKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.run, self.name)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationListing {
    pub key: EvaluationKey,
    /// Its report without captions; `None` while it runs.
    pub head: Option<Arc<Report>>,
    /// The job that computes it, if it left a log.
    pub job: Option<(JobState, LogSummary)>,
    /// The path by which commands name the job.
    pub job_path: String,
}

#[derive(Clone, Debug)]
pub struct ComparedEvaluations {
    /// Compared with the first, the baseline.
    pub comparison: Comparison,
    /// In the same order, with all captions.
    pub reports: Vec<NamedReport>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GalleryImages {
    pub report: Report,
    /// Image files in the order of the captions; `None` if the dataset is missing.
    pub files: Vec<Option<PathBuf>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GallerySlot {
    Main,
    Comparison,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GalleryRequest {
    pub of: EvaluationKey,
    pub slot: GallerySlot,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineLoad {
    /// Per run on this machine: CPU load (1 for one full core) and memory in bytes.
    pub runs: Vec<(String, f32, u64)>,
    /// A line per GPU.
    pub gpus: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    pub name: String,
    pub kind: EntryKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    Directory,
    File,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionRequest {
    /// The checkpoints of the ensemble; the first member with attention is shown.
    pub members: Vec<CheckpointRef>,
    pub image: PathBuf,
    pub caption: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CaptionerRequest {
    Caption(CaptionRequest),
    Attention(AttentionRequest),
}

#[derive(Clone, Debug, PartialEq)]
pub struct CaptionRequest {
    /// The checkpoints, an ensemble where there are several.
    pub members: Vec<CheckpointRef>,
    pub image: PathBuf,
    pub search: SearchSettings,
}

#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a command to a job, named by its run or its path.
    Control {
        job: String,
        command: ControlCommand,
    },
    Resume(String),
    DeleteRun(String),
    Rename {
        run: String,
        to: String,
    },
    Note {
        run: String,
        /// An empty text removes the note.
        text: String,
    },
    /// Start a `cutline` command with these arguments.
    Start(Vec<String>),
    LoadDataset(String),
    /// Read the output of the process of a run.
    LoadLog(String),
    List(PathBuf),
    /// Recognize the format of the captioned images at a path.
    Recognize(String),
    LoadGallery(GalleryRequest),
    FindImages(String),
    Compare(Vec<EvaluationKey>),
    Export {
        /// The extension selects the format.
        path: PathBuf,
        compared: Arc<ComparedEvaluations>,
    },
    Caption(CaptionRequest),
    ComputeAttention(AttentionRequest),
    /// Prepare these images; replaces earlier requests.
    Draw(Vec<ImageKey>),
    Suspend,
}

impl Effect {
    pub fn stop(job: String) -> Self {
        Self::Control {
            job,
            command: ControlCommand::Stop,
        }
    }
}
