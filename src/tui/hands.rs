//! What the workbench does outside: it leaves control files, starts the commands a user would type, and reads what is
//! to be shown.

use super::forms::prompts::{expanded, export_format};
use super::message::{
    CaptionerRequest, DataSetDetail, DirectoryEntry, Effect, EntryKind, EvaluationKey, Message, SideBySide,
};
use super::pages::gallery::{Album, AlbumRequest};
use super::pictures::PictureKey;
use super::popup::HERE;
use crate::data::{DataSet, Image, Report as DataReport, Source};
use crate::evaluation::{Comparison, NamedReport};
use crate::files::write_atomically;
use crate::jobs::{ControlCommand, Name, Root, ask};
use crate::runs::data_set_of;
use crate::text::{display_path, display_safe};
use crate::training::RunRecord;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use tracing::{info, warn};

/// How long a job may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Images of a data set that are shown.
const SAMPLES: usize = 60;
/// Of what a process has printed, how much is shown; in bytes.
const LOG_SHOWN: u64 = 256 * 1024;

/// What carries effects out.
pub(super) struct Hands {
    pub(super) root: Root,
    pub(super) tell: Sender<Message>,
    pub(super) paint: Sender<Vec<PictureKey>>,
    pub(super) caption: Sender<CaptionerRequest>,
}

type Told = Result<String, String>;

impl Hands {
    /// Carries an effect out; what takes a moment, in the background.
    pub(super) fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Control { job, command } => self.done(move |root| control(root, &job, &command)),
            Effect::TakeUp(run) => self.done(move |root| take_up(root, run)),
            Effect::Remove(run) => self.done(move |root| {
                root.find_run(&run).and_then(|run| run.remove()).map_err(told)?;
                Ok(format!("{run} is removed"))
            }),
            Effect::Rename { run, to } => self.done(move |root| rename(root, &run, &to)),
            Effect::Note { run, text } => self.done(move |root| {
                let run = root.find_run(&run).map_err(told)?;
                run.set_note(&text).map_err(told)?;
                Ok("noted".to_owned())
            }),
            Effect::Start(arguments) => self.tell(move |root| Message::Started(start(root, &arguments))),
            Effect::Export { path, compared } => self.done(move |_| export(&path, &compared)),
            Effect::LoadDataSet(name) => self.tell(move |root| Message::DataSet {
                detail: data_set(root, &name).map(Arc::new),
                name,
            }),
            Effect::LoadLog(run) => self.tell(move |root| Message::Log {
                lines: log(root, &run).unwrap_or_else(|why| vec![why]),
                run,
            }),
            Effect::List(directory) => self.tell(move |_| Message::Entries {
                entries: entries(&directory),
                directory,
            }),
            Effect::Recognize(place) => self.tell(move |_| Message::Recognized {
                told: recognize(&place),
                place,
            }),
            Effect::LoadAlbum(request) => self.tell(move |root| Message::Album {
                album: album(root, &request).map(Arc::new),
                request,
            }),
            Effect::FindImages(run) => self.tell(move |root| Message::Images {
                files: images_of(root, &run).unwrap_or_default(),
                run,
            }),
            Effect::Compare(of) => self.tell(move |root| Message::Comparison {
                outcome: compare(root, &of).map(Arc::new),
                of,
            }),
            // Without anybody who paints or captions there is nothing to show, and nobody to tell.
            Effect::Draw(keys) => drop(self.paint.send(keys)),
            Effect::Caption(request) => drop(self.caption.send(CaptionerRequest::Caption(request))),
            Effect::Attend(request) => drop(self.caption.send(CaptionerRequest::Attend(request))),
            // The loop itself gives the terminal back.
            Effect::Suspend => {}
        }
    }

    /// Does something, and tells what came of it.
    fn done(&self, work: impl FnOnce(&Root) -> Told + Send + 'static) {
        self.tell(move |root| {
            let outcome = work(root);
            match &outcome {
                Ok(done) => info!("{done}"),
                Err(why) => warn!("{why}"),
            }
            Message::Done(outcome)
        });
    }

    fn tell(&self, work: impl FnOnce(&Root) -> Message + Send + 'static) {
        let (root, tell) = (self.root.clone(), self.tell.clone());
        thread::spawn(move || {
            let _ = tell.send(work(&root));
        });
    }
}

fn told(error: impl std::fmt::Display) -> String {
    display_safe(&error.to_string()).into_owned()
}

fn control(root: &Root, job: &str, command: &ControlCommand) -> Told {
    let job = root.find_job(job).map_err(told)?;
    let answer = ask(&job, command, PATIENCE).map_err(told)?;
    Ok(answer.to_string())
}

fn take_up(root: &Root, run: String) -> Told {
    let goes_on = format!("{run} goes on");
    start(root, &["train".into(), "--resume".into(), run, "--detach".into()])?;
    Ok(goes_on)
}

fn rename(root: &Root, run: &str, to: &str) -> Told {
    let directory = root.find_run(run).map_err(told)?;
    let name: Name = to.parse().map_err(told)?;
    directory.rename(&name).map_err(told)?;
    Ok(format!("{run} is called {to} now"))
}

/// Starts a command as it would be typed; it hands its work to a process of its own.
fn start(root: &Root, arguments: &[String]) -> Told {
    let program = std::env::current_exe().map_err(told)?;
    let output = std::process::Command::new(program)
        .args(arguments)
        .arg("--root")
        .arg(root.path())
        .args(["--color", "never"])
        .stdin(Stdio::null())
        .output()
        .map_err(told)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last().unwrap_or_default();
    // What a process of its own said as it ended stands last, and there is one line for it.
    let why = last.rsplit_once("error: ").map_or(last, |(_, why)| why);
    let command = arguments.join(" ");
    if output.status.success() {
        info!("started: {command}");
        return Ok(format!("started: {command}"));
    }
    warn!("not started: {command}: {why}");
    Err(display_safe(why).into_owned())
}

fn export(path: &Path, compared: &SideBySide) -> Told {
    let format = export_format(path).ok_or("the name does not end in .csv, .json, .md or .tex")?;
    let text = compared.comparison.export(format).map_err(told)?;
    write_atomically(path, |out| out.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", display_path(path)))?;
    Ok(format!("wrote {}", display_path(path)))
}

fn data_set(root: &Root, name: &str) -> Result<DataSetDetail, String> {
    let directory = root.find_dataset(name).map_err(told)?;
    let data_set = DataSet::load(&directory).map_err(told)?;
    let report = DataReport::load(&directory).map_err(told)?;
    let step = data_set.images.len().div_ceil(SAMPLES).max(1);
    let samples: Vec<Image> = data_set.images.into_iter().step_by(step).collect();
    Ok(DataSetDetail {
        manifest: data_set.manifest,
        hash: data_set.hash,
        report,
        samples,
    })
}

/// The end of what the process of a run has printed.
fn log(root: &Root, run: &str) -> Result<Vec<String>, String> {
    let job = root.find_run(run).map_err(told)?.job();
    let path = job.output();
    let mut file = File::open(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "nothing: it was trained in the foreground of a terminal".to_owned(),
        _ => format!("{}: {error}", display_path(&path)),
    })?;
    let length = file.metadata().map_err(told)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_SHOWN)))
        .map_err(told)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(told)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(|line| display_safe(line).into_owned()).collect())
}

/// What is in a directory, directories first; nothing that hides.
fn entries(directory: &Path) -> Result<Vec<DirectoryEntry>, String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(told)? {
        let entry = entry.map_err(told)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = match entry.path().is_dir() {
            true => EntryKind::Directory,
            false => EntryKind::File,
        };
        if !name.starts_with('.') {
            found.push(DirectoryEntry { name, kind });
        }
    }
    found.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    let here = DirectoryEntry {
        name: HERE.to_owned(),
        kind: EntryKind::Directory,
    };
    found.insert(0, here);
    Ok(found)
}

fn recognize(place: &str) -> Told {
    let source = Source::at(expanded(place));
    if source.is_scenes() {
        return Ok("the built-in data set, drawn by the program".to_owned());
    }
    let format = source.recognize().map_err(told)?;
    Ok(format!("recognized: {}", format.name()))
}

fn album(root: &Root, request: &AlbumRequest) -> Result<Album, String> {
    let report = read_report(root, &request.of)?.report;
    let files = images_of(root, &request.of.run).unwrap_or_default();
    let file = |key: &String| files.get(key).cloned();
    Ok(Album {
        files: report
            .captions
            .iter()
            .map(|captioned| file(&captioned.image))
            .collect(),
        report,
    })
}

/// The files of the images that a run learned from.
fn images_of(root: &Root, run: &str) -> Result<HashMap<String, PathBuf>, String> {
    let run = root.find_run(run).map_err(told)?;
    let record = RunRecord::load(&run.config()).map_err(told)?;
    let directory = data_set_of(&record, root).map_err(told)?;
    let data_set = DataSet::load(&directory).map_err(told)?;
    let files = data_set.images.into_iter().map(|image| (image.key, image.path));
    Ok(files.collect())
}

fn read_report(root: &Root, key: &EvaluationKey) -> Result<NamedReport, String> {
    let run = root.find_run(&key.run).map_err(told)?;
    let name: Name = key.name.parse().map_err(told)?;
    run.kept_evaluation(&name).map_err(told)?.read().map_err(told)
}

fn compare(root: &Root, of: &[EvaluationKey]) -> Result<SideBySide, String> {
    let reports: Vec<NamedReport> = of
        .iter()
        .map(|key| read_report(root, key))
        .collect::<Result<_, _>>()?;
    let Some((baseline, others)) = reports.split_first() else {
        return Err("there is nothing to compare".to_owned());
    };
    Ok(SideBySide {
        comparison: Comparison::new(baseline, others),
        reports,
    })
}
